//! Readers that wait for what comes (`wait`), and read on from a serial.

use courtside::error::Code;
use courtside::limits::{RETENTION_MS, RETENTION_SLACK_MS, WAITING_READERS_MAX};
use courtside::rest::Step;
use courtside::router::Next;
use courtside::rpc::Request as Call;

use crate::world::{Asked, NOW_MS, World, get, post};

fn reads() -> Asked {
    get("/channels/c/messages").query("wait", "20")
}

#[test]
fn a_reader_waits_until_something_comes() {
    let mut world = World::new();
    let serial = world.publish("c", &["a"]);
    let mut one = world.wait(reads().query("from_serial", &serial));
    let mut other = world.wait(reads().query("from_serial", &serial).query("limit", "1"));
    assert!(world.given(&mut one).is_none(), "nothing came");
    world.publish("c", &["b", "c"]);
    let page = world.given(&mut one).expect("something came");
    assert_eq!((page.status, page.names()), (200, vec!["b", "c"]));
    assert_eq!(world.given(&mut other).expect("something came").names(), ["b"]);
}

#[test]
fn what_many_wait_for_is_read_once() {
    let mut world = World::new();
    let serial = world.publish("c", &["a"]);
    let mut waiting: Vec<_> = (0..100).map(|_| world.wait(reads().query("from_serial", &serial))).collect();
    let before = world.rows_read();
    world.publish("c", &["b"]);
    for one in &mut waiting {
        assert_eq!(world.given(one).expect("something came").names(), ["b"]);
    }
    assert!(world.rows_read() - before < 10, "{} rows", world.rows_read() - before);
}

#[test]
fn who_follows_the_links_misses_and_repeats_nothing() {
    let mut world = World::new();
    world.publish("c", &["a", "b", "c"]);
    let page = world.send(reads().query("limit", "2"));
    assert_eq!(page.names(), ["a", "b"]);
    let page = world.send(get("/channels/c/messages").with(&page.next().unwrap()));
    assert_eq!(page.names(), ["c"]);
    let mut waiting = world.wait(get("/channels/c/messages").with(&page.next().unwrap()));
    world.now_ms += 19_999;
    world.tick();
    assert!(world.given(&mut waiting).is_none(), "its time is not over");
    assert_eq!(world.deadline(), Some(world.now_ms + 1));
    world.now_ms += 1;
    world.tick();
    let page = world.given(&mut waiting).expect("its time is over");
    assert_eq!((page.status, page.names().len()), (200, 0));
    // What came between two requests is there at once.
    world.publish("c", &["d"]);
    let page = world.send(get("/channels/c/messages").with(&page.next().unwrap()));
    assert_eq!(page.names(), ["d"]);
    let link = page.next().unwrap();
    assert!(link.contains(&("wait".to_owned(), "20".to_owned())), "{link:?}");
    let mut waiting = world.wait(get("/channels/c/messages").with(&link));
    world.publish("c", &["e"]);
    assert_eq!(world.given(&mut waiting).expect("something came").names(), ["e"]);
}

#[test]
fn a_serial_is_read_on_from_in_both_directions() {
    let mut world = World::new();
    let a = world.publish("c", &["a"]);
    let c = world.publish("c", &["b", "c"]);
    world.publish("c", &["d"]);
    let b = c.replace(":001", ":000");
    let (publish, _) = c.rsplit_once(':').unwrap();
    let mut read = |from: &str| {
        let asked = get("/channels/c/messages").query("wait", "0").query("from_serial", from);
        world.send(asked).names().join("")
    };
    assert_eq!([read(&a), read(&b), read(&c), read(publish)], ["bcd", "cd", "d", "d"]);
}

#[test]
fn pages_of_a_reading_from_a_serial_go_on() {
    let mut world = World::new();
    let a = world.publish("c", &["a"]);
    world.publish("c", &["b", "c", "d"]);
    let mut names = Vec::new();
    let mut page =
        world.send(get("/channels/c/messages").query("wait", "0").query("from_serial", &a).query("limit", "2"));
    while !page.names().is_empty() {
        names.push(page.names().join(""));
        let next = page.next().expect("a reader goes on for ever");
        page = world.send(get("/channels/c/messages").with(&next));
    }
    assert_eq!(names, ["bc", "d"]);
}

#[test]
fn a_gap_is_told() {
    let mut world = World::new();
    let a = world.publish("c", &["a"]);
    let (order, _) = a.split_once('@').unwrap();
    let future = format!("{:014}-000@life0", NOW_MS + 1);
    for from in [format!("{order}@another:000"), format!("{order}@another"), future] {
        let refused = world.send(reads().query("from_serial", &from));
        assert_eq!((refused.status, refused.code()), (400, Code::ContinuityUnknown.number()), "{from}");
    }
    for malformed in ["x", "01726585978590-001@", &format!("{order}@life0:x"), &format!("{order}@life0:-1")] {
        let refused = world.send(reads().query("from_serial", malformed));
        assert_eq!((refused.status, refused.code()), (400, Code::BadParameter.number()), "{malformed}");
    }
}

#[test]
fn what_a_reader_missed_too_long_ago_is_a_gap() {
    let mut world = World::new();
    let a = world.publish("c", &["a"]);
    let link = world.send(reads()).next().unwrap();
    world.now_ms += RETENTION_MS + RETENTION_SLACK_MS;
    world.publish("c", &["b"]);
    // Still kept, so there is no gap, though history no longer shows it to others.
    assert_eq!(world.send(reads().query("from_serial", &a)).names(), ["b"]);
    world.now_ms += RETENTION_MS + 2 * RETENTION_SLACK_MS;
    world.publish("c", &["c"]);
    world.tick();
    assert_eq!(world.send(reads().query("from_serial", &a)).code(), Code::ContinuityUnknown.number());
    assert_eq!(world.send(get("/channels/c/messages").with(&link)).code(), Code::ContinuityUnknown.number());
}

#[test]
fn a_quiet_channel_is_followed_for_ever() {
    let mut world = World::new();
    let a = world.publish("c", &["a"]);
    for _ in 0..20 {
        let mut waiting = world.wait(reads().query("from_serial", &a));
        world.now_ms += 20_000;
        world.tick();
        assert_eq!(world.given(&mut waiting).expect("its time is over").names(), [] as [&str; 0]);
    }
    let mut waiting = world.wait(reads().query("from_serial", &a));
    world.publish("c", &["b"]);
    assert_eq!(world.given(&mut waiting).expect("something came").names(), ["b"]);
}

#[test]
fn only_so_many_wait() {
    let mut world = World::new();
    let serial = world.publish("c", &["a"]);
    let asked = || reads().query("from_serial", &serial);
    let mut waiting: Vec<_> = (0..WAITING_READERS_MAX).map(|_| world.wait(asked())).collect();
    let refused = world.send(asked());
    assert_eq!((refused.status, refused.code()), (429, Code::PublishRateLimited.number()));
    // Who would not wait is answered.
    let hurried = get("/channels/c/messages").query("wait", "0").query("from_serial", &serial);
    assert_eq!(world.send(hurried).names(), [] as [&str; 0]);
    assert_eq!(world.send(get("/channels/c/messages")).names(), ["a"]);
    world.publish("c", &["b"]);
    for one in &mut waiting {
        assert_eq!(world.given(one).expect("something came").names(), ["b"]);
    }
    assert_eq!(world.send(asked()).names(), ["b"]);
}

/// One with a key leaves no place; each that comes with a token then ends the longest wait, which is answered at once.
#[test]
fn who_gives_way_to_others_is_answered_and_waits_no_more() {
    let mut world = World::new();
    let serial = world.publish("c", &["a"]);
    let asked = || reads().query("from_serial", &serial);
    let mut waiting: Vec<_> = (0..WAITING_READERS_MAX).map(|_| world.wait(asked())).collect();
    for (index, longest) in waiting[..3].iter_mut().enumerate() {
        let body = format!(r#"{{"keyName":"demo.full","clientId":"guest{index}"}}"#);
        let reply = world.send(post("/keys/demo.full/requestToken", &body));
        let mut guest = world.wait(asked().anonymous().query("access_token", reply.json["token"].as_str().unwrap()));
        assert_eq!(world.given(longest).expect("its wait has ended").names(), [] as [&str; 0]);
        assert!(world.given(&mut guest).is_none(), "it waits");
    }
}

#[test]
fn nobody_waits_longer_than_the_token_lives() {
    let mut world = World::new();
    let reply = world.send(post("/keys/demo.full/requestToken", r#"{"keyName":"demo.full","ttl":5000}"#));
    let asked = reads().anonymous().query("access_token", reply.json["token"].as_str().unwrap());
    world.now_ms += 1_000;
    let Next::Perform(Step::Calls(calls, _), _) = world.begin(&asked.request) else { panic!("refused") };
    let Call::History(query) = &calls[0].request else { panic!("{calls:?}") };
    assert_eq!(query.wait_ms, Some(4_000));
}

#[test]
fn who_waits_gets_nothing_after_the_token_was_revoked() {
    let mut world = World::new();
    let issue = |world: &mut World| {
        let body = r#"{"keyName":"demo.brief","clientId":"ann"}"#;
        let reply = world.send(post("/keys/demo.brief/requestToken", body).key("demo.brief:local-only"));
        reply.json["token"].as_str().unwrap().to_owned()
    };
    let serial = world.publish("c", &["a"]);
    let asked = |token: &str| reads().anonymous().query("access_token", token).query("from_serial", &serial);
    let token = issue(&mut world);
    let (mut waiting, mut idle) = (world.wait(asked(&token)), world.wait(asked(&token)));
    world.now_ms += 1;
    let revoke = post("/keys/demo.brief/revokeTokens", r#"{"targets":["clientId:ann"]}"#).key("demo.brief:local-only");
    assert_eq!(world.send(revoke).status, 201);
    let token = issue(&mut world);
    let mut renewed = world.wait(asked(&token));
    world.publish("c", &["b"]);
    for waiting in [&mut waiting, &mut idle] {
        let reply = world.given(waiting).expect("something came");
        assert_eq!((reply.status, reply.code()), (401, Code::TokenRevoked.number()), "{}", reply.json);
    }
    assert_eq!(world.given(&mut renewed).expect("something came").names(), ["b"]);
}
