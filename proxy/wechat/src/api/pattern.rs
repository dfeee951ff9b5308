//! Path patterns of clients: `/cgi-bin/message/**`.

use super::target::segments;

/// Most segments of a pattern; with it, a match takes at most this many comparisons for each
/// segment of the path.
pub const PATTERN_SEGMENTS_MAX: usize = 32;

/// A pattern: `*` is one whole segment, `**` any number of them, also none; all else is literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    One,
    Any,
}

impl Pattern {
    /// Reads a pattern. `None` unless it begins with `/` and has 1 to [`PATTERN_SEGMENTS_MAX`]
    /// segments, each `*`, `**` or one or more of `[A-Za-z0-9._~-]`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let segments: Vec<Segment> =
            text.strip_prefix('/')?.split('/').map(Segment::parse).collect::<Option<_>>()?;
        (segments.len() <= PATTERN_SEGMENTS_MAX).then_some(Self(segments))
    }

    /// Whether a decoded path matches. Case counts, and so does a slash at the end.
    #[must_use]
    pub fn matches(&self, decoded_path: &str) -> bool {
        let mut pattern = self.0.as_slice();
        let mut path = segments(decoded_path);
        // Where to go on when a segment does not match: behind the last `**`, with one more
        // segment given to it. An earlier `**` need not be tried again: it took as few as it could.
        let mut retry = None;
        loop {
            if let [Segment::Any, behind @ ..] = pattern {
                if behind.is_empty() {
                    return true;
                }
                pattern = behind;
                retry = Some((behind, path.clone()));
                continue;
            }
            let (segment, wanted) = (path.next(), pattern.split_first());
            match (segment, wanted) {
                (None, None) => return true,
                (Some(segment), Some((wanted, behind))) if wanted.takes(segment) => {
                    pattern = behind;
                }
                // The path is at its end, and giving `**` more of it leaves even less.
                (None, Some(_)) => return false,
                (Some(_), _) => {
                    let Some((behind, from)) = &mut retry else { return false };
                    from.next();
                    (pattern, path) = (behind, from.clone());
                }
            }
        }
    }
}

impl Segment {
    fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match text {
            "*" => Some(Self::One),
            "**" => Some(Self::Any),
            _ if !text.is_empty() && text.bytes().all(plain) => Some(Self::Literal(text.into())),
            _ => None,
        }
    }

    /// `*` is no empty segment: what stands behind a slash at the end is none.
    fn takes(&self, segment: &str) -> bool {
        match self {
            Self::Literal(literal) => **literal == *segment,
            Self::One => !segment.is_empty(),
            Self::Any => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn examples() {
        for (pattern, path, expected) in [
            ("/cgi-bin/message/**", "/cgi-bin/message/custom/send", true),
            ("/cgi-bin/message/**", "/cgi-bin/message", true),
            ("/cgi-bin/message/**", "/cgi-bin/message/", true),
            ("/cgi-bin/message/**", "/cgi-bin/messages", false),
            ("/cgi-bin/message/**", "/CGI-BIN/message/custom", false),
            ("/cgi-bin/message/*", "/cgi-bin/message/custom", true),
            ("/cgi-bin/message/*", "/cgi-bin/message/custom/send", false),
            ("/cgi-bin/message/*", "/cgi-bin/message/", false),
            ("/cgi-bin/user/info", "/cgi-bin/user/info", true),
            ("/cgi-bin/user/info", "/cgi-bin/user/info/", false),
            ("/cgi-bin/user/info", "/cgi-bin/user/info/batchget", false),
            ("/**", "/", true),
            ("/*", "/", false),
            ("/**/get", "/get", true),
            ("/**/get", "/a/get/b/get", true),
            ("/**/get/**/x", "/get/get/x/y", false),
            ("/**/a/b/**/c", "/a/a/b/a/b/d/c", true),
        ] {
            assert_eq!(
                Pattern::parse(pattern).unwrap().matches(path),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let long = "/a".repeat(PATTERN_SEGMENTS_MAX + 1);
        for wrong in
            ["", "/", "a", "*", "/a//b", "/a/", "/a*", "/***", "/a b", "/a?", "/é", "/%61", &long]
        {
            assert_eq!(Pattern::parse(wrong), None, "{wrong}");
        }
        assert!(Pattern::parse(&long[2..]).is_some());
    }

    fn naive(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], []) => true,
            (["**", behind @ ..], _) => {
                naive(behind, path) || !path.is_empty() && naive(pattern, &path[1..])
            }
            ([wanted, behind @ ..], [segment, rest @ ..]) => {
                (*wanted == "*" && !segment.is_empty() || wanted == segment) && naive(behind, rest)
            }
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8192))]

        #[test]
        fn matches_like_the_naive_reference(
            pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "**"]), 1..7),
            path in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..9),
            slash: bool,
        ) {
            let mut path = path;
            if slash || path.is_empty() {
                path.push("");
            }
            let (text, target) = (pattern.join("/"), path.join("/"));
            let found = Pattern::parse(&format!("/{text}")).unwrap().matches(&format!("/{target}"));
            prop_assert_eq!(found, naive(&pattern, &path), "/{} /{}", text, target);
        }
    }

    #[test]
    fn the_worst_pattern_ends() {
        let pattern = Pattern::parse(&"/**/a".repeat(PATTERN_SEGMENTS_MAX / 2)).unwrap();
        assert!(!pattern.matches(&format!("{}/b", "/a".repeat(1000))));
    }
}
