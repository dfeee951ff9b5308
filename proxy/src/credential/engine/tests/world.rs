//! WeChat's token endpoints in miniature, by the rules of its documentation.

use super::super::{Issued, Source};
use crate::config::Secret;
use wxedge_wechat::api::errcode::{Answer, Asked, Refusal};

pub(super) const SECOND: i64 = 1000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;
const LIFE: i64 = 7200 * SECOND;
const OVERLAP: i64 = 300 * SECOND;

/// Random numbers from a seed: splitmix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: i64) -> i64 {
        (self.next() % end.unsigned_abs()) as i64
    }

    pub(super) fn percent(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn unit(&mut self) -> f64 {
        self.below(1 << 20) as f64 / f64::from((1 << 20) - 1)
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as i64) as usize]
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mode {
    Well,
    /// The endpoints answer with this errcode.
    Refusing(i64),
    /// No answer, and nothing is done.
    Unreachable,
    /// Every token is rejected by the other APIs, good or not.
    Sick,
    /// `expires_in` is this, whatever is true.
    Odd(i64),
}

#[derive(Debug, Clone, PartialEq)]
struct Token {
    name: String,
    dies: i64,
}

pub(super) struct WeChat {
    pub(super) mode: Mode,
    /// The last is current.
    tokens: Vec<Token>,
    made: u64,
    forced: Vec<i64>,
    limitless: bool,
    /// Tokens made for other systems.
    pub(super) foreign: u64,
    /// It makes a new stable token only this long before the old one dies.
    pub(super) rotates: i64,
}

/// An answer that is on its way.
pub(super) struct Answered {
    pub(super) result: Result<Issued, Refusal>,
    /// What [`WeChat::foreign`] was when it was given.
    pub(super) foreign: u64,
}

impl WeChat {
    /// Sick, and then without a limit of its own on force, or well.
    pub(super) fn new(sick: bool) -> WeChat {
        let mode = if sick { Mode::Sick } else { Mode::Well };
        let (tokens, forced) = (Vec::new(), Vec::new());
        WeChat { mode, limitless: sick, tokens, made: 0, forced, foreign: 0, rotates: OVERLAP }
    }

    /// A token or ticket is asked for.
    pub(super) fn ask(&mut self, t: i64, source: Source, force: bool) -> Answered {
        let asked = if source == Source::Ticket { Asked::Ticket } else { Asked::Token };
        let result = match self.mode {
            Mode::Unreachable => Err(Refusal::unanswered(asked, "no connection")),
            Mode::Refusing(errcode) => Err(refusal(asked, errcode)),
            Mode::Well | Mode::Sick | Mode::Odd(_) => {
                self.hand_out(t, source, force).map(|token| {
                    let seconds = match self.mode {
                        Mode::Odd(seconds) => seconds,
                        _ => (token.dies - t) / SECOND,
                    };
                    Issued { value: Secret::new(token.name), expires_in_s: seconds }
                })
            }
        };
        Answered { result, foreign: self.foreign }
    }

    fn hand_out(&mut self, t: i64, source: Source, force: bool) -> Result<Token, Refusal> {
        let current = self.tokens.last().filter(|token| token.dies > t).cloned();
        match (source, current) {
            (Source::StableToken, Some(current)) if force => {
                if self.forced.last().is_some_and(|last| t - last < 30 * SECOND) {
                    return Ok(current);
                }
                let today = |at: &&i64| beijing_day(**at) == beijing_day(t);
                if !self.limitless && self.forced.iter().filter(today).count() >= 20 {
                    return Err(refusal(Asked::Token, 45009));
                }
                self.forced.push(t);
                self.tokens.clear();
                Ok(self.make(t))
            }
            (Source::StableToken | Source::Ticket, Some(current))
                if current.dies - t > self.rotates =>
            {
                Ok(current)
            }
            (Source::Token, _) => {
                let outlived = self.tokens.len().saturating_sub(1);
                self.tokens.drain(..outlived);
                for old in &mut self.tokens {
                    old.dies = old.dies.min(t + OVERLAP);
                }
                Ok(self.make(t))
            }
            _ => Ok(self.make(t)),
        }
    }

    fn make(&mut self, t: i64) -> Token {
        self.made += 1;
        let token = Token { name: format!("token-{}", self.made), dies: t + LIFE };
        self.tokens.push(token.clone());
        token
    }

    /// Another system refreshes the same appid.
    pub(super) fn interfere(&mut self, t: i64, source: Source) {
        let before = self.made;
        let mode = std::mem::replace(&mut self.mode, Mode::Well);
        let _answer = self.ask(t, source, true);
        self.mode = mode;
        if self.made > before {
            self.foreign += 1;
        }
    }

    /// Another API is called with a token.
    pub(super) fn accepts(&self, t: i64, token: &str) -> bool {
        self.mode != Mode::Sick
            && self.tokens.iter().any(|known| known.name == token && known.dies > t)
    }
}

pub(super) fn refusal(asked: Asked, errcode: i64) -> Refusal {
    Refusal::answered(asked, &Answer { errcode, errmsg: "no rid: 1-2-3".into() })
}

fn beijing_day(t: i64) -> i64 {
    (t + 8 * HOUR).div_euclid(DAY)
}
