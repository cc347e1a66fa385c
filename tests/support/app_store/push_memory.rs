//! What push keeps, in memory.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use courtside::app::push::Waiting;
use courtside::app::push::store::{Store, StoreError};
use courtside::app::push::web::VapidKeys;
use courtside::base::pinned;
use courtside::push::{Device, Subscriber, Subscription};
use courtside::rpc::{DevicesQuery, SubscriptionsQuery};

use serde_json::json;

use super::AppMemory;

#[derive(Debug, Default)]
pub struct PushMemory {
    pub devices: BTreeMap<String, Device>,
    pub subscriptions: BTreeSet<Subscription>,
    /// How often all of them were counted.
    pub subscriptions_counted: usize,
    /// By their keys, with when they came and whether they are spread.
    pub pushes: BTreeMap<String, (usize, bool, Vec<u8>)>,
    /// With when they are due.
    pub sends: BTreeMap<u64, (u64, Waiting)>,
    pub vapid: Option<Vec<u8>>,
    pub permits: BTreeMap<String, Vec<u8>>,
    last: usize,
}

impl PushMemory {
    /// A device, a browser, that hears what is pushed on these channels.
    #[allow(dead_code, reason = "the simulation's")]
    pub fn listen(&mut self, channels: impl Iterator<Item = String>) {
        let keys = VapidKeys { public: vec![4; 65], private: vec![7; 32], contact: String::new() };
        let recipient = json!({
            "transportType": "web", "targetUrl": "https://push.example.com/d", "publicVapidKey": keys.public_text(),
            "encryptionKey": {"p256dh": BASE64.encode([4; 65]), "auth": BASE64.encode([1; 16])},
        });
        let device = json!({"id": "d", "platform": "browser", "formFactor": "phone", "push": {"recipient": recipient}});
        self.devices.insert("d".into(), Device::read(&device, None).expect("a device"));
        self.vapid = Some(pinned::encode(&keys));
        let subscription = |channel| Subscription { channel, subscriber: Subscriber::Device("d".into()) };
        self.subscriptions = channels.map(subscription).collect();
    }

    fn next(&mut self) -> usize {
        self.last += 1;
        self.last
    }
}

fn is_found(query: &SubscriptionsQuery, one: &Subscription) -> bool {
    let is_device = |id: &String| one.subscriber == Subscriber::Device(id.clone());
    let is_client = |id: &String| one.subscriber == Subscriber::Client(id.clone());
    let is_target = match (&query.device_id, &query.client_id) {
        (Some(device), Some(client)) if query.is_either => is_device(device) || is_client(client),
        (device, client) => device.as_ref().is_none_or(is_device) && client.as_ref().is_none_or(is_client),
    };
    query.channel.as_ref().is_none_or(|channel| one.channel == *channel) && is_target
}

impl Store for AppMemory {
    fn device(&mut self, id: &str) -> Result<Option<Device>, StoreError> {
        self.check()?;
        Ok(self.push.devices.get(id).cloned())
    }

    fn devices(&mut self, query: &DevicesQuery) -> Result<Vec<Device>, StoreError> {
        self.check()?;
        let is_found = |device: &&Device| {
            device.id > query.after
                && query.device_id.as_ref().is_none_or(|id| device.id == *id)
                && query.client_id.as_ref().is_none_or(|id| device.client_id.as_ref() == Some(id))
                && query.state.as_ref().is_none_or(|state| device.state.name() == state)
        };
        Ok(self.push.devices.values().filter(is_found).take(query.limit).cloned().collect())
    }

    fn save_device(&mut self, device: &Device) -> Result<(), StoreError> {
        self.check()?;
        self.push.devices.insert(device.id.clone(), device.clone());
        Ok(())
    }

    fn remove_device(&mut self, id: &str) -> Result<(), StoreError> {
        self.check()?;
        self.push.devices.remove(id);
        self.push.subscriptions.retain(|one| one.subscriber != Subscriber::Device(id.to_owned()));
        Ok(())
    }

    fn count_devices(&mut self) -> Result<usize, StoreError> {
        self.check()?;
        Ok(self.push.devices.len())
    }

    fn subscriptions(&mut self, query: &SubscriptionsQuery) -> Result<Vec<Subscription>, StoreError> {
        self.check()?;
        let later = |one: &&Subscription| query.after.as_ref().is_none_or(|after| *one > after);
        let found = self.push.subscriptions.iter().filter(|one| is_found(query, one)).filter(later);
        Ok(found.take(query.limit).cloned().collect())
    }

    fn save_subscription(&mut self, subscription: &Subscription) -> Result<(), StoreError> {
        self.check()?;
        self.push.subscriptions.insert(subscription.clone());
        Ok(())
    }

    fn remove_subscriptions(&mut self, query: &SubscriptionsQuery) -> Result<usize, StoreError> {
        self.check()?;
        let before = self.push.subscriptions.len();
        self.push.subscriptions.retain(|one| !is_found(query, one));
        Ok(before - self.push.subscriptions.len())
    }

    fn count_subscriptions(&mut self) -> Result<usize, StoreError> {
        self.check()?;
        self.push.subscriptions_counted += 1;
        Ok(self.push.subscriptions.len())
    }

    fn subscribed_channels(&mut self, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.check()?;
        let channels: BTreeSet<&String> = self.push.subscriptions.iter().map(|one| &one.channel).collect();
        Ok(channels.into_iter().filter(|channel| channel.as_str() > after).take(limit).cloned().collect())
    }

    fn direct(&mut self, channel: &str, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.check()?;
        let device = |one: &Subscription| match &one.subscriber {
            Subscriber::Device(id) if one.channel == channel && id.as_str() > after => Some(id.clone()),
            _ => None,
        };
        Ok(self.push.subscriptions.iter().filter_map(device).take(limit).collect())
    }

    fn by_client(
        &mut self,
        channel: &str,
        after: (&str, &str),
        limit: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        self.check()?;
        let has = |subscriber: Subscriber| {
            self.push.subscriptions.contains(&Subscription { channel: channel.to_owned(), subscriber })
        };
        let devices = self.push.devices.values();
        let mut found: Vec<(String, String)> = devices
            .filter_map(|device| Some((device.client_id.clone()?, device.id.clone())))
            .filter(|(client, id)| has(Subscriber::Client(client.clone())) && !has(Subscriber::Device(id.clone())))
            .filter(|(client, id)| (client.as_str(), id.as_str()) > after)
            .collect();
        found.sort();
        found.truncate(limit);
        Ok(found)
    }

    fn add_push(&mut self, key: &str, push: &[u8]) -> Result<bool, StoreError> {
        self.check()?;
        let number = self.push.next();
        let is_new = !self.push.pushes.contains_key(key);
        self.push.pushes.entry(key.to_owned()).or_insert((number, false, push.to_vec()));
        Ok(is_new)
    }

    fn save_push(&mut self, key: &str, push: &[u8], is_spread: bool) -> Result<(), StoreError> {
        self.check()?;
        let known = self.push.pushes.get_mut(key).expect("a push that is there");
        (known.1, known.2) = (is_spread, push.to_vec());
        Ok(())
    }

    fn push(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.check()?;
        Ok(self.push.pushes.get(key).map(|(_, _, push)| push.clone()))
    }

    fn unspread(&mut self) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        self.check()?;
        let oldest = self.push.pushes.iter().filter(|(_, push)| !push.1).min_by_key(|(_, push)| push.0);
        Ok(oldest.map(|(key, push)| (key.clone(), push.2.clone())))
    }

    fn end_push(&mut self, key: &str) -> Result<bool, StoreError> {
        self.check()?;
        let is_over = self.push.pushes.get(key).is_some_and(|push| push.1)
            && self.push.sends.values().all(|(_, send)| send.push != key);
        if is_over {
            self.push.pushes.remove(key);
        }
        Ok(is_over)
    }

    fn count_pushes(&mut self) -> Result<usize, StoreError> {
        self.check()?;
        Ok(self.push.pushes.len())
    }

    fn add_send(&mut self, push: &str, device: &str, due_ms: u64) -> Result<(), StoreError> {
        self.check()?;
        // As SQLite does.
        let id = self.push.sends.keys().next_back().map_or(1, |last| last + 1);
        let send = Waiting { id, push: push.to_owned(), device: device.to_owned(), tries: 0 };
        self.push.sends.insert(id, (due_ms, send));
        Ok(())
    }

    fn due_sends(&mut self, now_ms: u64, limit: usize) -> Result<Vec<Waiting>, StoreError> {
        self.check()?;
        let mut due: Vec<_> = self.push.sends.values().filter(|(due_ms, _)| *due_ms <= now_ms).cloned().collect();
        due.sort_by_key(|(due_ms, send)| (*due_ms, send.id));
        Ok(due.into_iter().map(|(_, send)| send).take(limit).collect())
    }

    fn send(&mut self, id: u64) -> Result<Option<Waiting>, StoreError> {
        self.check()?;
        Ok(self.push.sends.get(&id).map(|(_, send)| send.clone()))
    }

    fn save_send(&mut self, id: u64, tries: u64, due_ms: u64) -> Result<(), StoreError> {
        self.check()?;
        if let Some((known_ms, send)) = self.push.sends.get_mut(&id) {
            (*known_ms, send.tries) = (due_ms, tries);
        }
        Ok(())
    }

    fn remove_send(&mut self, id: u64) -> Result<(), StoreError> {
        self.check()?;
        self.push.sends.remove(&id);
        Ok(())
    }

    fn count_sends(&mut self) -> Result<usize, StoreError> {
        self.check()?;
        Ok(self.push.sends.len())
    }

    fn next_send(&mut self) -> Result<Option<u64>, StoreError> {
        self.check()?;
        Ok(self.push.sends.values().map(|(due_ms, _)| *due_ms).min())
    }

    fn vapid(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        self.check()?;
        Ok(self.push.vapid.clone())
    }

    fn permit(&mut self, service: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.check()?;
        Ok(self.push.permits.get(service).cloned())
    }

    fn save_permit(&mut self, service: &str, permit: &[u8]) -> Result<(), StoreError> {
        self.check()?;
        self.push.permits.insert(service.to_owned(), permit.to_vec());
        Ok(())
    }

    fn save_vapid(&mut self, keys: &[u8]) -> Result<(), StoreError> {
        self.check()?;
        self.push.vapid = Some(keys.to_vec());
        Ok(())
    }

    fn forget_push(&mut self) -> Result<(), StoreError> {
        self.check()?;
        self.push = PushMemory::default();
        Ok(())
    }
}
