//! What happens on the way of a callback: the app, the public URL.

use super::note;
use super::several;
use crate::alert::Reason;
use crate::alert::words::host_of;
use crate::observation::FaultKind;

pub(super) fn app(reason: Reason, host: &str, failures: u64, deliveries: u64) -> String {
    let what = match reason {
        Reason::Dns => "has a name that cannot be resolved",
        Reason::DnsTimeout => "has a name that takes too long to resolve",
        Reason::Connect => "refuses connections",
        Reason::ConnectTimeout => "does not take connections in time",
        Reason::Timeout => "does not answer by the deadline",
        Reason::Status => "answers with an error status",
        Reason::Invalid => "answers with what is no valid reply",
        Reason::Reset => "breaks its answers off",
    };
    let app = if host.is_empty() { "The app".to_owned() } else { format!("The app at {host}") };
    if failures == 0 {
        return format!("{app} {what}.");
    }
    format!("{app} {what}: {failures} of {deliveries} first deliveries failed so in 5 minutes.")
}

/// Whether the app is asked, and how many messages were kept from it in 5 minutes.
pub(super) fn circuit(open: bool, unasked: u64) -> String {
    let messages = several(unasked, "message");
    match (open, unasked) {
        (false, 0) => String::new(),
        (true, 0) => {
            " Its circuit is open: messages get success without asking the app, and wait in the spool."
                .to_owned()
        }
        (true, _) => format!(
            " Its circuit is open: {messages} got success without asking the app, and wait in the spool."
        ),
        (false, _) => format!(
            " Its circuit was open and is closed again: {messages} got success without asking the app, by way of the spool."
        ),
    }
}

pub(super) fn app_action(reason: Reason, host: &str) -> String {
    match reason {
        Reason::Dns if host.is_empty() => {
            "Check the name in upstream.url, and /etc/resolv.conf on wxedge's machine.".to_owned()
        }
        Reason::Dns => format!(
            "Run getent hosts {} on wxedge's machine; check the name in upstream.url, and /etc/resolv.conf.",
            host_of(host)
        ),
        Reason::DnsTimeout => {
            "Check that the servers in /etc/resolv.conf are reached and not overloaded; or write an IP address in upstream.url."
                .to_owned()
        }
        Reason::Connect => {
            "Check that the app runs and listens on the port of upstream.url (ss -ltnp), and that no firewall refuses."
                .to_owned()
        }
        Reason::ConnectTimeout => {
            "Check the network and firewalls towards the app for lost packets, its accept queue (Recv-Q of ss -ltn) and its \
             file descriptors."
                .to_owned()
        }
        Reason::Timeout => {
            "Look for slow requests in the app's log (database, other services); do slow work in the background: answer with \
             an empty body and reply by customer-service message."
                .to_owned()
        }
        Reason::Status => "Read the app's error log; the example shows what it answered.".to_owned(),
        Reason::Invalid => {
            "Compare the example with what an app may answer: nothing, success, JSON of a customer-service message, plain \
             text, or the XML of a passive reply."
                .to_owned()
        }
        Reason::Reset => {
            "Check whether the app crashes or restarts (out of memory in dmesg, a deployment), and its Content-Length.".to_owned()
        }
    }
}

pub(super) fn url(fault: FaultKind, target: &str, detail: &str, status: Option<u16>) -> String {
    let what = match fault {
        FaultKind::ConnectRefused => "refuses connections".to_owned(),
        FaultKind::ConnectTimeout => "does not take connections within 3 s".to_owned(),
        FaultKind::AnswerTimeout => "does not answer within 5 s".to_owned(),
        FaultKind::TlsInvalid => "has a TLS certificate that is not valid".to_owned(),
        FaultKind::TlsExpired | FaultKind::TlsExpires => {
            "has a TLS certificate that ends".to_owned()
        }
        FaultKind::Redirect => "answers with a redirect, which WeChat does not follow".to_owned(),
        FaultKind::AnswerStatus => match status {
            Some(status) => format!("answers with HTTP {status} instead of 200"),
            None => "answers with another HTTP status than 200".to_owned(),
        },
        FaultKind::EchoQuoted => "returns the echostr in quotes".to_owned(),
        FaultKind::EchoWrong => "returns something else than the echostr".to_owned(),
        FaultKind::SignatureRefused => "refuses this account's signature (403)".to_owned(),
        FaultKind::WrongPort => {
            "is on a port that WeChat does not call, which are 80 and 443".to_owned()
        }
        FaultKind::DnsFailure
        | FaultKind::DnsTimeout
        | FaultKind::Ipv6Only
        | FaultKind::DnsDiffers
        | FaultKind::PingLoss
        | FaultKind::CheckDiffers
        | FaultKind::CheckRefused
        | FaultKind::ClockSkew
        | FaultKind::EdgeUnavailable => "fails".to_owned(),
    };
    format!("The public URL at {target} {what}{}.", note(detail))
}

pub(super) fn url_action(fault: FaultKind, target: &str) -> String {
    match fault {
        FaultKind::ConnectRefused => format!(
            "Check that the load balancer or nginx at {target} runs and listens, and that the name leads to that machine."
        ),
        FaultKind::ConnectTimeout => format!(
            "Run curl -v towards {target} from outside; check firewalls, the accept queue (Recv-Q of ss -ltn) and bandwidth."
        ),
        FaultKind::AnswerTimeout => {
            "Look at upstream_response_time in nginx or the load balancer: do requests wait there, or never reach wxedge?"
                .to_owned()
        }
        FaultKind::TlsInvalid => format!(
            "Run openssl s_client -connect {target} -showcerts; check the name and that the intermediate certificates are sent."
        ),
        FaultKind::TlsExpired | FaultKind::TlsExpires => {
            "Renew the certificate and reload the web server.".to_owned()
        }
        FaultKind::Redirect => {
            "Enter the final URL in WeChat's console (scheme, host, trailing slash), or take the redirect off this path."
                .to_owned()
        }
        FaultKind::AnswerStatus => {
            "Check how this path is routed: straight to wxedge's callback port, past logins, firewalls and static pages."
                .to_owned()
        }
        FaultKind::EchoQuoted => {
            "Another program than wxedge answers, and gives the echostr as JSON: route this path to wxedge.".to_owned()
        }
        FaultKind::EchoWrong => {
            "Another program than wxedge answers, or changes the answer: check routing and caches (no CDN cache on this path)."
                .to_owned()
        }
        FaultKind::SignatureRefused => {
            "Check that this wxedge is behind the URL, that its path is this account's, and that the query arrives unchanged."
                .to_owned()
        }
        FaultKind::WrongPort => {
            "Use a URL on port 80 or 443 and route it to wxedge.".to_owned()
        }
        FaultKind::DnsFailure
        | FaultKind::DnsTimeout
        | FaultKind::Ipv6Only
        | FaultKind::DnsDiffers
        | FaultKind::PingLoss
        | FaultKind::CheckDiffers
        | FaultKind::CheckRefused
        | FaultKind::ClockSkew
        | FaultKind::EdgeUnavailable => {
            "Run wxedge-sidecar doctor: it checks one thing after the other and says what to mend.".to_owned()
        }
    }
}
