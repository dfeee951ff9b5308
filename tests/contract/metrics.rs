//! Rules and dashboards on one side, the code on the other.

use std::collections::BTreeSet;

use crate::promql::{Selector, alternatives, selectors};
use crate::{code, dashboards, file, rules};

/// Prometheus' own series.
const OF_PROMETHEUS: [&str; 2] = ["ALERTS", "up"];

/// Labels whose values are words of the code.
const LABELS: [&str; 9] =
    ["alert", "credential", "kind", "outcome", "probe", "program", "reason", "result", "state"];

/// Every expression there is, and where.
fn expressions() -> Vec<(String, String)> {
    let rules = rules::all().into_iter().map(|rule| (rule.name, rule.expression));
    rules.chain(dashboards::queries()).collect()
}

fn asked_for() -> Vec<(String, Selector)> {
    let all = expressions().into_iter();
    all.flat_map(|(place, e)| selectors(&e).into_iter().map(move |s| (place.clone(), s))).collect()
}

#[test]
fn every_metric_in_rules_and_dashboards_exists() {
    let code = code::metrics();
    let recorded: BTreeSet<_> =
        rules::all().into_iter().filter(|r| r.name.contains(':')).map(|r| r.name).collect();
    let asked = asked_for();
    assert!(asked.len() > 150, "{}", asked.len());
    for (place, Selector { metric, .. }) in asked {
        let is_known = recorded.contains(&metric)
            || OF_PROMETHEUS.contains(&metric.as_str())
            || code.contains(code::family(&metric));
        assert!(is_known, "{place}: there is no {metric}");
    }
}

#[test]
fn every_metric_of_the_code_is_asked_for_or_listed_as_for_debugging() {
    let asked: BTreeSet<_> =
        asked_for().into_iter().map(|(_, s)| code::family(&s.metric).to_owned()).collect();
    let readme = file("dashboards/README.md");
    let (_, list) = readme.split_once("## For debugging only").expect("the list");
    for metric in code::metrics() {
        let is_listed = list.contains(&format!("`{metric}`"));
        assert_ne!(
            asked.contains(&metric),
            is_listed,
            "{metric}: on a panel, in a rule, or in the list, and not both"
        );
    }
}

#[test]
fn every_word_that_a_label_is_compared_with_is_the_codes() {
    let source = code::source("proxy/src")
        + &code::source("proxy/wechat/src")
        + &code::source("sidecar/src");
    let mut compared = 0;
    for (place, selector) in asked_for() {
        let of_code = selector
            .matchers
            .iter()
            .filter(|(label, value)| LABELS.contains(&label.as_str()) && value != "firing");
        for word in of_code.flat_map(|(_, value)| alternatives(value)) {
            let found = match word.strip_suffix(".*") {
                Some(beginning) => source.contains(&format!("\"{beginning}")),
                None => source.contains(&format!("\"{word}\"")),
            };
            assert!(found, "{place}: no code says {word:?} in {}", selector.text);
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn nothing_is_recorded_for_nobody() {
    let asked: BTreeSet<_> = asked_for().into_iter().map(|(_, selector)| selector.metric).collect();
    for rule in rules::all().into_iter().filter(|rule| rule.name.contains(':')) {
        assert!(asked.contains(&rule.name), "nobody asks for {}", rule.name);
    }
}
