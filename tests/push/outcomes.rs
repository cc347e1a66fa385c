//! Outcomes of deliveries that come late, or never.

use courtside::app::push::Outcome;
use courtside::limits::{PUSH_DELAY_MS, PUSH_LEASE_MS, PUSH_RETRY_MS};
use courtside::rpc::PushTarget;

use super::Scene;

/// Storage gives the id of a delivery that was removed to the next.
#[test]
fn an_outcome_that_comes_after_its_lease_says_nothing_of_another_delivery() {
    let taken = || Outcome::Status { status: 201, retry_after_s: None };
    let mut scene = Scene::new();
    scene.device("a", None);
    scene.device("b", None);
    scene.publish("1", PushTarget::Device("a".into())).unwrap();
    scene.wait();
    let late = scene.attempts.remove(0);
    scene.wait_for(PUSH_LEASE_MS + PUSH_RETRY_MS[0]);
    let again = scene.attempts.remove(0);
    scene.tried(again, taken());
    scene.publish("2", PushTarget::Device("b".into())).unwrap();
    scene.wait_for(PUSH_DELAY_MS - 1);
    assert_eq!(scene.store().push.sends[&late.delivery.id].1.push, "2");
    scene.tried(late, taken());
    assert_eq!(scene.deliver(201), ["b"]);
    assert!(scene.store().push.pushes.is_empty());
}

#[test]
fn a_recipient_that_never_answers_is_given_up() {
    let mut scene = Scene::new();
    scene.device("d1", None);
    scene.publish("1", PushTarget::Device("d1".into())).unwrap();
    for _ in 0..=PUSH_RETRY_MS.len() {
        scene.wait_for(PUSH_LEASE_MS + PUSH_RETRY_MS[PUSH_RETRY_MS.len() - 1]);
        assert_eq!(std::mem::take(&mut scene.attempts).len(), 1);
    }
    scene.wait_for(PUSH_LEASE_MS);
    assert_eq!((scene.attempts.len(), scene.store().push.sends.len()), (0, 0));
    assert_eq!(scene.state("d1"), ("FAILING", Some(103001)));
}
