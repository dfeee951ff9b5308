//! WeChat's own look at the callback URL, and the addresses that it calls from.

use super::{Found, finding};
use crate::edge::client::{AskError, Client};
use crate::observation::{Facts, Fault, FaultKind, Finding, Probe};
use serde_json::Value;
use std::net::IpAddr;
use std::time::Instant;

/// Has WeChat look. `target` is how the finding names what was looked at; `ours` are the addresses that are found from here,
/// none when that is not known.
pub(super) async fn callback_check(
    edge: &Client,
    account: &str,
    target: &str,
    ours: &[IpAddr],
) -> Finding {
    let start = Instant::now();
    let found = match edge.callback_check(account).await {
        Ok(answer) => judge(&answer, ours),
        Err(error) => edge_fault(&error).into(),
    };
    finding(Probe::CallbackCheck, target.to_owned(), start.elapsed(), found)
}

/// The edge was needed and did not help.
pub(super) fn edge_fault(error: &AskError) -> Fault {
    Fault::new(FaultKind::EdgeUnavailable, error.to_string())
}

fn judge(answer: &Value, ours: &[IpAddr]) -> Found {
    let errcode = answer["errcode"].as_i64().filter(|code| *code != 0);
    if let Some(errcode) = errcode {
        let errmsg = answer["errmsg"].as_str().unwrap_or_default();
        let detail = format!("errcode {errcode} {errmsg}");
        return Fault::new(FaultKind::CheckRefused, detail.trim_end()).into();
    }
    let addresses: Vec<IpAddr> = entries(answer, "dns").filter_map(address).collect();
    let fault = if addresses.is_empty() {
        Some(Fault::new(FaultKind::DnsFailure, "WeChat finds no address for the callback URL"))
    } else if !ours.is_empty() && !addresses.iter().any(|theirs| ours.contains(theirs)) {
        let (theirs, ours) = (list(&addresses), list(ours));
        Some(Fault::new(
            FaultKind::CheckDiffers,
            format!("WeChat finds {theirs}, here it is {ours}"),
        ))
    } else {
        ping_loss(answer)
    };
    Found { fault, facts: Facts { addresses, ..Facts::default() } }
}

/// WeChat pings once an address and operator, so only a loss of all of them says something.
fn ping_loss(answer: &Value) -> Option<Fault> {
    let mut pings = entries(answer, "ping").peekable();
    pings.peek()?;
    pings
        .all(|ping| ping["package_loss"].as_str() == Some("100%"))
        .then(|| Fault::new(FaultKind::PingLoss, "none of WeChat's pings comes back"))
}

fn entries<'a>(answer: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    answer[key].as_array().into_iter().flatten()
}

fn address(entry: &Value) -> Option<IpAddr> {
    entry["ip"].as_str()?.trim().parse().ok()
}

fn list(addresses: &[IpAddr]) -> String {
    let texts: Vec<_> = addresses.iter().take(4).map(IpAddr::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(answer: Value, ours: &[&str]) -> Option<(FaultKind, String)> {
        let ours: Vec<IpAddr> = ours.iter().map(|address| address.parse().unwrap()).collect();
        judge(&answer, &ours).fault.map(|fault| (fault.kind, fault.detail))
    }

    fn seen(loss: [&str; 2]) -> Value {
        let ping = |loss| json!({"ip": "1.2.3.4", "from_operator": "CAP", "package_loss": loss});
        json!({"dns": [{"ip": "1.2.3.4", "real_operator": "CAP"}], "ping": loss.map(ping)})
    }

    #[test]
    fn what_wechat_sees_is_judged() {
        use FaultKind::*;
        let differs = "WeChat finds 1.2.3.4, here it is 5.6.7.8";
        let refused = "errcode 40201 invalid url";
        let nothing = "WeChat finds no address for the callback URL";
        let lost = "none of WeChat's pings comes back";
        for (answer, ours, expected) in [
            (seen(["0%", "0%"]), vec!["1.2.3.4", "5.6.7.8"], None),
            (seen(["0%", "0%"]), vec![], None),
            (seen(["100%", "0%"]), vec![], None),
            (seen(["100%", "100%"]), vec![], Some((PingLoss, lost))),
            (seen(["0%", "0%"]), vec!["5.6.7.8"], Some((CheckDiffers, differs))),
            (json!({"dns": [], "ping": []}), vec![], Some((DnsFailure, nothing))),
            (
                json!({"errcode": 40201, "errmsg": "invalid url"}),
                vec![],
                Some((CheckRefused, refused)),
            ),
        ] {
            let expected = expected.map(|(kind, detail)| (kind, detail.to_owned()));
            assert_eq!(fault(answer, &ours), expected);
        }
    }
}
