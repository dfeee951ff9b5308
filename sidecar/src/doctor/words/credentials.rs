//! Why WeChat gives no token, by errcode.

use super::Advice;

pub(super) fn advice(errcode: i64) -> Advice {
    match errcode {
        40164 | 61004 => Advice {
            meaning: [
                "wxedge 的出口 IP 不在公众平台的 IP 白名单里。",
                "The address that the edge calls from is not on the account's IP list.",
            ],
            fix: [
                "把上面的 IP 加到“设置与开发 → 安全中心 → IP 白名单”；出口 IP 会变时用 wechat.proxy 固定出口。",
                "Add the address above to the IP allow-list in WeChat's console; where it changes, use a fixed egress by wechat.proxy.",
            ],
        },
        40001 | 40125 | 40243 => Advice {
            meaning: [
                "AppSecret 不对，或已被重置、冻结。",
                "The AppSecret is wrong, was reset, or is frozen.",
            ],
            fix: [
                "在公众平台查看或重置 AppSecret，更新 wxedge 的 secret 后执行 kill -HUP。",
                "Look it up or reset it in WeChat's console, put it into the edge's `secret`, and send SIGHUP.",
            ],
        },
        40013 => Advice {
            meaning: ["appid 不对。", "The appid is wrong."],
            fix: [
                "核对 wxedge 配置里的 appid 与公众平台是否一致。",
                "Compare `appid` in the edge's file with WeChat's console.",
            ],
        },
        89501 | 89503 | 89506 | 89507 => Advice {
            meaning: [
                "微信要求管理员确认这个 IP 的调用。",
                "WeChat wants an administrator to confirm calls from this address.",
            ],
            fix: [
                "让公众号管理员在微信里确认；89506 表示被拒绝，24 小时后再试，89507 表示 1 小时后再试。",
                "Let the account's administrator confirm in WeChat; 89506 says refused, try again in 24 h, 89507 in 1 h.",
            ],
        },
        45009 | 45011 => Advice {
            meaning: ["获取次数超过了微信的限额。", "WeChat's quota for this call is used up."],
            fix: [
                "查出是谁在反复获取（是否有别的系统使用同一个 appid）；急用时可以调用 clear_quota，每月 10 次。",
                "Find out who asks so often, perhaps another system with the same appid; in need use clear_quota, ten times a month.",
            ],
        },
        50002 => Advice {
            meaning: ["账号被微信限制。", "WeChat has limited the account."],
            fix: ["登录公众平台查看通知。", "See the notices in WeChat's console."],
        },
        _ => Advice {
            meaning: [
                "没有取到凭证，API 调用会失败。",
                "The credential could not be had: API calls fail.",
            ],
            fix: [
                "按上面 wxedge 给出的提示处理，或查微信的错误码表；没有错误码时检查到微信 API 的网络。",
                "Do what the edge says above, or see WeChat's table of codes; without a code, check the network to WeChat's API.",
            ],
        },
    }
}
