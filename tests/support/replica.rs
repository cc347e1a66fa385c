//! Objects as a client holds them: the protocol's rules once more, written from what clients do and not from what the
//! server does, and fed with frames as they come.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

#[derive(Clone, Debug, Default)]
struct Object {
    serials: BTreeMap<String, String>,
    created: bool,
    tombstone: bool,
    count: f64,
    cleared: Option<String>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    serial: Option<String>,
    data: Option<Value>,
}

#[derive(Debug, Default)]
pub struct Replica {
    objects: BTreeMap<String, Object>,
    sync: Option<Sync>,
    /// Serials of its own operations that it applied on their acknowledgement.
    on_ack: BTreeSet<String>,
    /// Pages that came of all syncs.
    pub pages: usize,
    /// The largest page, in bytes of its text.
    pub largest_page: usize,
}

/// A sync that is under way, and what came meanwhile.
#[derive(Debug, Default)]
struct Sync {
    id: String,
    objects: BTreeMap<String, Object>,
    waiting: Vec<Value>,
    /// Its own, acknowledged meanwhile.
    acknowledged: Vec<Value>,
}

const SITE: &str = "main";

impl Replica {
    /// ATTACHED came: all that is known is told anew.
    pub fn attached(&mut self) {
        self.sync = Some(Sync::default());
    }

    pub fn is_synced(&self) -> bool {
        self.sync.is_none()
    }

    /// An OBJECT frame.
    pub fn operate(&mut self, frame: &Value) {
        for message in list(&frame["state"]) {
            match &mut self.sync {
                Some(sync) => sync.waiting.push(message.clone()),
                None => self.apply(message),
            }
        }
    }

    /// An OBJECT_SYNC frame. Another sync than the last forgets what came before it, as some clients do.
    pub fn page(&mut self, frame: &Value) {
        let (id, cursor) = text(&frame["channelSerial"]).split_once(':').expect("a sync and a cursor");
        let sync = self.sync.as_mut().expect("a sync follows an ATTACHED");
        if sync.id != id {
            *sync = Sync { id: id.to_owned(), ..Sync::default() };
        }
        self.pages += 1;
        self.largest_page = self.largest_page.max(frame["state"].to_string().len());
        list(&frame["state"]).iter().for_each(|item| sync.take(&item["object"]));
        if cursor.is_empty() {
            let sync = self.sync.take().expect("taken above");
            assert!(sync.objects.contains_key("root"), "every sync has the root");
            self.objects = sync.objects;
            sync.waiting.iter().for_each(|message| self.apply(message));
            self.on_ack.clear();
            sync.acknowledged.iter().for_each(|message| self.acknowledged(message));
        }
    }

    /// An operation of its own was acknowledged, with this serial: it is applied at once, and not when it comes.
    pub fn acknowledged(&mut self, message: &Value) {
        if let Some(sync) = &mut self.sync {
            return sync.acknowledged.push(message.clone());
        }
        let (serial, operation) = (text(&message["serial"]), &message["operation"]);
        if self.on_ack.remove(serial) {
            return;
        }
        let object = self.objects.entry(text(&operation["objectId"]).to_owned()).or_default();
        if !object.tombstone && object.serials.get(SITE).is_none_or(|known| known.as_str() < serial) {
            object.apply(operation, serial);
            self.on_ack.insert(serial.to_owned());
        }
    }

    pub fn apply(&mut self, message: &Value) {
        let (serial, operation) = (text(&message["serial"]), &message["operation"]);
        if self.on_ack.remove(serial) {
            return;
        }
        let object = self.objects.entry(text(&operation["objectId"]).to_owned()).or_default();
        if object.serials.get(SITE).is_some_and(|known| known.as_str() >= serial) {
            return;
        }
        object.serials.insert(SITE.to_owned(), serial.to_owned());
        if !object.tombstone {
            object.apply(operation, serial);
        }
    }

    /// What can be reached, as nested values: an object within itself is its id.
    pub fn tree(&self) -> Value {
        self.show("root", &mut Vec::new()).unwrap_or_else(|| json!({}))
    }

    fn show(&self, id: &str, above: &mut Vec<String>) -> Option<Value> {
        let object = self.objects.get(id).filter(|object| !object.tombstone)?;
        if id.starts_with("counter:") {
            return Some(json!(object.count));
        }
        if above.iter().any(|one| one == id) {
            return Some(json!({"objectId": id}));
        }
        above.push(id.to_owned());
        let mut shown = Map::new();
        for (key, entry) in &object.entries {
            let value = match entry.data.as_ref().map(|data| (data, data.get("objectId"))) {
                Some((_, Some(id))) => self.show(text(id), above),
                Some((data, None)) => Some(data.clone()),
                None => None,
            };
            shown.extend(value.map(|value| (key.clone(), value)));
        }
        above.pop();
        Some(Value::Object(shown))
    }
}

impl Sync {
    fn take(&mut self, state: &Value) {
        let entries = state["map"]["entries"].as_object();
        let entries = entries.into_iter().flatten().map(|(key, entry)| {
            let serial = entry["timeserial"].as_str().map(str::to_owned);
            (key.clone(), Entry { serial, data: entry.get("data").cloned() })
        });
        let id = text(&state["objectId"]).to_owned();
        if let Some(known) = self.objects.get_mut(&id) {
            for (key, entry) in entries {
                assert!(known.entries.insert(key, entry).is_none(), "the parts of a map have no key in common");
            }
            return;
        }
        assert!(state.get("map").is_some_and(|map| map["semantics"] == 0) || state.get("counter").is_some(), "{state}");
        let serials = state["siteTimeserials"].as_object().expect("serials of sites").iter();
        let object = Object {
            serials: serials.map(|(site, serial)| (site.clone(), text(serial).to_owned())).collect(),
            created: state.get("createOp").is_some(),
            tombstone: state["tombstone"] == true,
            count: number(&state["counter"]["count"]) + number(&state["createOp"]["counterCreate"]["count"]),
            cleared: state["map"]["clearTimeserial"].as_str().map(str::to_owned),
            entries: entries.collect(),
        };
        self.objects.insert(id, object);
    }
}

impl Object {
    fn apply(&mut self, operation: &Value, serial: &str) {
        match operation["action"].as_u64() {
            Some(0) if !std::mem::replace(&mut self.created, true) => {
                for (key, entry) in operation["mapCreate"]["entries"].as_object().into_iter().flatten() {
                    self.entries.entry(key.clone()).or_insert(Entry { serial: None, data: entry.get("data").cloned() });
                }
            }
            Some(1) => self.set(&operation["mapSet"]["key"], operation["mapSet"].get("value").cloned(), serial),
            Some(2) => self.set(&operation["mapRemove"]["key"], None, serial),
            Some(3) if !std::mem::replace(&mut self.created, true) => {
                self.count += number(&operation["counterCreate"]["count"]);
            }
            Some(4) => self.count += number(&operation["counterInc"]["number"]),
            Some(5) => {
                *self = Object { tombstone: true, serials: std::mem::take(&mut self.serials), ..Object::default() }
            }
            Some(6) if self.cleared.as_deref().is_none_or(|cleared| cleared < serial) => {
                self.cleared = Some(serial.to_owned());
                self.entries.retain(|_, entry| entry.serial.as_deref().is_some_and(|known| known >= serial));
            }
            Some(0 | 3 | 6) => {}
            other => panic!("no operation: {other:?}"),
        }
    }

    fn set(&mut self, key: &Value, data: Option<Value>, serial: &str) {
        let known = self.entries.get(text(key)).map(|entry| entry.serial.as_deref().unwrap_or_default());
        if self.cleared.as_deref().is_some_and(|cleared| cleared >= serial)
            || known.is_some_and(|known| known >= serial)
        {
            return;
        }
        self.entries.insert(text(key).to_owned(), Entry { serial: Some(serial.to_owned()), data });
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}
