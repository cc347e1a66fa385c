//! What clients do to objects.

use courtside::model::objects::id;
use courtside::model::objects::operation::Kind;
use serde_json::{Value, json};

use super::random::Random;

/// Something to do, to an object that is there or was. Some texts that it sets have up to so many bytes.
pub fn some_operations(random: &mut Random, ids: &mut Vec<String>, created_ms: u64, text_max_bytes: u64) -> Vec<Value> {
    let id = random.pick(ids).clone();
    let key = format!("k{}", random.below(6));
    let operation = |action: u64, id: &str, name: &str, payload: Value| json!({"operation": {"action": action, "objectId": id, name: payload}});
    if id.starts_with("counter:") {
        let number = (random.below(2_000) as f64 - 1_000.0) / 7.0;
        return vec![operation(4, &id, "counterInc", json!({"number": number}))];
    }
    match random.below(100) {
        0..20 => create(random, ids, created_ms, (&id, &key)),
        20..30 => vec![operation(2, &id, "mapRemove", json!({"key": key}))],
        30..33 => vec![operation(6, "root", "mapClear", json!({}))],
        33..45 => {
            let reference = random.pick(ids).clone();
            vec![operation(1, &id, "mapSet", json!({"key": key, "value": {"objectId": reference}}))]
        }
        _ => {
            let length = if random.chance(300) { random.between(text_max_bytes / 4, text_max_bytes) } else { 5 };
            let value = json!({"string": "x".repeat(length as usize)});
            vec![operation(1, &id, "mapSet", json!({"key": key, "value": value}))]
        }
    }
}

/// A create, and a set that puts it somewhere. Sometimes the create comes twice, or last.
fn create(random: &mut Random, ids: &mut Vec<String>, created_ms: u64, (parent, key): (&str, &str)) -> Vec<Value> {
    let nonce = format!("nonce-{:016}", random.next());
    let (kind, action, name, initial) = match random.chance(500) {
        true => (Kind::Map, 0, "mapCreateWithObjectId", r#"{"semantics":0,"entries":{"k0":{"data":{"number":1}}}}"#),
        false => (Kind::Counter, 3, "counterCreateWithObjectId", r#"{"count":10}"#),
    };
    let id = id::make(kind, initial, &nonce, created_ms);
    let payload = json!({"initialValue": initial, "nonce": nonce});
    let create = json!({"operation": {"action": action, "objectId": id, name: payload}});
    let value = json!({"key": key, "value": {"objectId": id}});
    let set = json!({"operation": {"action": 1, "objectId": parent, "mapSet": value}});
    let change = match kind {
        Kind::Map => json!({"action": 1, "objectId": id, "mapSet": {"key": "k0", "value": {"boolean": true}}}),
        Kind::Counter => json!({"action": 4, "objectId": id, "counterInc": {"number": 0.5}}),
    };
    let change = json!({"operation": change});
    ids.push(id);
    match random.below(4) {
        0 => vec![create.clone(), change, set, create],
        1 => vec![change, set, create],
        _ => vec![create, set],
    }
}
