//! Tokens and tickets.

use crate::alert::words::{Refused, address};

pub(super) fn token(credential: &str, errcode: Option<i64>, action: Option<&str>) -> String {
    let why = match Refused::of(credential, errcode) {
        Refused::Address => match address(action) {
            Some(ip) => format!("{ip} is not in the IP allow-list"),
            None => "this machine's address is not in the IP allow-list".to_owned(),
        },
        Refused::Secret => "the AppSecret is wrong".to_owned(),
        Refused::Frozen => "the AppSecret is frozen".to_owned(),
        Refused::Appid => "the appid is wrong".to_owned(),
        Refused::Limited => "the account is limited or frozen".to_owned(),
        Refused::Confirmation => "an administrator has to confirm the call".to_owned(),
        Refused::DeniedForADay => "an administrator refused, which holds for 24 hours".to_owned(),
        Refused::DeniedForAnHour => "an administrator refused, which holds for an hour".to_owned(),
        Refused::Unauthorized => "the account may not use this API".to_owned(),
        Refused::Quota => "today's calls are used up".to_owned(),
        Refused::Rate => "too many calls a minute".to_owned(),
        Refused::AccessToken => "WeChat does not take the access token".to_owned(),
        Refused::Busy => "WeChat is busy".to_owned(),
        Refused::Unreached => "WeChat is not reached or gives no usable answer".to_owned(),
        Refused::Other => "WeChat answers with an error".to_owned(),
    };
    let code = errcode.map(|code| format!(" (errcode {code})")).unwrap_or_default();
    let then = match credential {
        "access_token" => "all API calls",
        _ => "the pages that use it",
    };
    let name = name(credential);
    format!("The {name} cannot be refreshed: {why}{code}. Once the old one is over, {then} fail.")
}

pub(super) fn token_action(credential: &str, errcode: Option<i64>, action: Option<&str>) -> String {
    match Refused::of(credential, errcode) {
        Refused::Address => {
            let ip = address(action).map_or("this machine's public address".to_owned(), |ip| ip.to_string());
            format!("Add {ip} to the account's IP allow-list in WeChat's console; it holds within minutes.")
        }
        Refused::Secret => {
            "Compare the account's secret (AppSecret) with WeChat's console, was it reset? Then reload wxedge.".to_owned()
        }
        Refused::Frozen => "Let an administrator unfreeze the AppSecret in WeChat's console.".to_owned(),
        Refused::Appid => "Correct the account's appid in wxedge's configuration.".to_owned(),
        Refused::Limited => "Read the notices in WeChat's console and deal with the restriction.".to_owned(),
        Refused::Confirmation => {
            "Ask an administrator of the account to confirm the call in WeChat; the rest goes by itself.".to_owned()
        }
        Refused::DeniedForADay | Refused::DeniedForAnHour => {
            "Ask the account's administrator whether that was meant; wxedge asks again afterwards, to be confirmed then."
                .to_owned()
        }
        Refused::Unauthorized => {
            "Check the account's API permissions in WeChat's console: its type, verification, a ban.".to_owned()
        }
        Refused::Quota => {
            "Find who asks for tokens so often (it should be wxedge alone); wait for midnight in Beijing, or use clear_quota."
                .to_owned()
        }
        Refused::Rate => "Look for another system that calls with this appid.".to_owned(),
        Refused::AccessToken => {
            "Look at the account's access token; if need be refresh it in the console.".to_owned()
        }
        Refused::Busy => {
            "Wait, wxedge tries again; after 10 minutes look for a notice of WeChat's.".to_owned()
        }
        Refused::Unreached => {
            "Run curl -v https://api.weixin.qq.com on wxedge's machine; check DNS, the way out, and wechat.proxy.".to_owned()
        }
        Refused::Other => match action {
            Some(action) => format!("Look the code up in WeChat's list of return codes. wxedge says: {action}"),
            None => "Look the code up in WeChat's list of return codes.".to_owned(),
        },
    }
}

pub(super) fn name(credential: &str) -> &str {
    match credential {
        "access_token" => "access token",
        "jsapi" => "jsapi ticket",
        "wx_card" => "card ticket",
        other => other,
    }
}
