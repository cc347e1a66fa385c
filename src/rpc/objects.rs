//! What a channel is asked of its objects.

use serde::{Deserialize, Serialize};

use crate::model::objects::parts::{Cursor, Snapshot};
use crate::model::objects::path::Path;

/// A page of a sync. The state that all pages tell is that of some moment after the first was asked for, or later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectsQuery {
    pub after: Option<Box<Cursor>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectsPage {
    pub epoch: String,
    pub objects: Vec<Snapshot>,
    /// Where the next page begins, when more follow.
    pub next: Option<Box<Cursor>>,
}

/// What a path leads to from an object, and all that it refers to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeQuery {
    pub object_id: String,
    pub path: Path,
}
