//! The report: a line for every check, and below one that went wrong what it means and what to do.

use super::words::{Label, Level, Topic, Words};
use crate::config::Language;
use std::io::{self, Write};

/// What stands before a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// `[ok]`, `[!]`, `[x]`, `[-]` for what is not known yet: for files and pipes.
    Ascii,
    /// ✓, !, ✗, –: for terminals.
    Signs,
    /// The same in green, yellow and red.
    Colours,
}

/// What is wrong, and how much.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) topic: Topic,
    pub(super) level: Level,
}

/// A report that is being written.
pub(super) struct Report<'a, W> {
    words: Words,
    marks: Marks,
    out: &'a mut W,
    /// What was explained once need not be explained again.
    explained: Vec<Topic>,
    hints: usize,
    problems: usize,
}

impl<'a, W: Write> Report<'a, W> {
    pub(super) fn new(language: Language, marks: Marks, out: &'a mut W) -> Report<'a, W> {
        Report { words: Words(language), marks, out, explained: Vec::new(), hints: 0, problems: 0 }
    }

    /// The language of the report.
    pub(super) fn words(&self) -> Words {
        self.words
    }

    /// What the next lines are about.
    pub(super) fn heading(&mut self, label: Label) -> io::Result<()> {
        writeln!(self.out, "\n{}", self.words.label(label))
    }

    /// The same, of an account.
    pub(super) fn heading_of(&mut self, label: Label, name: &str) -> io::Result<()> {
        writeln!(self.out, "\n{} {name}", self.words.label(label))
    }

    /// One check: what was looked at, what was found, and what is wrong with it.
    pub(super) fn check(
        &mut self,
        label: Label,
        target: &str,
        detail: &str,
        trouble: Option<Trouble>,
    ) -> io::Result<()> {
        let level = trouble.as_ref().map(|trouble| trouble.level);
        self.line(mark(self.marks, level), label, target, detail)?;
        if let Some(Trouble { topic, level }) = trouble {
            match level {
                Level::Hint => self.hints += 1,
                Level::Problem => self.problems += 1,
            }
            self.explain(topic)?;
        }
        // So that whoever waits sees what is being waited for.
        self.out.flush()
    }

    /// Something of which nothing is known yet.
    pub(super) fn open(&mut self, label: Label, target: &str, detail: &str) -> io::Result<()> {
        let mark = if self.marks == Marks::Ascii { "[-] " } else { "–" };
        self.line(mark, label, target, detail)
    }

    fn line(&mut self, mark: &str, label: Label, target: &str, detail: &str) -> io::Result<()> {
        let label = self.words.label(label);
        let parts = [label, target].into_iter().filter(|part| !part.is_empty());
        let what = parts.collect::<Vec<_>>().join(" ");
        match detail {
            "" => writeln!(self.out, "{mark} {what}"),
            detail => writeln!(self.out, "{mark} {what}: {detail}"),
        }
    }

    fn explain(&mut self, topic: Topic) -> io::Result<()> {
        if self.explained.contains(&topic) {
            return writeln!(self.out, "      {}", self.words.as_above());
        }
        let (meaning, fix) = self.words.explain(&topic);
        self.explained.push(topic);
        writeln!(self.out, "      {meaning}\n      {}{fix}", self.words.to_do())
    }

    /// The sum; true without a problem.
    pub(super) fn end(self) -> io::Result<bool> {
        let sum = self.words.sum(self.problems, self.hints);
        writeln!(self.out, "\n{sum}")?;
        self.out.flush()?;
        Ok(self.problems == 0)
    }
}

fn mark(marks: Marks, level: Option<Level>) -> &'static str {
    match (marks, level) {
        (Marks::Ascii, None) => "[ok]",
        (Marks::Ascii, Some(Level::Hint)) => "[!] ",
        (Marks::Ascii, Some(Level::Problem)) => "[x] ",
        (Marks::Signs, None) => "✓",
        (Marks::Signs, Some(Level::Hint)) => "!",
        (Marks::Signs, Some(Level::Problem)) => "✗",
        (Marks::Colours, None) => "\x1b[32m✓\x1b[0m",
        (Marks::Colours, Some(Level::Hint)) => "\x1b[33m!\x1b[0m",
        (Marks::Colours, Some(Level::Problem)) => "\x1b[31m✗\x1b[0m",
    }
}
