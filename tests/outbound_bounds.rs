//! What connections are sent is bounded, and who can't take it misses nothing in silence.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::base::rate::Flow;
use courtside::error::Code;
use courtside::model::flags::{HAS_PRESENCE, RESUMED};
use courtside::model::serial::Position;
use courtside::relay::bounds::Bounds;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::Ticket;
use courtside::rpc::{Backlog, Delivered, ReadFrom, Request, Response};
use serde_json::Value;

use support::bench::*;

const ATTACH: &str = r#"{"action":10,"channel":"room"}"#;

/// Fits CONNECTED and ATTACHED, and no delivery behind the next.
const NARROW: Flow = Flow { burst: 1_000, per_second: 1_000 };

/// When a narrow connection has taken all that it was sent.
const LATER_MS: u64 = NOW_MS + 60_000;

/// Some that are attached at 10, on a relay with bounds of its own.
fn crowd(bounds: Bounds, sockets: &[u32]) -> Relay {
    let mut relay = relay();
    relay.set_bounds(bounds);
    for (index, socket) in sockets.iter().enumerate() {
        connect(&mut relay, *socket);
        let effects = send(&mut relay, *socket, ATTACH);
        if index == 0 {
            relay.answered(call(&effects).0, subscribed(10), NOW_MS);
        }
    }
    relay
}

fn narrow() -> Bounds {
    Bounds { connection: NARROW, ..Bounds::default() }
}

fn parsed(effects: &[Effect], socket: u32) -> Vec<Value> {
    frames(effects, socket).iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// What of the entries `at n` a socket got.
fn places(effects: &[Effect], socket: u32) -> Vec<String> {
    let messages = |frame: Value| frame["messages"].as_array().cloned().unwrap_or_default();
    let all = parsed(effects, socket).into_iter().flat_map(messages);
    all.map(|message| message["data"].as_str().unwrap().to_owned()).collect()
}

fn deliver(relay: &mut Relay, prior: u64, at: &[u64], now_ms: u64) -> Vec<Effect> {
    let (answer, effects) = relay.deliver(&delivery(prior, at), now_ms);
    assert_eq!(answer, Delivered::At(Position(*at.last().unwrap())));
    effects
}

fn page(after: u64, at: &[u64]) -> Option<Result<Response, courtside::error::ErrorInfo>> {
    Some(Ok(Response::Backlog(Backlog {
        epoch: EPOCH.into(),
        lost: None,
        after: Position(after),
        entries: entries(at),
        through: Position(*at.last().unwrap()),
        more: false,
        members: 0,
    })))
}

/// Delivers one after the other until a socket gets no more. Gives the first place that it didn't get.
fn exhaust(relay: &mut Relay, socket: u32) -> u64 {
    let missed = (11..200).find(|at| places(&deliver(relay, at - 1, &[*at], NOW_MS), socket).is_empty());
    missed.expect("its connection is narrow")
}

/// The read of the log that a tick at the relay's next deadline asks for.
fn read_when_due(relay: &mut Relay) -> (Ticket, ReadFrom, u64) {
    let due_ms = relay.deadline().expect("someone waits");
    match call(&relay.tick(due_ms)) {
        (ticket, Request::Read(from)) => (ticket, from, due_ms),
        other => panic!("{other:?}"),
    }
}

fn after(position: u64) -> ReadFrom {
    ReadFrom::After { position: Position(position), epoch: EPOCH.into() }
}

#[test]
fn who_was_sent_its_part_gets_the_rest_from_the_log_when_it_had_time_to_read() {
    let mut relay = crowd(narrow(), &[1]);
    let missed = exhaust(&mut relay, 1);
    assert_eq!(deliver(&mut relay, missed, &[missed + 1], NOW_MS), [], "nothing is queued for it");
    let (ticket, from, due_ms) = read_when_due(&mut relay);
    assert!(due_ms >= NOW_MS + 500, "half of its burst is free again: {due_ms}");
    assert_eq!(from, after(missed - 1));
    let effects = relay.answered(ticket, page(missed - 1, &[missed, missed + 1]), due_ms);
    assert_eq!(places(&effects, 1), [format!("at {missed}"), format!("at {}", missed + 1)]);
    assert_eq!(parsed(&effects, 1).len(), 1, "nothing was lost, and nothing is announced");
    let effects = deliver(&mut relay, missed + 1, &[missed + 2], LATER_MS);
    assert_eq!(places(&effects, 1), [format!("at {}", missed + 2)], "and it is live again");
}

#[test]
fn a_slow_reader_costs_the_others_nothing() {
    let mut relay = crowd(narrow(), &[1]);
    let missed = exhaust(&mut relay, 1);
    connect(&mut relay, 2);
    send(&mut relay, 2, ATTACH);
    let effects = deliver(&mut relay, missed, &[missed + 1], NOW_MS);
    assert_eq!((places(&effects, 1).len(), places(&effects, 2).len()), (0, 1));
    let checkpoint = record(&effects, 2).expect("it now remembers for the relay how far deliveries are");

    let mut rebuilt = support::bench::relay();
    rebuilt.restore(SocketId(2), &checkpoint, NOW_MS);
    assert_eq!(rebuilt.restored(NOW_MS), []);
    assert_eq!(places(&deliver(&mut rebuilt, missed + 1, &[missed + 2], NOW_MS), 2).len(), 1);
}

#[test]
fn a_gap_that_is_too_long_for_a_replay_is_announced_and_presence_follows() {
    let mut relay = crowd(narrow(), &[1]);
    let missed = exhaust(&mut relay, 1);
    let (ticket, _, due_ms) = read_when_due(&mut relay);
    let (lost, tip) = (Some(Code::BacklogTooLarge.into()), Position(missed));
    let (epoch, entries) = (EPOCH.to_owned(), entries(&[]));
    let backlog = Backlog { epoch, lost, after: tip, entries, through: tip, more: false, members: 3 };
    let effects = relay.answered(ticket, Some(Ok(Response::Backlog(backlog))), due_ms);
    let told = parsed(&effects, 1);
    assert_eq!((&told[0]["action"], &told[0]["error"]["code"]), (&11.into(), &90004.into()));
    assert_eq!(told[0]["channelSerial"], tip.serial(EPOCH));
    assert_eq!(told[0]["flags"].as_u64().unwrap() as u32 & (RESUMED | HAS_PRESENCE), HAS_PRESENCE);
    assert!(matches!(call(&effects).1, Request::Members(_)));
    assert_eq!(places(&deliver(&mut relay, missed, &[missed + 1], LATER_MS), 1).len(), 1, "it goes on behind the gap");
}

#[test]
fn who_asks_for_members_while_it_is_behind_gets_them_afterwards() {
    let mut relay = crowd(narrow(), &[1]);
    let missed = exhaust(&mut relay, 1);
    assert_eq!(send(&mut relay, 1, r#"{"action":16,"channel":"room"}"#), []);
    let (ticket, _, due_ms) = read_when_due(&mut relay);
    let effects = relay.answered(ticket, page(missed - 1, &[missed]), due_ms);
    assert!(matches!(call(&effects).1, Request::Members(_)));
}

#[test]
fn when_all_are_sent_too_much_those_wait_that_got_more_than_their_share() {
    let relay_flow = Flow { burst: 4_000, per_second: 1_000 };
    let mut relay = crowd(Bounds { relay: relay_flow, ..Bounds::default() }, &[1, 2]);
    // Nothing is owed any more by those who were there when another comes.
    let now_ms = LATER_MS;
    let apart = r#"{"action":10,"channel":"[?rewind=0]room"}"#;
    relay.frame(SocketId(2), apart.as_bytes(), courtside::model::Format::Json, now_ms);
    let mut at = 10;
    let both = loop {
        at += 1;
        let effects = deliver(&mut relay, at - 1, &[at], now_ms);
        let (one, twice) = (places(&effects, 1).len(), places(&effects, 2).len());
        if twice < 2 {
            break (one, twice);
        }
        assert_eq!(one, 1);
        assert!(at < 100, "the relay's flow is narrow");
    };
    assert!(both.0 == 1 && both.1 < 2, "the one that is sent the most waits first: {both:?}");
}

#[test]
fn a_replay_is_given_out_no_faster() {
    let mut relay = crowd(narrow(), &[1]);
    let missed = exhaust(&mut relay, 1);
    let rewind = r#"{"action":10,"channel":"room","params":{"rewind":"100"}}"#;
    let effects = send(&mut relay, 1, rewind);
    assert!(
        effects.iter().all(|effect| matches!(effect, Effect::Save { .. })),
        "neither read nor answered: {effects:?}"
    );
    let (ticket, from, due_ms) = read_when_due(&mut relay);
    assert_eq!(from, ReadFrom::Last { messages: 100 });
    let effects = relay.answered(ticket, page(5, &[missed - 1, missed]), due_ms);
    assert_eq!(parsed(&effects, 1)[0]["action"], 11);
    assert_eq!(places(&effects, 1).len(), 2);
}

/// As much as the runtime may have to keep for one that never reads.
#[test]
fn who_is_not_heard_is_told_to_come_back_and_who_says_something_is_not() {
    let mut relay = crowd(Bounds { unheard_bytes: 1_000, ..Bounds::default() }, &[1, 2]);
    let end = (11..100).find_map(|at| {
        let effects = deliver(&mut relay, at - 1, &[at], NOW_MS);
        assert_eq!(places(&effects, 2).len(), 1);
        send(&mut relay, 2, r#"{"action":0}"#);
        (parsed(&effects, 1).len() > 1).then_some(effects)
    });
    let end = end.expect("it is sent more than that");
    let told = parsed(&end, 1);
    assert_eq!((&told[1]["action"], &told[1]["error"]["code"]), (&6.into(), &80003.into()));
    assert!(end.contains(&Effect::Close { socket: SocketId(1) }));
    assert_eq!(relay.connection_count(), 1);
}

/// It is asked half-way, and not only when its heartbeat is due.
#[test]
fn a_client_that_answers_heartbeats_and_only_listens_goes_on() {
    let listens = |answers: bool| {
        let mut relay = relay();
        relay.set_bounds(Bounds { unheard_bytes: 1_000, ..Bounds::default() });
        open(&mut relay, 1, &[("heartbeats".to_owned(), "bounce".to_owned())]);
        let effects = send(&mut relay, 1, ATTACH);
        relay.answered(call(&effects).0, subscribed(10), NOW_MS);
        let mut asked = 0;
        for at in 11..100 {
            if relay.connection_count() == 0 {
                break;
            }
            let told = parsed(&deliver(&mut relay, at - 1, &[at], NOW_MS), 1);
            if told.iter().any(|frame| frame["action"] == 22) {
                asked += 1;
                if answers {
                    assert!(parsed(&send(&mut relay, 1, r#"{"action":23}"#), 1).is_empty());
                }
            }
        }
        (asked, relay.connection_count())
    };
    assert!(listens(true).0 > 3);
    assert_eq!((listens(true).1, listens(false)), (1, (1, 0)));
}

/// Each answer is many times as long as the request, whatever a client says.
#[test]
fn who_asks_and_asks_is_told_to_come_back() {
    let mut relay = crowd(Bounds { answers_bytes: 10_000, ..Bounds::default() }, &[1]);
    let asked = (0..200).find_map(|_| {
        let effects = send(&mut relay, 1, ATTACH);
        effects.contains(&Effect::Close { socket: SocketId(1) }).then_some(effects)
    });
    let told = parsed(&asked.expect("it is answered more than that"), 1);
    let last = told.last().unwrap();
    assert_eq!((&last["action"], &last["error"]["code"]), (&6.into(), &42910.into()));
}

/// A response over HTTP says itself whether it is read.
#[test]
fn over_http_nobody_has_to_say_anything() {
    let mut relay = relay();
    relay.set_bounds(Bounds { unheard_bytes: 1_000, answers_bytes: 1_000, ..Bounds::default() });
    connect_unkept(&mut relay, 1);
    let effects = send(&mut relay, 1, ATTACH);
    relay.answered(call(&effects).0, subscribed(10), NOW_MS);
    for at in 11..100 {
        assert_eq!(places(&deliver(&mut relay, at - 1, &[at], NOW_MS), 1).len(), 1);
    }
}

#[test]
fn messages_that_say_nothing_take_room_too() {
    let nothing = [r#"{"action":15,"channel":"room","messages":["#, &vec!["{}"; 1_000].join(","), "]"].concat();
    // Of each thousand, 128 KB wait.
    let messages = Flow { burst: 1_000_000, per_second: 1_000_000 };
    for (waiting, is_refused) in [(100, false), (150, true)] {
        let mut relay = crowd(Bounds { messages, ..Bounds::default() }, &[1, 2]);
        for serial in 0..waiting {
            send(&mut relay, 1, &format!(r#"{nothing},"msgSerial":{serial}}}"#));
        }
        let told = parsed(&send(&mut relay, 2, &format!(r#"{nothing},"msgSerial":0}}"#)), 2);
        let codes: Vec<&Value> = told.iter().map(|frame| &frame["error"]["code"]).collect();
        assert_eq!(codes.contains(&&Code::RateLimited.number().into()), is_refused, "{waiting}: {told:?}");
    }
}

#[test]
fn a_frame_ends_in_time_also_when_its_messages_say_nothing() {
    let mut relay = crowd(Bounds::default(), &[1, 2]);
    let places: Vec<u64> = (11..5_011).collect();
    let frames = frames(&deliver(&mut relay, 10, &places, NOW_MS), 2);
    assert!(frames.len() > 4 && frames.iter().all(|frame| frame.len() < 256 * 1024), "{} frames", frames.len());
}
