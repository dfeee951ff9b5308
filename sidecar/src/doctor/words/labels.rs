//! What is looked at.

use super::{Both, Label};

pub(super) fn label(label: Label) -> Both {
    match label {
        Label::Edge => ["边缘网关（wxedge）", "The edge"],
        Label::Admin => ["管理接口", "admin API"],
        Label::Api => ["API 接口", "API"],
        Label::Version => ["版本", "version"],
        Label::Ready => ["就绪", "ready"],
        Label::Store => ["存储", "store"],
        Label::Orphans => ["没有账号的消息", "messages without an account"],
        Label::Configuration => ["配置", "configuration"],
        Label::Accounts => ["账号", "accounts"],
        Label::Account => ["账号", "Account"],
        Label::PublicUrl => ["公网 URL", "public URL"],
        Label::Dns => ["域名解析", "name"],
        Label::Tcp => ["TCP 连接", "TCP"],
        Label::Tls => ["TLS 证书", "TLS"],
        Label::Echo => ["echostr 验证", "echostr"],
        Label::CallbackCheck => ["微信侧的网络检测", "WeChat's own check"],
        Label::Clock => ["时钟", "clock"],
        Label::Circuit => ["应用的熔断器", "circuit of the app"],
        Label::Spool => ["待投与死信", "spool"],
        Label::Credential => ["凭证", "credential"],
        Label::SourceIp => ["来源 IP 限制", "source_ip"],
        Label::Refused => ["网关启动以来拒绝的回调", "callbacks refused since the edge's start"],
        Label::Taken => ["网关启动以来接受的回调", "callbacks accepted since the edge's start"],
        Label::ApiBase => ["微信 API 服务器", "WeChat's API"],
        Label::FromTheEdge => ["从边缘网关访问", "from the edge"],
        Label::FromHere => ["从本机直接访问", "from here"],
        Label::Notifications => ["告警通知", "Notifications"],
        Label::Channels => ["通知渠道", "channels"],
    }
}
