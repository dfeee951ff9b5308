//! What is wrong with a configuration, in words that name the key, the place and the fix, and never a value.

use std::fmt;

/// One mistake, or one warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// The key, `accounts.main.token`; empty when it is about the file as a whole.
    pub path: String,
    /// The line of the file it stands in, from 1; `None` when it stands in the environment or nowhere.
    pub line: Option<usize>,
    /// The environment variable it comes from.
    pub variable: Option<String>,
    /// What is wrong and what to do. No value of the configuration is ever repeated here: it may be a secret that was
    /// pasted into the wrong key.
    pub message: String,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), self.line, self.variable.as_deref()) {
            ("", None, _) => write!(f, "{}", self.message),
            ("", Some(line), _) => write!(f, "line {line}: {}", self.message),
            (path, _, Some(variable)) => write!(f, "{path} ({variable}): {}", self.message),
            (path, Some(line), None) => write!(f, "{path} (line {line}): {}", self.message),
            (path, None, None) => write!(f, "{path}: {}", self.message),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issues {
    /// All mistakes, in the order of the file. Never empty.
    pub mistakes: Vec<Issue>,
    /// What else there would be to say.
    pub warnings: Vec<Issue>,
}

impl Issues {
    /// The only issue there is, when nothing else could be looked at.
    pub(super) fn one(line: Option<usize>, message: String) -> Issues {
        let mistakes = vec![Issue { path: String::new(), line, variable: None, message }];
        Issues { mistakes, warnings: Vec::new() }
    }
}

/// The mistakes alone.
impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{issue}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Issues {}
