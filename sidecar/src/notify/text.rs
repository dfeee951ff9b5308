//! A message in words: a small markdown that all robots understand (bold, line ends), safe to hold what others wrote, and cut to
//! what a robot takes.

use super::message::{Entry, Message, News};
use super::words::{name, severity, words};
use crate::alert::{Alert, State};
use crate::config::Language;
use chrono::{DateTime, FixedOffset};
use std::fmt::Write;

/// The most that one field may have, in characters. The rest of a message needs its room, too.
const FIELD_CHARS: usize = 500;

/// Room for the line that says how much was cut, in bytes.
const TAIL_BYTES: usize = 160;

/// The line that notifications show. It always has `wxedge` in it, for robots that want a keyword.
pub(super) fn title(message: &Message, language: Language) -> String {
    let Message { firing, resolved, .. } = *message;
    let worst = message.severity().map(|worst| severity(worst, language));
    match (language, worst) {
        (Language::Chinese, Some(worst)) if resolved == 0 => {
            format!("[{worst}] wxedge 告警 {firing} 项")
        }
        (Language::Chinese, Some(worst)) => {
            format!("[{worst}] wxedge 告警 {firing} 项，恢复 {resolved} 项")
        }
        (Language::Chinese, None) => format!("[恢复] wxedge 恢复 {resolved} 项"),
        (Language::English, Some(worst)) if resolved == 0 => {
            format!("[{worst}] wxedge: {firing} firing")
        }
        (Language::English, Some(worst)) => {
            format!("[{worst}] wxedge: {firing} firing, {resolved} resolved")
        }
        (Language::English, None) => format!("[resolved] wxedge: {resolved} resolved"),
    }
}

/// All that the message says, in at most `most` bytes (from 512): whole alerts as long as they fit, the first one in any case, and
/// how many there are besides.
pub(super) fn body(message: &Message, language: Language, most: usize) -> String {
    let room = most.saturating_sub(TAIL_BYTES);
    let mut text = String::new();
    let mut shown = 0;
    for entry in &message.entries {
        let block = block(entry, language);
        let block = if shown == 0 { cut(&block, room) } else { format!("\n\n{block}") };
        if text.len() + block.len() > room {
            break;
        }
        text.push_str(&block);
        shown += 1;
    }
    let rest = message.entries.len() - shown + message.omitted();
    if rest > 0 {
        let total = message.firing + message.resolved;
        let line = match language {
            Language::Chinese => format!("\n\n……另有 {rest} 项未列出，共 {total} 项"),
            Language::English => format!("\n\n… and {rest} more, {total} in all"),
        };
        text.push_str(&line);
    }
    text
}

/// One line about an alert: its name and whose it is.
pub(super) fn summary(alert: &Alert, language: Language) -> String {
    let name = name(alert.kind, language);
    match account(alert) {
        Some(account) => format!("{name}{}{account}", words(language).colon),
        None => name.to_owned(),
    }
}

/// One occurrence, as WeChat's own alarms write it: `[IP=…][Msg=…][response_length=…][response_content=…]`.
pub(super) fn example(alert: &Alert) -> Option<String> {
    let example = alert.example.as_ref()?;
    let mut text = String::new();
    let mut part = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            write!(text, "[{name}={}]", plain(&value)).ok();
        }
    };
    part("IP", example.ip.map(|ip| ip.to_string()));
    part("Msg", example.msg_type.clone());
    part("response_length", example.response_length.map(|length| length.to_string()));
    part("response_content", example.response.clone());
    (!text.is_empty()).then_some(text)
}

fn block(entry: &Entry, language: Language) -> String {
    let (alert, words) = (&entry.alert, words(language));
    let label = match entry.news {
        News::Resolved => words.resolved,
        News::Firing | News::Still => severity(alert.severity, language),
    };
    let mut text = format!("**[{label}] {}**", name(alert.kind, language));
    if entry.news == News::Still {
        write!(text, " ({})", words.still).ok();
    }
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            write!(text, "\n{name}{}{value}", words.colon).ok();
        }
    };
    line(words.account, account(alert));
    line(words.first, Some(span(alert, language)));
    let over = alert.state == State::Resolved;
    let description = if over { words.was } else { words.description };
    line(description, Some(plain(&alert.description(language))));
    line(words.count, Some(count(alert, language)));
    if !over {
        line(words.example, example(alert));
        line(words.action, Some(plain(&alert.action(language))));
    }
    text
}

/// When it began, and when it was over.
fn span(alert: &Alert, language: Language) -> String {
    let began = time(alert.time, language);
    match alert.resolved.filter(|_| alert.state == State::Resolved) {
        Some(over) => format!("{began} {} {}", words(language).until, time(over, language)),
        None => began,
    }
}

/// `店铺 (main, wx…)`: the name that people know, the one in the configuration, the one that WeChat knows.
fn account(alert: &Alert) -> Option<String> {
    let account = alert.account.as_deref().map(plain);
    let ids: Vec<String> = account.into_iter().chain(alert.appid.as_deref().map(plain)).collect();
    let ids = ids.join(", ");
    match alert.nickname.as_deref().map(plain).filter(|nickname| !nickname.is_empty()) {
        Some(nickname) if ids.is_empty() => Some(nickname),
        Some(nickname) => Some(format!("{nickname} ({ids})")),
        None => Some(ids).filter(|ids| !ids.is_empty()),
    }
}

/// `5分钟 1272次`, as WeChat says it.
fn count(alert: &Alert, language: Language) -> String {
    let Alert { count, window_s, .. } = alert;
    let minutes = window_s / 60;
    match language {
        Language::Chinese if *window_s == 0 => format!("{count}次"),
        Language::Chinese if window_s % 60 == 0 => format!("{minutes}分钟 {count}次"),
        Language::Chinese => format!("{window_s}秒 {count}次"),
        Language::English if *window_s == 0 => count.to_string(),
        Language::English if window_s % 60 == 0 => format!("{count} in {minutes} min"),
        Language::English => format!("{count} in {window_s} s"),
    }
}

/// In Chinese the time of China, where WeChat's own alarms live; in English UTC, as in logs and graphs. Both say which.
fn time(seconds: i64, language: Language) -> String {
    let time = DateTime::from_timestamp_secs(seconds).unwrap_or_default();
    match language {
        Language::Chinese => match FixedOffset::east_opt(8 * 3600) {
            Some(china) => time.with_timezone(&china).format("%Y-%m-%d %H:%M:%S %:z").to_string(),
            None => time.to_string(),
        },
        Language::English => time.format("%Y-%m-%d %H:%M:%SZ").to_string(),
    }
}

/// A text of others in one line that can call nobody, link nowhere and end no emphasis.
fn plain(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain: String = chars.by_ref().take(FIELD_CHARS).map(harmless).collect();
    if chars.next().is_some() {
        plain.push('…');
    }
    plain
}

fn harmless(char: char) -> char {
    match char {
        // Their full-width twins.
        '<' | '>' | '[' | ']' | '*' => char::from_u32(u32::from(char) + 0xfee0).unwrap_or(' '),
        '`' => '\'',
        char if char.is_control() => ' ',
        // They turn the direction of all that follows.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => ' ',
        char => char,
    }
}

/// The beginning of a text, in at most `most` bytes.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let most = text.floor_char_boundary(most.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..most])
}

#[cfg(test)]
mod tests;
