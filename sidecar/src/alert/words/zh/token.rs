//! 凭证：access_token 与各种 ticket。

use crate::alert::words::{Refused, address};

pub(super) fn token(credential: &str, errcode: Option<i64>, action: Option<&str>) -> String {
    let why = match Refused::of(credential, errcode) {
        Refused::Address => match address(action) {
            Some(ip) => format!("出口 IP {ip} 不在 IP 白名单里"),
            None => "本机的出口 IP 不在 IP 白名单里".to_owned(),
        },
        Refused::Secret => "AppSecret 不正确".to_owned(),
        Refused::Frozen => "AppSecret 已被冻结".to_owned(),
        Refused::Appid => "appid 不正确".to_owned(),
        Refused::Limited => "账号被限制或冻结".to_owned(),
        Refused::Confirmation => "调用需要账号管理员确认".to_owned(),
        Refused::DeniedForADay => "管理员拒绝了本机的调用，24 小时内不能再申请".to_owned(),
        Refused::DeniedForAnHour => "管理员拒绝了本机的调用，1 小时内不能再申请".to_owned(),
        Refused::Unauthorized => "账号没有这个接口的权限".to_owned(),
        Refused::Quota => "今日的获取次数已用完".to_owned(),
        Refused::Rate => "每分钟调用太频繁".to_owned(),
        Refused::AccessToken => "微信不认所用的 access_token".to_owned(),
        Refused::Busy => "微信系统繁忙".to_owned(),
        Refused::Unreached => "连不上微信服务器，或没有可用的应答".to_owned(),
        Refused::Other => "微信返回了错误".to_owned(),
    };
    let code = errcode.map(|code| format!("（errcode {code}）")).unwrap_or_default();
    let then = match credential {
        "access_token" => "旧的到期后，所有接口调用都会失败",
        _ => "旧的到期后，用到它的网页功能会失败",
    };
    format!("{} 无法刷新：{why}{code}。{then}。", name(credential))
}

pub(super) fn token_action(credential: &str, errcode: Option<i64>, action: Option<&str>) -> String {
    match Refused::of(credential, errcode) {
        Refused::Address => {
            let ip = address(action).map_or("本机的出口 IP".to_owned(), |ip| ip.to_string());
            format!("在微信开发者平台把 {ip} 加入该账号的 IP 白名单，几分钟内生效。")
        }
        Refused::Secret => {
            "核对该账号的 secret（AppSecret）：是否被重置过、有没有抄错；改好后重新加载 wxedge 配置。".to_owned()
        }
        Refused::Frozen => "由管理员在微信开发者平台解冻 AppSecret。".to_owned(),
        Refused::Appid => "核对配置里的 appid。".to_owned(),
        Refused::Limited => "登录微信公众平台看站内通知，按提示处理限制或申诉。".to_owned(),
        Refused::Confirmation => "请账号管理员在微信里确认“接口调用”的通知，确认后自动恢复。".to_owned(),
        Refused::DeniedForADay | Refused::DeniedForAnHour => {
            "请账号管理员确认是否误点拒绝；到时间后 wxedge 会再次申请，届时请点“确认”。".to_owned()
        }
        Refused::Unauthorized => "在微信公众平台查看接口权限（账号类型、是否认证、是否被封禁）。".to_owned(),
        Refused::Quota => {
            "查出谁在频繁获取 token（应只有 wxedge）；等到次日零点（北京时间），或用 clear_quota 清零。".to_owned()
        }
        Refused::Rate => "查是否有别的系统也在用这个 appid 频繁调用。".to_owned(),
        Refused::AccessToken => "看该账号的 access_token 状态，必要时在控制台手动刷新一次。".to_owned(),
        Refused::Busy => "稍等，wxedge 会自动重试；持续 10 分钟以上再查微信的公告。".to_owned(),
        Refused::Unreached => {
            "在 wxedge 所在机器执行 curl -v https://api.weixin.qq.com，检查 DNS、出网策略和 wechat.proxy。".to_owned()
        }
        Refused::Other => match action {
            Some(action) => format!("查微信的全局返回码文档。wxedge 的提示：{action}"),
            None => "查微信的全局返回码文档。".to_owned(),
        },
    }
}

pub(super) fn name(credential: &str) -> &str {
    match credential {
        "jsapi" => "jsapi_ticket",
        "wx_card" => "卡券 ticket",
        other => other,
    }
}
