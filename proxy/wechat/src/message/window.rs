//! How long a user may be written to after a message.

use std::time::Duration;

use super::{Kind, Message};

/// After the user wrote something.
const MESSAGE: Duration = Duration::from_secs(48 * 3600);
/// After the user did something.
const ACTION: Duration = Duration::from_secs(60);

/// Events that open the short window: a click on the menu, a follow, a scan, the way into a mini program's session.
const ACTIONS: [&str; 6] =
    ["click", "subscribe", "scan", "scancode_push", "scancode_waitmsg", "user_enter_tempsession"];
/// A card of a mini program that the user sent; no other `MsgType` outside [`Kind`] is a user's.
const CARD: &str = "miniprogrampage";

impl Message<'_> {
    /// How long WeChat takes customer-service messages to the user because of this message: 48 hours after what the
    /// user wrote, a minute after what the user did; `None` if it opens no window. How many it takes is WeChat's to
    /// say.
    ///
    /// Source: customer-service messages
    /// (<https://developers.weixin.qq.com/doc/offiaccount/Customer_Service/Customer_Service_Messages.html>).
    #[must_use]
    pub fn reply_window(&self) -> Option<Duration> {
        let is = |name: Option<&str>, one: &str| name.is_some_and(|n| n.eq_ignore_ascii_case(one));
        match self.kind() {
            Kind::Text
            | Kind::Image
            | Kind::Voice
            | Kind::Video
            | Kind::ShortVideo
            | Kind::Location
            | Kind::Link => Some(MESSAGE),
            Kind::Other => is(self.get("MsgType"), CARD).then_some(MESSAGE),
            Kind::Event => ACTIONS.iter().any(|one| is(self.event(), one)).then_some(ACTION),
            Kind::Verification | Kind::Unknown => None,
        }
    }
}
