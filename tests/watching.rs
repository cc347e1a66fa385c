//! What an app says reaches every relay that holds its clients, whichever calls are late or lost.

#[allow(dead_code, reason = "shared with the simulation")]
mod support {
    pub mod app_store;
    pub mod disk;
    pub mod grant;
    pub mod host;
    pub mod memory_store;
    pub mod objects;
    pub mod random;
}

use std::rc::Rc;

use courtside::auth::{App, Grant, Identity};
use courtside::model::Format;
use courtside::model::name::{AppId, ChannelName};
use courtside::protocol::Encoded;
use courtside::relay::session::Opening;
use courtside::rpc::{Act, Address, AdminCall, AppRequest, Change, RelayName};
use serde_json::{Value, json};
use support::disk::Disk;
use support::host::{Host, Input, LinkId};
use support::objects::{Heard, Objects};
use support::random::Random;

const NOW_MS: u64 = 1_000_000;
const HOUR_MS: u64 = 60 * 60 * 1_000;

/// A channel's object, and one relay.
const CHANNEL: usize = 0;
const RELAY: usize = 1;

const CLOSE: u64 = 7;
const ERROR: u64 = 9;
const ATTACH: u64 = 10;
const ATTACHED: u64 = 11;
const MESSAGE: u64 = 15;

struct Scene {
    objects: Objects,
}

impl Scene {
    /// An app that was made at run time, or one of the deployment's own.
    fn new(is_made: bool) -> Scene {
        let key = json!({"name": "key", "secret": "a-secret-of-the-app", "revocableTokens": true});
        let app: Rc<App> = Rc::new(serde_json::from_value(json!({"id": "demo", "keys": [key]})).unwrap());
        let address = Address { app: AppId::parse("demo").unwrap(), channel: ChannelName::parse("room").unwrap() };
        let disk = || Disk::new(Random::new(0));
        let channel = Host::new(RelayName::of_channel(&address), app.clone(), Some(address), disk());
        let relay = Host::new(RelayName::shard(app.id(), 0), app.clone(), None, disk());
        let new = if is_made { Objects::made } else { Objects::new };
        Scene { objects: new(app, vec![channel, relay], NOW_MS) }
    }

    fn connect(&mut self, link: u64) {
        self.open(link, support::grant::grant());
    }

    fn connect_as(&mut self, link: u64, name: &str) {
        self.open(link, Grant { client_id: Identity::Named(name.into()), ..support::grant::grant() });
    }

    fn open(&mut self, link: u64, grant: Grant) {
        let opening = Opening::from_query(grant, &[], true);
        let fresh_id = format!("conn{link}");
        self.objects.turn(RELAY, Input::Open { link: LinkId(link), mode: None, opening, fresh_id });
    }

    fn say(&mut self, link: u64, frame: &Value) {
        let bytes = frame.to_string().into_bytes();
        self.objects.turn(RELAY, Input::Frame { link: LinkId(link), bytes, format: Format::Json });
    }

    fn publish(&mut self, link: u64, serial: u64) {
        let frame = json!({"action": MESSAGE, "channel": "room", "msgSerial": serial, "messages": [{}]});
        self.say(link, &frame);
    }

    fn set_namespace(&mut self, namespace: &Value) {
        let act = Act::Configure(Change::PutNamespace(namespace.to_string()));
        self.objects.operate(AppRequest::Admin(AdminCall { note: None, act }.into())).unwrap();
    }

    /// The actions of the frames that a client was sent since this was last asked, and whether it was sent away.
    fn heard(&mut self, link: u64) -> (Vec<u64>, bool) {
        let (mut actions, mut closed) = (Vec::new(), false);
        let (own, others) =
            std::mem::take(&mut self.objects.heard).into_iter().partition(|(to, _)| *to == LinkId(link));
        self.objects.heard = others;
        let own: Vec<(LinkId, Heard)> = own;
        for (_, heard) in own {
            match heard {
                Heard::Frame(frame) => {
                    let Encoded::Text(text) = &*frame else { unreachable!("all speak JSON") };
                    actions.push(serde_json::from_str::<Value>(text).unwrap()["action"].as_u64().unwrap());
                }
                Heard::Closed => closed = true,
            }
        }
        (actions, closed)
    }

    fn rows(&self) -> usize {
        self.objects.hosts[CHANNEL].disk().stored().rows.len()
    }
}

/// Its memory outlives its last client, and what the app said of it.
#[test]
fn a_relay_whose_watch_begins_anew_knows_what_changed_meanwhile() {
    let mut scene = Scene::new(true);
    scene.connect(1);
    scene.publish(1, 0);
    scene.say(1, &json!({"action": CLOSE}));
    scene.set_namespace(&json!({"id": "*", "persisted": true, "authenticated": true}));
    scene.connect(2);
    scene.heard(2);
    scene.say(2, &json!({"action": ATTACH, "channel": "room"}));
    assert_eq!(scene.heard(2), (vec![ERROR], false), "only those with a name may come");
    scene.connect_as(3, "ann");
    scene.say(3, &json!({"action": ATTACH, "channel": "room"}));
    assert!(scene.heard(3).0.contains(&ATTACHED));
    for serial in 0..3 {
        scene.publish(3, serial);
        scene.objects.pass(HOUR_MS);
    }
    assert_eq!(scene.rows(), 4, "the relay's calls say that messages are kept");
}
