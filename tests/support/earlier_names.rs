//! Clients whose SDK has the names that objects had up to version 5 of the protocol. Such a client is told nothing
//! else. What it does is as others do it, so its frames are put into today's names for it, and what it says into its
//! own.

use serde_json::{Map, Value};

const TODAYS: [&str; 5] = ["mapCreate", "mapSet", "mapRemove", "counterCreate", "counterInc"];

/// Every other client has such an SDK.
pub fn has_them(client: usize) -> bool {
    client % 2 == 1
}

/// Puts what it is told into today's names. Nobody tells it those.
pub fn read(state: &mut [Value]) {
    for message in state {
        for place in ["/operation", "/object/createOp"] {
            let Some(operation) = message.pointer_mut(place).and_then(Value::as_object_mut) else { continue };
            let told = TODAYS.iter().find(|name| operation.contains_key(**name));
            assert_eq!(told, None, "a client with earlier names is told another");
            let action = operation["action"].as_u64();
            rename(operation, "map", "mapCreate");
            rename(operation, "counter", "counterCreate");
            rename_in(operation, ("mapOp", if action == Some(1) { "mapSet" } else { "mapRemove" }), ("data", "value"));
            rename_in(operation, ("counterOp", "counterInc"), ("amount", "number"));
        }
    }
}

/// Puts what it says into its names, but for creates: their ids are of today's text.
pub fn write(frame: &mut Value) {
    for message in frame.get_mut("state").and_then(Value::as_array_mut).into_iter().flatten() {
        let operation = message["operation"].as_object_mut().expect("an operation");
        rename_in(operation, ("mapSet", "mapOp"), ("value", "data"));
        rename_in(operation, ("mapRemove", "mapOp"), ("", ""));
        rename_in(operation, ("counterInc", "counterOp"), ("number", "amount"));
    }
}

fn rename_in(operation: &mut Map<String, Value>, (from, to): (&str, &str), (field, name): (&str, &str)) {
    if let Some(payload) = rename(operation, from, to).and_then(Value::as_object_mut) {
        rename(payload, field, name);
    }
}

fn rename<'a>(fields: &'a mut Map<String, Value>, from: &str, to: &str) -> Option<&'a mut Value> {
    let value = fields.remove(from)?;
    Some(fields.entry(to).or_insert(value))
}
