//! 回调经过之处：应用、公网 URL。

use super::note;
use crate::alert::Reason;
use crate::alert::words::host_of;
use crate::observation::FaultKind;

pub(super) fn app(reason: Reason, host: &str, failures: u64, deliveries: u64) -> String {
    let what = match reason {
        Reason::Dns => "的域名无法解析",
        Reason::DnsTimeout => "的域名解析超时",
        Reason::Connect => "拒绝连接",
        Reason::ConnectTimeout => "连接超时",
        Reason::Timeout => "没有在期限内应答",
        Reason::Status => "返回了错误状态码",
        Reason::Invalid => "返回的内容不是有效的回复",
        Reason::Reset => "应答未完成就断开了连接",
    };
    let app = if host.is_empty() { "应用".to_owned() } else { format!("应用 {host} ") };
    if failures == 0 {
        return format!("{app}{what}。");
    }
    format!("{app}{what}：5 分钟内首次投递 {deliveries} 次，失败 {failures} 次。")
}

/// 是否还在请求应用，5 分钟内又有多少消息没有请求它。
pub(super) fn circuit(open: bool, unasked: u64) -> String {
    match (open, unasked) {
        (false, 0) => String::new(),
        (true, 0) => "熔断已打开：消息不再请求应用，应答 success 并存入补投队列。".to_owned(),
        (true, _) => {
            format!("熔断已打开：{unasked} 条消息未请求应用，已应答 success 并存入补投队列。")
        }
        (false, _) => {
            format!(
                "熔断曾打开，现已恢复：其间 {unasked} 条消息未请求应用，已应答 success 并存入补投队列。"
            )
        }
    }
}

pub(super) fn app_action(reason: Reason, host: &str) -> String {
    match reason {
        Reason::Dns if host.is_empty() => {
            "检查 upstream.url 的域名和 wxedge 所在机器的 /etc/resolv.conf。".to_owned()
        }
        Reason::Dns => format!(
            "在 wxedge 所在机器执行 getent hosts {}，检查 upstream.url 的域名和 /etc/resolv.conf。",
            host_of(host)
        ),
        Reason::DnsTimeout => {
            "检查 /etc/resolv.conf 里的 DNS 服务器是否可达、是否过载；也可在 upstream.url 里直接写 IP。".to_owned()
        }
        Reason::Connect => {
            "确认应用进程在运行、监听的正是 upstream.url 的端口（ss -ltnp），且没有被防火墙或安全组拒绝。".to_owned()
        }
        Reason::ConnectTimeout => {
            "检查到应用的网络和安全组是否丢包，应用的 accept 队列是否已满（ss -ltn 的 Recv-Q），文件描述符是否用尽。"
                .to_owned()
        }
        Reason::Timeout => {
            "看应用的慢请求日志（数据库、外部接口）；耗时的处理放到后台，先返回空串，再用客服消息回复用户。".to_owned()
        }
        Reason::Status => "看应用的错误日志；应用返回的内容见错误样例。".to_owned(),
        Reason::Invalid => {
            "对照错误样例检查应用的返回：只能是空串、success、客服消息格式的 JSON、纯文本或被动回复 XML。".to_owned()
        }
        Reason::Reset => "检查应用是否崩溃或被重启（dmesg 里的 OOM、发布记录），以及 Content-Length 是否正确。".to_owned(),
    }
}

pub(super) fn url(fault: FaultKind, target: &str, detail: &str, status: Option<u16>) -> String {
    let what = match fault {
        FaultKind::ConnectRefused => "拒绝连接".to_owned(),
        FaultKind::ConnectTimeout => "3 秒内没有建立连接".to_owned(),
        FaultKind::AnswerTimeout => "5 秒内没有应答".to_owned(),
        FaultKind::TlsInvalid => "的 TLS 证书无效".to_owned(),
        FaultKind::TlsExpired | FaultKind::TlsExpires => "的 TLS 证书到期".to_owned(),
        FaultKind::Redirect => "返回了重定向，而微信不跟随重定向".to_owned(),
        FaultKind::AnswerStatus => match status {
            Some(status) => format!("返回了 HTTP {status}，应为 200"),
            None => "返回的 HTTP 状态码不是 200".to_owned(),
        },
        FaultKind::EchoQuoted => "返回的 echostr 带了引号".to_owned(),
        FaultKind::EchoWrong => "返回的不是 echostr".to_owned(),
        FaultKind::SignatureRefused => "不认本账号的签名（403）".to_owned(),
        FaultKind::WrongPort => "用了微信不支持的端口，只能是 80 或 443".to_owned(),
        FaultKind::DnsFailure
        | FaultKind::DnsTimeout
        | FaultKind::Ipv6Only
        | FaultKind::DnsDiffers
        | FaultKind::PingLoss
        | FaultKind::CheckDiffers
        | FaultKind::CheckRefused
        | FaultKind::ClockSkew
        | FaultKind::EdgeUnavailable => "探测失败".to_owned(),
    };
    format!("公网 URL {target} {what}{}。", note(detail))
}

pub(super) fn url_action(fault: FaultKind, target: &str) -> String {
    match fault {
        FaultKind::ConnectRefused => {
            format!("确认 {target} 上的负载均衡或 Nginx 在运行并监听该端口，域名指向的是这台机器。")
        }
        FaultKind::ConnectTimeout => format!(
            "从外网执行 curl -v 连 {target}：检查安全组、防火墙、accept 队列（ss -ltn 的 Recv-Q）和带宽。"
        ),
        FaultKind::AnswerTimeout => {
            "看入口（Nginx、负载均衡）的 upstream_response_time：请求卡在入口还是没有到达 wxedge。".to_owned()
        }
        FaultKind::TlsInvalid => {
            format!("执行 openssl s_client -connect {target} -showcerts，检查域名是否匹配、中间证书是否齐全。")
        }
        FaultKind::TlsExpired | FaultKind::TlsExpires => "续期证书并重新加载 Web 服务器。".to_owned(),
        FaultKind::Redirect => {
            "在公众平台填写最终的 URL（协议、域名、结尾的 /），或去掉入口上对这个路径的跳转。".to_owned()
        }
        FaultKind::AnswerStatus => {
            "查入口的转发规则：这个路径应原样转发到 wxedge 的 callback 端口，不经过登录、WAF 或静态页面。".to_owned()
        }
        FaultKind::EchoQuoted => {
            "请求被 wxedge 以外的程序应答了，且把 echostr 当 JSON 返回；让入口把这个路径转发到 wxedge。".to_owned()
        }
        FaultKind::EchoWrong => {
            "应答的不是 wxedge，或中间有程序改了内容；检查入口的转发规则和缓存（CDN 要对这个路径关闭缓存）。".to_owned()
        }
        FaultKind::SignatureRefused => {
            "核对 URL 背后是不是这套 wxedge、路径是不是这个账号的 path，以及入口有没有改动查询参数。".to_owned()
        }
        FaultKind::WrongPort => "改用 80 或 443 端口的 URL，由入口转发到 wxedge。".to_owned(),
        FaultKind::DnsFailure
        | FaultKind::DnsTimeout
        | FaultKind::Ipv6Only
        | FaultKind::DnsDiffers
        | FaultKind::PingLoss
        | FaultKind::CheckDiffers
        | FaultKind::CheckRefused
        | FaultKind::ClockSkew
        | FaultKind::EdgeUnavailable => {
            "运行 wxedge-sidecar doctor，它会逐项检查并说明怎么修。".to_owned()
        }
    }
}
