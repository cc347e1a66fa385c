//! Reading what was published, page by page.

use courtside::error::Code;
use courtside::http::percent;
use courtside::limits::{HISTORY_MAX_LIMIT, RETENTION_MS};
use courtside::rest::Step;
use courtside::router::Next;
use courtside::rpc::Request as Call;

use crate::world::{NOW_MS, World, get};

#[test]
fn history_parameters_are_checked() {
    let mut world = World::new();
    for (name, value) in [
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "1001"),
        ("limit", "ten"),
        ("limit", "+5"),
        ("limit", "99999999999999999999"),
        ("direction", "sideways"),
        ("direction", "Forwards"),
        ("start", "-5"),
        ("end", "tomorrow"),
        ("start", "1.5"),
        ("cursor", "x"),
        ("from_serial", "x"),
        ("wait", "31"),
        ("wait", "-1"),
        ("wait", "1.5"),
        ("wait", "true"),
        ("from_serial", "01726585978590-001@other"),
        ("fromSerial", "x"),
    ] {
        let reply = world.send(get("/channels/c/messages").query(name, value));
        assert_eq!((reply.status, reply.code()), (400, Code::BadParameter.number()), "{name}={value}");
    }
    let crossed = get("/channels/c/messages").query("start", "2").query("end", "1");
    assert_eq!(world.send(crossed).code(), Code::BadParameter.number());
    for (name, value) in [("direction", "backwards"), ("end", "1900000000000")] {
        let waits = get("/channels/c/messages").query("wait", "1").query(name, value);
        assert_eq!(world.send(waits).code(), Code::BadParameter.number(), "{name}");
    }
    for (name, value) in
        [("limit", "1000"), ("limit", "1"), ("start", "18446744073709551615"), ("end", "0"), ("limit", "")]
    {
        assert_eq!(world.send(get("/channels/c/messages").query(name, value)).status, 200, "{name}={value}");
    }
}

/// The SDK for Rust takes all links of a header for one: its query is what is behind the first `?`.
#[test]
fn a_header_that_is_read_as_one_link_leads_to_the_next_page() {
    let mut world = World::new();
    world.publish("c", &["a", "b", "c", "d", "e"]);
    let mut asked = get("/channels/c/messages").query("limit", "2").query("direction", "forwards");
    let mut pages = Vec::new();
    loop {
        let page = world.send(asked);
        pages.push(page.names().join(" "));
        let (_, query) = page.header("Link").unwrap().split_once('?').unwrap();
        let (query, rel) = query.strip_suffix('"').unwrap().rsplit_once(">; rel=\"").unwrap();
        if rel != "next" {
            break;
        }
        asked = get("/channels/c/messages").with(&percent::decode_pairs(query).unwrap());
    }
    assert_eq!(pages, ["a b", "c d", "e"]);
}

/// That for PHP finds a link behind the name of its header.
#[test]
fn each_link_has_its_name_for_who_looks_for_that() {
    let mut world = World::new();
    world.publish("c", &["a", "b"]);
    let mut links = |agent: &str| {
        let mut asked = get("/channels/c/messages").query("limit", "1");
        asked.request.headers.ably_agent = Some(agent.to_owned());
        let header = format!("Link: {}", world.send(asked).header("Link").unwrap());
        (header.matches("Link: <./messages?").count(), header.matches("; rel=").count())
    };
    assert_eq!(links("ably-pubsub-php/2.0.0 php/8.4"), (4, 4));
    assert_eq!(links("ably-ruby/1.3.0 ruby/3.4"), (1, 4));
}

#[test]
fn a_cursor_of_another_life_is_refused() {
    let (mut one, mut other) = (World::new(), World::new());
    other.life = 1;
    for world in [&mut one, &mut other] {
        world.publish("c", &["a", "b"]);
    }
    let page = one.send(get("/channels/c/messages").query("limit", "1"));
    let next = page.next().unwrap();
    assert_eq!(one.send(get("/channels/c/messages").with(&next)).names(), ["a"]);
    let refused = other.send(get("/channels/c/messages").with(&next));
    assert_eq!((refused.status, refused.code()), (400, Code::BadParameter.number()));
}

#[test]
fn start_and_end_are_inclusive() {
    let mut world = World::new();
    for (time_ms, name) in [(1, "a"), (2, "b"), (3, "c")] {
        world.now_ms = NOW_MS + time_ms;
        world.publish("c", &[name]);
    }
    let mut between = |start: u64, end: u64| {
        let asked = get("/channels/c/messages").query("start", &(NOW_MS + start).to_string());
        let reply = world.send(asked.query("end", &(NOW_MS + end).to_string()).query("direction", "forwards"));
        reply.names().join("")
    };
    assert_eq!(between(1, 3), "abc");
    assert_eq!(between(2, 2), "b");
    assert_eq!(between(2, 9), "bc");
    assert_eq!(between(0, 1), "a");
    assert_eq!(between(4, 9), "");
}

#[test]
fn until_a_serial_nothing_later_is_seen() {
    let mut world = World::new();
    world.publish("c", &["a"]);
    let attached_at = world.publish("c", &["b"]);
    world.publish("c", &["c"]);
    for name in ["from_serial", "fromSerial"] {
        let page = world.send(get("/channels/c/messages").query(name, &attached_at).query("limit", "1"));
        assert_eq!(page.names(), ["b"]);
        let next = world.send(get("/channels/c/messages").with(&page.next().unwrap()));
        assert_eq!(next.names(), ["a"]);
        // Forwards, the same serial would say where to begin.
        let forwards = get("/channels/c/messages").query(name, &attached_at).query("direction", "forwards");
        assert_eq!(world.send(forwards).code(), Code::BadParameter.number());
    }
}

#[test]
fn history_ends_with_its_retention() {
    let mut world = World::new();
    world.publish("c", &["old"]);
    world.publish("kept:c", &["old"]);
    world.now_ms += RETENTION_MS + 1;
    world.publish("c", &["new"]);
    assert_eq!(world.send(get("/channels/c/messages")).names(), ["new"]);
    assert_eq!(world.send(get("/channels/kept:c/messages")).names(), ["old"]);
}

#[test]
fn a_page_may_end_inside_a_publish() {
    let mut world = World::new();
    world.publish("c", &["a", "b", "c"]);
    world.publish("c", &["d", "e"]);
    let pages = |world: &mut World, direction: &str, limit: &str| {
        let mut pages = Vec::new();
        let asked = get("/channels/c/history").query("direction", direction).query("limit", limit);
        world.walk(asked, |page| pages.push(page.names().join("")));
        pages
    };
    assert_eq!(pages(&mut world, "forwards", "2"), ["ab", "cd", "e"]);
    assert_eq!(pages(&mut world, "backwards", "2"), ["ed", "cb", "a"]);
    assert_eq!(pages(&mut world, "forwards", "5"), ["abcde"]);
}

#[test]
fn links_carry_the_question_and_no_credentials() {
    let mut world = World::new();
    world.publish("c", &["a", "b"]);
    let asked = get("/channels/c/messages").anonymous().query("key", "demo.full:local-only").query("limit", "1");
    let page = world.send(asked.query("end", "1900000000000").query("agent", "<y>, z").query("format", "json"));
    let link = page.header("Link").unwrap();
    assert!(!link.contains("local-only") && !link.contains('y'), "{link}");
    let next: Vec<String> = page.next().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(next, ["cursor", "end", "limit", "format", "rel"]);
    let last = world.send(get("/channels/c/messages").with(&page.next().unwrap()));
    assert_eq!((last.names(), last.next()), (vec!["a"], None));
    assert_eq!(last.link("first").unwrap()[0].0, "end", "no cursor");
}

#[test]
fn the_longest_page_has_its_limit() {
    let mut world = World::new();
    for _ in 0..3 {
        world.publish("c", &["x"; 500]);
    }
    let page = world.send(get("/channels/c/messages").query("limit", &HISTORY_MAX_LIMIT.to_string()));
    assert_eq!((page.names().len(), page.next().is_some()), (HISTORY_MAX_LIMIT, true));
    assert_eq!(world.send(get("/channels/c/messages")).names().len(), 100);
}

#[test]
fn calls_go_to_the_channel_that_owns_the_name_with_its_rules() {
    let asked = get("/channels/%5B%3Frewind%3D1%5Dkept:c/messages").request;
    let Next::Perform(Step::Calls(calls, _), _) = World::new().begin(&asked) else { panic!("history is a call") };
    assert_eq!(calls[0].to.object_name(), "demo/kept:c");
    assert!(calls[0].rules.retention_ms > RETENTION_MS);
    assert!(matches!(&calls[0].request, Call::History(query) if query.limit == 100 && !query.forwards));
}
