//! Prometheus' text format, read.

/// One scrape.
#[derive(Debug, Clone)]
pub struct Metrics(Vec<Sample>);

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    /// Reads an exposition.
    ///
    /// # Panics
    /// When a line is none of the format's.
    #[must_use]
    pub fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Metrics(
            lines.map(|line| Sample::parse(line).unwrap_or_else(|| panic!("{line:?}"))).collect(),
        )
    }

    /// The sum of all series of `name` that have these labels; `None` when there is no such series.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(key, value)| sample.label(key) == Some(*value))
        };
        let mut values = self.0.iter().filter(has).map(|sample| sample.value).peekable();
        values.peek()?;
        Some(values.sum())
    }

    /// All values that a label has in the series of `name`, each once.
    #[must_use]
    pub fn label_values(&self, name: &str, label: &str) -> Vec<String> {
        let samples = self.0.iter().filter(|sample| sample.name == name);
        let mut values: Vec<String> =
            samples.filter_map(|sample| sample.label(label)).map(str::to_owned).collect();
        values.sort();
        values.dedup();
        values
    }

    /// The names of all series, each once.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.iter().map(|sample| sample.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Sample> {
        let (series, value) = line.rsplit_once(' ')?;
        let value = value.parse().ok()?;
        let Some((name, rest)) = series.split_once('{') else {
            return Some(Sample { name: series.to_owned(), labels: Vec::new(), value });
        };
        let mut labels = Vec::new();
        let mut rest = rest.strip_suffix('}')?;
        while !rest.is_empty() {
            let (key, after) = rest.split_once("=\"")?;
            // No label of ours has a quote in its value.
            let (label, after) = after.split_once('"')?;
            labels.push((key.trim_start_matches(',').to_owned(), label.to_owned()));
            rest = after;
        }
        Some(Sample { name: name.to_owned(), labels, value })
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_and_summed() {
        let text = "# HELP a_total b\n# TYPE a_total counter\na_total{x=\"1\",y=\"p\"} 2\na_total{x=\"1\",y=\"q\"} 3\nb 0.5\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("a_total", &[("x", "1")]), Some(5.0));
        assert_eq!(metrics.sum("a_total", &[("y", "q")]), Some(3.0));
        assert_eq!(metrics.sum("a_total", &[("y", "r")]), None);
        assert_eq!(metrics.sum("b", &[]), Some(0.5));
        assert_eq!(metrics.sum("c", &[]), None);
        assert_eq!(metrics.label_values("a_total", "y"), ["p", "q"]);
        assert_eq!(metrics.names(), ["a_total", "b"]);
    }
}
