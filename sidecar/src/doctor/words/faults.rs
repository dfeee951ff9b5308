//! What probes find: each kind in words, with the fix.

use super::{Advice, Level};
use crate::observation::FaultKind;

pub(super) fn level(kind: FaultKind) -> Level {
    match kind {
        FaultKind::DnsDiffers
        | FaultKind::TlsExpires
        | FaultKind::PingLoss
        | FaultKind::CheckDiffers
        | FaultKind::CheckRefused => Level::Hint,
        FaultKind::DnsFailure
        | FaultKind::DnsTimeout
        | FaultKind::Ipv6Only
        | FaultKind::ConnectRefused
        | FaultKind::ConnectTimeout
        | FaultKind::TlsInvalid
        | FaultKind::TlsExpired
        | FaultKind::AnswerTimeout
        | FaultKind::Redirect
        | FaultKind::AnswerStatus
        | FaultKind::EchoQuoted
        | FaultKind::EchoWrong
        | FaultKind::SignatureRefused
        | FaultKind::WrongPort
        | FaultKind::ClockSkew
        | FaultKind::EdgeUnavailable => Level::Problem,
    }
}

pub(super) fn advice(kind: FaultKind) -> Advice {
    match kind {
        FaultKind::DnsFailure => Advice {
            meaning: [
                "这个域名解析不到地址：记录不存在，或者 DNS 服务器拒绝或出错。回调域名如此时，微信报“DNS失败”。",
                "This name leads to no address: there is no record, or the resolver refuses or fails. Of a callback URL, WeChat calls it a DNS failure.",
            ],
            fix: [
                "自己的域名：检查拼写、是否过期，以及 DNS 控制台里的 A 记录；只有一个解析服务器失败时，检查各线路的记录与 NS 是否一致。微信的域名：检查这台机器的 DNS 设置（/etc/resolv.conf）和出口网络。",
                "A name of your own: check the spelling, whether the domain has expired, and its A record; when only one resolver fails, whether all name servers have the same records. A name of WeChat's: check the DNS of this machine (/etc/resolv.conf) and its way out.",
            ],
        },
        FaultKind::DnsTimeout => Advice {
            meaning: ["DNS 服务器 5 秒内没有回答。", "The resolver does not answer within 5 s."],
            fix: [
                "确认本机能访问该 DNS 服务器的 53 端口（UDP 和 TCP）；域名自己的 NS 太慢时换一家 DNS 服务商。",
                "Check that port 53 (UDP and TCP) of the resolver can be reached from here; if the domain's own name servers are slow, use others.",
            ],
        },
        FaultKind::Ipv6Only => Advice {
            meaning: [
                "域名只有 IPv6 地址，而微信只用 IPv4 回调。",
                "The name has IPv6 addresses only, and WeChat calls by IPv4 only.",
            ],
            fix: ["为域名添加 A 记录（IPv4）。", "Add an A record (IPv4) to the name."],
        },
        FaultKind::DnsDiffers => Advice {
            meaning: [
                "不同的 DNS 服务器给出的结果不同。用了 CDN、分线路解析或内网解析时可能是正常的，否则有一部分微信服务器会连到错误的地址。",
                "Resolvers answer differently. With a CDN, answers by region or an internal zone that may be right; otherwise some of WeChat's servers go to the wrong address.",
            ],
            fix: [
                "核对各条 A 记录是否都是你的服务器；刚改过记录时等旧记录的 TTL 过去。",
                "Check that every address is one of your servers; after a change, wait for the TTL of the old record.",
            ],
        },
        FaultKind::ConnectRefused => Advice {
            meaning: [
                "连接被拒绝或被中断：该地址和端口上没有程序在听，或者防火墙拒绝。",
                "The connection is refused or reset: nothing listens there, or a firewall refuses.",
            ],
            fix: [
                "确认 nginx 或 wxedge 在运行并监听该端口，安全组和防火墙放行 80/443。",
                "Check that nginx or wxedge runs and listens on that port, and that firewalls let 80 and 443 in.",
            ],
        },
        FaultKind::ConnectTimeout => Advice {
            meaning: [
                "3 秒内没有建立 TCP 连接。微信此时报“连接超时”。",
                "There is no TCP connection within 3 s. WeChat calls it a connect timeout.",
            ],
            fix: [
                "检查安全组和防火墙是否丢弃数据包、解析到的地址是否正确，以及 accept 队列是否已满（ss -ltn、nstat -az TcpExtListenOverflows）。",
                "Check whether a firewall drops packets, whether the address is right, and whether the accept queue is full (ss -ltn, nstat -az TcpExtListenOverflows).",
            ],
        },
        FaultKind::TlsInvalid => Advice {
            meaning: [
                "证书不被信任：域名不符、证书链不完整，或者是自签名证书。微信不会连接。",
                "The certificate is not believed: another name, an incomplete chain, or self-signed. WeChat does not connect.",
            ],
            fix: [
                "使用包含中间证书的完整链（fullchain.pem），证书里的域名必须就是回调 URL 的域名，由公认的机构签发。",
                "Serve the whole chain (fullchain.pem) of a public authority, for the very name of the callback URL.",
            ],
        },
        FaultKind::TlsExpired => Advice {
            meaning: [
                "证书已过期，微信不会连接。",
                "The certificate has expired: WeChat does not connect.",
            ],
            fix: [
                "续期证书并重新加载 nginx 或 wxedge；检查自动续期任务为什么没有执行。",
                "Renew it and reload nginx or wxedge; find out why the automatic renewal did not happen.",
            ],
        },
        FaultKind::TlsExpires => Advice {
            meaning: ["证书将在 14 天内到期。", "The certificate ends in under 14 days."],
            fix: [
                "现在就续期；如果有自动续期，检查它是否还在工作。",
                "Renew it now; if that is automatic, check that it still works.",
            ],
        },
        FaultKind::AnswerTimeout => Advice {
            meaning: [
                "连接建立了，但 5 秒内没有收到完整的应答。微信此时报“请求超时”。",
                "There is a connection, but no whole answer within 5 s. WeChat calls it a request timeout.",
            ],
            fix: [
                "检查 URL 前面的代理转发到了哪里、它的上游是否在工作；wxedge 自己总会在 5 秒内回答。",
                "Check where the proxy before the edge forwards to and whether that works; the edge itself always answers in time.",
            ],
        },
        FaultKind::Redirect => Advice {
            meaning: [
                "URL 返回了跳转，微信不会跟随。",
                "The URL answers with a redirect, which WeChat does not follow.",
            ],
            fix: [
                "在公众平台填写跳转后的最终 URL，或者让这个路径不再跳转（常见于 http 跳 https、加 www、登录页）。",
                "Enter the final URL in WeChat's console, or take this path out of the redirect (http to https, www, a login page).",
            ],
        },
        FaultKind::AnswerStatus => Advice {
            meaning: [
                "应答的状态码不是 200，而且不是 wxedge 对错误签名的回答。",
                "The status is not 200, and not what the edge answers to a wrong signature.",
            ],
            fix: [
                "404：路径没有转发到 wxedge，或与账号的 path 不同；502/503/504：代理连不上 wxedge；有内容的 403：WAF 或防火墙拦截了请求。",
                "404: the path is not forwarded to the edge, or is not the account's `path`; 502 to 504: the proxy does not reach the edge; 403 with a page: a firewall stops it.",
            ],
        },
        FaultKind::EchoQuoted => Advice {
            meaning: [
                "echostr 原样返回了，但多了引号、BOM 或换行，微信会判为失败。",
                "The echostr comes back with quotes, a byte order mark or a line break around it: WeChat refuses that.",
            ],
            fix: [
                "wxedge 不会这样回答，说明请求到了别的程序：把 URL 转发到 wxedge；如果确实由该程序验证，请以 text/plain 返回原始字符串，不要序列化成 JSON。",
                "The edge does not answer so: forward the URL to the edge. If another program shall verify it, let that answer the bare text as text/plain, not as JSON.",
            ],
        },
        FaultKind::EchoWrong => Advice {
            meaning: [
                "返回的不是 echostr：这个 URL 背后不是 wxedge。",
                "Something else than the echostr comes back: what is behind the URL is not the edge.",
            ],
            fix: [
                "检查代理的转发规则和虚拟主机；未备案或被拦截的域名也会返回提示页面。",
                "Check the proxy's rules and virtual hosts; a provider's notice page looks like this as well.",
            ],
        },
        FaultKind::SignatureRefused => Advice {
            meaning: [
                "URL 背后的网关不认这个签名：那里的 Token 不同，或者是另一个账号、另一台 wxedge。",
                "The edge behind the URL does not know the signature: it has another Token, or is another account's or another edge.",
            ],
            fix: [
                "核对公众平台里的 Token 与 wxedge 配置中的 token，确认 URL 的路径属于这个账号、转发到 [edge] admin 指向的同一个 wxedge。",
                "Compare the Token in WeChat's console with `token` in the edge's file; check that the URL's path is this account's, and leads to the same edge as [edge] admin.",
            ],
        },
        FaultKind::WrongPort => Advice {
            meaning: [
                "微信只回调 80（http）和 443（https）端口。",
                "WeChat calls port 80 (http) and 443 (https) only.",
            ],
            fix: [
                "让 nginx 在 80 或 443 上接收并转发到 wxedge（见 conf/nginx.conf），URL 里不写端口。",
                "Let nginx take 80 or 443 and forward to the edge (see conf/nginx.conf); no port in the URL.",
            ],
        },
        FaultKind::PingLoss => Advice {
            meaning: [
                "微信 ping 不通回调地址。服务器禁 ping 时这是正常的。",
                "WeChat's pings are lost. That is normal where a server does not answer pings.",
            ],
            fix: [
                "如果允许 ping，检查该地址到各运营商的网络；否则可以忽略。",
                "If pings are allowed, check the network to all operators; otherwise never mind.",
            ],
        },
        FaultKind::CheckDiffers => Advice {
            meaning: [
                "微信解析到的地址与这里解析到的完全不同。",
                "WeChat resolves the name to other addresses than are found here.",
            ],
            fix: [
                "核对公众平台里填写的 URL 与 [probe.public_url] 是否同一个域名；是的话检查分线路解析的各条记录。",
                "Check that the URL in WeChat's console has the same name as [probe.public_url]; if so, check the records for other regions.",
            ],
        },
        FaultKind::CheckRefused => Advice {
            meaning: [
                "微信没有执行检测：40201 表示公众平台里还没有填写 URL，45009 表示今天的次数用完了。",
                "WeChat does not check: 40201 says that no URL is set in its console, 45009 that today's checks are used up.",
            ],
            fix: [
                "40201：在公众平台“服务器配置”中填写并启用 URL；其他错误码查微信的错误码表。",
                "40201: set and enable the URL in WeChat's console; for others see WeChat's table of codes.",
            ],
        },
        FaultKind::ClockSkew => Advice {
            meaning: [
                "本机时钟与微信相差太多；超过 300 秒（replay_window_s）后所有回调都会被拒绝。",
                "The clock here is off; from 300 s (replay_window_s) on, every callback is refused.",
            ],
            fix: [
                "启用时间同步：systemctl enable --now systemd-timesyncd（或 chronyd）。",
                "Let the time be synchronized: systemctl enable --now systemd-timesyncd (or chronyd).",
            ],
        },
        FaultKind::EdgeUnavailable => Advice {
            meaning: [
                "这项检查需要 wxedge 帮助（签名或调用微信），但它没有做到。",
                "The edge was needed for this, to sign or to ask WeChat, and did not help.",
            ],
            fix: [
                "先解决上面 wxedge 或凭证的问题；404 表示 wxedge 里没有这个账号。",
                "First solve what is said of the edge or its tokens; 404 says that it has no such account.",
            ],
        },
    }
}
