//! The edge's event stream, read for as long as the sidecar runs: opened again whenever it ends.

use super::client::{AskError, Client};
use crate::limits;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What there is to say about the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is being read from now on.
    Opened,
    /// An event: its name and its data, as the edge wrote them.
    Event(String, String),
    /// It has ended, or could not be opened.
    Closed,
}

/// Reads the stream and tells `hear` what it says. Never returns.
pub async fn follow(client: &Client, mut hear: impl FnMut(Heard)) {
    let [first, longest] = limits::STREAM_RETRY;
    let mut pause = first;
    loop {
        let mut opened = false;
        // Why it ended does not matter: the status says whether the edge is there.
        let _ended = read(client, |heard| {
            opened |= heard == Heard::Opened;
            hear(heard);
        })
        .await;
        if opened {
            hear(Heard::Closed);
            pause = first;
        }
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(longest);
    }
}

/// Several sidecars that lost the same edge do not come back all at once.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + 0.5 * rand::random::<f64>())
}

async fn read(client: &Client, mut hear: impl FnMut(Heard)) -> Result<(), AskError> {
    let mut response = client.events().await?;
    hear(Heard::Opened);
    let mut parser = Parser::default();
    loop {
        let chunk = timeout(limits::STREAM_SILENCE, response.chunk()).await;
        let Some(chunk) = chunk.map_err(|_| AskError::Timeout)?? else { return Ok(()) };
        parser.feed(&chunk, |name, data| hear(Heard::Event(name.to_owned(), data.to_owned())))?;
    }
}

/// Server-sent events, as much of them as the edge uses: one line of data each.
#[derive(Debug, Default)]
struct Parser {
    /// What has come of the line that is being read.
    line: Vec<u8>,
    name: String,
    data: String,
}

impl Parser {
    /// Takes bytes as they come, and gives each event that is complete.
    fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&str, &str)) -> Result<(), AskError> {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    self.end_of_line(&line, &mut each);
                }
                b'\r' => {}
                byte if self.line.len() < limits::EVENT_BYTES => self.line.push(*byte),
                _ => return Err(AskError::Invalid),
            }
        }
        Ok(())
    }

    fn end_of_line(&mut self, line: &[u8], each: &mut impl FnMut(&str, &str)) {
        let line = String::from_utf8_lossy(line);
        if line.is_empty() {
            if !self.data.is_empty() {
                each(&self.name, &self.data);
            }
            (self.name, self.data) = (String::new(), String::new());
        } else if let Some(name) = line.strip_prefix("event:") {
            self.name = name.trim_start().to_owned();
        } else if let Some(data) = line.strip_prefix("data:") {
            self.data = data.trim_start().to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Result<Vec<(String, String)>, AskError> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for chunk in chunks {
            parser.feed(chunk, |name, data| events.push((name.to_owned(), data.to_owned())))?;
        }
        Ok(events)
    }

    #[test]
    fn events_are_found_however_their_bytes_come() {
        let text = "id: 1\nevent: hello\ndata: {\"a\":\"你\"}\n\n:\n\nid: 2\nevent: lost\r\ndata: {}\r\n\r\n";
        let whole = events(&[text.as_bytes()]).unwrap();
        let expected = [("hello", "{\"a\":\"你\"}"), ("lost", "{}")];
        assert_eq!(whole, expected.map(|(name, data)| (name.to_owned(), data.to_owned())));
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(events(&single).unwrap(), whole);
    }

    #[test]
    fn half_an_event_is_none() {
        assert_eq!(events(&[b"event: hello\ndata: {}\n"]).unwrap(), []);
        assert_eq!(events(&[b"event: hello\n\n"]).unwrap(), []);
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let long = vec![b'x'; limits::EVENT_BYTES];
        assert_eq!(events(&[&long]).unwrap(), []);
        assert_eq!(events(&[&long, b"x"]), Err(AskError::Invalid));
    }
}
