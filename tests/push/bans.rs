//! Bans hold for what a client is told by push, too.

use courtside::app::push::Outcome;
use courtside::auth::Ban;
use courtside::limits::{PUSH_DELAY_MS, PUSH_RETRY_MS};
use courtside::object::{AppInput, CallerId};
use courtside::push::Subscriber;
use courtside::rpc::{Act, AdminCall, AppCall, AppRequest, PushTarget};

use super::{NOW_MS, Scene, app};

impl Scene {
    /// All deliveries, which go well: whose endpoints they were for, by their names.
    fn delivered(&mut self) -> String {
        let mut reached = self.deliver(201);
        reached.sort();
        reached.join(" ")
    }

    fn ban(&mut self, name: &str, channels: Option<&str>) {
        let ban = Ban { until_ms: None, since_ms: NOW_MS, interval_ms: None, ..Ban::lifted(name, channels) };
        self.operate(Act::Ban(ban));
    }

    fn lift(&mut self, name: &str, channels: Option<&str>) {
        self.operate(Act::Lift { client_id: name.to_owned(), channels: channels.map(str::to_owned) });
    }

    fn operate(&mut self, act: Act) {
        let request = AppRequest::Admin(AdminCall { note: None, act }.into());
        self.turn(AppInput::Call { caller: CallerId(0), call: AppCall { app: app(), request } });
        let (_, answer) = self.answers.pop().expect("an answer at once");
        assert!(answer.is_ok(), "{answer:?}");
    }
}

#[test]
fn a_banned_client_is_told_nothing_by_push_until_its_ban_is_lifted() {
    let mut scene = Scene::new();
    for (id, client) in [("a1", Some("ann")), ("a2", Some("ann")), ("b1", Some("bob")), ("x1", None)] {
        scene.device(id, client);
    }
    for device in ["a1", "b1", "x1"] {
        scene.subscribe("news", Subscriber::Device(device.into()));
        scene.subscribe("chat", Subscriber::Device(device.into()));
    }
    ["news", "chat"].into_iter().for_each(|channel| scene.subscribe(channel, Subscriber::Client("ann".into())));
    let mut round = 0;
    let mut all = |scene: &mut Scene| {
        round += 1;
        let mut got = Vec::new();
        for channel in ["news", "chat"] {
            scene.say(&format!("{channel}{round}"), channel);
            got.push(scene.delivered());
        }
        for target in [PushTarget::Client("ann".into()), PushTarget::Device("a1".into())] {
            scene.publish(&format!("direct{round}{target:?}"), target).unwrap();
            got.push(scene.delivered());
        }
        assert_eq!((scene.store().push.pushes.len(), scene.store().push.sends.len()), (0, 0), "nothing waits");
        got
    };
    let (everyone, others) = ("a1 a2 b1 x1", "b1 x1");
    assert_eq!(all(&mut scene), [everyone, everyone, "a1 a2", "a1"]);
    scene.ban("ann", Some("news"));
    assert_eq!(all(&mut scene), [others, everyone, "a1 a2", "a1"]);
    scene.ban("ann", None);
    scene.restart();
    assert_eq!(all(&mut scene), [others, others, "", ""]);
    scene.lift("ann", None);
    scene.lift("ann", Some("news"));
    assert_eq!(all(&mut scene), [everyone, everyone, "a1 a2", "a1"]);
}

#[test]
fn what_waits_for_a_device_is_not_delivered_once_its_client_is_banned() {
    let mut scene = Scene::new();
    scene.device("a1", Some("ann"));
    scene.publish("key", PushTarget::Device("a1".into())).unwrap();
    scene.wait_for(PUSH_DELAY_MS);
    let attempt = scene.attempts.remove(0);
    scene.tried(attempt, Outcome::Status { status: 503, retry_after_s: None });
    assert_eq!(scene.store().push.sends.len(), 1);
    scene.ban("ann", None);
    scene.restart();
    scene.wait_for(PUSH_RETRY_MS[0]);
    assert_eq!(scene.attempts.len(), 0);
    assert_eq!(scene.store().push.sends.len(), 0);
}
