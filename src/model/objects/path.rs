//! Paths through maps: keys with dots between them, `\.` for a dot in a key, and `*` for every key of one level.

use serde::{Deserialize, Serialize};

use crate::error::{Code, ErrorInfo};
use crate::limits::OBJECT_PATH_MAX_SEGMENTS;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Segment {
    Key(String),
    Any,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Path(pub Vec<Segment>);

impl Path {
    /// An empty text is the place where the path begins. Fails with 92007 when it is too long.
    pub fn parse(text: &str) -> Result<Path, ErrorInfo> {
        if text.is_empty() {
            return Ok(Path::default());
        }
        let mut segments = Vec::new();
        let (mut key, mut escaped) = (String::new(), false);
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\\' if matches!(characters.peek(), Some('.' | '\\' | '*')) => {
                    escaped = true;
                    key.extend(characters.next());
                }
                '.' => segments.push(segment(&mut key, &mut escaped)),
                other => key.push(other),
            }
        }
        segments.push(segment(&mut key, &mut escaped));
        match segments.len() <= OBJECT_PATH_MAX_SEGMENTS {
            true => Ok(Path(segments)),
            false => Err(Code::BadPath.because(format!("a path has at most {OBJECT_PATH_MAX_SEGMENTS} keys"))),
        }
    }

    pub fn has_wildcard(&self) -> bool {
        self.0.contains(&Segment::Any)
    }

    /// Where it ends, and the path to there.
    pub fn split_last(mut self) -> Option<(Path, String)> {
        match self.0.pop()? {
            Segment::Key(key) => Some((self, key)),
            Segment::Any => None,
        }
    }
}

fn segment(key: &mut String, escaped: &mut bool) -> Segment {
    let was_escaped = std::mem::take(escaped);
    match std::mem::take(key) {
        any if any == "*" && !was_escaped => Segment::Any,
        key => Segment::Key(key),
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match segment {
                Segment::Key(key) => write!(f, "{dot}{}", key.replace('.', "\\."))?,
                Segment::Any => write!(f, "{dot}*")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        let name = |segment: &Segment| match segment {
            Segment::Key(key) => format!("={key}"),
            Segment::Any => "*".to_owned(),
        };
        Path::parse(text).unwrap().0.iter().map(name).collect()
    }

    #[test]
    fn dots_part_keys_unless_they_are_escaped() {
        assert_eq!(keys(""), [] as [&str; 0]);
        assert_eq!(keys("a"), ["=a"]);
        assert_eq!(keys("a.b.c"), ["=a", "=b", "=c"]);
        assert_eq!(keys("a\\.b.c"), ["=a.b", "=c"]);
        assert_eq!(keys("a\\b.\\\\"), ["=a\\b", "=\\"]);
        assert_eq!(keys("*.b*.\\*"), ["*", "=b*", "=*"]);
        assert_eq!(keys("a."), ["=a", "="]);
        assert_eq!(Path::parse("a\\.b.*").unwrap().to_string(), "a\\.b.*");
    }

    #[test]
    fn a_path_is_bounded() {
        let of = |count: usize| Path::parse(&vec!["a"; count].join("."));
        assert!(of(OBJECT_PATH_MAX_SEGMENTS).is_ok());
        assert!(of(OBJECT_PATH_MAX_SEGMENTS + 1).unwrap_err().is(Code::BadPath));
    }
}
