//! What is not looked at any more, because it is configured no more: a name that was corrected, a server that was removed.

use super::looks::{Look, Target};
use crate::observation::{Millis, Probe};
use std::collections::BTreeMap;

/// A look is overdue after twice the usual gap, which is 20 % shorter or longer by chance, and this.
const LATE: Millis = 2 * 60_000;

/// All targets at one moment.
pub(super) struct Overdue<'a> {
    now: Millis,
    /// Since when nothing kept looks from coming.
    since: Millis,
    targets: &'a BTreeMap<Target, Look>,
    /// The longest gaps: those of WeChat's own check, and those of all other probes, which come together.
    gaps: [Millis; 2],
}

impl<'a> Overdue<'a> {
    pub(super) fn at(
        now: Millis,
        since: Millis,
        targets: &'a BTreeMap<Target, Look>,
    ) -> Overdue<'a> {
        let mut gaps = [0, 0];
        for ((_, probe, _), look) in targets {
            let longest = &mut gaps[pace(*probe)];
            *longest = look.gap.unwrap_or(0).max(*longest);
        }
        Overdue { now, since, targets, gaps }
    }

    /// Those that are looked at no more.
    pub(super) fn gone(&self) -> Vec<Target> {
        let gone = |(target, look): &(&Target, &Look)| {
            self.is_overdue(target.1, look) && !self.is_hidden(target)
        };
        self.targets.iter().filter(gone).map(|(target, _)| target.clone()).collect()
    }

    fn is_overdue(&self, probe: Probe, look: &Look) -> bool {
        let quiet = self.now.saturating_sub(look.last.max(self.since));
        // Of a target that two schedules look at, or that was looked at once, the others tell how long a gap can be.
        let gap = self.gaps[pace(probe)];
        gap > 0 && quiet >= 2 * gap + LATE
    }

    /// Whether an earlier step fails: without an address no connection is tried, without a connection no question asked.
    fn is_hidden(&self, target @ (_, probe, _): &Target) -> bool {
        match probe {
            Probe::Tcp => self.has_no_address(target),
            Probe::Tls => self.fails(target, Probe::Tcp) || self.has_no_address(target),
            Probe::Echo => {
                let steps = [Probe::Tcp, Probe::Tls];
                steps.iter().any(|step| self.fails(target, *step)) || self.has_no_address(target)
            }
            Probe::Dns | Probe::CallbackCheck | Probe::Clock => false,
        }
    }

    fn fails(&self, (account, _, target): &Target, step: Probe) -> bool {
        let look = self.targets.get(&(account.clone(), step, target.clone()));
        look.is_some_and(|look| look.is_troubled() && !self.is_overdue(step, look))
    }

    fn has_no_address(&self, (account, _, target): &Target) -> bool {
        let host = target.rsplit_once(':').map_or(target.as_str(), |(host, _)| host);
        let names = self.targets.range((account.clone(), Probe::Dns, String::new())..);
        let own = names.take_while(|((of, probe, _), _)| of == account && *probe == Probe::Dns);
        let of_host = |name: &str| name.split_once(' ').is_some_and(|(_, name)| name == host);
        let mut asked =
            own.filter(|((.., name), _)| of_host(name)).map(|(_, look)| look).peekable();
        let fails = |look: &Look| look.is_troubled() && !self.is_overdue(Probe::Dns, look);
        asked.peek().is_some() && asked.all(fails)
    }
}

/// Which of the two.
fn pace(probe: Probe) -> usize {
    usize::from(probe != Probe::CallbackCheck)
}
