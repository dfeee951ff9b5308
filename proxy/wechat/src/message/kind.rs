//! What a message is: the metric label and the CloudEvents type.

use super::Message;

/// The kinds of callback that metrics tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `MsgType` `text`.
    Text,
    /// `MsgType` `image`.
    Image,
    /// `MsgType` `voice`.
    Voice,
    /// `MsgType` `video`.
    Video,
    /// `MsgType` `shortvideo`.
    ShortVideo,
    /// `MsgType` `location`.
    Location,
    /// `MsgType` `link`.
    Link,
    /// `MsgType` `event`, and a third-party platform's `InfoType`.
    Event,
    /// A GET with `echostr`; no message is this.
    Verification,
    /// Any other `MsgType`.
    Other,
    /// No `MsgType`, or a callback that was not understood.
    Unknown,
}

impl Kind {
    /// Every kind, in the order of their labels in the documentation.
    pub const ALL: [Self; 11] = [
        Self::Text,
        Self::Image,
        Self::Voice,
        Self::Video,
        Self::ShortVideo,
        Self::Location,
        Self::Link,
        Self::Event,
        Self::Verification,
        Self::Other,
        Self::Unknown,
    ];

    /// The name in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Voice => "voice",
            Self::Video => "video",
            Self::ShortVideo => "shortvideo",
            Self::Location => "location",
            Self::Link => "link",
            Self::Event => "event",
            Self::Verification => "verification",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }

    /// The kinds that a `MsgType` can name.
    const NAMED: [Self; 8] = [
        Self::Text,
        Self::Event,
        Self::Image,
        Self::Voice,
        Self::Video,
        Self::ShortVideo,
        Self::Location,
        Self::Link,
    ];
}

/// Longest name that goes into a CloudEvents type, in bytes. WeChat's longest has 43.
const TYPE_NAME_BYTES_MAX: usize = 64;

impl Message<'_> {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What it says it is. WeChat writes `Event` where it should write `event`, so case does not
    /// count.
    pub(super) fn named_kind(&self) -> Kind {
        match self.get("MsgType") {
            Some("") | None if self.get("InfoType").is_some() => Kind::Event,
            Some("") | None => Kind::Unknown,
            Some(name) => Kind::NAMED
                .into_iter()
                .find(|kind| name.eq_ignore_ascii_case(kind.label()))
                .unwrap_or(Kind::Other),
        }
    }

    /// The CloudEvents type: `com.weixin.message.text`, `com.weixin.event.subscribe`,
    /// `com.weixin.info.component_verify_ticket`, in lower case. A name that is missing or absurdly
    /// long is `unknown`.
    #[must_use]
    pub fn ce_type(&self) -> String {
        let (family, name) = match (self.kind, self.event()) {
            (Kind::Event, None) => match self.get("InfoType") {
                Some(info) => ("info", Some(info)),
                None => ("event", None),
            },
            (Kind::Event, event) => ("event", event),
            _ => ("message", self.get("MsgType")),
        };
        let name = name
            .filter(|name| (1..=TYPE_NAME_BYTES_MAX).contains(&name.len()))
            .unwrap_or("unknown");
        let mut ce_type = ["com.weixin.", family, ".", name].concat();
        ce_type.make_ascii_lowercase();
        ce_type
    }
}
