//! 中文。The words as operators of WeChat accounts use them.

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
            format!("{target} 的 TLS 证书已过期，微信无法推送。")
        }
        Cause::Certificate { target, days: Some(0) } => {
            format!("{target} 的 TLS 证书将在 24 小时内过期，届时微信无法推送。")
        }
        Cause::Certificate { target, days: Some(days) } => {
            format!("{target} 的 TLS 证书将在 {days} 天后过期，届时微信无法推送。")
        }
        Cause::Name { host, others, fault, detail, failing, failed, asked, system: _ } => {
            let how = match fault {
                FaultKind::DnsTimeout => "解析超过 5 秒",
                FaultKind::Ipv6Only => "只有 IPv6 地址（AAAA 记录），而微信只走 IPv4",
                _ => "无法解析",
            };
            let of = resolvers(failing, *failed);
            let (note, others) = (note(detail), also(others));
            format!(
                "域名 {host} {how}：{asked} 个 DNS 中有 {failed} 个如此（{of}）{note}。{others}"
            )
        }
        Cause::NameAtWeChat { target, others, detail } => {
            let (note, others) = (note(detail), also(others));
            format!("微信的网络检测（callback/check）解析不到回调域名 {target}{note}。{others}")
        }
        Cause::Proxy { reason } if reason == UNAUTHORIZED => {
            "wxedge 的管理接口拒绝了 sidecar 的密钥（401），无法监控。".to_owned()
        }
        Cause::Proxy { reason } => format!("wxedge 的管理接口连续无应答（{}）。", poll(reason)),
        Cause::Token { credential, errcode, action } => {
            token(credential, *errcode, action.as_deref())
        }
        Cause::ForeignRefresh { credential } => format!(
            "{} 远未到期就失效了：另有系统在用同一个 appid 刷新，双方会互相顶掉对方的凭证。",
            name(credential)
        ),
        Cause::Quota { api, client, used, limit } => {
            let who =
                if client.is_empty() { String::new() } else { format!("（调用方 {client}）") };
            let share = percent(*used, *limit);
            format!("接口 {api}{who} 今日调用额度已用 {share}%（{used}/{limit} 次）。")
        }
        Cause::Backlog { pending, oldest_s, dead } => backlog(*pending, *oldest_s, *dead),
        Cause::Orphans { appid, pending, dead } => {
            let waiting = pending + dead;
            format!(
                "已没有账号使用 appid {appid}，它的 {waiting} 条消息（其中死信 {dead} 条）无处投递。"
            )
        }
        Cause::Store { writable: false, .. } => {
            "wxedge 的本地存储无法写入：应用一旦出错，消息无处暂存，微信将收到 503。".to_owned()
        }
        Cause::Store { writable: true, bytes, bytes_max } => format!(
            "wxedge 的本地存储已用 {}%（{}/{} MiB）；写满后应用一旦出错，微信将收到 503。",
            percent(*bytes, *bytes_max),
            mib(*bytes),
            mib(*bytes_max)
        ),
        Cause::Signatures { signature, replay, decrypt, clock_ahead_s } => {
            let clock = clock_ahead_s.map(|ahead| {
                let side = if ahead > 0 { "快" } else { "慢" };
                format!("本机时钟比微信{side} {} 秒。", ahead.unsigned_abs())
            });
            format!(
                "60 秒内拒绝了 {} 个回调：签名不符 {signature} 个，时间戳过期或重放 {replay} 个，解密失败 {decrypt} 个。{}",
                signature + replay + decrypt,
                clock.unwrap_or_default()
            )
        }
        Cause::MarkFail { silent_s, usual_per_minute, visible } => format!(
            "疑似被微信自动屏蔽（MarkFail，停推 1 分钟）：已 {silent_s} 秒没有任何回调，而平时每分钟约 {} 个；此前微信可见的失败有 {visible} 次。",
            decimal(*usual_per_minute)
        ),
        Cause::MarkFailRisk { visible, threshold, window_s } => format!(
            "{} 分钟内微信可见的失败（含公网 URL 探测失败）已有 {visible} 次，接近告警阈值 {threshold} 次；再多可能被自动屏蔽（MarkFail）。",
            window_s.div_ceil(60)
        ),
    }
}

pub(super) fn action(cause: &Cause) -> String {
    match cause {
        Cause::App { reason, host, .. } => app_action(*reason, host),
        Cause::Url { fault, target, .. } => url_action(*fault, target),
        Cause::Certificate { target, .. } => format!(
            "立即续期 {target} 的证书（含中间证书）并让 Web 服务器重新加载；若本该自动续期，先看续期任务的日志。"
        ),
        Cause::Name { host, fault: FaultKind::Ipv6Only, .. } => {
            format!("给 {host} 添加 A 记录（IPv4 地址）。")
        }
        Cause::Name { host, system: true, .. } => format!(
            "在本机执行 dig {host}，检查 /etc/resolv.conf 里的 DNS 服务器；再用 dig {host} @182.254.116.116 对比。"
        ),
        Cause::Name { host, failing, system: false, .. } => {
            let resolver = failing.first().map_or("182.254.116.116", |name| host_of(name));
            format!("执行 dig {host} @{resolver}，检查 {host} 的解析记录、NS 设置和域名是否到期。")
        }
        Cause::NameAtWeChat { target, .. } => format!(
            "执行 dig {target} @182.254.116.116，检查域名解析（A 记录、NS、是否到期、按运营商或地域的解析线路）。"
        ),
        Cause::Proxy { reason } if reason == UNAUTHORIZED => {
            "把 sidecar 配置里的 edge.key 改成 wxedge 的 listen.admin_key，再重新加载 sidecar。".to_owned()
        }
        Cause::Proxy { .. } => {
            "到 wxedge 所在机器执行 systemctl status wxedge，看最近的日志；进程还在则检查 edge.admin 的地址和 key。"
                .to_owned()
        }
        Cause::Token { credential, errcode, action } => {
            token_action(credential, *errcode, action.as_deref())
        }
        Cause::ForeignRefresh { .. } => {
            "找出还在直接调用 /cgi-bin/token 或 stable_token 的系统，改为向 wxedge 获取（把 SDK 的接口地址指向 wxedge）。"
                .to_owned()
        }
        Cause::Quota { api, .. } => format!(
            "查出谁在大量调用 {api} 并降下来；实在不够再用管理接口 clear_quota 清零（每月限 10 次）。"
        ),
        Cause::Backlog { dead: 0, .. } => {
            "先恢复应用：看它的错误日志和同时触发的告警；恢复后会自动补投，无需手工处理。".to_owned()
        }
        Cause::Backlog { .. } => {
            "在控制台（或 GET /v1/spool?state=dead）看死信的原因，修好应用后点“重放”；确认不要的再删除。".to_owned()
        }
        Cause::Orphans { appid, .. } => format!(
            "在 wxedge 配置里重新给 {appid} 一个账号，消息即可继续投递；确认不要的，按 GET /v1/spool?account={appid} 列出的删除。"
        ),
        Cause::Store { writable: false, .. } => {
            "检查数据目录所在磁盘：df -h、df -i、目录权限，以及 dmesg 里的 I/O 错误。".to_owned()
        }
        Cause::Store { writable: true, .. } => {
            "让应用消化积压、处理死信；确实需要更多空间时调大 spool.max_bytes（先看磁盘余量）。".to_owned()
        }
        Cause::Signatures { clock_ahead_s: Some(_), .. } => {
            "先校准本机时钟（chronyc tracking 或 timedatectl），再看拒绝数是否下降。".to_owned()
        }
        Cause::Signatures { signature, replay, decrypt, .. } => {
            signatures_action(*signature, *replay, *decrypt)
        }
        Cause::MarkFail { .. } => {
            "先处理同时触发的告警（微信先看到失败才会屏蔽）；确认公网 URL 可用后等 1 分钟，推送会自动恢复。".to_owned()
        }
        Cause::MarkFailRisk { .. } => {
            "看实时结果里的 unavailable、client_gone、rejected_timeout 和公网探测，先止住最多的那一类。".to_owned()
        }
    }
}

fn backlog(pending: u64, oldest_s: u64, dead: u64) -> String {
    let waiting =
        (pending > 0).then(|| format!("{pending} 条消息等待补投，最早的已等 {oldest_s} 秒"));
    let given_up = (dead > 0).then(|| format!("{dead} 条死信不再自动投递"));
    let parts: Vec<String> = waiting.into_iter().chain(given_up).collect();
    format!("已应答 success 的消息积压：{}。", parts.join("；"))
}

fn signatures_action(signature: u64, replay: u64, decrypt: u64) -> String {
    if decrypt > signature.max(replay) {
        "核对 encoding_aes_keys 与公众平台的 EncodingAESKey、appid 是否一致；刚换过的话把新旧两个都写上。"
    } else if replay > signature {
        "核对本机时钟（timedatectl）；时钟没错就看来源 IP，可能有人在重放旧请求。"
    } else {
        "先看错误样例的 IP 是不是微信的：是，则核对 token 与公众平台的一致；不是，则是扫描或攻击，可设 source_ip = \"enforce\"。"
    }
    .to_owned()
}

fn poll(reason: &str) -> &str {
    match reason {
        "connect" => "连不上",
        "timeout" => "超时",
        "status" => "状态码不对",
        "invalid" => "应答无法识别",
        other => other,
    }
}

fn resolvers(failing: &[String], failed: u64) -> String {
    let named = |name: &String| if name == "system" { "本机" } else { name }.to_owned();
    let names = failing.iter().map(named).collect::<Vec<_>>().join("、");
    if failed > failing.len() as u64 { format!("{names} 等") } else { names }
}

/// 同样如此的其他域名。
fn also(others: &[String]) -> String {
    if others.is_empty() {
        String::new()
    } else {
        format!("{} 也是如此。", others.join("、"))
    }
}

fn note(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!("（{detail}）") }
}
