//! An event's arguments, as a message that everyone reads.
//!
//! One argument is the message's data: a text, bytes, or any other value as JSON. Several, or none of several, are a
//! list of JSON, and `extras.socketio.args` says how many. Bytes inside of others stand in `extras.socketio.binary`, in
//! base64, and the data has a placeholder for each, as Socket.IO's packets do.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::packet::{self, Kind};
use crate::error::{Code, ErrorInfo};
use crate::limits::SOCKETIO_ATTACHMENTS_MAX;
use crate::model::data::{Data, Payload};
use crate::model::message::Extras;
use crate::model::node;
use crate::protocol::inbound::InboundMessage;
use crate::protocol::outbound::{OutboundData, OutboundMessage};
use crate::protocol::{Encoded, to_json};

/// The key in `extras`.
const EXTRAS: &str = "socketio";

/// Names that a client takes for its own events: it would break off.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// What an event without a name is called, as by `socket.send`.
const UNNAMED: &str = "message";

/// The message of an event. Fails with 40001 for JSON that cannot be kept, with 40013 when it is no list that begins
/// with a name or its placeholders and attachments don't fit, and with 40030 for a reserved name.
pub fn message(data: &str, attachments: Vec<Vec<u8>>) -> Result<InboundMessage, ErrorInfo> {
    let undecodable = |error: serde_json::Error| node::undecodable(crate::model::Format::Json, &error.to_string());
    let Value::Array(mut arguments) = node::value_of(data.as_bytes()).map_err(undecodable)? else {
        return Err(Code::BadData.because("an event is a list that begins with its name"));
    };
    let name = match (!arguments.is_empty()).then(|| arguments.remove(0)) {
        Some(Value::String(name)) => name,
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(Code::BadData.because("an event is a list that begins with its name")),
    };
    if RESERVED.contains(&&*name) {
        return Err(Code::BadPublish.because(format!("no event can be named '{name}': clients take it for their own")));
    }
    let (data, extras) = payload(arguments, attachments)?;
    Ok(InboundMessage { name: Some(name), data, extras, ..InboundMessage::default() })
}

fn payload(mut arguments: Vec<Value>, attachments: Vec<Vec<u8>>) -> Result<(Payload, Option<Value>), ErrorInfo> {
    if !are_placed(&arguments, attachments.len()) {
        return Err(Code::BadData.because("each attachment needs a placeholder, and each placeholder an attachment"));
    }
    if let ([argument], [_]) = (&*arguments, &*attachments)
        && placeholder(argument).is_some()
    {
        let bytes = attachments.into_iter().next().unwrap_or_default();
        return Ok((Payload::Plain(Data::Binary(bytes)), None));
    }
    let mut said = Map::new();
    if arguments.len() > 1 {
        said.insert("args".to_owned(), arguments.len().into());
    }
    if !attachments.is_empty() {
        said.insert("binary".to_owned(), attachments.iter().map(|bytes| BASE64.encode(bytes)).collect());
    }
    let data = match arguments.len() {
        0 => Payload::Plain(Data::Absent),
        1 => match arguments.remove(0) {
            Value::String(text) => Payload::Plain(Data::Text(text)),
            value => Payload::Structured(to_json(&value)),
        },
        _ => Payload::Structured(to_json(&arguments)),
    };
    Ok((data, (!said.is_empty()).then(|| json!({ EXTRAS: said }))))
}

/// The attachment that a value stands for.
fn placeholder(value: &Value) -> Option<usize> {
    let fields = value.as_object().filter(|fields| fields.get("_placeholder") == Some(&Value::Bool(true)))?;
    // A number that is none, or too large, is a placeholder all the same, of nothing.
    Some(fields.get("num").and_then(Value::as_u64).map_or(usize::MAX, |number| number as usize))
}

/// Whether each of so many attachments has one placeholder. Where there are none, nothing is a placeholder.
fn are_placed(values: &[Value], attachments: usize) -> bool {
    let mut placed = vec![false; attachments];
    attachments == 0 || (values.iter().all(|value| place(value, &mut placed)) && placed.iter().all(|placed| *placed))
}

fn place(value: &Value, placed: &mut [bool]) -> bool {
    match (placeholder(value), value) {
        (Some(number), _) => placed.get_mut(number).is_some_and(|placed| !std::mem::replace(placed, true)),
        (None, Value::Array(values)) => values.iter().all(|value| place(value, placed)),
        (None, Value::Object(fields)) => fields.values().all(|value| place(value, placed)),
        _ => true,
    }
}

/// The packets of a message for who is in a namespace: its arguments, and behind them the offset that its reader comes
/// back with, where it has one.
pub fn event(namespace: &str, message: &OutboundMessage<'_>, offset: Option<&str>) -> Encoded {
    let (mut arguments, attachments) = read(message);
    arguments.insert(0, text(&name(message.name.unwrap_or(UNNAMED))));
    arguments.extend(offset.map(text));
    packets(namespace, &arguments, attachments)
}

/// An event of the server's own. Nobody can publish one with a name that begins so.
pub fn own(namespace: &str, name: &str, argument: String, offset: Option<&str>) -> Encoded {
    let arguments = [text(&["[meta]", name].concat()), argument].into_iter().chain(offset.map(text));
    packets(namespace, &arguments.collect::<Vec<_>>(), Vec::new())
}

fn packets(namespace: &str, arguments: &[String], attachments: Vec<Vec<u8>>) -> Encoded {
    let kind = if attachments.is_empty() { Kind::Event } else { Kind::BinaryEvent };
    let list = ["[", &arguments.join(","), "]"].concat();
    let first = Encoded::Text(packet::write(kind, attachments.len(), namespace, "", &list));
    match attachments.is_empty() {
        true => first,
        false => Encoded::Several([first].into_iter().chain(attachments.into_iter().map(Encoded::Binary)).collect()),
    }
}

fn name(name: &str) -> std::borrow::Cow<'_, str> {
    match RESERVED.contains(&name) {
        true => [UNNAMED, ":", name].concat().into(),
        false => name.into(),
    }
}

fn text(text: &str) -> String {
    to_json(&text)
}

/// The arguments as JSON, and what their placeholders stand for.
fn read(message: &OutboundMessage<'_>) -> (Vec<String>, Vec<Vec<u8>>) {
    let (data, encoding) = decoded(message);
    let rest = encoding.is_empty();
    match data {
        Decoded::Absent => (Vec::new(), Vec::new()),
        Decoded::Text(data) if rest => (vec![text(&data)], Vec::new()),
        Decoded::Bytes(bytes) if rest => (vec![json!({"_placeholder": true, "num": 0}).to_string()], vec![bytes]),
        Decoded::Json(value) => spread(value, message.extras),
        // Encrypted, or nothing that is known here.
        Decoded::Text(data) => (vec![json!({"data": data, "encoding": encoding}).to_string()], Vec::new()),
        Decoded::Bytes(bytes) => {
            let placeholder = json!({"data": {"_placeholder": true, "num": 0}, "encoding": encoding});
            (vec![placeholder.to_string()], vec![bytes])
        }
    }
}

/// A value as one argument, or as those that it says it is.
fn spread(value: Value, extras: Option<&Extras>) -> (Vec<String>, Vec<Vec<u8>>) {
    let said = extras.and_then(|extras| extras.get(EXTRAS)?.as_object());
    let count = said.and_then(|said| said.get("args")?.as_u64());
    let arguments = match value {
        Value::Array(values) if count == Some(values.len() as u64) => values,
        value => vec![value],
    };
    let attachments = said.and_then(|said| attachments(said.get("binary")?)).unwrap_or_default();
    // Whoever published it may have said anything; what does not fit would end its readers' connections.
    let attachments = if are_placed(&arguments, attachments.len()) { attachments } else { Vec::new() };
    (arguments.iter().map(to_json).collect(), attachments)
}

fn attachments(said: &Value) -> Option<Vec<Vec<u8>>> {
    let texts = said.as_array().filter(|texts| texts.len() <= SOCKETIO_ATTACHMENTS_MAX)?;
    texts.iter().map(|text| BASE64.decode(text.as_str()?).ok()).collect()
}

enum Decoded {
    Absent,
    Text(String),
    Bytes(Vec<u8>),
    Json(Value),
}

/// The data without the outermost of its encodings, as far as they are known here, and the rest of them.
fn decoded<'a>(message: &'a OutboundMessage<'_>) -> (Decoded, &'a str) {
    let mut encoding = message.encoding.as_deref().unwrap_or_default();
    let mut data = match &message.data {
        OutboundData::Absent => Decoded::Absent,
        OutboundData::Text(text) => Decoded::Text((*text).to_owned()),
        OutboundData::Base64(text) => Decoded::Text(text.clone()),
        OutboundData::Bytes(bytes) => Decoded::Bytes(bytes.to_vec()),
    };
    while !encoding.is_empty() {
        let (inner, outer) = encoding.rsplit_once('/').unwrap_or(("", encoding));
        data = match (outer, data) {
            ("utf-8", Decoded::Bytes(bytes)) => match String::from_utf8(bytes) {
                Ok(text) => Decoded::Text(text),
                Err(error) => return (Decoded::Bytes(error.into_bytes()), encoding),
            },
            ("utf-8", Decoded::Text(text)) => Decoded::Text(text),
            ("json", Decoded::Text(text)) => match node::value_of(text.as_bytes()) {
                Ok(value) => Decoded::Json(value),
                Err(_) => return (Decoded::Text(text), encoding),
            },
            ("base64", Decoded::Text(text)) => match BASE64.decode(&text) {
                Ok(bytes) => Decoded::Bytes(bytes),
                Err(_) => return (Decoded::Text(text), encoding),
            },
            (_, data) => return (data, encoding),
        };
        encoding = inner;
    }
    (data, encoding)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::message::Message;

    fn outbound<'a>(message: &'a Message) -> OutboundMessage<'a> {
        let data = match &message.data {
            Data::Absent => OutboundData::Absent,
            Data::Text(text) => OutboundData::Text(text),
            Data::Binary(bytes) => OutboundData::Bytes(bytes),
        };
        OutboundMessage {
            id: "a:0".to_owned(),
            name: message.name.as_deref(),
            data,
            encoding: message.encoding.clone(),
            client_id: None,
            connection_id: None,
            timestamp: None,
            extras: message.extras.as_ref(),
            action: 0,
            serial: String::new(),
            at: crate::model::serial::Position::ZERO,
            operation: None,
            version: None,
            annotations: None,
        }
    }

    fn kept(data: &str, attachments: &[&[u8]]) -> Message {
        let attachments = attachments.iter().map(|bytes| bytes.to_vec()).collect();
        message(data, attachments).unwrap().into_message().unwrap()
    }

    /// What is emitted, as it is heard.
    fn heard(data: &str, attachments: &[&[u8]]) -> Encoded {
        event("/c", &outbound(&kept(data, attachments)), Some("7"))
    }

    fn heard_text(data: &str) -> String {
        match heard(data, &[]) {
            Encoded::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_argument_is_the_data() {
        for (emitted, data, encoding) in [
            (r#"["a","text"]"#, Data::Text("text".to_owned()), None),
            (r#"["a",{"b":[1]}]"#, Data::Text(r#"{"b":[1]}"#.to_owned()), Some("json")),
            (r#"["a",[1,2]]"#, Data::Text("[1,2]".to_owned()), Some("json")),
            (r#"["a",5]"#, Data::Text("5".to_owned()), Some("json")),
            (r#"["a",null]"#, Data::Text("null".to_owned()), Some("json")),
            (r#"["a"]"#, Data::Absent, None),
        ] {
            let message = kept(emitted, &[]);
            assert_eq!(
                (message.data, message.encoding.as_deref(), message.extras),
                (data, encoding, None),
                "{emitted}"
            );
            assert_eq!(message.name.as_deref(), Some("a"));
        }
    }

    #[test]
    fn several_arguments_are_a_list_that_says_so() {
        let message = kept(r#"["a",1,"b",null]"#, &[]);
        assert_eq!(message.data, Data::Text(r#"[1,"b",null]"#.to_owned()));
        assert_eq!(to_json(&message.extras), r#"{"socketio":{"args":3}}"#);
    }

    #[test]
    fn arguments_come_back() {
        for emitted in
            [r#"["a"]"#, r#"["a",null]"#, r#"["a","b"]"#, r#"["a",[1,2]]"#, r#"["a",1.5,{"b":{}}]"#, r#"["5",[],[]]"#]
        {
            let expected = format!("42/c,{},\"7\"]", emitted.strip_suffix(']').unwrap());
            assert_eq!(heard_text(emitted), expected);
        }
        assert_eq!(heard_text("[5]"), r#"42/c,["5","7"]"#);
    }

    #[test]
    fn bytes_come_back() {
        let one = r#"["a",{"_placeholder":true,"num":0}]"#;
        assert_eq!(kept(one, &[b"\x01"]).data, Data::Binary(vec![1]));
        let text = |text: &str| Encoded::Text(text.to_owned());
        let expected = vec![text(r#"451-/c,["a",{"_placeholder":true,"num":0},"7"]"#), Encoded::Binary(vec![1])];
        assert_eq!(heard(one, &[b"\x01"]), Encoded::Several(expected));
        let nested = r#"["a",[{"_placeholder":true,"num":1}],{"b":{"_placeholder":true,"num":0}}]"#;
        let message = kept(nested, &[b"\x01", b"\x02"]);
        assert_eq!(to_json(&message.extras), r#"{"socketio":{"args":2,"binary":["AQ==","Ag=="]}}"#);
        let expected = vec![
            text(r#"452-/c,["a",[{"_placeholder":true,"num":1}],{"b":{"_placeholder":true,"num":0}},"7"]"#),
            Encoded::Binary(vec![1]),
            Encoded::Binary(vec![2]),
        ];
        assert_eq!(heard(nested, &[b"\x01", b"\x02"]), Encoded::Several(expected));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for (bad, code) in [
            ("", Code::BadBody),
            ("[", Code::BadBody),
            (r#"["a",1e400]"#, Code::BadBody),
            ("{}", Code::BadData),
            ("[]", Code::BadData),
            ("[null]", Code::BadData),
            (r#"["connect"]"#, Code::BadPublish),
            (r#"["disconnecting",1]"#, Code::BadPublish),
        ] {
            assert!(message(bad, Vec::new()).unwrap_err().is(code), "{bad}");
        }
        for (bad, attachments) in [
            (r#"["a",{"_placeholder":true,"num":1}]"#, 1),
            (r#"["a",{"_placeholder":true}]"#, 1),
            (r#"["a",1]"#, 1),
            (r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#, 1),
            (r#"["a",{"_placeholder":true,"num":0}]"#, 2),
        ] {
            assert!(message(bad, vec![vec![1]; attachments]).unwrap_err().is(Code::BadData), "{bad}");
        }
    }

    #[test]
    fn what_others_publish_is_heard() {
        let of = |data, encoding: &str, extras: Value| Message {
            name: Some("disconnect".to_owned()),
            data,
            encoding: Some(encoding.to_owned()).filter(|encoding| !encoding.is_empty()),
            extras: extras.as_object().cloned(),
            ..Message::default()
        };
        let said = |message: Message| match event("/", &outbound(&message), None) {
            Encoded::Text(text) => text,
            Encoded::Several(frames) => format!("{frames:?}"),
            other => panic!("{other:?}"),
        };
        let text = |text: &str| Data::Text(text.to_owned());
        assert_eq!(said(of(text("a"), "", Value::Null)), r#"42["message:disconnect","a"]"#);
        assert_eq!(
            said(of(text("[1"), "json", Value::Null)),
            r#"42["message:disconnect",{"data":"[1","encoding":"json"}]"#
        );
        let encrypted = said(of(text("x"), "json/utf-8/cipher+aes-128-cbc", Value::Null));
        assert_eq!(encrypted, r#"42["message:disconnect",{"data":"x","encoding":"json/utf-8/cipher+aes-128-cbc"}]"#);
        assert_eq!(
            said(of(Data::Binary(b"[1]".to_vec()), "json/utf-8", Value::Null)),
            r#"42["message:disconnect",[1]]"#
        );
        assert_eq!(said(Message::default()), r#"42["message"]"#);
        // Nobody makes a reader fail by what a message says of itself.
        for forged in [
            json!({"socketio": {"args": 3}}),
            json!({"socketio": {"binary": ["AQ=="]}}),
            json!({"socketio": {"binary": ["!"]}}),
            json!({"socketio": {"binary": vec!["AQ=="; SOCKETIO_ATTACHMENTS_MAX + 1]}}),
            json!({"socketio": 5}),
        ] {
            assert_eq!(said(of(text("[1]"), "json", forged.clone())), r#"42["message:disconnect",[1]]"#, "{forged}");
        }
    }

    proptest! {
        #[test]
        fn any_data_is_an_event_or_refused(text in "[\\[\\]{}\",:a_placehodrtun0-9 ]{0,32}", count in 0_usize..3) {
            if let Ok(message) = message(&text, vec![vec![1, 2]; count]) {
                let message = message.into_message().unwrap();
                prop_assert!(!event("/c", &outbound(&message), Some("7")).is_empty());
            }
        }
    }
}
