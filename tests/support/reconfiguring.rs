//! The deployment is configured anew while it runs: a namespace has other rules, and each object hears of it in its own
//! time. What is promised then is the weaker of both, but what is published once all have heard of a channel that is
//! persisted stays.

use std::rc::Rc;

use courtside::auth::{App, Apps};
use courtside::object;
use serde_json::{Value, json};

use super::host::Input;
use super::ledger::Kind;
use super::trace::note;
use super::world::{Event, World};

/// Until all objects have heard of it.
const HEARD_MS: u64 = 3_000;

impl World {
    /// Other rules for the namespace of some channel.
    pub fn reconfigure(&mut self) {
        if self.now_ms < self.configured_ms {
            return;
        }
        let channel = self.random.below(self.channels as u64) as usize;
        let mutable = self.ledger.book(channel).kind().mutable;
        let interval_ms = self.random.pick(&[Some(20), Some(200), Some(500), Some(1_000), None]).to_owned();
        let conflates = interval_ms.is_some() && self.random.chance(400);
        let persisted = mutable || self.random.chance(500);
        let kind = Kind { persisted, interval_ms, conflates, mutable };
        let before = self.hosts[0].app.clone();
        let mut config = before.to_json();
        let name = self.channel_name(channel);
        let id = name.split(':').next().expect("a namespace").to_owned();
        let namespaces = config["namespaces"].as_array_mut().expect("namespaces");
        let rules = namespaces.iter_mut().find(|rules| rules["id"] == *id).expect("it is there");
        *rules = namespace(&id, kind);
        let app: App = serde_json::from_value(config).expect("an app");
        let app = Rc::new(app);
        self.configured_ms = self.now_ms + HEARD_MS;
        note(self.now_ms, format_args!("{id} is {kind:?} from now on"));
        for channel in 0..self.channels {
            if self.channel_name(channel).starts_with(&format!("{id}:")) {
                self.ledger.is_configured(channel, kind, self.configured_ms);
            }
        }
        for host in 0..self.hosts.len() {
            let delay_ms = self.random.below(HEARD_MS);
            self.after(delay_ms, Event::Reconfigure { host, app: app.clone() });
        }
    }

    pub(super) fn reconfigured(&mut self, host: usize, app: Rc<App>) {
        let before = std::mem::replace(&mut self.hosts[host].app, app.clone());
        if self.hosts[host].is_awake() {
            let apps = |app| Rc::new(Apps::of([app]));
            let (apps, before) = (Ok(apps(app)), Some(apps(before)));
            self.turn(host, Input::Object(object::Input::Reconfigure { apps, before }));
        } else {
            self.hosts[host].forget();
        }
    }

    fn channel_name(&self, channel: usize) -> String {
        self.hosts[channel].address.as_ref().expect("a channel's object").channel.to_string()
    }
}

/// The rules of a namespace, as the configuration has them.
pub fn namespace(id: &str, kind: Kind) -> Value {
    let (batches, conflates) = (kind.interval_ms.is_some() && !kind.conflates, kind.conflates);
    json!({
        "id": id, "persisted": kind.persisted && !kind.mutable, "pushEnabled": true,
        "mutableMessages": kind.mutable,
        "batchingEnabled": batches, "batchingInterval": kind.interval_ms,
        "conflationEnabled": conflates, "conflationInterval": kind.interval_ms, "conflationKey": "#{message.name}",
    })
}
