//! What an expression of PromQL asks for: its selectors, found without understanding the rest.

/// Operators, and aggregations, which may stand without a bracket behind them.
const WORDS: [&str; 18] = [
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "sum",
    "min",
    "max",
    "avg",
    "group",
    "count",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "quantile",
    "count_values",
    "inf",
];

/// Words with a list of labels behind them.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// A metric with the labels that it is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    /// Its name.
    pub(crate) metric: String,
    /// Label and value of each matcher, whatever the operator.
    pub(crate) matchers: Vec<(String, String)>,
    /// As it stands there.
    pub(crate) text: String,
}

/// All selectors of an expression, in order.
pub(crate) fn selectors(expression: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        match first {
            '#' => rest = rest.split_once('\n').map_or("", |(_comment, rest)| rest),
            '"' | '\'' | '`' => rest = after(&rest[1..], first),
            '[' => rest = after(rest, ']'),
            '0'..='9' | '.' => {
                rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.')
            }
            c if is_name(c) => {
                let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                let (name, behind) = rest.split_at(end);
                rest = behind.trim_start();
                if LISTS.contains(&name) {
                    rest = after(rest, ')');
                } else if !WORDS.contains(&name) && !rest.starts_with('(') {
                    let matchers = if rest.starts_with('{') {
                        &rest[..rest.len() - after(rest, '}').len()]
                    } else {
                        ""
                    };
                    rest = &rest[matchers.len()..];
                    found.push(Selector {
                        metric: name.to_owned(),
                        matchers: pairs(matchers),
                        text: format!("{name}{matchers}"),
                    });
                }
            }
            other => rest = &rest[other.len_utf8()..],
        }
    }
    found
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// What comes behind the next `end`.
fn after(text: &str, end: char) -> &str {
    text.split_once(end).map_or("", |(_before, behind)| behind)
}

/// `{a="b",c=~"d"}` as pairs. No value of ours has a quote or a brace in it.
fn pairs(matchers: &str) -> Vec<(String, String)> {
    let mut pieces = matchers.split('"');
    let mut pairs = Vec::new();
    while let (Some(label), Some(value)) = (pieces.next(), pieces.next()) {
        let label = label.trim_matches(|c: char| !is_name(c));
        pairs.push((label.to_owned(), value.to_owned()));
    }
    pairs
}

/// All values that a pattern of alternatives stands for; one bracket is opened, what ends in `.*` stays.
pub(crate) fn alternatives(pattern: &str) -> Vec<String> {
    match pattern.split_once('(') {
        Some((before, rest)) => {
            let (inside, behind) = rest.split_once(')').expect("a bracket that closes");
            let before: Vec<_> = before.split('|').collect();
            let (prefix, whole) = before.split_last().expect("at least one");
            let mut behind = behind.split('|');
            let suffix = behind.next().unwrap_or_default();
            let opened = inside.split('|').map(|inside| format!("{prefix}{inside}{suffix}"));
            whole
                .iter()
                .chain(&behind.collect::<Vec<_>>())
                .map(|w| (*w).to_owned())
                .chain(opened)
                .collect()
        }
        None => pattern.split('|').map(str::to_owned).collect(),
    }
}

#[test]
fn selectors_are_found() {
    let found = |expression| selectors(expression).into_iter().map(|s| s.text).collect::<Vec<_>>();
    assert_eq!(
        found("sum by (job, le) (rate(a_total{x=\"1\", y=~\"b|c\"}[5m])) > 1e9 and on (job) b"),
        ["a_total{x=\"1\", y=~\"b|c\"}", "b"]
    );
    assert_eq!(
        found("# c is no metric\nabsent(up{job=\"d\"}) unless x:y:rate5m offset 5m == bool 3"),
        ["up{job=\"d\"}", "x:y:rate5m"]
    );
    assert_eq!(
        found("group by (a) (z) or label_replace(v, \"w\", \"$1\", 'u', '(.*)')"),
        ["z", "v"]
    );
    let pairs = &selectors("a{x=\"1\", y=~\"b|c\"}")[0].matchers;
    assert_eq!(pairs, &[("x".into(), "1".into()), ("y".into(), "b|c".into())]);
}

#[test]
fn alternatives_are_found() {
    assert_eq!(alternatives("a|b"), ["a", "b"]);
    assert_eq!(alternatives("a|x_(b|c)|d"), ["a", "d", "x_b", "x_c"]);
}
