//! Relays that feed others, and need no client of their own.

use courtside::model::serial::Position;
use courtside::relay::{self, Relay, SocketId};
use courtside::rpc::{Delivered, Follow, Probe, RelayName, Request, Response};

use super::support::{self, bench::*};
use super::{ATTACH, is_call};

/// The relay below the first one, which asks to be fed from a position.
fn follow(relay: &mut Relay, position: u64) -> Vec<relay::Effect> {
    let below = RelayName::shard(app().id(), 1);
    let follow = Follow { channel: address().channel, relay: below, position: Position(position) };
    let (answer, effects) = relay.follow(&follow, NOW_MS);
    assert_eq!(answer, Ok(Response::Followed));
    effects
}

fn passed_on(effects: &[relay::Effect]) -> Vec<(Position, Position)> {
    let passed_on = |effect: &relay::Effect| match effect {
        relay::Effect::Deliver { delivery, .. } => Some((delivery.prior, delivery.through)),
        _ => None,
    };
    effects.iter().filter_map(passed_on).collect()
}

/// Its last client leaves while another relay is fed by it.
#[test]
fn a_relay_that_feeds_another_needs_no_client() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    relay.answered(subscribe, subscribed(10), NOW_MS);
    follow(&mut relay, 10);
    send(&mut relay, 1, r#"{"action":12,"channel":"room"}"#);
    let (answer, effects) = relay.deliver(&delivery(10, &[20]), NOW_MS);
    assert_eq!(answer, Delivered::At(Position(20)));
    assert_eq!(passed_on(&effects), [(Position(10), Position(20))]);
}

/// A channel that hears that a relay has nobody never asks it again, where others feed it.
#[test]
fn a_relay_that_feeds_another_says_when_somebody_comes() {
    let mut relay = relay();
    let (subscribe, _) = call(&follow(&mut relay, 10));
    relay.answered(subscribe, subscribed(10), NOW_MS);
    let probe = Probe { channel: address().channel, connections: Vec::new(), occupancy: None };
    assert!(relay.probe(&probe, NOW_MS).0.local_occupancy.here.is_empty());

    connect(&mut relay, 1);
    let effects = send(&mut relay, 1, ATTACH);
    let (report, Request::Report(_, local_occupancy)) = call(&effects) else { panic!("{effects:?}") };
    assert_eq!(local_occupancy.here.get("connections"), Some(1));
    let effects = relay.answered(report, Some(Ok(Response::Reported(false))), NOW_MS);
    assert!(!effects.iter().any(is_call), "once: {effects:?}");
    connect(&mut relay, 2);
    assert!(!send(&mut relay, 2, ATTACH).iter().any(is_call), "and who comes then is told when the channel asks");
}

/// The call that says so may be lost with the relay's memory.
#[test]
fn a_relay_that_lost_its_memory_and_feeds_another_says_again_that_somebody_is_there() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    let checkpoint = record(&relay.answered(subscribe, subscribed(10), NOW_MS), 1).expect("it went live");

    let mut rebuilt = support::bench::relay();
    rebuilt.restore(SocketId(1), &checkpoint, NOW_MS);
    rebuilt.restored(NOW_MS);
    let follower = (address().channel, RelayName::shard(app().id(), 1));
    let effects = rebuilt.lead(vec![follower], NOW_MS);
    assert!(
        matches!(effects.iter().find(|effect| is_call(effect)), Some(relay::Effect::Call { call, .. })
        if matches!(call.request, Request::Report(..))),
        "{effects:?}"
    );
}

/// It could not reach the channel, and will try again: until then it must not say that nobody listens.
#[test]
fn a_relay_that_feeds_another_stays_on_the_list_while_it_is_not_placed() {
    let mut relay = relay();
    let (subscribe, _) = call(&follow(&mut relay, 10));
    // It is asked once more.
    (0..2).for_each(|_| drop(relay.answered(subscribe, None, NOW_MS)));
    assert_eq!(relay.deliver(&delivery(10, &[20]), NOW_MS).0, Delivered::NotYet);
    let again_ms = relay.deadline().expect("it tries again");
    assert!(matches!(call(&relay.tick(again_ms)), (_, Request::Subscribe(..))));
}

/// It lost its memory, and has no client whose socket would know how far it was: it asks those below, and sends nobody
/// all that the log has.
#[test]
fn a_relay_that_lost_its_memory_asks_those_below_where_they_are() {
    let mut relay = relay();
    let follower = (address().channel, RelayName::shard(app().id(), 1));
    let (subscribe, _) = call(&relay.lead(vec![follower], NOW_MS));
    let effects = relay.answered(subscribe, subscribed(30), NOW_MS);
    assert_eq!(passed_on(&effects), [(Position(30), Position(30))]);
}

/// What comes again in part is passed on once: whoever is below takes it as it is.
#[test]
fn a_relay_passes_on_what_is_new() {
    let mut relay = relay();
    let (subscribe, _) = call(&follow(&mut relay, 10));
    relay.answered(subscribe, subscribed(10), NOW_MS);
    let mut again = delivery(10, &[5, 10, 20]);
    again.prior = Position(10);
    let (_, effects) = relay.deliver(&again, NOW_MS);
    let Some(relay::Effect::Deliver { delivery, .. }) = effects.first() else { panic!("{effects:?}") };
    assert_eq!(delivery.entries, entries(&[20]));
}
