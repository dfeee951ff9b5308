//! Callbacks that the edge has refused since its start, from its metrics.

/// Callbacks of one account.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Callbacks {
    /// Signed with another Token, or not at all.
    pub(super) signature: u64,
    /// Signed rightly, and encrypted with another key or for another appid.
    pub(super) decrypt: u64,
    /// Signed rightly, at another time than now.
    pub(super) replay: u64,
    /// Taken: somebody has the Token and the key.
    pub(super) taken: u64,
}

/// Reads Prometheus' text format.
pub(super) fn read(metrics: &str, account: &str) -> Callbacks {
    let mut callbacks = Callbacks::default();
    let account = format!("account=\"{account}\"");
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("wxedge_callbacks_total{"));
    for line in lines {
        let Some((labels, value)) = line.split_once("} ") else { continue };
        let count = value.trim().parse::<f64>().unwrap_or_default() as u64;
        if !labels.split(',').any(|label| label == account) {
            continue;
        }
        let outcome = labels.split(',').find_map(|label| label.strip_prefix("outcome=\""));
        match outcome.map(|name| name.trim_end_matches('"')) {
            Some("rejected_signature") => callbacks.signature += count,
            Some("rejected_decrypt") => callbacks.decrypt += count,
            Some("rejected_replay") => callbacks.replay += count,
            // Its own verification proves nothing: the edge signs it itself.
            Some("verified") | None => {}
            Some(name) if name.starts_with("rejected_") => {}
            Some(_) => callbacks.taken += count,
        }
    }
    callbacks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_are_counted_by_account() {
        let text = "\
# TYPE wxedge_callbacks_total counter
wxedge_callbacks_total{account=\"main\",kind=\"unknown\",outcome=\"rejected_signature\"} 7
wxedge_callbacks_total{account=\"main\",kind=\"text\",outcome=\"replied\"} 2
wxedge_callbacks_total{account=\"main\",kind=\"event\",outcome=\"fallback_error\"} 1
wxedge_callbacks_total{account=\"main\",kind=\"verification\",outcome=\"verified\"} 9
wxedge_callbacks_total{account=\"main\",kind=\"unknown\",outcome=\"rejected_decrypt\"} 3
wxedge_callbacks_total{account=\"main2\",kind=\"unknown\",outcome=\"rejected_replay\"} 4
wxedge_callbacks_in_flight{account=\"main\"} 5
";
        let main = Callbacks { signature: 7, decrypt: 3, replay: 0, taken: 3 };
        assert_eq!(read(text, "main"), main);
        assert_eq!(read(text, "main2"), Callbacks { replay: 4, ..Callbacks::default() });
    }
}
