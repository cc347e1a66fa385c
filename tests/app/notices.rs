//! Whom an app tells what, and in which order, where it has much to tell.

use courtside::limits::{NOTICE_RETRY_MS, NOTICES_AT_ONCE_MAX, REVOCABLE_TOKEN_MAX_TTL_MS};
use courtside::model::name::{AppId, ChannelName};
use courtside::rpc::{Address, AppRequest, Noticed, RelayName};

use super::{Scene, relay};

/// Twice as many as are told at a time, so that they would take all places for ever.
#[test]
fn relays_that_do_not_answer_hold_no_other_up() {
    for is_known in [true, false] {
        let mut scene = Scene::made();
        let silent = 2 * NOTICES_AT_ONCE_MAX as u16;
        (0..=silent).for_each(|shard| drop(scene.watch(shard)));
        let told_in = |scene: &mut Scene| {
            for round in 1.. {
                for tell in scene.notices() {
                    if tell.relay == relay(silent) {
                        scene.told(&tell, Some(Noticed::Taken));
                        return round;
                    } else if is_known {
                        scene.told(&tell, None);
                    }
                }
                assert!(scene.registrar.deadline() > Some(scene.now_ms), "no alarm for those who wait for a place");
                scene.now_ms += NOTICE_RETRY_MS / 2;
                assert!(round < 20, "never");
            }
            unreachable!()
        };
        scene.revoke(&["ann"]);
        let first = told_in(&mut scene);
        assert!(first <= 5, "once all others were tried: {first}");
        for name in ["bob", "eve"] {
            scene.now_ms += NOTICE_RETRY_MS / 2;
            scene.revoke(&[name]);
            assert_eq!(told_in(&mut scene), 1);
        }
        scene.now_ms += NOTICE_RETRY_MS;
        let mut tried: Vec<RelayName> = Vec::new();
        for _ in 0..8 {
            tried.extend(scene.notices().into_iter().map(|tell| tell.relay));
            scene.now_ms += NOTICE_RETRY_MS / 2;
        }
        tried.sort_unstable();
        tried.dedup();
        assert_eq!(tried.len(), usize::from(silent), "they are all tried again");
    }
}

/// A relay that has taken one says no more than that it has when it is told of the same, or of an earlier one.
#[test]
fn what_is_told_is_later_than_all_that_a_relay_may_have_taken_though_the_app_forgot_that() {
    let mut scene = Scene::made();
    scene.watch(0);
    scene.revoke(&["ann"]);
    let unanswered = scene.notices()[0].notice.through;
    scene.now_ms += REVOCABLE_TOKEN_MAX_TTL_MS;
    // The first forgets the revocation, and the next knows nothing of it.
    scene.restart();
    scene.restart();
    scene.now_ms += 1;
    scene.revoke(&["bob"]);
    assert!(scene.notices()[0].notice.through > unanswered);
}

/// It is told something only to end its watch, if it has no client any more.
#[test]
fn nor_does_a_relay_in_doubt_take_for_old_what_comes_first() {
    let mut scene = Scene::made();
    let channel = ChannelName::parse("room").unwrap();
    let address = Address { app: AppId::parse("demo").unwrap(), channel: channel.clone() };
    scene.call(AppRequest::Watch(RelayName::of_channel(&address))).unwrap();
    scene.call(AppRequest::List { channel, active: false }).unwrap();
    let unanswered = scene.notices()[0].notice.through;
    scene.restart();
    scene.revoke(&["ann"]);
    assert!(scene.notices()[0].notice.through > unanswered);
}
