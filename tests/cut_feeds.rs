//! Who attaches at a relay that a channel cannot reach, though its calls reach the channel.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
    #[cfg(feature = "mqtt")]
    pub mod mqtt;
}

use courtside::limits::FEED_CURRENT_MS;
use courtside::model::Format;
use courtside::model::data::Data;
use courtside::model::message::{Content, Entry};
use courtside::model::packed::Packed;
use courtside::model::presence::{PresenceAction, PresenceMessage};
use courtside::model::serial::Position;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::{Answer, Backlog, Delivery, ReadFrom, Request, Response, Ticket};
use support::bench::{EPOCH, NOW_MS, call, connect, delivery, frames, relay, send, subscribed};

const LATER_MS: u64 = NOW_MS + FEED_CURRENT_MS;

/// Where the channel's log ends.
fn present(place: u64) -> Option<Answer<Response>> {
    let (after, through) = (Position(place), Position(place));
    let (epoch, entries) = (EPOCH.to_owned(), Packed::default());
    Some(Ok(Response::Backlog(Backlog { epoch, lost: None, after, entries, through, more: false, members: 0 })))
}

/// The call that asks where the log ends.
fn asks(effects: &[Effect]) -> Ticket {
    let (ticket, request) = call(effects);
    assert_eq!(request, Request::Read(ReadFrom::Last { messages: 0 }));
    ticket
}

/// What the channel delivers once it can, after its log has let go of all before `prior`.
fn after_a_gap(prior: u64, places: &[u64]) -> Delivery {
    Delivery { gap: true, ..delivery(prior, places) }
}

fn attach(relay: &mut Relay, socket: u32, now_ms: u64) -> Vec<Effect> {
    relay.frame(SocketId(socket), br#"{"action":10,"channel":"room"}"#, Format::Json, now_ms)
}

/// A relay that a client's first ATTACH placed, and a second client.
fn placed() -> Relay {
    let mut relay = relay();
    connect(&mut relay, 1);
    let (ticket, _) = call(&send(&mut relay, 1, r#"{"action":10,"channel":"room"}"#));
    relay.answered(ticket, subscribed(5_000), NOW_MS);
    connect(&mut relay, 2);
    relay
}

#[test]
fn who_attaches_begins_at_the_present_and_misses_nothing_that_lies_before() {
    let mut relay = placed();
    let effects = attach(&mut relay, 2, LATER_MS);
    assert_eq!(frames(&effects, 2), [""; 0], "not yet");
    let attached = frames(&relay.answered(asks(&effects), present(7_000), LATER_MS), 2);
    assert!(attached[0].contains(r#""action":11"#) && attached[0].contains("07-000@life"), "{attached:?}");

    let (_, effects) = relay.deliver(&after_a_gap(6_000, &[6_500, 7_000, 7_500]), LATER_MS);
    assert!(frames(&effects, 1)[0].contains("90003"), "{effects:?}");
    let told = frames(&effects, 2);
    assert!(told.len() == 1 && told[0].contains("at 7500") && !told[0].contains("at 7000"), "{told:?}");
}

#[test]
fn who_resumes_from_nowhere_is_told_the_present() {
    let mut relay = placed();
    let resume = br#"{"action":10,"channel":"room","channelSerial":"nonsense"}"#;
    let (ticket, request) = call(&relay.frame(SocketId(2), resume, Format::Json, LATER_MS));
    assert_eq!(request, Request::Read(ReadFrom::After { position: Position(0), epoch: String::new() }));
    let Some(Ok(Response::Backlog(backlog))) = present(7_000) else { unreachable!("it is one") };
    let lost = Some(courtside::error::Code::ContinuityUnknown.into());
    let answer = Some(Ok(Response::Backlog(Backlog { lost, ..backlog })));
    let attached = frames(&relay.answered(ticket, answer, LATER_MS), 2);
    assert!(attached[0].contains("90003") && attached[0].contains("07-000@life"), "{attached:?}");
}

/// Not only messages: who goes on from there is in time for all.
#[test]
fn what_comes_while_the_relay_asks_is_read_behind_the_present() {
    let mut relay = placed();
    let ticket = asks(&attach(&mut relay, 2, LATER_MS));
    relay.deliver(&delivery(5_000, &[7_500]), LATER_MS);
    let effects = relay.answered(ticket, present(7_000), LATER_MS);
    let (ticket, request) = call(&effects);
    assert_eq!(request, Request::Read(ReadFrom::After { position: Position(7_000), epoch: EPOCH.to_owned() }));
    let enter = PresenceMessage {
        action: PresenceAction::Enter,
        id: "c:0:0".to_owned(),
        connection_id: "c".to_owned(),
        client_id: "ann".to_owned(),
        data: Data::Absent,
        encoding: None,
        extras: None,
    };
    let content = Content::Presence(vec![enter]);
    let entry = Entry { position: Position(7_500), id: "x".to_owned(), connection_id: None, content };
    let Some(Ok(Response::Backlog(backlog))) = present(7_500) else { unreachable!("it is one") };
    let backlog = Backlog { after: Position(7_000), entries: Packed::one(&entry), ..backlog };
    let told = frames(&relay.answered(ticket, Some(Ok(Response::Backlog(backlog))), LATER_MS), 2);
    assert!(told.len() == 1 && told[0].contains(r#""action":14"#), "{told:?}");
}

/// Of a silent channel, one call in ten seconds, however many attach.
#[test]
fn a_relay_asks_only_when_it_has_heard_nothing_for_a_while_and_once_for_all() {
    let calls = |effects: &[Effect]| effects.iter().filter(|effect| matches!(effect, Effect::Call { .. })).count();
    let mut relay = placed();
    assert_eq!(calls(&attach(&mut relay, 2, LATER_MS - 1)), 0);
    (3..9).for_each(|socket| _ = connect(&mut relay, socket));
    let ticket = asks(&attach(&mut relay, 3, LATER_MS));
    assert_eq!(calls(&attach(&mut relay, 4, LATER_MS)), 0, "one asks for both");
    let effects = relay.answered(ticket, present(5_000), LATER_MS);
    assert!([3, 4].iter().all(|socket| frames(&effects, *socket).len() == 1), "{effects:?}");
    assert_eq!(calls(&attach(&mut relay, 5, LATER_MS + 1)), 0, "it was told that it has all");
    relay.deliver(&delivery(5_000, &[6_000]), LATER_MS + FEED_CURRENT_MS);
    assert_eq!(calls(&attach(&mut relay, 6, LATER_MS + FEED_CURRENT_MS + 1)), 0, "it was fed");
    asks(&attach(&mut relay, 7, LATER_MS + 2 * FEED_CURRENT_MS));
}

/// Its session is kept, with the place where it began: a gap behind that would end it.
#[cfg(feature = "mqtt")]
#[test]
fn a_session_of_mqtt_outlives_a_gap_that_lies_before_its_subscription() {
    use support::mqtt::{come, say, sent};

    let mut relay = placed();
    come(&mut relay, 3, "ann", false, NOW_MS);
    let effects = say(&mut relay, 3, b"\x82\x0a\0\x01\0\0\x04room\x01", LATER_MS);
    assert_eq!(sent(&effects, 3).len(), 0, "no SUBACK yet");
    let effects = relay.answered(asks(&effects), present(7_000), LATER_MS);
    assert_eq!(sent(&effects, 3)[0][0], 0x90, "SUBACK");
    let (_, effects) = relay.deliver(&after_a_gap(6_000, &[6_500, 7_000, 7_500]), LATER_MS);
    let told = sent(&effects, 3);
    assert!(told.len() == 1 && told[0].ends_with(b"at 7500"), "{told:?}");

    relay.lost(SocketId(3), LATER_MS);
    let effects = come(&mut relay, 4, "ann", false, LATER_MS);
    assert_eq!(sent(&effects, 4)[0][2], 1, "the session is there");
}
