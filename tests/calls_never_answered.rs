//! Calls of a relay that are never answered, each kind: they hold nothing up for good, and what comes late does no
//! harm.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::error::Code;
use courtside::limits::CALL_ANSWER_MS;
use courtside::model::Format;
use courtside::model::serial::Position;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::Ticket;
use courtside::rpc::{
    Answer, Backlog, Delivered, MembersPage, Outcome, Published, ReadFrom, RelayName, Request, Response, Subscribed,
};

use support::bench::*;

const ATTACH: &str = r#"{"action":10,"channel":"room"}"#;
const OVER_MS: u64 = NOW_MS + CALL_ANSWER_MS;

/// Lets time pass until a call that began at once has stayed unanswered for too long. Heartbeats are no news.
fn wait(relay: &mut Relay) -> Vec<Effect> {
    let mut now_ms = NOW_MS;
    loop {
        let due_ms = relay.deadline().expect("it waits for something");
        assert!(due_ms > now_ms && due_ms <= OVER_MS, "{due_ms} after {now_ms}");
        now_ms = due_ms;
        let effects = relay.tick(now_ms);
        if now_ms == OVER_MS {
            return effects;
        }
        assert!(!effects.iter().any(is_call), "{effects:?}");
    }
}

fn is_call(effect: &Effect) -> bool {
    matches!(effect, Effect::Call { .. } | Effect::Follow { .. })
}

fn detached(effects: &[Effect]) -> bool {
    frames(effects, 1).iter().any(|frame| frame.contains(r#""action":13"#) && frame.contains(&timed_out()))
}

fn timed_out() -> String {
    format!(r#""code":{}"#, Code::TimedOut.number())
}

/// A relay with a client that is attached at position 10, where so many are present.
fn attached(members: usize) -> (Relay, Vec<Effect>) {
    let mut relay = relay();
    connect(&mut relay, 1);
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    let effects = relay.answered(subscribe, fed(members, false), NOW_MS);
    (relay, effects)
}

fn fed(members: usize, reports: bool) -> Option<Answer<Response>> {
    let (epoch, position) = (EPOCH.to_owned(), Position(10));
    Some(Ok(Response::Subscribed(Subscribed { epoch, position, members, reports, direct: true })))
}

fn late(relay: &mut Relay, ticket: Ticket, response: Response) {
    assert_eq!(relay.answered(ticket, Some(Ok(response)), OVER_MS), []);
}

/// An object that is just being moved or restarted is there a moment later: its clients need not know.
#[test]
fn what_clients_wait_for_is_asked_once_more_when_a_call_fails() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let resumes = ATTACH.replace("}", &format!(r#","channelSerial":"{}"}}"#, Position(5).serial(EPOCH)));
    let (ticket, subscribe) = call(&send(&mut relay, 1, &resumes));
    let again = relay.answered(ticket, None, NOW_MS);
    assert_eq!(call(&again), (ticket, subscribe));
    let (ticket, read) = call(&relay.answered(ticket, fed(1, false), NOW_MS));
    assert!(matches!(read, Request::Read(_)), "{read:?}");
    assert_eq!(call(&relay.answered(ticket, None, NOW_MS)), (ticket, read));
    assert!(detached(&relay.answered(ticket, None, NOW_MS)), "and no more than once");

    let (mut relay, effects) = attached(1);
    let (ticket, members) = call(&effects);
    assert!(matches!(members, Request::Members(_)), "{members:?}");
    assert_eq!(call(&relay.answered(ticket, None, NOW_MS)), (ticket, members));
}

/// They are sent again in their time, as one that is not known.
#[test]
fn a_publish_is_not_asked_once_more_by_that() {
    let (mut relay, _) = attached(0);
    let (ticket, request) =
        call(&send(&mut relay, 1, r#"{"action":15,"msgSerial":0,"channel":"room","messages":[{}]}"#));
    assert!(request.publishes().is_some(), "{request:?}");
    assert!(!relay.answered(ticket, None, NOW_MS).iter().any(is_call));
}

#[test]
fn a_subscription_ends_and_a_late_answer_places_nobody() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let (first, _) = call(&send(&mut relay, 1, ATTACH));
    assert!(detached(&wait(&mut relay)));
    let (second, request) = call(&send(&mut relay, 1, ATTACH));
    assert!(matches!(request, Request::Subscribe(..)), "the next is asked anew: {request:?}");
    assert_eq!(relay.answered(first, subscribed(10), OVER_MS), []);
    let (answer, _) = relay.deliver(&delivery(10, &[20]), OVER_MS);
    assert_eq!(answer, Delivered::NotYet, "it still asks");
    let effects = relay.answered(second, subscribed(20), OVER_MS);
    assert!(frames(&effects, 1)[0].contains(&Position(20).serial(EPOCH)));
}

#[test]
fn a_relay_above_that_does_not_answer_is_as_none() {
    let name = RelayName::shard(app().id(), 1);
    let mut relay = Relay::new(name, 1, app(), b"secret".to_vec());
    connect(&mut relay, 1);
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    let (epoch, position) = (EPOCH.to_owned(), Position(10));
    let indirect = Subscribed { epoch, position, members: 0, reports: false, direct: false };
    let effects = relay.answered(subscribe, Some(Ok(Response::Subscribed(indirect))), NOW_MS);
    let Some(Effect::Follow { ticket, .. }) = effects.iter().find(|effect| is_call(effect)) else {
        panic!("{effects:?}")
    };
    assert!(detached(&wait(&mut relay)));
    late(&mut relay, *ticket, Response::Followed);
    assert_eq!(relay.deliver(&delivery(10, &[20]), OVER_MS).0, Delivered::Unsubscribed);
}

#[test]
fn a_publish_is_sent_again_and_then_refused() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let publish = r#"{"action":15,"channel":"room","msgSerial":0,"messages":[{"data":"x"}]}"#;
    let (first, request) = call(&send(&mut relay, 1, publish));
    assert!(!wait(&mut relay).iter().any(is_call), "after a pause");
    let again_ms = relay.deadline().expect("it tries again");
    let (second, again) = call(&relay.tick(again_ms));
    assert_eq!(again, request, "in the same words, by which the channel knows it");
    let outcomes = vec![Outcome::Accepted { position: Position(20), count: 1 }];
    late(&mut relay, first, Response::Published(Published { epoch: EPOCH.into(), outcomes: outcomes.clone() }));
    let over_ms = again_ms + CALL_ANSWER_MS;
    let refused = &frames(&relay.tick(over_ms), 1).join("");
    assert!(refused.contains(r#""action":2"#) && refused.contains(&timed_out()), "{refused}");
    let published = Response::Published(Published { epoch: EPOCH.into(), outcomes });
    assert_eq!(relay.answered(second, Some(Ok(published)), over_ms), [], "it is said once");
    let next = r#"{"action":15,"channel":"room","msgSerial":1,"messages":[{"data":"y"}]}"#;
    assert!(call(&send(&mut relay, 1, next)).1.publishes().is_some());
}

#[test]
fn a_read_ends_and_its_late_page_goes_to_nobody() {
    let (mut relay, _) = attached(0);
    let serial = Position(5).serial(EPOCH);
    let resume = format!(r#"{{"action":10,"channel":"room","channelSerial":"{serial}"}}"#);
    let (first, request) = call(&send(&mut relay, 1, &resume));
    assert!(detached(&wait(&mut relay)));
    let effects = relay.frame(SocketId(1), resume.as_bytes(), Format::Json, OVER_MS);
    let (second, _) = call(&effects);
    let (after, through) = (Position(5), Position(10));
    let entries = entries(&[10]);
    let backlog = Backlog { epoch: EPOCH.into(), lost: None, after, entries, through, more: false, members: 0 };
    late(&mut relay, first, Response::Backlog(backlog.clone()));
    let (read, again) = call(&relay.answered(second, subscribed(10), OVER_MS));
    assert_eq!(again, request);
    assert_eq!(request, Request::Read(ReadFrom::After { position: Position(5), epoch: EPOCH.into() }));
    let effects = relay.answered(read, Some(Ok(Response::Backlog(backlog))), OVER_MS);
    assert!(frames(&effects, 1).iter().any(|frame| frame.contains("at 10")));
}

#[test]
fn a_sync_ends_and_its_late_page_goes_to_nobody() {
    let (mut relay, effects) = attached(3);
    let (first, request) = call(&effects);
    assert!(matches!(request, Request::Members(_)), "{request:?}");
    assert!(detached(&wait(&mut relay)));
    late(&mut relay, first, Response::Members(MembersPage { members: entries(&[]), next: None }));
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    let (_, request) = call(&relay.answered(subscribe, fed(3, false), OVER_MS));
    assert!(matches!(request, Request::Members(_)), "the next is read anew: {request:?}");
}

#[test]
fn a_report_is_made_again() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    relay.answered(subscribe, fed(0, true), NOW_MS);
    connect(&mut relay, 2);
    let (first, report) = call(&send(&mut relay, 2, ATTACH));
    assert!(matches!(report, Request::Report(..)), "{report:?}");
    assert_eq!(call(&wait(&mut relay)).1, report);
    late(&mut relay, first, Response::Reported(false));
}

/// An alarm is a row. The relay's heartbeats wake it anyway.
#[test]
fn calls_need_no_alarm_of_their_own() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let heartbeat_ms = relay.deadline();
    send(&mut relay, 1, ATTACH);
    assert_eq!(relay.deadline(), heartbeat_ms);
}

/// Nor may a clock that was set back make a call wait for ever.
#[test]
fn a_clock_that_steps_back_ends_no_later() {
    let mut relay = relay();
    connect(&mut relay, 1);
    send(&mut relay, 1, ATTACH);
    assert!(detached(&relay.tick(NOW_MS - CALL_ANSWER_MS)));
}
