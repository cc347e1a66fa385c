//! What is published with ids of its publisher's own.

use serde_json::{Value, json};

use crate::world::{Exchanged, World, get, post};

const ROOM: &str = "/channels/short:c";

fn publish(world: &mut World, to: &str, body: &Value) -> Exchanged {
    world.send(post(&format!("{ROOM}{to}"), &body.to_string()))
}

fn said(world: &mut World) -> Value {
    let messages = world.send(get(&format!("{ROOM}/messages")).query("direction", "forwards")).json;
    messages.as_array().unwrap().iter().map(|message| message["data"].clone()).collect()
}

/// A repeat is acknowledged: something else would be lost by that.
#[test]
fn an_id_that_comes_again_with_more_or_less_is_refused() {
    let mut world = World::new();
    let inc = |id: &str| json!({"id": id, "path": "n", "counterInc": {"number": 1}});
    let like = |id: &str| json!({"id": id, "type": "like:total.v1", "action": 0});
    let message = |id: &str| json!({"id": id, "data": id});
    let serial = publish(&mut world, "/messages", &json!({"data": "liked"})).json["serials"][0].clone();
    assert_eq!(publish(&mut world, "/object", &json!({"path": "n", "counterCreate": {}})).status, 201);
    let annotations = format!("/messages/{}/annotations", serial.as_str().unwrap());
    for (to, of) in [("/messages", &message as &dyn Fn(&str) -> Value), ("/object", &inc), (&annotations, &like)] {
        for (first, others) in [
            (json!([of("z:0")]), [json!([of("z:0"), of("z:1")]), json!([of("z:0"), of("z:1"), of("z:2")])]),
            (json!([of("y:0"), of("y:1")]), [json!([of("y:0")]), json!([of("y:0"), of("y:1"), of("y:2")])]),
        ] {
            let answer = publish(&mut world, to, &first);
            assert_eq!(answer.status, 201, "{to}: {}", answer.json);
            for other in others {
                let refused = publish(&mut world, to, &other);
                assert_eq!((refused.status, refused.code()), (400, 40031), "{to} {first} {other}");
            }
            assert_eq!(publish(&mut world, to, &first).json, answer.json);
        }
    }
    assert_eq!(said(&mut world), json!(["liked", "z:0", "y:0", "y:1"]));
    assert_eq!(world.send(get(&format!("{ROOM}/object"))).json, json!({"n": 3}));
    let counted = world.send(get(&format!("{ROOM}{annotations}"))).json;
    assert_eq!(counted.as_array().map(Vec::len), Some(3));
}

#[test]
fn an_id_is_one_among_those_of_its_kind() {
    let mut world = World::new();
    let serials = publish(&mut world, "/messages", &json!([{"data": "one"}, {"data": "two"}])).json["serials"].clone();
    assert_eq!(publish(&mut world, "/object", &json!({"path": "n", "counterCreate": {}})).status, 201);
    let annotations = [0, 1].map(|index| format!("/messages/{}/annotations", serials[index].as_str().unwrap()));
    let like = json!([{"id": "x", "type": "like:total.v1", "action": 0}]);
    let all = [
        ("/messages", json!({"id": "x", "data": "three"})),
        (&annotations[0], like.clone()),
        ("/object", json!({"id": "x", "path": "n", "counterInc": {"number": 1}})),
        (&annotations[1], like),
    ];
    let mut answers =
        || all.each_ref().map(|(to, body)| publish(&mut world, to, body)).map(|answer| (answer.status, answer.json));
    let first = answers();
    assert!(first.iter().all(|(status, _)| *status == 201), "{first:?}");
    assert_eq!(answers(), first);
    assert_eq!(said(&mut world), json!(["one", "two", "three"]));
    assert_eq!(world.send(get(&format!("{ROOM}/object"))).json, json!({"n": 1}));
    for of in annotations {
        assert_eq!(world.send(get(&format!("{ROOM}{of}"))).json.as_array().map(Vec::len), Some(1), "{of}");
    }
}
