//! An operator ends keys of an app that was made at run time, or replaces them. Who lets clients through may not have
//! heard of it yet; whoever of a key comes later comes by another, or stays out. What is judged of it:
//!
//! - an object that has stored what the app is without the key, and said so, tells its clients nothing more and takes
//!   nothing from them, whoever let them through;
//! - clients of other keys, also of those that replaced it, lose nothing;
//! - when nothing fails any more, nobody is there by a key that has ended.

use std::collections::BTreeMap;
use std::rc::Rc;

use courtside::app;
use courtside::auth::App;
use courtside::limits::FOUND_APP_KEPT_MS;
use courtside::rpc::{Act, Change};
use serde_json::json;

use super::sanctions::{LATE_MS, Pass};
use super::trace::note;
use super::world::{EPOCH_MS, World};

/// The one that stays.
const KEY: &str = "key";

/// Those that there are at first besides.
const KEYS: [&str; 3] = ["one", "two", "three"];

/// When each key of an app ends, if it does.
pub type Ends = BTreeMap<String, Option<u64>>;

/// Of all keys that there were.
#[derive(Debug, Default)]
pub struct Keys {
    /// The app was made at run time, and has more than one.
    pub are_many: bool,
    living: Vec<String>,
    ended: BTreeMap<String, End>,
    pub count: usize,
}

#[derive(Clone, Copy, Debug)]
struct End {
    /// When the app acknowledged it.
    since_ms: u64,
    /// What clocks show when the key ends.
    until_ms: u64,
}

/// Those that an app has, from its configuration.
pub fn ends(config: &str) -> Ends {
    let app = app::configuration(config).expect("an app");
    app.keys().iter().map(|key| (key.name.id().to_owned(), key.valid_until_ms)).collect()
}

impl World {
    /// From now on the app is one that was made at run time, of more than one key.
    pub fn make_app(&mut self) {
        let mut config = self.hosts[0].app.to_json();
        let keys = config["keys"].as_array_mut().expect("keys");
        for id in KEYS {
            let mut key = keys[0].clone();
            key["name"] = json!(id);
            keys.push(key);
        }
        self.sanctions.keys = Keys { are_many: true, living: KEYS.map(str::to_owned).to_vec(), ..Keys::default() };
        let app: Rc<App> = Rc::new(serde_json::from_value(config).expect("an app"));
        for host in &mut self.hosts {
            (host.app, host.is_configured) = (app.clone(), false);
            host.forget();
        }
        self.app.make(app);
    }

    /// The key that a client comes by.
    pub(super) fn some_key(&mut self) -> String {
        let count = self.sanctions.keys.living.len();
        let at = if count == 0 { 0 } else { self.random.below(count as u64 + 1) as usize };
        self.sanctions.keys.living.get(at).cloned().unwrap_or_else(|| KEY.to_owned())
    }

    /// One of those that may end does.
    pub(super) fn end_key(&mut self) {
        if self.sanctions.keys.living.is_empty() {
            return;
        }
        self.sanctions.keys.count += 1;
        let at = self.random.below(self.sanctions.keys.living.len() as u64) as usize;
        let id = self.sanctions.keys.living.remove(at);
        let now_ms = EPOCH_MS + self.now_ms;
        let (change, until_ms) = match self.random.chance(500) {
            true => (Change::RemoveKey(id.clone()), now_ms),
            false => {
                let (new_id, until_ms) =
                    (format!("{id}-{}", self.sanctions.keys.count), now_ms + self.random.below(20_000));
                self.sanctions.keys.living.push(new_id.clone());
                let secret = "a-secret-of-its-own".to_owned();
                (Change::RotateKey { id: id.clone(), new_id, secret, until_ms }, until_ms)
            }
        };
        for index in 0..self.homes.len() {
            let renews = self.random.chance(850);
            let is_hit = |pass: &&mut Pass| pass.key == id;
            self.homes[index].pass.iter_mut().filter(is_hit).for_each(|pass| pass.renews &= renews);
        }
        note(self.now_ms, format_args!("{change:?}"));
        self.admin(Act::Configure(change));
        let stored = ends(self.app.stored().config.as_deref().expect("it was made"));
        assert!(stored.get(&id).is_none_or(|end| *end == Some(until_ms)), "the app did not take it: {stored:?}");
        self.sanctions.keys.ended.insert(id, End { since_ms: self.now_ms, until_ms });
    }

    /// Until when a client is let through that comes by its key, or by another if that has ended; `None` if it is not.
    /// A router may know the app as it was.
    pub(super) fn let_through(&mut self, client: usize) -> Option<Option<u64>> {
        let Some(pass) = &self.homes[client].pass else { return Some(None) };
        let Some(End { since_ms, until_ms }) = self.sanctions.keys.ended.get(&pass.key).copied() else {
            return Some(None);
        };
        let renews = pass.renews;
        if self.now_ms < since_ms + FOUND_APP_KEPT_MS && self.random.chance(500) {
            return Some(None);
        }
        if !renews || self.random.chance(200) {
            return (until_ms > EPOCH_MS + self.now_ms).then_some(Some(until_ms));
        }
        let key = self.some_key();
        let pass = self.homes[client].pass.as_mut().expect("it has one");
        pass.key = key;
        Some(None)
    }

    /// Whether it comes by a key that ends, or has.
    pub(super) fn is_ending(&self, pass: &Pass) -> bool {
        self.sanctions.keys.ended.contains_key(&pass.key)
    }

    /// Whether a key that has ended is none of those that an object knows. A new one may be none of them yet.
    pub(super) fn is_over(&self, pass: &Pass, known: &Ends) -> bool {
        let is_steady = self.weather_at_first.step_clock == 0;
        let is_past = |until_ms: u64| is_steady && until_ms + LATE_MS < EPOCH_MS + self.now_ms;
        self.is_ending(pass) && known.get(&pass.key).is_none_or(|end| end.is_some_and(is_past))
    }

    /// Nobody is there by a key that has ended.
    pub fn check_keys(&self) {
        for (index, home) in self.homes.iter().enumerate() {
            let Some(pass) = home.link.and_then(|link| self.sanctions.passes.get(&link)) else { continue };
            let is_over = self
                .sanctions
                .keys
                .ended
                .get(&pass.key)
                .is_some_and(|end| end.until_ms + LATE_MS < EPOCH_MS + self.now_ms);
            assert!(!is_over || !home.client.is_connected(), "client {index} is still here by {pass:?}");
        }
    }
}
