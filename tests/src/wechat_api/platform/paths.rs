//! The calls that need an account's access token.

use serde_json::{Value, json};

use super::{Answer, Call, Platform};
use crate::canary;

/// The longest file that is made up, in bytes.
const MADE_UP_MAX: usize = 64 * 1024 * 1024;

impl Platform {
    pub(super) fn with_token(
        &mut self,
        path: &str,
        appid: &str,
        call: &Call<'_>,
    ) -> Result<Answer, Answer> {
        match path {
            "/cgi-bin/ticket/getticket" => self.getticket(appid, call),
            "/cgi-bin/getcallbackip" | "/cgi-bin/get_api_domain_ip" => Ok(ip_list(path)),
            "/cgi-bin/callback/check" => callback_check(call),
            "/cgi-bin/clear_quota" => self.clear_quota(appid, call),
            "/cgi-bin/openapi/quota/get" => self.quota_get(appid, call),
            "/cgi-bin/openapi/quota/clear" => self.quota_clear(appid, call),
            "/cgi-bin/message/custom/send" => self.custom_send(call),
            "/cgi-bin/user/info" => user_info(call),
            "/cgi-bin/user/get" => Ok(user_get()),
            "/cgi-bin/menu/create" => self.menu_create(appid, call),
            "/cgi-bin/menu/get" => self.menu_get(appid, call),
            "/cgi-bin/media/upload" => media_upload(call),
            "/cgi-bin/media/get" => self.media_get(call),
            _ => Ok(Answer::ok()),
        }
    }

    fn getticket(&mut self, appid: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        let kinds = ["jsapi", "wx_card"];
        let kind = kinds.into_iter().find(|kind| call.parameter("type") == Some(kind));
        let kind = kind.ok_or_else(|| call.error(40097))?;
        let (ticket, expires_in) = self.ticket(appid, kind, call.now);
        Ok(Answer::json(
            &json!({"errcode": 0, "errmsg": "ok", "ticket": ticket, "expires_in": expires_in}),
        ))
    }

    fn clear_quota(&mut self, appid: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        if call.json()?["appid"] != appid {
            return Err(call.error(40013));
        }
        let cleared = self.quotas.clear(appid, call.now);
        if cleared { Ok(Answer::ok()) } else { Err(call.error(48006)) }
    }

    fn quota_get(&mut self, appid: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        let (limit, used) = self.quotas.of(appid, &cgi_path(call)?, call.now);
        let quota =
            json!({"daily_limit": limit, "used": used, "remain": limit.saturating_sub(used)});
        Ok(Answer::json(&json!({"errcode": 0, "errmsg": "ok", "quota": quota})))
    }

    fn quota_clear(&mut self, appid: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        let cleared = self.quotas.clear_one(appid, &cgi_path(call)?, call.now);
        if cleared { Ok(Answer::ok()) } else { Err(call.error(48006)) }
    }

    fn menu_create(&mut self, appid: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        let menu = call.json()?;
        if let Some(account) = self.accounts.get_mut(appid) {
            account.menu = Some(menu);
        }
        Ok(Answer::ok())
    }

    fn menu_get(&self, appid: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        let menu = self.accounts.get(appid).and_then(|account| account.menu.as_ref());
        let menu = menu.ok_or_else(|| call.error(46003))?;
        Ok(Answer::json(&json!({"menu": menu})))
    }

    /// A file that was put there, or one of `size-<bytes>` that is made up.
    fn media_get(&self, call: &Call<'_>) -> Result<Answer, Answer> {
        let id = call.parameter("media_id").ok_or_else(|| call.error(40007))?;
        let made_up = || {
            let size = id.strip_prefix("size-")?.parse().ok()?;
            (size <= MADE_UP_MAX).then(|| ("image/jpeg".to_owned(), jpeg(size)))
        };
        let (content_type, bytes) =
            self.media.get(id).cloned().or_else(made_up).ok_or_else(|| call.error(40007))?;
        let name = format!("attachment; filename=\"{id}.jpg\"");
        Ok(Answer::new(200, &content_type, bytes).header("Content-Disposition", &name))
    }
}

/// Bytes that begin as an image does and are no text.
fn jpeg(size: usize) -> Vec<u8> {
    let beginning = [0xff, 0xd8, 0xff, 0xe0];
    let rest = (beginning.len()..).map(|at| (at % 251) as u8);
    beginning.into_iter().chain(rest).take(size).collect()
}

fn ip_list(path: &str) -> Answer {
    let list = match path {
        "/cgi-bin/getcallbackip" => json!(["127.0.0.1", "81.69.103.236", "175.24.214.128/25"]),
        _ => json!(["127.0.0.1", "101.226.212.27"]),
    };
    Answer::json(&json!({"ip_list": list}))
}

fn callback_check(call: &Call<'_>) -> Result<Answer, Answer> {
    let body = call.json()?;
    let action = body["action"].as_str().unwrap_or("all");
    if !["all", "dns", "ping"].contains(&action) {
        return Err(call.error(40202));
    }
    let operators = ["CHINANET", "UNICOM", "CAP", "DEFAULT"];
    if !body["check_operator"].as_str().is_none_or(|operator| operators.contains(&operator)) {
        return Err(call.error(40203));
    }
    let mut answer = json!({});
    if action != "ping" {
        answer["dns"] = json!([{"ip": "111.161.64.40", "real_operator": "UNICOM"}]);
    }
    if action != "dns" {
        answer["ping"] = json!([{
            "ip": "111.161.64.40",
            "from_operator": "UNICOM",
            "package_loss": "0%",
            "time": "23.079ms",
        }]);
    }
    Ok(Answer::json(&answer))
}

/// The API that a quota call is about.
fn cgi_path(call: &Call<'_>) -> Result<String, Answer> {
    let path = call.json()?["cgi_path"].as_str().unwrap_or_default().to_owned();
    match path.as_str() {
        sns if sns.starts_with("/sns/") => Err(call.error(76022)),
        known if known.starts_with('/') => Ok(path),
        _ => Err(call.error(76021)),
    }
}

fn user_info(call: &Call<'_>) -> Result<Answer, Answer> {
    let openid = call.parameter("openid").ok_or_else(|| call.error(41009))?;
    Ok(Answer::json(&json!({
        "subscribe": 1,
        "openid": openid,
        "language": "zh_CN",
        "subscribe_time": 1_700_000_000,
        "unionid": format!("{}Union", canary::OPENID),
        "remark": "",
        "groupid": 0,
        "tagid_list": [],
        "subscribe_scene": "ADD_SCENE_QR_CODE",
        "qr_scene": 0,
        "qr_scene_str": "",
    })))
}

fn user_get() -> Answer {
    let openids = ["1", "2"].map(|number| format!("{}{number}", canary::OPENID));
    Answer::json(&json!({
        "total": 2,
        "count": 2,
        "data": {"openid": openids},
        "next_openid": openids[1],
    }))
}

fn media_upload(call: &Call<'_>) -> Result<Answer, Answer> {
    let content_type = call.request.header("content-type").unwrap_or_default();
    if !content_type.starts_with("multipart/form-data") || call.request.body.length() == 0 {
        return Err(call.error(41005));
    }
    let sha256 = call.request.body.sha256();
    let answer: Value = json!({
        "type": call.parameter("type").unwrap_or("image"),
        "media_id": format!("upload-{}", &sha256[..16]),
        "created_at": call.now.as_secs(),
        "length": call.request.body.length(),
        "sha256": sha256,
    });
    Ok(Answer::json(&answer))
}
