//! What probes found lately: one bad look is pending, a second in a row fires, two good ones in a row are the end of it. What
//! is not looked at any more is forgotten: it is configured no more.

use super::book::Level;
use super::overdue::Overdue;
use super::window::Window;
use super::{Example, Kind, pairs};
use crate::limits;
use crate::observation::{FaultKind, Finding, Millis, Probe, excerpt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Looks in a row that say so, until it is believed.
const GOOD: u32 = 2;
pub(super) const WINDOW_S: u64 = 300;

/// Whose, by which probe, at what.
pub(super) type Target = (Option<String>, Probe, String);

/// All targets.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Looks {
    #[serde(with = "pairs")]
    targets: BTreeMap<Target, Look>,
    /// Since when nothing kept the looks from coming here.
    since: Millis,
}

/// The looks at one target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Look {
    pub(super) last: Millis,
    /// From one look to the next, the longest of late; none before the second one.
    pub(super) gap: Option<Millis>,
    /// Whether it is the system's own resolver.
    pub(super) system: bool,
    troubles: BTreeMap<Kind, Trouble>,
}

/// What is wrong with a target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Trouble {
    firing: bool,
    /// Looks in a row that did not find it.
    good: u32,
    pub(super) first: Millis,
    pub(super) last: Millis,
    times: Window<WINDOW_S>,
    pub(super) fault: FaultKind,
    pub(super) detail: String,
    pub(super) status: Option<u16>,
    /// When the certificate ends, in Unix seconds.
    pub(super) not_after: Option<i64>,
    pub(super) example: Option<Example>,
}

impl Looks {
    /// Takes what a look found: troubles of these kinds; none when it says nothing about its target.
    pub(super) fn take(
        &mut self,
        at: Millis,
        finding: &Finding,
        kinds: Option<&[(Kind, FaultKind)]>,
    ) {
        let target = (finding.account.clone(), finding.probe, finding.target.clone());
        let known = self.targets.contains_key(&target);
        if !known && (kinds.is_none() || self.targets.len() >= limits::ALERT_TARGETS) {
            return;
        }
        let look = self.targets.entry(target).or_default();
        look.came(at, self.since);
        if let Some(kinds) = kinds {
            look.take(at, finding, kinds);
        }
    }

    /// Looks may have been missed until now: lets what may be configured no more prove itself.
    pub(super) fn missed(&mut self, now: Millis) {
        self.since = now;
    }

    /// Forgets what is looked at no more.
    pub(super) fn tick(&mut self, now: Millis) {
        for target in Overdue::at(now, self.since, &self.targets).gone() {
            self.targets.remove(&target);
        }
    }

    pub(super) fn keep(&mut self, known: impl Fn(&str) -> bool) {
        self.targets.retain(|(account, ..), _| account.as_deref().is_none_or(&known));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Target, &Look)> {
        self.targets.iter()
    }
}

impl Look {
    /// A look has come. The time since one from before `since` is no gap.
    fn came(&mut self, at: Millis, since: Millis) {
        if self.last > 0 && self.last >= since {
            let gap = at.saturating_sub(self.last);
            // One that came soon says little about when the next one comes.
            self.gap = Some(self.gap.map_or(gap, |before| gap.max(before / 4 * 3)));
        }
        self.last = at;
    }

    fn take(&mut self, at: Millis, finding: &Finding, kinds: &[(Kind, FaultKind)]) {
        self.system = finding.facts.system == Some(true);
        // The second look in a row counts whatever it finds: one time no connection, the other no answer. That a
        // certificate ends soon is no failed look.
        let failed = |kind: &Kind| *kind != Kind::TlsExpiry;
        let again = self.troubles.iter().any(|(kind, trouble)| failed(kind) && trouble.good == 0);
        for (kind, fault) in kinds {
            let new = Trouble::new(at, *fault);
            let before = self.troubles.get(kind).is_some_and(|trouble| trouble.good == 0);
            let trouble = self.troubles.entry(*kind).or_insert(new);
            trouble.firing |= before || (again && failed(kind));
            trouble.found(at, *fault, finding);
        }
        // A look that did not come as far as the certificate says nothing about it.
        let certificate = finding.fault.is_none() || finding.facts.not_after.is_some();
        self.troubles.retain(|kind, trouble| {
            let looked = *kind != Kind::TlsExpiry || certificate;
            if looked && kinds.iter().all(|(found, _)| found != kind) {
                trouble.good += 1;
            }
            trouble.good == 0 || (trouble.firing && trouble.good < GOOD)
        });
    }

    /// The trouble of this kind, if there is one.
    pub(super) fn trouble(&self, kind: Kind) -> Option<&Trouble> {
        self.troubles.get(&kind)
    }

    /// Whether something is wrong, or was until a moment ago.
    pub(super) fn is_troubled(&self) -> bool {
        !self.troubles.is_empty()
    }

    pub(super) fn troubles(&self) -> impl Iterator<Item = (Kind, &Trouble)> {
        self.troubles.iter().map(|(kind, trouble)| (*kind, trouble))
    }
}

impl Trouble {
    fn new(at: Millis, fault: FaultKind) -> Trouble {
        Trouble {
            firing: false,
            good: 0,
            first: at,
            last: at,
            times: Window::default(),
            fault,
            detail: String::new(),
            status: None,
            not_after: None,
            example: None,
        }
    }

    fn found(&mut self, at: Millis, fault: FaultKind, finding: &Finding) {
        let facts = &finding.facts;
        self.good = 0;
        self.last = at;
        self.times.add(at, 1);
        self.fault = fault;
        self.detail = finding.fault.as_ref().map(|fault| fault.detail.clone()).unwrap_or_default();
        self.status = facts.status;
        self.not_after = facts.not_after;
        self.example = Some(Example {
            ip: facts.addresses.first().copied(),
            msg_type: None,
            response: facts.response.as_deref().map(excerpt),
            response_length: facts.response_length,
        });
    }

    pub(super) fn level(&self) -> Level {
        if self.firing { Level::Firing } else { Level::Pending }
    }

    pub(super) fn count(&self, now: Millis) -> u64 {
        self.times.sum(now)
    }
}
