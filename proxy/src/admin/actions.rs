//! What operators do for one account: refresh its token, clear its quota, ask WeChat how it sees us.

use crate::account::Account;
use crate::api::budget::{beijing_day, date};
use crate::callback::unix_now_s;
use crate::credential::{Ask, Credentials};
use crate::edge::Edge;
use crate::limits;
use serde_json::{Value, json};
use std::sync::Arc;

/// An answer: 200, or 409 and why not.
pub(super) type Done = Result<Value, String>;

/// Fetches the access token anew, whatever happened before.
pub(super) async fn refresh(account: &Account) -> Done {
    let token = &credentials(account)?.access_token;
    let refreshed = token.refresh().await;
    let status = super::status::credential(token);
    refreshed.map(|_| status).map_err(|missing| missing.to_string())
}

/// WeChat's list of the addresses it calls from.
pub(super) fn callback_ips(account: &Account) -> Value {
    account.callback_ips.with(|list| json!({"ip_list": list.ip_list, "fetched": list.fetched}))
}

/// WeChat resolves and pings the account's callback URL. `body` is WeChat's own: `{"action","check_operator"}`; without
/// one, all of it is checked.
pub(super) async fn callback_check(account: &Account, body: Option<Value>) -> Done {
    let body = body.unwrap_or_else(|| json!({"action": "all", "check_operator": "DEFAULT"}));
    let ask = Ask { path: "/cgi-bin/callback/check", body: Some(body), repeatable: false };
    credentials(account)?.ask(&ask).await.map_err(|error| error.to_string())
}

/// Clears all daily quotas of the account: ten times a month, WeChat allows.
pub(super) async fn clear_quota(edge: &Edge, account: &Account) -> Done {
    let credentials = credentials(account)?;
    // Without a token nothing can be sent, and nothing is used up.
    credentials
        .access_token
        .get()
        .await
        .map_err(|missing| format!("no access token: {missing}"))?;
    let max = limits::CLEAR_QUOTA_A_MONTH;
    let today = date(beijing_day(unix_now_s()));
    let month = today.get(..7).unwrap_or_default();
    // Counted before it is sent: what is not on disk might be done an eleventh time.
    let counted = edge.store.count_below("clear_quota", &account.config.appid, month, max).await;
    let used = match counted {
        Ok(Some(used)) => used,
        Ok(None) => {
            return Err(format!("all {max} of this month are used; the next is on the 1st"));
        }
        Err(error) => return Err(format!("not done, because it could not be counted: {error}")),
    };
    let ask = Ask {
        path: "/cgi-bin/clear_quota",
        body: Some(json!({"appid": account.config.appid})),
        repeatable: false,
    };
    let answer = credentials.ask(&ask).await.map_err(|error| error.to_string())?;
    Ok(json!({
        "errcode": answer["errcode"],
        "errmsg": answer["errmsg"],
        "left_this_month": max - used,
    }))
}

fn credentials(account: &Account) -> Result<&Arc<Credentials>, String> {
    let name = &account.config.name;
    account.credentials.as_ref().ok_or_else(|| format!("accounts.{name} has no `secret`"))
}
