//! Which account a call is for: the one it names first, or the one whose token, edge token or appid it carries, or the only
//! one there is.

use super::caller::Caller;
use super::edge_token::Bearer;
use super::refusal::Refusal;
use crate::account::Account;
use crate::edge::Edge;
use std::sync::Arc;
use wxedge_wechat::api::query;
use wxedge_wechat::api::target::Target;

/// The account of a call.
///
/// # Errors
/// 404 when nothing says it, 403 when two things say different ones.
pub fn account(
    edge: &Edge,
    named: Option<Arc<Account>>,
    target: &Target<'_>,
    caller: &Caller,
    bearer: Option<&Bearer>,
) -> Result<Arc<Account>, Refusal> {
    if let Some(bearer) = bearer {
        return match named {
            Some(named) if named.config.name != bearer.account() => {
                Err(Refusal::forbidden("the edge token is for another account"))
            }
            Some(named) => Ok(named),
            None => edge
                .account(bearer.account())
                .ok_or(Refusal::not_found("the account of the edge token is gone")),
        };
    }
    if let Some(named) = named {
        return Ok(named);
    }
    let accounts = edge.accounts();
    let query = target.query().unwrap_or_default();
    if let Some(token) = query::value(query, "access_token")
        && let Some(account) = of_token(&accounts, &token)
    {
        return Ok(account.clone());
    }
    if let Some(appid) = query::value(query, "appid")
        && let Some(account) = accounts.iter().find(|account| account.config.appid == appid)
    {
        return Ok(account.clone());
    }
    let mut own =
        accounts.into_iter().filter(|account| caller.may_use(&account.config.name).is_ok());
    match (own.next(), own.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Refusal::not_found(
            "which account? Put its name in front of the path: /<account>/cgi-bin/...",
        )),
    }
}

/// The account whose token it is, or was within the last 24 h. That it was is rare, and takes a lock.
fn of_token<'a>(accounts: &'a [Arc<Account>], token: &str) -> Option<&'a Arc<Account>> {
    let own = |account: &Arc<Account>| account.credentials.clone();
    let is = |account: &&Arc<Account>| own(account).is_some_and(|own| own.access_token.is(token));
    let was = |account: &&Arc<Account>| own(account).is_some_and(|own| own.access_token.was(token));
    accounts.iter().find(is).or_else(|| accounts.iter().find(was))
}
