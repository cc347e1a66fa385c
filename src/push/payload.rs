//! What a notification says: a part for all transports, and a part for each (protocol.md § 20.4).

use serde_json::{Map, Value};

use super::device::{bad, bounded, shown};
use crate::error::ErrorInfo;
use crate::limits::{APNS_HEADER_MAX_BYTES, PUSH_PAYLOAD_MAX_BYTES};
use crate::model::node;

/// What of `apns` becomes headers of the request, and which headers it may name.
pub const APNS_HEADERS: &str = "apns-headers";
const APNS_HEADER_NAMES: [&str; 6] =
    ["apns-id", "apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id", "apns-topic"];

const PARTS: [&str; 6] = ["notification", "data", "apns", "fcm", "gcm", "web"];

/// At least one part, and nothing that is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload(Map<String, Value>);

impl Payload {
    /// Fails with 40000 for a part that is none or no object, and where there is none; with 40009 when it is too long.
    pub fn read(fields: Map<String, Value>) -> Result<Payload, ErrorInfo> {
        if let Some(name) = fields.keys().find(|name| !PARTS.contains(&name.as_str())) {
            return Err(bad(&format!("a push has no part '{}': parts are {}", shown(name), PARTS.join(", "))));
        }
        if let Some((name, _)) = fields.iter().find(|(_, part)| !part.is_object()) {
            return Err(bad(&format!("'{name}' must be an object")));
        }
        if fields.is_empty() {
            return Err(bad(&format!("a push needs one of {}", PARTS.join(", "))));
        }
        fields.get("apns").and_then(|apns| apns.get(APNS_HEADERS)).map_or(Ok(()), check_headers)?;
        let payload = Value::Object(fields);
        bounded(&payload, "push", PUSH_PAYLOAD_MAX_BYTES)?;
        let Value::Object(fields) = payload else { unreachable!("made above") };
        Ok(Payload(fields))
    }

    /// What [`Payload::text`] wrote.
    pub fn parse(text: &str) -> Result<Payload, ErrorInfo> {
        Payload::read(node::object_of(text.as_bytes()).unwrap_or_default())
    }

    /// As it was sent: what a channel is told.
    pub fn text(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// As a web app's service worker reads it. The data stands where the worker of the getting-started guide looks for
    /// it and, if there is room, where the documentation says that it is; what `web` says replaces what it names.
    /// `None` when it is longer than `max_bytes`.
    pub fn web(&self, max_bytes: usize) -> Option<String> {
        [true, false].into_iter().map(|twice| self.web_message(twice)).find(|message| message.len() <= max_bytes)
    }

    /// What replaces an earlier one that is not delivered yet.
    pub fn collapse_key(&self) -> Option<&str> {
        self.part("notification")?.get("collapseKey")?.as_str()
    }

    pub fn part(&self, name: &str) -> Option<&Map<String, Value>> {
        self.0.get(name).and_then(Value::as_object)
    }

    fn web_message(&self, has_data_twice: bool) -> String {
        let mut shown = Map::new();
        for name in ["title", "body", "icon"] {
            let value = self.part("notification").and_then(|notification| notification.get(name));
            shown.extend(value.map(|value| (name.to_owned(), value.clone())));
        }
        let mut message = Map::new();
        if let Some(data) = self.part("data") {
            message.insert("data".to_owned(), Value::Object(data.clone()));
            if has_data_twice {
                shown.insert("data".to_owned(), Value::Object(data.clone()));
            }
        }
        message.insert("notification".to_owned(), Value::Object(shown));
        merge(&mut message, self.part("web").cloned().unwrap_or_default());
        Value::Object(message).to_string()
    }
}

/// Puts fields into an object; objects that both have become one.
pub fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(fields)) => merge(known, fields),
            (_, value) => drop(into.insert(name, value)),
        }
    }
}

/// Headers travel as they are: nothing in them may be taken for another.
fn check_headers(headers: &Value) -> Result<(), ErrorInfo> {
    let headers = headers.as_object().ok_or_else(|| bad(&format!("'{APNS_HEADERS}' must be an object")))?;
    let is_header = |value: &Value| match value {
        Value::String(text) => text.len() <= APNS_HEADER_MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic()),
        value => value.is_u64(),
    };
    match headers.iter().find(|(name, value)| !APNS_HEADER_NAMES.contains(&name.as_str()) || !is_header(value)) {
        None => Ok(()),
        Some((name, _)) => Err(bad(&format!(
            "'{APNS_HEADERS}' must be texts of at most {APNS_HEADER_MAX_BYTES} visible characters, or whole numbers, by the \
             names {}; '{}' is not",
            APNS_HEADER_NAMES.join(", "),
            shown(name)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Code;

    fn payload(value: Value) -> Result<Payload, ErrorInfo> {
        Payload::read(value.as_object().cloned().unwrap())
    }

    #[test]
    fn a_push_has_a_part_and_nothing_else() {
        for good in [json!({"notification": {}}), json!({"data": {"a": "b"}}), json!({"web": {"x": 1}})] {
            assert!(payload(good).is_ok());
        }
        for bad in [json!({}), json!({"xxx": 5}), json!({"notification": "hi"}), json!({"data": {}, "xxx": 5})] {
            assert!(payload(bad).unwrap_err().is(Code::BadRequest));
        }
        let long = json!({"data": {"a": "x".repeat(PUSH_PAYLOAD_MAX_BYTES)}});
        assert!(payload(long).unwrap_err().is(Code::TooLarge));
    }

    #[test]
    fn a_web_app_gets_the_common_part_and_its_own() {
        let sent = json!({
            "notification": {"title": "Goal", "body": "1:0", "icon": "/i.png", "sound": "bang", "collapseKey": "k"},
            "data": {"match": "7"}, "fcm": {"x": 1}, "apns": {},
            "web": {"notification": {"badge": "/b.png", "title": "GOAL"}, "badge": 1},
        });
        let expected = json!({
            "data": {"match": "7"},
            "notification": {"title": "GOAL", "body": "1:0", "icon": "/i.png", "data": {"match": "7"}, "badge": "/b.png"},
            "badge": 1,
        });
        let web: Value = serde_json::from_str(&payload(sent).unwrap().web(4_000).unwrap()).unwrap();
        assert_eq!(web, expected);
        let web: Value =
            serde_json::from_str(&payload(json!({"data": {"a": "b"}})).unwrap().web(4_000).unwrap()).unwrap();
        assert_eq!(web, json!({"data": {"a": "b"}, "notification": {"data": {"a": "b"}}}));
    }

    #[test]
    fn data_stands_twice_only_where_it_fits() {
        let one = payload(json!({"data": {"a": "x".repeat(100)}})).unwrap();
        let web: Value = serde_json::from_str(&one.web(200).unwrap()).unwrap();
        assert_eq!(web, json!({"data": {"a": "x".repeat(100)}, "notification": {}}));
        assert_eq!(one.web(100), None);
    }

    #[test]
    fn a_payload_comes_back_from_its_text() {
        let one = payload(json!({"notification": {"title": "t"}, "data": {"z": "1", "a": "2"}})).unwrap();
        assert_eq!(one.text(), r#"{"notification":{"title":"t"},"data":{"z":"1","a":"2"}}"#);
        assert_eq!(Payload::parse(&one.text()), Ok(one));
    }
}
