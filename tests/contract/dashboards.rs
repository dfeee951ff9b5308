//! The Grafana dashboards, as far as they can be judged without a Grafana: how they look is not tested.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::rules::is_full;
use crate::{file, project};

const SOURCE: &str = "${datasource}";

/// Name and content of every dashboard.
fn all() -> Vec<(String, Value)> {
    let folder = std::fs::read_dir(project().join("dashboards")).unwrap();
    let mut names: Vec<_> =
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".json"));
    names.sort();
    assert_eq!(names.len(), 4);
    let read = |name: &String| serde_json::from_str(&file(&format!("dashboards/{name}"))).unwrap();
    names.iter().map(|name| (name.clone(), read(name))).collect()
}

/// All panels of a dashboard but the headings.
fn panels(dashboard: &Value) -> Vec<Value> {
    let panels = dashboard["panels"].as_array().unwrap();
    panels.iter().filter(|panel| panel["type"] != "row").cloned().collect()
}

/// Place and expression of every query, annotations included.
pub(crate) fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for (name, dashboard) in all() {
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().unwrap() {
                queries.push((
                    format!("{name}, {}", panel["title"]),
                    target["expr"].as_str().unwrap().to_owned(),
                ));
            }
        }
        let annotation = dashboard["annotations"]["list"][0]["expr"].as_str().unwrap();
        queries.push((format!("{name}, annotations"), annotation.to_owned()));
    }
    queries
}

#[test]
fn each_is_whole_and_none_has_a_data_source_of_its_own() {
    let mut uids = BTreeSet::new();
    for (name, dashboard) in all() {
        let uid = dashboard["uid"].as_str().unwrap();
        assert_eq!(name, format!("{uid}.json"));
        assert!(uids.insert(uid.to_owned()) && dashboard.get("id").is_none());
        assert_eq!(dashboard["schemaVersion"], 42);
        assert_eq!(
            dashboard["links"][0]["tags"], dashboard["tags"],
            "{name}: linked to the others"
        );
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let of = |key: &str| {
            variables.iter().map(|v| v[key].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of("name"), ["datasource", "job", "instance", "account"]);
        assert_eq!(of("type"), ["datasource", "query", "query", "query"]);
        for variable in &variables[1..] {
            assert!(variable["multi"] == true && variable["includeAll"] == true, "{variable}");
        }
        assert_sources(&name, &dashboard);
    }
}

/// Whatever names a data source names the variable.
fn assert_sources(place: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(source) = fields.get("datasource") {
                assert_eq!(source["uid"], SOURCE, "{place}: {source}");
            }
            fields.values().for_each(|value| assert_sources(place, value));
        }
        Value::Array(values) => values.iter().for_each(|value| assert_sources(place, value)),
        _ => {}
    }
}

#[test]
fn every_panel_has_a_unit_a_description_and_a_row_and_stacks_no_rates() {
    let readme = file("dashboards/README.md");
    for (name, dashboard) in all() {
        let title = dashboard["title"].as_str().unwrap();
        let (_, section) =
            readme.split_once(&format!("\n### {title}\n")).expect("a section of the dashboard");
        let section = section.split("\n#").next().unwrap();
        let mut titles = BTreeSet::new();
        let panels = panels(&dashboard);
        for panel in &panels {
            let title = panel["title"].as_str().unwrap();
            let place = format!("{name}, {title}");
            assert!(titles.insert(title), "{place}: twice");
            assert!(panel["description"].as_str().unwrap().len() > 30, "{place}: no description");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(defaults["unit"].is_string(), "{place}: no unit");
            if panel["type"] == "timeseries" {
                assert_eq!(defaults["custom"]["stacking"]["mode"], "none", "{place}");
            }
            let row = section.lines().find(|line| line.starts_with(&format!("| {title} |")));
            let row = row.unwrap_or_else(|| panic!("{place}: no row"));
            assert!(is_full(row, 5), "{row}");
        }
        let rows = section
            .lines()
            .filter(|line| line.starts_with("| ") && !line.starts_with("| panel |"))
            .count();
        assert_eq!(rows, panels.len(), "{name}: rows of panels that are no more");
    }
}

#[test]
fn panels_do_not_overlap() {
    for (name, dashboard) in all() {
        let mut taken = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for x in at("x")..at("x") + at("w") {
                assert!(x < 24, "{name}: {}", panel["title"]);
                for y in at("y")..at("y") + at("h") {
                    assert!(taken.insert((x, y)), "{name}: {}", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn rates_go_over_grafanas_interval_or_over_a_named_time() {
    for (place, expression) in queries() {
        for range in expression.split('[').skip(1).map(|rest| rest.split(']').next().unwrap()) {
            assert!(["$__rate_interval", "5m", "1d"].contains(&range), "{place}: [{range}]");
        }
        if expression.contains("rate(") {
            assert!(!expression.contains("rate(sum"), "{place}: a rate of a sum");
        }
        for variable in ["job", "account"] {
            let wanted = expression.contains(&format!("{variable}=~\"${variable}"));
            assert!(
                wanted || variable == "account" || expression.starts_with("ALERTS"),
                "{place}: {variable}"
            );
        }
    }
}
