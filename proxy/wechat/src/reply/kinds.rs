//! The kinds of passive reply, as one table: what a field is called in JSON, in XML, and whether
//! WeChat insists on it.
//!
//! Source: WeChat's passive replies and customer-service messages, which say the same things under
//! different names.

use serde_json::{Map, Value};

use super::InvalidReply;
use crate::message::Message;
use crate::xml::is_xml;

/// Most articles of a news reply; WeChat shows no more.
const ARTICLES_MAX: usize = 8;

/// One kind of reply.
#[derive(PartialEq, Eq)]
pub(super) struct Kind {
    /// `msgtype` and `MsgType`.
    pub(super) msgtype: &'static str,
    pub(super) layout: Layout,
    pub(super) fields: &'static [Field],
}

/// Where the fields stand in XML.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Beside `MsgType`.
    Flat,
    /// In an element of this name.
    Within(&'static str),
    /// In an element of this name, which may be missing.
    Optional(&'static str),
    /// In each `item` of `Articles`.
    Articles,
}

#[derive(PartialEq, Eq)]
pub(super) struct Field {
    pub(super) json: &'static str,
    /// `None` where a passive reply does not have it.
    pub(super) xml: Option<&'static str>,
    required: bool,
}

const fn required(json: &'static str, xml: &'static str) -> Field {
    Field { json, xml: Some(xml), required: true }
}

const fn optional(json: &'static str, xml: &'static str) -> Field {
    Field { json, xml: Some(xml), required: false }
}

static KINDS: [Kind; 7] = [
    Kind { msgtype: "text", layout: Layout::Flat, fields: &[required("content", "Content")] },
    Kind {
        msgtype: "image",
        layout: Layout::Within("Image"),
        fields: &[required("media_id", "MediaId")],
    },
    Kind {
        msgtype: "voice",
        layout: Layout::Within("Voice"),
        fields: &[required("media_id", "MediaId")],
    },
    Kind {
        msgtype: "video",
        layout: Layout::Within("Video"),
        fields: &[
            required("media_id", "MediaId"),
            optional("title", "Title"),
            optional("description", "Description"),
            Field { json: "thumb_media_id", xml: None, required: false },
        ],
    },
    Kind {
        msgtype: "music",
        layout: Layout::Within("Music"),
        // WeChat's page insists on ThumbMediaId, WeChat itself does not.
        fields: &[
            optional("title", "Title"),
            optional("description", "Description"),
            optional("musicurl", "MusicUrl"),
            optional("hqmusicurl", "HQMusicUrl"),
            optional("thumb_media_id", "ThumbMediaId"),
        ],
    },
    Kind {
        msgtype: "news",
        layout: Layout::Articles,
        fields: &[
            required("title", "Title"),
            optional("description", "Description"),
            optional("picurl", "PicUrl"),
            optional("url", "Url"),
        ],
    },
    Kind {
        msgtype: TRANSFER,
        layout: Layout::Optional("TransInfo"),
        fields: &[optional("kf_account", "KfAccount")],
    },
];

pub(super) const TRANSFER: &str = "transfer_customer_service";

/// A passive reply whose required fields are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    pub(super) kind: &'static Kind,
    /// One set of values, in the order of the kind's fields; several for news. What is empty is
    /// left out: WeChat refuses some empty elements that it does not miss.
    pub(super) entries: Vec<Vec<Option<String>>>,
}

impl Reply {
    /// A text reply.
    ///
    /// # Errors
    /// [`InvalidReply::EmptyText`] for blank text, which WeChat does not take for an
    /// acknowledgement.
    pub fn text(content: &str) -> Result<Self, InvalidReply> {
        Self::new(&KINDS[0], vec![vec![Some(content.to_owned())]])
    }

    /// Its `msgtype`.
    #[must_use]
    pub const fn msgtype(&self) -> &'static str {
        self.kind.msgtype
    }

    /// From the customer-service form, given its lower-case `msgtype`; `None` for a kind that has
    /// no passive form.
    pub(super) fn from_json(
        msgtype: &str,
        json: &Map<String, Value>,
    ) -> Option<Result<Self, InvalidReply>> {
        let kind = KINDS.iter().find(|kind| kind.msgtype == msgtype)?;
        let content = json.get(msgtype);
        let entry = |object: &Value| {
            let value = |field: &Field| object.get(field.json)?.as_str().map(str::to_owned);
            kind.fields.iter().map(value).collect()
        };
        let entries = match kind.layout {
            Layout::Articles => content
                .and_then(|news| news.get("articles")?.as_array())
                .map(|articles| articles.iter().take(ARTICLES_MAX).map(entry).collect())
                .unwrap_or_default(),
            Layout::Flat | Layout::Within(_) | Layout::Optional(_) => {
                content.map(entry).into_iter().collect()
            }
        };
        Some(Self::new(kind, entries))
    }

    /// From a passive reply in XML. Names and time in it do not count: the edge knows them better.
    pub(super) fn from_xml(xml: &Message) -> Result<Self, InvalidReply> {
        let msgtype = xml.get("MsgType").ok_or(InvalidReply::Kind)?;
        let kind = KINDS
            .iter()
            .find(|kind| msgtype.eq_ignore_ascii_case(kind.msgtype))
            .ok_or(InvalidReply::Kind)?;
        let entry = |parent: usize| {
            let value = |field: &Field| xml.text(xml.find(parent, field.xml?)?).map(str::to_owned);
            kind.fields.iter().map(value).collect()
        };
        let entries = match kind.layout {
            Layout::Flat => vec![entry(0)],
            Layout::Within(name) | Layout::Optional(name) => {
                xml.find(0, name).map(entry).into_iter().collect()
            }
            Layout::Articles => xml
                .find(0, "Articles")
                .map(|articles| xml.named(articles, "item").take(ARTICLES_MAX).map(entry).collect())
                .unwrap_or_default(),
        };
        Self::new(kind, entries)
    }

    fn new(
        kind: &'static Kind,
        mut entries: Vec<Vec<Option<String>>>,
    ) -> Result<Self, InvalidReply> {
        for entry in &mut entries {
            for (field, value) in kind.fields.iter().zip(entry) {
                if value.as_ref().is_some_and(|text| !text.chars().any(is_shown)) {
                    if kind.layout == Layout::Flat {
                        return Err(InvalidReply::EmptyText);
                    }
                    *value = None;
                }
                if field.required && value.is_none() {
                    return Err(InvalidReply::Incomplete);
                }
            }
        }
        entries.retain(|entry| entry.iter().any(Option::is_some));
        if entries.is_empty() && !matches!(kind.layout, Layout::Optional(_)) {
            return Err(InvalidReply::Incomplete);
        }
        Ok(Self { kind, entries })
    }
}

/// Whether anything of a character reaches the user.
pub(super) fn is_shown(c: char) -> bool {
    is_xml(c) && !c.is_whitespace()
}
