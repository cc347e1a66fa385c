//! Events of a stream, as who listens reads them.

use serde_json::Value;

/// What a stream says.
#[derive(Debug, Default)]
pub struct StreamEvent {
    pub id: Option<String>,
    pub event: Option<String>,
    pub data: Option<String>,
}

/// An event as `EventSource` reads it.
pub fn block(text: &str) -> StreamEvent {
    let mut said = StreamEvent::default();
    for line in text.lines().filter(|line| !line.starts_with(':')) {
        let (field, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?} is no field"));
        let value = value.to_owned();
        match field {
            "id" => said.id = Some(value),
            "event" => said.event = Some(value),
            "data" => said.data = Some(said.data.map_or(value.clone(), |data| data + "\n" + &value)),
            _ => panic!("{line:?} is no field of ours"),
        }
    }
    said
}

pub fn line(text: &str) -> StreamEvent {
    if text.is_empty() {
        return StreamEvent::default();
    }
    let line: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text:?} is no line: {error}"));
    let field = |name: &str| line.get(name).map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
    StreamEvent { id: field("id"), event: field("event"), data: field("data") }
}
