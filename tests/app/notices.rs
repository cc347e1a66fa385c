//! Whom an app tells what, and in which order, where it has much to tell.

use courtside::limits::{NOTICE_RETRY_MS, NOTICES_AT_ONCE_MAX};
use courtside::rpc::{Noticed, RelayName};

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
