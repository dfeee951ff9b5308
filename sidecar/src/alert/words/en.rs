//! English.

mod callback;
mod token;

use super::{UNAUTHORIZED, decimal, host_of, mib, percent};
use crate::alert::Cause;
use crate::observation::FaultKind;
use callback::{app, app_action, circuit, url, url_action};
use token::{name, token, token_action};

pub(super) fn description(cause: &Cause) -> String {
    match cause {
        Cause::App { reason, host, failures, deliveries, unasked, open } => {
            app(*reason, host, *failures, *deliveries) + &circuit(*open, *unasked)
        }
        Cause::Url { fault, target, detail, status } => url(*fault, target, detail, *status),
        Cause::Certificate { target, days: None } => {
            format!("The TLS certificate of {target} is over: WeChat cannot push.")
        }
        Cause::Certificate { target, days: Some(0) } => {
            format!("The TLS certificate of {target} ends within a day; WeChat cannot push then.")
        }
        Cause::Certificate { target, days: Some(days) } => {
            let days = several(*days, "day");
            format!("The TLS certificate of {target} ends in {days}; WeChat cannot push then.")
        }
        Cause::Name { host, others, fault, detail, failing, failed, asked, system: _ } => {
            let how = match fault {
                FaultKind::DnsTimeout => "takes over 5 s to resolve",
                FaultKind::Ipv6Only => "has IPv6 addresses only, and WeChat calls by IPv4",
                _ => "cannot be resolved",
            };
            let of = resolvers(failing, *failed);
            let others = also(others);
            format!("{host} {how}: so say {failed} of {asked} resolvers, {of}{}.{others}", note(detail))
        }
        Cause::NameAtWeChat { target, others, detail } => {
            let (note, others) = (note(detail), also(others));
            format!("WeChat's own check does not resolve the callback's host {target}{note}.{others}")
        }
        Cause::Proxy { reason } if reason == UNAUTHORIZED => {
            "The admin API of wxedge refuses the sidecar's key (401): it cannot be watched.".to_owned()
        }
        Cause::Proxy { reason } => {
            format!("The admin API of wxedge does not answer, several times in a row ({}).", poll(reason))
        }
        Cause::Token { credential, errcode, action } => {
            token(credential, *errcode, action.as_deref())
        }
        Cause::ForeignRefresh { credential } => format!(
            "The {} died long before its time: another system refreshes tokens of this appid, and each ends the other's.",
            name(credential)
        ),
        Cause::Quota { api, client, used, limit } => {
            let who = if client.is_empty() { String::new() } else { format!(" by client {client}") };
            let share = percent(*used, *limit);
            format!("{share} % of today's calls of {api}{who} are used up: {used} of {limit}.")
        }
        Cause::Backlog { pending, oldest_s, dead } => backlog(*pending, *oldest_s, *dead),
        Cause::Orphans { appid, pending, dead } => format!(
            "No account has the appid {appid} any more, but {} wait for it, {dead} of them dead letters: they go nowhere.",
            several(pending + dead, "message")
        ),
        Cause::Store { writable: false, .. } => {
            "The store of wxedge cannot be written: where the app fails, messages can be kept nowhere and WeChat gets 503."
                .to_owned()
        }
        Cause::Store { writable: true, bytes, bytes_max } => format!(
            "The store of wxedge is {} % full ({} of {} MiB); once it is full, WeChat gets 503 where the app fails.",
            percent(*bytes, *bytes_max),
            mib(*bytes),
            mib(*bytes_max)
        ),
        Cause::Signatures { signature, replay, decrypt, clock_ahead_s } => {
            let clock = clock_ahead_s.map(|ahead| {
                let side = if ahead > 0 { "ahead of" } else { "behind" };
                format!(" The clock here is {} s {side} WeChat's.", ahead.unsigned_abs())
            });
            format!(
                "{} callbacks were rejected in 60 s: {signature} for their signature, {replay} for their timestamp or as a \
                 replay, {decrypt} because no key decrypts them.{}",
                signature + replay + decrypt,
                clock.unwrap_or_default()
            )
        }
        Cause::MarkFail { silent_s, usual_per_minute, visible } => format!(
            "WeChat seems to have stopped pushing (MarkFail, for 1 minute): no callback for {silent_s} s where about {} a \
             minute are usual; before that it saw {}.",
            decimal(*usual_per_minute),
            several(*visible, "failure")
        ),
        Cause::MarkFailRisk { visible, threshold, window_s } => format!(
            "{} that WeChat can see in {}, failed looks at the public URL included: near the {threshold} at which it alarms; \
             with more it may stop pushing (MarkFail).",
            several(*visible, "failure"),
            several(window_s.div_ceil(60), "minute")
        ),
    }
}

pub(super) fn action(cause: &Cause) -> String {
    match cause {
        Cause::App { reason, host, .. } => app_action(*reason, host),
        Cause::Url { fault, target, .. } => url_action(*fault, target),
        Cause::Certificate { target, .. } => format!(
            "Renew the certificate of {target}, intermediates included, and reload the web server; where renewal is \
             automatic, read its log."
        ),
        Cause::Name { host, fault: FaultKind::Ipv6Only, .. } => {
            format!("Add an A record (an IPv4 address) to {host}.")
        }
        Cause::Name { host, system: true, .. } => format!(
            "Run dig {host} on this machine and check the servers in /etc/resolv.conf; compare dig {host} @182.254.116.116."
        ),
        Cause::Name { host, failing, system: false, .. } => {
            let resolver = failing.first().map_or("182.254.116.116", |name| host_of(name));
            format!("Run dig {host} @{resolver}; check the records and name servers of {host}, and whether the domain has expired.")
        }
        Cause::NameAtWeChat { target, .. } => format!(
            "Run dig {target} @182.254.116.116; check the A record, the name servers, and views by carrier or region."
        ),
        Cause::Proxy { reason } if reason == UNAUTHORIZED => {
            "Set edge.key in the sidecar's configuration to listen.admin_key of wxedge, then reload it.".to_owned()
        }
        Cause::Proxy { .. } => {
            "Run systemctl status wxedge on its machine and read the end of its log; if it runs, check edge.admin and its key."
                .to_owned()
        }
        Cause::Token { credential, errcode, action } => {
            token_action(credential, *errcode, action.as_deref())
        }
        Cause::ForeignRefresh { .. } => {
            "Find the system that still calls /cgi-bin/token or stable_token itself, and let it ask wxedge: point its SDK's \
             base URL there."
                .to_owned()
        }
        Cause::Quota { api, .. } => format!(
            "Find who calls {api} so often and slow it down; if that is not enough, clear the quota by the admin API's \
             clear_quota (10 a month)."
        ),
        Cause::Backlog { dead: 0, .. } => {
            "Bring the app back: read its error log and the alerts beside this one. Delivery then goes on by itself.".to_owned()
        }
        Cause::Backlog { .. } => {
            "Read why in the console (or GET /v1/spool?state=dead), mend the app, then replay the dead letters; delete only \
             what nobody needs."
                .to_owned()
        }
        Cause::Orphans { appid, .. } => format!(
            "Give {appid} an account in wxedge's configuration again, and its messages go on; or delete what \
             GET /v1/spool?account={appid} lists."
        ),
        Cause::Store { writable: false, .. } => {
            "Check the disk of the data folder: df -h, df -i, permissions, and I/O errors in dmesg.".to_owned()
        }
        Cause::Store { writable: true, .. } => {
            "Let the app work off what waits and deal with dead letters; raise spool.max_bytes only if the disk has room."
                .to_owned()
        }
        Cause::Signatures { clock_ahead_s: Some(_), .. } => {
            "Set the clock right first (chronyc tracking, timedatectl), and see whether fewer are rejected.".to_owned()
        }
        Cause::Signatures { signature, replay, decrypt, .. } => {
            signatures_action(*signature, *replay, *decrypt)
        }
        Cause::MarkFail { .. } => {
            "Deal with the alerts beside this one, for WeChat stops only after failures; once the public URL works, pushing \
             comes back within a minute."
                .to_owned()
        }
        Cause::MarkFailRisk { .. } => {
            "Look at unavailable, client_gone and rejected_timeout in the live outcomes and at the probes of the public URL; \
             stop the most frequent first."
                .to_owned()
        }
    }
}

fn backlog(pending: u64, oldest_s: u64, dead: u64) -> String {
    let waiting = (pending > 0).then(|| {
        format!("{} waiting for the app, the oldest for {oldest_s} s", several(pending, "message"))
    });
    let given_up =
        (dead > 0).then(|| format!("{} not delivered any more", several(dead, "dead letter")));
    let parts: Vec<String> = waiting.into_iter().chain(given_up).collect();
    format!("WeChat got success for what the app has not taken: {}.", parts.join("; "))
}

fn signatures_action(signature: u64, replay: u64, decrypt: u64) -> String {
    if decrypt > signature.max(replay) {
        "Compare encoding_aes_keys with the EncodingAESKey in WeChat's console, and the appid; after a change list both keys."
    } else if replay > signature {
        "Check the clock (timedatectl); if it is right look at the senders: somebody may replay old requests."
    } else {
        "See whether the example's address is WeChat's: if so compare token with WeChat's console; if not it is a scan or an \
         attack, and source_ip = \"enforce\" keeps it out."
    }
    .to_owned()
}

fn poll(reason: &str) -> &str {
    match reason {
        "connect" => "no connection",
        "timeout" => "no answer in time",
        "status" => "an error status",
        "invalid" => "an answer that makes no sense",
        other => other,
    }
}

fn resolvers(failing: &[String], failed: u64) -> String {
    let named = |name: &String| if name == "system" { "the system's" } else { name }.to_owned();
    let names = failing.iter().map(named).collect::<Vec<_>>().join(", ");
    let more = failed.saturating_sub(failing.len() as u64);
    if more > 0 { format!("{names} and {more} more") } else { names }
}

/// Other names of which the same is to be said.
fn also(others: &[String]) -> String {
    if others.is_empty() {
        String::new()
    } else {
        format!(" The same goes for {}.", others.join(", "))
    }
}

fn note(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

fn several(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
