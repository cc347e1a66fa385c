//! What push keeps in the app's storage. All writes of one turn are one transaction.

pub use crate::base::storage::StoreError;
use crate::push::{Device, Subscription};
use crate::rpc::{DevicesQuery, SubscriptionsQuery};

/// A delivery that waits. Its id may be that of one before, which is no more.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub id: u64,
    /// The push that it is of.
    pub push: String,
    /// Empty when the push names its recipient itself.
    pub device: String,
    pub tries: u64,
}

pub trait Store {
    fn device(&mut self, id: &str) -> Result<Option<Device>, StoreError>;

    /// In the order of their ids.
    fn devices(&mut self, query: &DevicesQuery) -> Result<Vec<Device>, StoreError>;

    /// In the place of an earlier one of its id.
    fn save_device(&mut self, device: &Device) -> Result<(), StoreError>;

    /// With its subscriptions.
    fn remove_device(&mut self, id: &str) -> Result<(), StoreError>;

    fn count_devices(&mut self) -> Result<usize, StoreError>;

    /// In their order.
    fn subscriptions(&mut self, query: &SubscriptionsQuery) -> Result<Vec<Subscription>, StoreError>;

    fn save_subscription(&mut self, subscription: &Subscription) -> Result<(), StoreError>;

    /// Gives how many there were.
    fn remove_subscriptions(&mut self, query: &SubscriptionsQuery) -> Result<usize, StoreError>;

    fn count_subscriptions(&mut self) -> Result<usize, StoreError>;

    /// Channels that have subscriptions, in order, behind that one.
    fn subscribed_channels(&mut self, after: &str, limit: usize) -> Result<Vec<String>, StoreError>;

    /// Devices that subscribe to a channel themselves, in order, behind that one.
    fn direct(&mut self, channel: &str, after: &str, limit: usize) -> Result<Vec<String>, StoreError>;

    /// The others that do by their clients, as client and device, in order, behind those.
    fn by_client(
        &mut self,
        channel: &str,
        after: (&str, &str),
        limit: usize,
    ) -> Result<Vec<(String, String)>, StoreError>;

    /// Keeps a push by its key, of which no deliveries are made yet; says whether it is new.
    fn add_push(&mut self, key: &str, push: &[u8]) -> Result<bool, StoreError>;

    /// One that `is_spread` needs no more deliveries made.
    fn save_push(&mut self, key: &str, push: &[u8], is_spread: bool) -> Result<(), StoreError>;

    fn push(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The oldest of which not all deliveries are made.
    fn unspread(&mut self) -> Result<Option<(String, Vec<u8>)>, StoreError>;

    /// Removes it if all its deliveries are made and none is left; says whether it did.
    fn end_push(&mut self, key: &str) -> Result<bool, StoreError>;

    fn count_pushes(&mut self) -> Result<usize, StoreError>;

    fn add_send(&mut self, push: &str, device: &str, due_ms: u64) -> Result<(), StoreError>;

    /// Those that are due, the earliest first.
    fn due_sends(&mut self, now_ms: u64, limit: usize) -> Result<Vec<Waiting>, StoreError>;

    fn send(&mut self, id: u64) -> Result<Option<Waiting>, StoreError>;

    fn save_send(&mut self, id: u64, tries: u64, due_ms: u64) -> Result<(), StoreError>;

    fn remove_send(&mut self, id: u64) -> Result<(), StoreError>;

    fn count_sends(&mut self) -> Result<usize, StoreError>;

    /// When the first is due.
    fn next_send(&mut self) -> Result<Option<u64>, StoreError>;

    /// The keys by which this app is known to push services.
    fn vapid(&mut self) -> Result<Option<Vec<u8>>, StoreError>;

    fn save_vapid(&mut self, keys: &[u8]) -> Result<(), StoreError>;

    /// What is known of the token for a push service of this name.
    fn permit(&mut self, service: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// In the place of what was.
    fn save_permit(&mut self, service: &str, permit: &[u8]) -> Result<(), StoreError>;

    /// Lets go of all of it: the app is no more.
    fn forget_push(&mut self) -> Result<(), StoreError>;
}
