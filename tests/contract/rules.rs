//! The rules, their tests, and who is told.

use std::process::Command;

use serde_json::Value;

use crate::{file, project, yaml};

const RULES: &str = "dashboards/wxedge.rules.yml";

/// A recording or alert rule.
#[derive(Debug)]
pub(crate) struct Rule {
    /// What it records or fires.
    pub(crate) name: String,
    /// PromQL.
    pub(crate) expression: String,
    /// The rule itself.
    pub(crate) value: Value,
}

/// All rules, in order.
pub(crate) fn all() -> Vec<Rule> {
    let groups = yaml(RULES)["groups"].as_array().unwrap().clone();
    let rules = groups.into_iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    rules
        .map(|value| Rule {
            name: text(&value["alert"]).or_else(|| text(&value["record"])).unwrap(),
            expression: text(&value["expr"]).unwrap(),
            value,
        })
        .collect()
}

/// Those that fire.
pub(crate) fn alerts() -> impl Iterator<Item = Rule> {
    all().into_iter().filter(|rule| rule.value["alert"].is_string())
}

/// Runs a program in `dashboards/`, which has to be content.
#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).current_dir(project().join("dashboards")).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program}: {error}; apt-get install prometheus prometheus-alertmanager")
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn every_alert_has_its_labels_its_words_and_its_row() {
    let readme = file("dashboards/README.md");
    let mut names = std::collections::BTreeSet::new();
    for Rule { name, value, .. } in alerts() {
        assert!(name.starts_with("Wxedge") && names.insert(name.clone()), "{name}");
        let severity = value["labels"]["severity"].as_str().unwrap_or_default().to_owned();
        assert!(["page", "ticket"].contains(&severity.as_str()), "{name}: severity {severity:?}");
        for words in ["summary", "description", "action"] {
            let words = value["annotations"][words].as_str().unwrap_or_default();
            assert!(words.len() > 15, "{name}: {words:?}");
        }
        let anchor = name.to_lowercase();
        assert_eq!(value["annotations"]["runbook"], format!("dashboards/README.md#{anchor}"));
        let row = format!("| <a id=\"{anchor}\"></a>`{name}` | {severity} |");
        let row = readme
            .lines()
            .find(|line| line.starts_with(&row))
            .unwrap_or_else(|| panic!("no row: {row}"));
        assert!(is_full(row, 6), "{row}");
    }
    let rows = readme.lines().filter(|line| line.starts_with("| <a id=")).count();
    assert_eq!(rows, names.len(), "rows of alerts that are no more");
}

/// Whether a row of a table has this many cells with something in each.
pub(crate) fn is_full(row: &str, cells: usize) -> bool {
    let row = row.replace("\\|", "");
    let found: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
    found.len() == cells && found.iter().all(|cell| !cell.is_empty())
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() {
    let tests = yaml("dashboards/wxedge.rules_test.yml");
    let cases = tests["tests"].as_array().unwrap();
    let find = |name: &str| {
        let case = cases.iter().find(|case| case["name"] == *name);
        case.unwrap_or_else(|| panic!("no case {name:?}"))["promql_expr_test"][0].clone()
    };
    for Rule { name, .. } in alerts() {
        let fires = find(&format!("{name} fires"));
        assert!(
            fires["expr"].as_str().unwrap().contains("(ALERTS{alertstate=\"firing\"})"),
            "{name}: all that fire"
        );
        let labels = format!("alertname=\"{name}\"");
        assert!(
            fires["exp_samples"].to_string().replace("\\\"", "\"").contains(&labels),
            "{name} does not fire"
        );
        let silent = find(&format!("{name} is silent"));
        assert_eq!(silent["expr"], format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}"));
        assert!(silent["exp_samples"].is_null(), "{name} is not silent");
    }
}

#[test]
fn promtool_takes_the_rules_and_their_cases_hold() {
    run("promtool", &["check", "rules", "--lint=all", "--lint-fatal", "wxedge.rules.yml"]);
    run("promtool", &["test", "rules", "wxedge.rules_test.yml"]);
}

#[test]
fn promtool_takes_each_of_the_three_ways_to_scrape() {
    run("promtool", &["check", "config", "prometheus.yml"]);
    let text = file("dashboards/prometheus.yml");
    let (head, ways) = text.split_once("scrape_configs:\n").unwrap();
    let head = head.replace("rule_files: [wxedge.rules.yml]\n", "");
    let ways: Vec<_> = ways.split("\n\n").collect();
    assert_eq!(ways.len(), 3);
    let folder = wxedge_tests::folder::Folder::new();
    for way in &ways[1..] {
        let (_what, way) = way.trim_start().split_once('\n').unwrap();
        let way = way.lines().map(|line| line.replacen("  #", "  ", 1) + "\n").collect::<String>();
        let path = folder.write("prometheus.yml", format!("{head}scrape_configs:\n{way}"));
        run("promtool", &["check", "config", "--syntax-only", path.to_str().unwrap()]);
    }
}

#[test]
fn amtool_takes_the_routes_and_each_alert_goes_where_it_should() {
    run("amtool", &["check-config", "alertmanager.yml"]);
    let to = |labels: &[&str]| {
        let mut arguments = vec!["config", "routes", "test", "--config.file=alertmanager.yml"];
        arguments.extend(labels);
        run("amtool", &arguments).trim().to_owned()
    };
    assert_eq!(to(&["alertname=WxedgeTargetDown", "severity=page"]), "page");
    assert_eq!(to(&["alertname=WxedgeDeadLetters", "severity=ticket"]), "ticket");
    assert_eq!(to(&["alertname=SomethingElse"]), "ticket");
    // The sidecar's own go where Prometheus' copies of them would go.
    for Rule { name, value, expression } in alerts() {
        let Some((_, kinds)) = expression.split_once("wxedge_alert_firing{alert=") else {
            continue;
        };
        let kinds = kinds.trim_start_matches('~').split('"').nth(1).unwrap();
        for kind in kinds.split('|') {
            let alertname = format!("alertname={kind}");
            let went = to(&["source=wxedge-sidecar", &alertname, "severity=high"]);
            assert_eq!(value["labels"]["severity"], *went, "{kind} of {name}");
        }
    }
    assert_eq!(to(&["source=wxedge-sidecar", "alertname=of_a_later_version"]), "page");
}

#[test]
fn every_kind_of_the_sidecars_is_relayed_once() {
    let mut relayed = Vec::new();
    for Rule { expression, .. } in alerts() {
        let Some((_, kinds)) = expression.split_once("wxedge_alert_firing{alert=") else {
            continue;
        };
        relayed.extend(kinds.split('"').nth(1).unwrap().split('|').map(str::to_owned));
    }
    relayed.sort();
    let mut kinds: Vec<_> =
        wxedge_sidecar::alert::Kind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
    kinds.sort();
    assert_eq!(relayed, kinds);
}

/// Two alerts that mute each other are both silent.
#[test]
fn nobody_is_muted_in_a_circle() {
    let rules = yaml("dashboards/alertmanager.yml")["inhibit_rules"].as_array().unwrap().clone();
    let texts = |rule: &Value, key: &str| {
        rule[key]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let labels: Vec<_> = alerts().map(|rule| (rule.name, rule.value["labels"].clone())).collect();
    let matching = |matchers: &[String]| {
        let holds =
            |(name, labels): &&(String, Value)| matchers.iter().all(|m| matches(m, name, labels));
        labels.iter().filter(holds).map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let mut mutes = std::collections::BTreeSet::new();
    for rule in &rules {
        let (sources, targets) =
            (matching(&texts(rule, "source_matchers")), matching(&texts(rule, "target_matchers")));
        assert!(!targets.is_empty(), "it mutes nothing: {rule}");
        for source in &sources {
            mutes.extend(
                targets.iter().filter(|t| *t != source).map(|t| (source.clone(), t.clone())),
            );
        }
    }
    assert!(mutes.len() > 15, "{mutes:?}");
    // All pairs, by way of others as well.
    while let Some(new) = mutes.iter().find_map(|(a, b)| {
        let far = mutes.iter().filter(|(c, _)| c == b).map(|(_, d)| (a.clone(), d.clone()));
        far.into_iter().find(|pair| !mutes.contains(pair))
    }) {
        mutes.insert(new);
    }
    let circle: Vec<_> = mutes.iter().filter(|(a, b)| a == b).collect();
    assert!(circle.is_empty(), "{circle:?}");
}

/// One matcher of Alertmanager, for patterns of `|` and `.*` at the end.
fn matches(matcher: &str, name: &str, labels: &Value) -> bool {
    let (label, rest) = matcher.split_at(matcher.find(['=', '!']).unwrap());
    let (operator, value) = rest.split_once('"').unwrap();
    let value = value.trim_end_matches('"');
    let own = if label == "alertname" { name } else { labels[label].as_str().unwrap_or_default() };
    let is_one =
        crate::promql::alternatives(value).iter().any(|word| match word.strip_suffix(".*") {
            Some(beginning) => own.starts_with(beginning),
            None if word == ".+" => !own.is_empty(),
            None => own == word,
        });
    is_one != operator.starts_with('!')
}
