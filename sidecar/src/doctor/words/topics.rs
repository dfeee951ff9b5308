//! What is wrong with the edge and its accounts, in words, with the fix.

use super::{Advice, Topic, faults};
use crate::alert::Cause;

/// Or else the cause of the alert that has words for it.
pub(super) fn advice(topic: &Topic) -> Result<Advice, &Cause> {
    Ok(match topic {
        Topic::Alert(cause) => return Err(cause),
        Topic::Fault(kind) => faults::advice(*kind),
        Topic::EdgeDown => Advice {
            meaning: ["连不上 wxedge 的管理接口。", "The edge's admin API cannot be reached."],
            fix: [
                "确认 wxedge 在运行（systemctl status wxedge），[edge] admin 与它的 listen.admin 一致。",
                "Check that the edge runs (systemctl status wxedge) and that [edge] admin is its listen.admin.",
            ],
        },
        Topic::EdgeSilent => Advice {
            meaning: [
                "管理接口接受了连接，但 2 秒内没有回答。",
                "The admin API takes the connection and does not answer within 2 s.",
            ],
            fix: [
                "检查这台机器的负载和磁盘；确认 [edge] admin 指向的确实是 wxedge。",
                "Check the load and the disk of that machine, and that [edge] admin is the edge.",
            ],
        },
        Topic::KeyWrong => Advice {
            meaning: ["管理密钥不对。", "The admin key is wrong."],
            fix: [
                "[edge] key（或 key_file）必须与 wxedge 的 listen.admin_key 相同。",
                "[edge] key (or key_file) has to be the edge's listen.admin_key.",
            ],
        },
        Topic::NoEdge => Advice {
            meaning: [
                "有程序在回答，但不是 wxedge 的管理接口。",
                "Something answers, but it is not the admin API of an edge.",
            ],
            fix: [
                "[edge] admin 应该是 wxedge 的 listen.admin，而不是 callback 或 api 的地址。",
                "[edge] admin has to be the edge's listen.admin, not its callback or api listener.",
            ],
        },
        Topic::ApiSilent => Advice {
            meaning: [
                "从这里访问 [edge] api 没有 HTTP 应答：应用若也用这个地址，就取不到凭证、调不了微信接口。",
                "Nothing speaks HTTP at [edge] api as seen from here: apps that use it get no tokens and reach no API of WeChat's.",
            ],
            fix: [
                "对照 wxedge 的 listen.api（默认 127.0.0.1:8081）和 listen.api_tls 改正 [edge] api，并确认防火墙放行；wxedge 只在本机监听时可以忽略。",
                "Make [edge] api the edge's listen.api (127.0.0.1:8081 unless configured), https with listen.api_tls, and let firewalls pass it; never mind where it listens on its own machine only.",
            ],
        },
        Topic::VersionDiffers => Advice {
            meaning: [
                "wxedge 与 sidecar 的版本不同。",
                "The edge and the sidecar are of different versions.",
            ],
            fix: ["把两者升级到同一版本。", "Bring both to the same version."],
        },
        Topic::NotReady => Advice {
            meaning: ["wxedge 还没有就绪或正在退出。", "The edge is not ready, or about to stop."],
            fix: [
                "看 wxedge 的日志；存储打不开时它不会就绪。",
                "See the edge's log; without its store it does not get ready.",
            ],
        },
        Topic::StoreDamaged => Advice {
            meaning: [
                "运行中发现存储已损坏：wxedge 会退出（退出码 3），刚重建过一次的则不写存储继续运行。",
                "The store was found damaged while in use: the edge ends (exit code 3), or goes on without it if it was just mended.",
            ],
            fix: [
                "确认服务管理器会重新启动它，启动时会救回能读的消息；再用 smartctl、dmesg 检查磁盘。",
                "See that it is started again, which saves what can be read, and check the disk (smartctl, dmesg).",
            ],
        },
        Topic::StoreSalvaged => Advice {
            meaning: [
                "存储曾经损坏，启动时已重建。",
                "The store was damaged, and made anew at the edge's start.",
            ],
            fix: [
                "检查磁盘（smartctl、dmesg）；原文件确认不要后可以删除。",
                "Check the disk (smartctl, dmesg); delete what it was when nobody needs it.",
            ],
        },
        Topic::ConfigRefused => Advice {
            meaning: [
                "最近一次重新加载的配置有错误，wxedge 还在用旧的。",
                "The configuration that was loaded last is refused; the edge still runs with the old one.",
            ],
            fix: [
                "用 wxedge check --config 文件 查看全部错误，改好后 kill -HUP。",
                "See all mistakes by `wxedge check --config FILE`, correct them, and send SIGHUP.",
            ],
        },
        Topic::NoAccounts => Advice {
            meaning: ["wxedge 里没有任何账号。", "The edge has no account."],
            fix: [
                "在 wxedge 的配置中添加 [accounts.名字]。",
                "Add [accounts.NAME] to the edge's file.",
            ],
        },
        Topic::UnknownAccount => Advice {
            meaning: [
                "[probe.public_url] 里有这个账号，wxedge 里却没有。",
                "[probe.public_url] names this account, and the edge has none of that name.",
            ],
            fix: ["两边用同一个账号名。", "Use the same name in both files."],
        },
        Topic::NoPublicUrl => Advice {
            meaning: [
                "没有配置这个账号的公网 URL，所以无法从外面检查。",
                "The public URL of this account is not configured, so it is not looked at from outside.",
            ],
            fix: [
                "在 [probe.public_url] 中写上在公众平台填写的 URL。",
                "Put the URL that WeChat was told into [probe.public_url].",
            ],
        },
        Topic::CircuitOpen => Advice {
            meaning: [
                "应用连续失败，熔断器没有闭合：消息先存在 wxedge 里，稍后重送。",
                "The app has failed so often that its circuit is not closed: messages wait in the edge and are delivered later.",
            ],
            fix: [
                "检查应用是否在运行、日志里有什么错误；恢复后 wxedge 会自动重送。",
                "Check that the app runs and what its log says; when it is well again, the edge delivers by itself.",
            ],
        },
        Topic::NoSourceIps => Advice {
            meaning: [
                "source_ip = \"enforce\" 但还没有地址列表，因此只当作 report。",
                "source_ip = \"enforce\" has no list yet, and so acts as report.",
            ],
            fix: [
                "配置 secret，让 wxedge 取到微信的地址列表，或者填写 source_ips。",
                "Configure `secret`, so that the edge gets WeChat's list, or fill in source_ips.",
            ],
        },
        Topic::SignaturesRefused => Advice {
            meaning: [
                "自启动以来有回调因签名错误被拒绝。如果来自微信，说明 Token 不一致；如果只是少数，多半是互联网上的扫描。",
                "Callbacks were refused for their signature since the edge's start. If they are WeChat's, the Token differs; a few are mostly scans.",
            ],
            fix: [
                "核对公众平台的 Token 与 wxedge 的 token（区分大小写、首尾空格），并看日志里的来源 IP。",
                "Compare the Token in WeChat's console with `token` in the edge's file, case and blanks included, and see the peers in the log.",
            ],
        },
        Topic::DecryptionFails => Advice {
            meaning: [
                "签名正确但解密失败：EncodingAESKey 不一致，或者 appid 不同。",
                "The signature is right and the decryption fails: another EncodingAESKey, or another appid.",
            ],
            fix: [
                "核对公众平台的 EncodingAESKey 与 wxedge 的 encoding_aes_keys，以及 appid。",
                "Compare the EncodingAESKey and the appid in WeChat's console with the edge's file.",
            ],
        },
        Topic::OutsideTheWindow => Advice {
            meaning: [
                "签名正确但时间戳超出 replay_window_s：时钟不准，或者有人重放。",
                "The signature is right and the time outside replay_window_s: a wrong clock, or somebody repeats old callbacks.",
            ],
            fix: ["先看下面的时钟检查。", "See the clock below first."],
        },
        Topic::ApiBaseDown => Advice {
            meaning: [
                "wxedge 连不上这台微信服务器。",
                "The edge does not reach this server of WeChat's.",
            ],
            fix: [
                "检查 wxedge 所在机器的出口网络、DNS 和 wechat.proxy；下面是从这里看到的情况。",
                "Check the network, the DNS and wechat.proxy of the edge's machine; below is what is seen from here.",
            ],
        },
        Topic::NoNotifications => Advice {
            meaning: [
                "没有配置任何通知渠道：出了问题不会有人知道。",
                "Nobody is told when something goes wrong.",
            ],
            fix: [
                "在 [notify] 中配置企业微信、钉钉、飞书、webhook 或 Alertmanager。",
                "Configure a robot, a webhook or an Alertmanager in [notify].",
            ],
        },
    })
}
