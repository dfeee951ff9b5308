//! Stage 4: what is it?

use super::Rejection;
use super::decrypt::Clear;
use crate::outcome::Outcome;
use wxedge_wechat::message::Message;

/// Reads the message.
///
/// # Errors
/// `rejected_malformed`; `rejected_decrypt` for a ciphertext that came to an account in plain mode, which would reach
/// the app as a message without content.
pub fn parse<'a>(clear: &'a Clear<'_>) -> Result<Message<'a>, Rejection> {
    let message = Message::parse(&clear.message)
        .map_err(|error| Rejection::new(Outcome::RejectedMalformed, error.reason()))?;
    let is_ciphertext = message.get("Encrypt").is_some() && message.get("MsgType").is_none();
    if clear.sealed_with.is_none() && is_ciphertext {
        return Err(Rejection::new(Outcome::RejectedDecrypt, "mode_is_plain"));
    }
    Ok(message)
}
