//! Which credential a call needs, and whether it goes to WeChat at all.

use std::borrow::Cow;

mod apis;

use apis::{APIS, Effect};

/// The path of a call in the one spelling that all tables are asked with: decoded, in lower case,
/// without slashes at the end. So no spelling of a path gets another answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiPath<'a>(Cow<'a, str>);

/// Where a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To WeChat, with this credential.
    Forward(Credential),
    /// Nowhere: the edge answers from its cache.
    Local(Local),
    /// Nowhere: 403 with this sentence.
    Refused(&'static str),
}

/// What the edge puts into the query; [`super::query::Inject`] does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The account's `access_token`.
    AccessToken,
    /// The account's `appid` and `secret`.
    AppidAndSecret,
    /// The account's `appid`.
    Appid,
    /// Nothing: the call carries a token of the user's own.
    AsSent,
}

/// What the edge answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// `/cgi-bin/token`.
    Token,
    /// `/cgi-bin/stable_token`.
    StableToken,
    /// `/cgi-bin/ticket/getticket`; with a `type` other than `jsapi` and `wx_card` it needs
    /// [`Credential::AccessToken`].
    Ticket,
}

/// Why resets of the quota are refused.
const ADMIN_CALL: &str =
    "clear_quota is an admin call: POST /v1/accounts/{account}/clear_quota of the admin listener";
/// Why calls of a third-party platform are refused.
const THIRD_PARTY: &str = "third-party platforms (component) are not served";
/// Why the rest of `/sns` is refused.
const SNS: &str = "of /sns only jscode2session, oauth2/access_token, oauth2/refresh_token, userinfo \
                   and auth are served";

impl<'a> ApiPath<'a> {
    /// Takes a decoded path without the account's name.
    #[must_use]
    pub fn new(decoded_path: &'a str) -> Self {
        let path = decoded_path.trim_end_matches('/');
        Self(if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(path.to_ascii_lowercase())
        } else {
            Cow::Borrowed(path)
        })
    }

    /// The path in its one spelling; empty for `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a call of this path goes.
    #[must_use]
    pub fn route(&self) -> Route {
        let path = self.as_str();
        match path {
            "/sns/jscode2session" | "/sns/oauth2/access_token" => {
                Route::Forward(Credential::AppidAndSecret)
            }
            "/sns/oauth2/refresh_token" => Route::Forward(Credential::Appid),
            "/sns/userinfo" | "/sns/auth" => Route::Forward(Credential::AsSent),
            "/cgi-bin/ticket/getticket" => Route::Local(Local::Ticket),
            // By their beginning: a server may take more behind these names for the same.
            _ if path.starts_with("/cgi-bin/token") => Route::Local(Local::Token),
            _ if path.starts_with("/cgi-bin/stable_token") => Route::Local(Local::StableToken),
            _ if path.starts_with("/cgi-bin/clear_quota")
                || path.starts_with("/cgi-bin/openapi/quota/clear") =>
            {
                Route::Refused(ADMIN_CALL)
            }
            _ if is_below(path, "/cgi-bin/component")
                || is_below(path, "/sns/component")
                || is_below(path, "/sns/oauth2/component") =>
            {
                Route::Refused(THIRD_PARTY)
            }
            _ if is_below(path, "/sns") => Route::Refused(SNS),
            _ => Route::Forward(Credential::AccessToken),
        }
    }

    /// The path if it is one of WeChat's known ones, else `other`: a bounded label for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        self.known().map_or("other", |(path, _)| path)
    }

    /// Every label but `other`, sorted.
    pub fn labels() -> impl Iterator<Item = &'static str> {
        APIS.iter().map(|(path, _)| *path)
    }

    /// Whether a call may be repeated after WeChat took it and said errcode -1: it only reads. When
    /// in doubt it does not.
    #[must_use]
    pub fn is_idempotent(&self, method: &str) -> bool {
        matches!(method, "GET" | "POST")
            && self.known().is_some_and(|(_, effect)| effect == Effect::Read)
    }

    fn known(&self) -> Option<(&'static str, Effect)> {
        let at = APIS.binary_search_by_key(&self.as_str(), |(path, _)| path).ok()?;
        APIS.get(at).copied()
    }
}

/// Whether `path` is `folder` or something in it.
fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_in_the_one_spelling() {
        assert!(APIS.is_sorted_by(|(a, _), (b, _)| a < b));
        for (path, _) in APIS {
            assert_eq!(ApiPath::new(path).as_str(), *path);
            assert_eq!(ApiPath::new(path).label(), *path);
        }
    }

    #[test]
    fn labels_are_bounded() {
        for (path, label) in [
            ("/cgi-bin/message/custom/send", "/cgi-bin/message/custom/send"),
            ("/CGI-BIN/message/custom/Send/", "/cgi-bin/message/custom/send"),
            ("/cgi-bin/message/custom/send/x", "other"),
            ("/cgi-bin/message", "other"),
            ("/", "other"),
            ("", "other"),
        ] {
            assert_eq!(ApiPath::new(path).label(), label, "{path}");
        }
    }

    #[test]
    fn only_reads_are_repeated() {
        let is_idempotent = |method, path| ApiPath::new(path).is_idempotent(method);
        assert!(is_idempotent("GET", "/cgi-bin/user/get"));
        assert!(is_idempotent("POST", "/cgi-bin/user/info/batchget"));
        assert!(is_idempotent("POST", "/cgi-bin/openapi/quota/get"));
        for method in ["PUT", "DELETE", "PATCH", "get", ""] {
            assert!(!is_idempotent(method, "/cgi-bin/user/get"), "{method}");
        }
        for path in [
            "/cgi-bin/message/custom/send",
            "/cgi-bin/menu/delete",
            "/cgi-bin/message/wxopen/activityid/create",
            "/wxa/business/getuserphonenumber",
            "/sns/jscode2session",
            "/sns/oauth2/access_token",
            "/cgi-bin/unknown/get",
        ] {
            assert!(!is_idempotent("GET", path) && !is_idempotent("POST", path), "{path}");
        }
    }

    /// What is decided must not hang on how a path is written.
    #[test]
    fn no_spelling_gets_another_route() {
        for (path, route) in [
            ("/cgi-bin/user/info", Route::Forward(Credential::AccessToken)),
            ("/sns/jscode2session", Route::Forward(Credential::AppidAndSecret)),
            ("/sns/oauth2/access_token", Route::Forward(Credential::AppidAndSecret)),
            ("/sns/oauth2/refresh_token", Route::Forward(Credential::Appid)),
            ("/sns/userinfo", Route::Forward(Credential::AsSent)),
            ("/sns/auth", Route::Forward(Credential::AsSent)),
            ("/sns/other", Route::Refused(SNS)),
            ("/sns/component/jscode2session", Route::Refused(THIRD_PARTY)),
            ("/cgi-bin/component/api_query_auth", Route::Refused(THIRD_PARTY)),
            ("/cgi-bin/components", Route::Forward(Credential::AccessToken)),
            ("/cgi-bin/clear_quota/v2", Route::Refused(ADMIN_CALL)),
            ("/cgi-bin/openapi/quota/clear", Route::Refused(ADMIN_CALL)),
            ("/cgi-bin/token", Route::Local(Local::Token)),
            ("/cgi-bin/stable_token", Route::Local(Local::StableToken)),
            ("/cgi-bin/ticket/getticket", Route::Local(Local::Ticket)),
            ("/", Route::Forward(Credential::AccessToken)),
        ] {
            for spelled in [path.to_owned(), path.to_uppercase(), format!("{path}/")] {
                assert_eq!(ApiPath::new(&spelled).route(), route, "{spelled}");
            }
        }
    }
}
