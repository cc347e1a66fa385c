//! Annotations of messages as the channel keeps them, and how their types say that they are counted (protocol.md § 18).

use serde::{Deserialize, Serialize};

use crate::limits::MESSAGE_OVERHEAD_BYTES;
use crate::model::data::Data;
use crate::model::message::{Extras, characters, json};
use crate::model::revision::Target;
use crate::model::size::Size;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnnotationAction {
    Create,
    Delete,
}

impl AnnotationAction {
    pub const fn number(self) -> u8 {
        match self {
            AnnotationAction::Create => 0,
            AnnotationAction::Delete => 1,
        }
    }
}

/// What a client says of a message.
///
/// Pinned: stored rows and calls hold it, see [`crate::base::pinned`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    /// Only when the publisher chose it; else it is `<publish id>:<index>`.
    pub id: Option<String>,
    pub action: AnnotationAction,
    /// The field `type`.
    pub kind: String,
    pub name: Option<String>,
    pub count: Option<u64>,
    pub client_id: Option<String>,
    pub data: Data,
    pub encoding: Option<String>,
    #[serde(with = "crate::model::json_text")]
    pub extras: Option<Extras>,
}

impl Annotation {
    /// The size that a client may count, as of a message.
    pub fn size(&self) -> usize {
        let text = |field: &Option<String>| field.as_deref().map_or(0, characters);
        let extras = self.extras.as_ref().map_or(0, |extras| characters(&json(extras)));
        characters(&self.kind) + text(&self.name) + text(&self.client_id) + self.data.len() + extras
    }

    /// The same, with who said it apart.
    pub fn measured(&self) -> Size {
        Size::of(self.size(), self.client_id.as_deref(), self.extras.as_ref())
    }

    /// Bytes that it takes, as of a message.
    pub fn weight(&self) -> usize {
        let text = |field: &Option<String>| field.as_ref().map_or(0, String::len);
        let texts = text(&self.name) + text(&self.client_id) + text(&self.id) + text(&self.encoding);
        let extras = self.extras.as_ref().map_or(0, |extras| json(extras).len());
        MESSAGE_OVERHEAD_BYTES + self.kind.len() + texts + self.data.len() + extras
    }
}

/// How annotations of a type are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// How many there are, whoever says them.
    Total,
    /// Which clients did.
    Flag,
    /// Which clients said each name.
    Distinct,
    /// The same, where a client says one name at a time.
    Unique,
    /// How often each client said each name.
    Multiple,
}

impl Method {
    /// By the end of `namespace:method.version`; `None` for a type that is only passed on.
    pub fn of(kind: &str) -> Option<Method> {
        let (namespace, method) = kind.rsplit_once(':')?;
        match method {
            _ if namespace.is_empty() => None,
            "total.v1" => Some(Method::Total),
            "flag.v1" => Some(Method::Flag),
            "distinct.v1" => Some(Method::Distinct),
            "unique.v1" => Some(Method::Unique),
            "multiple.v1" => Some(Method::Multiple),
            _ => None,
        }
    }

    /// Whether it counts by name.
    pub const fn has_names(self) -> bool {
        matches!(self, Method::Distinct | Method::Unique | Method::Multiple)
    }

    /// Whether only clients with a name can be counted.
    pub const fn needs_identity(self) -> bool {
        matches!(self, Method::Flag | Method::Distinct | Method::Unique)
    }
}

/// What a message's annotations come to, as text of an object by type. Pinned like [`Annotation`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SummaryCounts {
    #[serde(with = "crate::model::json_text")]
    pub by_type: Option<Extras>,
}

/// That a message's summary is another from here on. Pinned like [`Annotation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub target: Target,
    /// The message's.
    pub name: Option<String>,
    /// Absent in the log, where a reader gets what is true when it reads.
    pub counts: SummaryCounts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_type_says_how_it_is_counted() {
        for (kind, method) in [
            ("r:total.v1", Some(Method::Total)),
            ("r:flag.v1", Some(Method::Flag)),
            ("a:b:distinct.v1", Some(Method::Distinct)),
            ("r:unique.v1", Some(Method::Unique)),
            ("r:multiple.v1", Some(Method::Multiple)),
            (":flag.v1", None),
            ("flag.v1", None),
            ("r:flag.v2", None),
            ("r:flag", None),
            ("r:sum.v1", None),
            ("com.example.reactions", None),
            ("", None),
        ] {
            assert_eq!(Method::of(kind), method, "{kind}");
        }
    }
}
