//! What an annotation must be, whichever way it comes in: its message, type, name, count and who says it (protocol.md §
//! 18).

use serde_json::Value;

use crate::auth::Identity;
use crate::error::{Code, ErrorInfo};
use crate::intake::publish::{check_encoding, chosen_id, set_claim};
use crate::limits::{ANNOTATION_COUNT_MAX, ANNOTATION_TEXT_MAX_BYTES, MESSAGE_ID_MAX_BYTES, PUBLISH_MAX_MESSAGES};
use crate::model::annotation::{Annotation, AnnotationAction, Method};
use crate::model::revision::Target;
use crate::model::size::Size;
use crate::protocol::inbound::InboundAnnotation;
use crate::protocol::stated::object;

/// Annotations that may go to their message's channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Its serial.
    pub message: String,
    pub annotations: Vec<Annotation>,
    /// The first one's id, when the publisher chose the ids.
    pub id: Option<String>,
}

/// Checks the annotations of one publish, which all concern one message: `path` says which, if it does. `claim` is what
/// the publisher's token says of it.
///
/// Fails with 40000 (no annotation, an action, a type or name that is missing, several messages), 40003 (serial,
/// count), 40009 (too large), 40012 (clientId), 40013 (data), 40031 (ids), 40032 (extras), 40034 (too many) and 40161
/// (where a client must have a name).
pub fn check(
    annotations: Vec<InboundAnnotation>,
    path: Option<&str>,
    identity: &Identity,
    claim: Option<&Value>,
) -> Result<Checked, ErrorInfo> {
    if annotations.len() > PUBLISH_MAX_MESSAGES {
        let why = format!("a publish has at most {PUBLISH_MAX_MESSAGES} annotations");
        return Err(Code::TooManyMessages.because(why));
    }
    let message = message(&annotations, path)?;
    let annotations = annotations.into_iter().map(|annotation| checked(annotation, identity, claim));
    let annotations = annotations.collect::<Result<Vec<_>, _>>()?;
    annotations.iter().map(Annotation::measured).sum::<Size>().check()?;
    let ids: Vec<Option<&str>> = annotations.iter().map(|annotation| annotation.id.as_deref()).collect();
    let id = chosen_id(&ids)?;
    Ok(Checked { message, annotations, id })
}

/// The one message that all of them name.
fn message(annotations: &[InboundAnnotation], path: Option<&str>) -> Result<String, ErrorInfo> {
    let mut named = annotations.iter().map(|annotation| annotation.message_serial.as_deref().or(path));
    let Some(first) = named.next() else { return Err(Code::BadRequest.because("a publish needs an annotation")) };
    if named.any(|other| other != first) || path.is_some() && first != path {
        return Err(Code::BadRequest.because("all annotations of a publish concern one message, by its messageSerial"));
    }
    let serial = first.unwrap_or_default();
    epoch(serial).map(|_| serial.to_owned())
}

/// The life of a channel that gave a message its serial. Fails with 40003 for what no message has.
pub fn epoch(serial: &str) -> Result<String, ErrorInfo> {
    let parsed = Target::parse(serial).map(|(_, epoch)| epoch);
    parsed.ok_or_else(|| Code::BadParameter.because("the messageSerial is no message's serial"))
}

fn checked(annotation: InboundAnnotation, identity: &Identity, claim: Option<&Value>) -> Result<Annotation, ErrorInfo> {
    let action = match annotation.action {
        None | Some(0) => AnnotationAction::Create,
        Some(1) => AnnotationAction::Delete,
        Some(_) => return Err(Code::BadRequest.because("an annotation's action is 0, create, or 1, delete")),
    };
    bound_texts(&annotation)?;
    let kind = annotation.kind.filter(|kind| !kind.is_empty());
    let kind = kind.ok_or_else(|| Code::BadRequest.because("an annotation needs a type"))?;
    let client_id = identity.for_message(annotation.client_id.as_deref())?;
    let name = annotation.name;
    if let Some(method) = Method::of(&kind) {
        check_counted(method, action, name.as_deref(), client_id.as_deref())?;
    }
    let mut extras = annotation.extras.map(object).transpose()?;
    set_claim(&mut extras, claim)?;
    let (data, encoding) = annotation.data.normalize(annotation.encoding)?;
    let count = annotation.count.as_ref().map(count).transpose()?;
    Ok(Annotation { id: annotation.id, action, kind, name, count, client_id, data, encoding, extras })
}

fn check_counted(
    method: Method,
    action: AnnotationAction,
    name: Option<&str>,
    client_id: Option<&str>,
) -> Result<(), ErrorInfo> {
    // A client says one name at a time under `unique`, so that it can take it back without saying which.
    let needs_name = method.has_names() && (method, action) != (Method::Unique, AnnotationAction::Delete);
    if needs_name && name.unwrap_or_default().is_empty() {
        return Err(Code::BadRequest.because("an annotation of this type needs a name"));
    }
    if method.needs_identity() && client_id.is_none() {
        return Err(Code::NotIdentified.because("an annotation of this type needs a clientId"));
    }
    Ok(())
}

/// Fails with 40003 for what is no whole number from 1 on.
fn count(count: &Value) -> Result<u64, ErrorInfo> {
    let float = count.as_f64().filter(|float| float.fract() == 0.0 && *float <= ANNOTATION_COUNT_MAX as f64);
    let whole = count.as_u64().or(float.map(|float| float as u64));
    let wrong = || Code::BadParameter.because(format!("an annotation's count is from 1 to {ANNOTATION_COUNT_MAX}"));
    whole.filter(|whole| (1..=ANNOTATION_COUNT_MAX).contains(whole)).ok_or_else(wrong)
}

fn bound_texts(annotation: &InboundAnnotation) -> Result<(), ErrorInfo> {
    for (field, text) in [("type", &annotation.kind), ("name", &annotation.name)] {
        if text.as_ref().is_some_and(|text| text.len() > ANNOTATION_TEXT_MAX_BYTES) {
            let why = format!("an annotation's {field} has at most {ANNOTATION_TEXT_MAX_BYTES} bytes");
            return Err(Code::TooLarge.because(why));
        }
    }
    if annotation.id.as_ref().is_some_and(|id| id.len() > MESSAGE_ID_MAX_BYTES) {
        return Err(Code::BadMessageId.because(format!("an id has at most {MESSAGE_ID_MAX_BYTES} bytes")));
    }
    check_encoding(annotation.encoding.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SERIAL: &str = "01726585978590-001@abc:000";

    fn of(fields: Value, identity: &Identity) -> Result<Checked, ErrorInfo> {
        let several = if fields.is_array() { fields } else { json!([fields]) };
        let text = several.to_string();
        let node = crate::model::node::from_json(text.as_bytes()).unwrap();
        check(InboundAnnotation::read_several(node).unwrap().0, None, identity, None)
    }

    fn code(fields: Value, identity: &Identity) -> u32 {
        of(fields, identity).map_or_else(|error| error.code, |_| 0)
    }

    #[test]
    fn each_fault_has_its_code() {
        let ann = Identity::Named("ann".into());
        let flag = |more: Value| {
            let mut fields = json!({"messageSerial": SERIAL, "type": "r:multiple.v1", "name": "n"});
            fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            fields
        };
        let long = "x".repeat(10_000);
        let most = "x".repeat(ANNOTATION_TEXT_MAX_BYTES);
        for (more, expected) in [
            (json!({}), 0),
            (json!({"name": most, "type": "com.example"}), 0),
            (json!({"messageSerial": null}), 40003),
            (json!({"messageSerial": "nonsense"}), 40003),
            (json!({"messageSerial": "01726585978590-001@abc"}), 40003),
            (json!({"type": null}), 40000),
            (json!({"type": ""}), 40000),
            (json!({"type": long}), 40009),
            (json!({"name": long}), 40009),
            (json!({"name": null}), 40000),
            (json!({"name": ""}), 40000),
            (json!({"action": 2}), 40000),
            (json!({"action": "annotation.delete"}), 0),
            (json!({"count": 1}), 0),
            (json!({"count": 2.0}), 0),
            (json!({"count": ANNOTATION_COUNT_MAX}), 0),
            (json!({"count": ANNOTATION_COUNT_MAX + 1}), 40003),
            (json!({"count": 0}), 40003),
            (json!({"count": -1}), 40003),
            (json!({"count": 1.5}), 40003),
            (json!({"count": 1e300}), 40003),
            (json!({"count": "3"}), 40003),
            (json!({"clientId": "bob"}), 40012),
            (json!({"id": long}), 40031),
            (json!({"encoding": "vcdiff"}), 40013),
            (json!({"data": 5}), 40013),
            (json!({"extras": []}), 40032),
            (json!({"extras": {"userClaim": "host"}}), 40032),
            (json!({"data": "x".repeat(70_000)}), 40009),
        ] {
            assert_eq!(code(flag(more.clone()), &ann), expected, "{}", more.to_string().get(..60).unwrap_or("short"));
        }
    }

    #[test]
    fn only_clients_with_a_name_are_counted_one_by_one() {
        for (kind, anonymous) in [
            ("r:total.v1", 0),
            ("r:multiple.v1", 0),
            ("r:other.v1", 0),
            ("com.example", 0),
            ("r:flag.v1", 40161),
            ("r:distinct.v1", 40161),
            ("r:unique.v1", 40161),
        ] {
            let fields = json!({"messageSerial": SERIAL, "type": kind, "name": "n"});
            assert_eq!(code(fields.clone(), &Identity::Anonymous), anonymous, "{kind}");
            assert_eq!(code(fields.clone(), &Identity::Wildcard), anonymous, "{kind}");
            assert_eq!(code(fields, &Identity::Named("ann".into())), 0, "{kind}");
        }
    }

    #[test]
    fn a_name_is_needed_but_to_take_back_the_only_one() {
        let ann = Identity::Named("ann".into());
        for (method, create, delete) in [
            ("total", 0, 0),
            ("flag", 0, 0),
            ("distinct", 40000, 40000),
            ("unique", 40000, 0),
            ("multiple", 40000, 40000),
        ] {
            let fields = |action| json!({"messageSerial": SERIAL, "type": format!("r:{method}.v1"), "action": action});
            assert_eq!((code(fields(0), &ann), code(fields(1), &ann)), (create, delete), "{method}");
        }
    }

    #[test]
    fn a_publish_concerns_one_message() {
        let ann = Identity::Named("ann".into());
        let on = |serial: &str| json!({"messageSerial": serial, "type": "r:flag.v1"});
        let other = "01726585978590-001@abc:001";
        assert_eq!(code(json!([on(SERIAL), on(SERIAL)]), &ann), 0);
        assert_eq!(code(json!([on(SERIAL), on(other)]), &ann), 40000);
        assert_eq!(code(json!([]), &ann), 40000);
        let one = InboundAnnotation { kind: Some("t".into()), ..InboundAnnotation::default() };
        let by_path = check(vec![one.clone()], Some(SERIAL), &ann, None).unwrap();
        assert_eq!(by_path.message, SERIAL);
        let named = InboundAnnotation { message_serial: Some(other.into()), ..one.clone() };
        assert!(check(vec![named], Some(SERIAL), &ann, None).unwrap_err().is(Code::BadRequest));
        let many = check(vec![one; PUBLISH_MAX_MESSAGES + 1], Some(SERIAL), &ann, None);
        assert!(many.unwrap_err().is(Code::TooManyMessages));
    }
}
