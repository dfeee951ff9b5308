//! Which answers a message takes.
//!
//! WeChat has no list of this; these names are from its event pages and from what SDKs know. A name
//! that is missing here is treated as conversation, so that an app's reply is sent rather than
//! lost.

use super::{Kind, Message};

/// What may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Passive replies reach a user.
    Conversation,
    /// Nobody is there to read a reply: job results, audits, notices to the account, a third-party
    /// platform's `InfoType`.
    NoContent,
    /// Money and logistics: WeChat wants the app's own JSON.
    Verbatim,
}

/// Events of virtual payment and games.
const VERBATIM_PREFIXES: [&str; 2] = ["xpay_", MINIGAME];
const MINIGAME: &str = "minigame_";

/// Events that a carrier gets, as express company (`*waybill*`) or as courier (`transport_*`).
/// `add_express_path`, which shops get, is none: it takes `success`.
const LOGISTICS: [&str; 3] = ["check_biz", "get_quota", "get_pre_auth_code"];
const LOGISTICS_PREFIX: &str = "transport_";
const LOGISTICS_PART: &str = "waybill";

/// Events without a reader, besides those that the patterns below catch.
const NO_CONTENT: [&str; 25] = [
    "unsubscribe",
    // Verification of the account.
    "qualification_verify_success",
    "qualification_verify_fail",
    "naming_verify_success",
    "naming_verify_fail",
    "annual_renew",
    "verify_expired",
    // Cards and shops: results for the merchant.
    "card_pass_check",
    "card_not_pass_check",
    "card_sku_remind",
    "card_pay_order",
    "merchant_order",
    "poi_check_notify",
    // The user took an authorization back; the sender is the platform.
    "user_info_modified",
    "user_authorization_revoke",
    "user_authorization_cancellation",
    // Results of what the account sent.
    "subscribe_msg_sent_event",
    // Mini program management.
    "open_product_order_pay",
    "add_express_path",
    "charge_service_quota_notify",
    "secvod_upload_event",
    "wxalive_follow_notify",
    "wxalive_push_message_notify",
    "retail_refund_notify",
    "update_invoice_status",
];
const NO_CONTENT_PREFIXES: [&str; 3] = ["wxa_", "wx_verify_", "trade_manage_"];
const NO_CONTENT_SUFFIX: &str = "jobfinish";
const NO_CONTENT_PART: &str = "audit";

impl Message<'_> {
    /// Which answers it takes. Names of events are compared without case.
    #[must_use]
    pub fn class(&self) -> Class {
        if self.kind() != Kind::Event {
            return Class::Conversation;
        }
        let Some(event) = self.event() else {
            return Class::NoContent;
        };
        let event = &*event.to_ascii_lowercase();
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| event.starts_with(prefix));
        if starts(&VERBATIM_PREFIXES)
            || LOGISTICS.contains(&event)
            || event.starts_with(LOGISTICS_PREFIX)
            || event.contains(LOGISTICS_PART)
        {
            Class::Verbatim
        } else if NO_CONTENT.contains(&event)
            || starts(&NO_CONTENT_PREFIXES)
            || event.ends_with(NO_CONTENT_SUFFIX)
            || event.contains(NO_CONTENT_PART)
        {
            Class::NoContent
        } else {
            Class::Conversation
        }
    }

    /// Whether it is a mini game's event, which WeChat waits 3 s for instead of 5.
    #[must_use]
    pub fn is_minigame(&self) -> bool {
        self.event()
            .and_then(|event| event.get(..MINIGAME.len()))
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case(MINIGAME))
    }

    /// What tells WeChat that the message has arrived.
    #[must_use]
    pub fn acknowledgement(&self) -> &'static [u8] {
        match self.class() {
            Class::Conversation | Class::NoContent => b"success",
            Class::Verbatim => br#"{"ErrCode":0,"ErrMsg":"success"}"#,
        }
    }
}
