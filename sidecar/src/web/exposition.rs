//! Two texts in Prometheus' format become one in which no name stands twice.

use std::fmt::Write as _;

/// All metrics of one name.
struct Family<'a> {
    name: &'a str,
    /// The `# TYPE` line, if there is one.
    kind: Option<&'a str>,
    /// Its lines, comments included.
    lines: Vec<&'a str>,
}

/// Both texts as one. A family that both have stands once, with the samples of both; if they differ in its type, the
/// first text has it.
pub(super) fn merge(first: &str, second: &str) -> String {
    let mut families = families(first);
    for family in self::families(second) {
        match families.iter_mut().find(|known| known.name == family.name) {
            None => families.push(family),
            Some(known) if known.kind == family.kind => {
                let new = family.lines.into_iter().filter(|line| !line.starts_with('#'));
                let new: Vec<_> = new.filter(|line| !has_series(known, line)).collect();
                known.lines.extend(new);
            }
            Some(_other_type) => {}
        }
    }
    let mut text = String::with_capacity(first.len() + second.len());
    for line in families.iter().flat_map(|family| &family.lines) {
        // Text can always be longer.
        let _infallible = writeln!(text, "{line}");
    }
    text
}

/// Whether a family has the series of a sample already: one series twice would spoil the whole scrape.
fn has_series(family: &Family<'_>, sample: &str) -> bool {
    family.lines.iter().any(|line| series(line) == series(sample))
}

/// A sample without its value.
fn series(sample: &str) -> &str {
    sample.rsplit_once(' ').map_or(sample, |(series, _value)| series)
}

fn families(text: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let comment = match (words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP" | "TYPE"), Some(name)) => Some(name),
            _ => None,
        };
        let name = comment.unwrap_or_else(|| metric(line));
        match families.last_mut() {
            Some(last) if comment == Some(last.name) || comment.is_none() && holds(last, name) => {
                last.lines.push(line);
            }
            _ => families.push(Family { name, kind: None, lines: vec![line] }),
        }
        if line.starts_with("# TYPE ")
            && let Some(last) = families.last_mut()
        {
            last.kind = Some(line);
        }
    }
    families
}

/// The name of a sample's metric.
fn metric(sample: &str) -> &str {
    sample.split(['{', ' ']).next().unwrap_or(sample)
}

/// Whether a sample of this name belongs to a family: those of histograms have endings.
fn holds(family: &Family<'_>, name: &str) -> bool {
    let rest = name.strip_prefix(family.name);
    rest.is_some_and(|rest| matches!(rest, "" | "_bucket" | "_sum" | "_count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGE: &str = "# HELP wxedge_build_info Always 1\n# TYPE wxedge_build_info gauge\n\
        wxedge_build_info{program=\"wxedge\"} 1\n# HELP d Took\n# TYPE d histogram\nd_bucket{le=\"+Inf\"} 2\n\
        d_sum 0.5\nd_count 2\n";

    #[test]
    fn a_name_that_both_have_stands_once() {
        let own = "# HELP wxedge_build_info Always 1\n# TYPE wxedge_build_info gauge\n\
            wxedge_build_info{program=\"wxedge-sidecar\"} 1\n# HELP up Up\n# TYPE up gauge\nup 1\n";
        let merged = merge(EDGE, own);
        let expected = "# HELP wxedge_build_info Always 1\n# TYPE wxedge_build_info gauge\n\
            wxedge_build_info{program=\"wxedge\"} 1\nwxedge_build_info{program=\"wxedge-sidecar\"} 1\n\
            # HELP d Took\n# TYPE d histogram\nd_bucket{le=\"+Inf\"} 2\nd_sum 0.5\nd_count 2\n\
            # HELP up Up\n# TYPE up gauge\nup 1\n";
        assert_eq!(merged, expected);
        assert_eq!(merge(&merged, own), expected, "a series stands once, too");
    }

    #[test]
    fn another_type_of_the_same_name_is_left_out() {
        let own = "# TYPE d gauge\nd 1\n";
        assert_eq!(merge(EDGE, own), EDGE);
    }

    #[test]
    fn either_may_be_empty() {
        assert_eq!(merge("", EDGE), EDGE);
        assert_eq!(merge(EDGE, ""), EDGE);
    }
}
