//! What is said of a message, and done to objects, for tests that count what each costs.

use courtside::auth::Source;
use courtside::model::annotation::{Annotation, AnnotationAction};
use courtside::model::data::Data;
use courtside::model::objects::operation::{Action, ObjectMessage, Operation, Proposal, Target, Value};
use courtside::model::objects::parts::{Cursor, PartKey};
use courtside::rpc::{Publish, PublishKey, Submission};

pub const FIRST: &str = "00000001000000-001@life:000";

pub fn said(connection_id: &str, serial: u64, client_id: String, count: u64) -> Publish {
    let annotation = Annotation {
        id: None,
        action: AnnotationAction::Create,
        kind: "r:multiple.v1".into(),
        name: Some("clap".into()),
        count: Some(count),
        client_id: Some(client_id),
        data: Data::Absent,
        encoding: None,
        extras: None,
    };
    let content = Submission::Annotations { message: FIRST.to_owned(), annotations: vec![annotation] };
    Publish { key: PublishKey::Serial(serial), connection_id: Some(connection_id.into()), by: Source::SERVER, content }
}

/// Entries of the root.
pub fn sets(serial: u64, keys: std::ops::Range<u64>) -> Publish {
    let set = |key| Action::MapSet { key: format!("key{key}"), value: Value::Text("x".repeat(20)) };
    operations(serial, keys.map(set).collect())
}

pub fn operation(serial: u64, action: Action) -> Publish {
    operations(serial, vec![action])
}

pub fn operations(serial: u64, actions: Vec<Action>) -> Publish {
    let proposal = |action| {
        let operation = Operation { object_id: "root".into(), action };
        let message = ObjectMessage { id: None, client_id: None, extras: None, operation };
        Proposal { message, target: Target::Named }
    };
    let content = Submission::Objects(actions.into_iter().map(proposal).collect());
    Publish { key: PublishKey::Serial(serial), connection_id: Some("operator".into()), by: Source::SERVER, content }
}

pub fn amid_root() -> Cursor {
    Cursor { after: PartKey::entry("root", "key5"), object: None, has_root: true }
}
