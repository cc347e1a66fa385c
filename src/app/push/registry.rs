//! The app's devices and their subscriptions: who may change what, and how many there may be (protocol.md § 20.1).
//!
//! Nothing is kept in memory but how many there are; every answer comes from storage.

use super::Settings;
use super::store::{Store, StoreError};
use crate::error::{Code, ErrorInfo};
use crate::limits::{PUSH_DEVICES_MAX, PUSH_PAGE_MAX, PUSH_SUBSCRIPTIONS_MAX};
use crate::push::{Device, DevicePatch, Proof, Recipient, State, Subscriber, Subscription};
use crate::rpc::{Answer, DevicesQuery, PushCaller, PushRequest, PushResponse, SubscriptionsQuery};

/// An answer, unless storage fails.
type Stored<T> = Result<Answer<T>, StoreError>;

#[derive(Debug, Default)]
pub struct Registry {
    /// How many there are, unless that has to be counted.
    devices: Option<usize>,
    subscriptions: Option<usize>,
    /// So many that come are refused before it is looked again whether some are dead: to look costs as many rows.
    refusals: usize,
}

impl Registry {
    /// Answers what is asked of devices and subscriptions. `None` for what is the outbox's to answer.
    pub fn call(
        &mut self,
        store: &mut impl Store,
        request: &PushRequest,
        settings: &Settings,
    ) -> Option<Stored<PushResponse>> {
        Some(match request {
            PushRequest::Register(by, device) => self.register(store, by, device, settings),
            PushRequest::Save(by, device) => self.save(store, by, device, settings),
            PushRequest::Patch(by, id, patch) => {
                self.change(store, by, id, |device| patched(device, patch, by, settings))
            }
            PushRequest::Renew(by, id, token) => self.change(store, by, id, |device| {
                device.token = Some(token.clone());
                Ok(())
            }),
            PushRequest::Device(by, id) => known(store, by, id).map(|device| device.map(shown)),
            PushRequest::Devices(query) => store.devices(query).map(|devices| Ok(PushResponse::Devices(devices))),
            PushRequest::Remove(by, query) => self.remove(store, by, query),
            PushRequest::Subscribe(by, subscription) => self.subscribe(store, by, subscription),
            PushRequest::Unsubscribe(by, query) => self.unsubscribe(store, by, query),
            PushRequest::Subscriptions(by, query) => subscriptions(store, by, query),
            PushRequest::Channels { after, limit } => {
                store.subscribed_channels(after, *limit).map(|channels| Ok(PushResponse::Channels(channels)))
            }
            PushRequest::Publish { .. } | PushRequest::Said(_) | PushRequest::Key { .. } => return None,
        })
    }

    /// The device that a caller shows to be, and that a request is about. Whoever administers is none.
    pub fn proven(store: &mut impl Store, request: &PushRequest) -> Result<Option<Device>, StoreError> {
        let Some((by, id)) = request.by().filter(|by| !by.is_admin).zip(request.device_id()) else { return Ok(None) };
        let sent = match request {
            PushRequest::Register(_, device) => device.secret.clone().map(Proof::Secret),
            _ => None,
        };
        let proofs = [by.proof.as_ref(), sent.as_ref()];
        let is_of = |device: &Device| proofs.into_iter().flatten().any(|proof| proof.is_of(device));
        Ok(store.device(id)?.filter(is_of))
    }

    /// Fails with 40101 when a device of this id has another secret: ids are no secrets. Fails as [`may_name`] does.
    fn register(
        &mut self,
        store: &mut impl Store,
        by: &PushCaller,
        device: &Device,
        settings: &Settings,
    ) -> Stored<PushResponse> {
        let known = store.device(&device.id)?;
        if let Some(known) = &known {
            let is_same = device.secret.clone().map(Proof::Secret).is_some_and(|secret| secret.is_of(known));
            if !is_same && !is_allowed(by, known) {
                return Ok(Err(Code::BadCredentials.because("a device of this id has another secret")));
            }
        }
        if let Err(error) = may_name(by, known.as_ref(), device.client_id.as_deref()) {
            return Ok(Err(error));
        }
        self.put(store, device.clone(), settings)
    }

    /// Secrets that the body leaves out stay. Fails as [`may_name`] does.
    fn save(
        &mut self,
        store: &mut impl Store,
        by: &PushCaller,
        device: &Device,
        settings: &Settings,
    ) -> Stored<PushResponse> {
        let known = match store.device(&device.id)? {
            Some(known) if !is_allowed(by, &known) => return Ok(Err(not_the_device())),
            None if !by.is_admin => return Ok(Err(not_the_device())),
            known => known,
        };
        if let Err(error) = may_name(by, known.as_ref(), device.client_id.as_deref()) {
            return Ok(Err(error));
        }
        let (secret, token) = known.map_or((None, None), |known| (known.secret, known.token));
        let device = Device { secret: device.secret.clone().or(secret), token, ..device.clone() };
        self.put(store, device, settings)
    }

    fn change(
        &mut self,
        store: &mut impl Store,
        by: &PushCaller,
        id: &str,
        change: impl FnOnce(&mut Device) -> Result<(), ErrorInfo>,
    ) -> Stored<PushResponse> {
        let mut device = match known(store, by, id)? {
            Ok(device) => device,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = change(&mut device) {
            return Ok(Err(error));
        }
        store.save_device(&device)?;
        Ok(Ok(shown(device)))
    }

    fn put(&mut self, store: &mut impl Store, device: Device, settings: &Settings) -> Stored<PushResponse> {
        if let Err(error) = check_address(&device.recipient, settings) {
            return Ok(Err(error));
        }
        let is_new = store.device(&device.id)?.is_none();
        let mut count = self.devices.map_or_else(|| store.count_devices(), Ok)?;
        if is_new && count >= PUSH_DEVICES_MAX {
            count -= self.make_room(store)?;
        }
        if is_new && count >= PUSH_DEVICES_MAX {
            return Ok(Err(full(&format!("an app has at most {PUSH_DEVICES_MAX} devices"))));
        }
        store.save_device(&device)?;
        self.devices = Some(count + usize::from(is_new));
        Ok(Ok(shown(device)))
    }

    /// Removes some of the devices that get nothing more, with their subscriptions. Gives how many.
    fn make_room(&mut self, store: &mut impl Store) -> Result<usize, StoreError> {
        if let Some(left) = self.refusals.checked_sub(1) {
            self.refusals = left;
            return Ok(0);
        }
        let failed = State::Failed(Code::PushGone.into()).name().to_owned();
        let query = DevicesQuery { state: Some(failed), limit: PUSH_PAGE_MAX, ..DevicesQuery::default() };
        let dead = store.devices(&query)?;
        for device in &dead {
            store.remove_device(&device.id)?;
        }
        self.subscriptions = None;
        self.refusals = if dead.is_empty() { PUSH_PAGE_MAX } else { 0 };
        Ok(dead.len())
    }

    /// What is not there is removed already.
    fn remove(&mut self, store: &mut impl Store, by: &PushCaller, query: &DevicesQuery) -> Stored<PushResponse> {
        if !by.is_admin {
            let id = query.device_id.as_deref().unwrap_or_default();
            let is_own = query.client_id.is_none() && store.device(id)?.is_some_and(|device| is_allowed(by, &device));
            if !is_own {
                return Ok(Err(not_the_device()));
            }
        }
        loop {
            let found = store.devices(&DevicesQuery { limit: PUSH_PAGE_MAX, ..query.clone() })?;
            for device in &found {
                store.remove_device(&device.id)?;
            }
            if found.len() < PUSH_PAGE_MAX {
                (self.devices, self.subscriptions) = (None, None);
                return Ok(Ok(PushResponse::Done));
            }
        }
    }

    /// Fails with 40000 for a device that there is not.
    fn subscribe(
        &mut self,
        store: &mut impl Store,
        by: &PushCaller,
        subscription: &Subscription,
    ) -> Stored<PushResponse> {
        if let Subscriber::Device(id) = &subscription.subscriber {
            match store.device(id)? {
                None => return Ok(Err(Code::BadRequest.because("there is no device of this id"))),
                Some(device) if !is_allowed(by, &device) => return Ok(Err(not_the_device())),
                Some(_) => {}
            }
        }
        let count = self.subscriptions.map_or_else(|| store.count_subscriptions(), Ok)?;
        let query = SubscriptionsQuery { limit: 1, ..exactly(subscription) };
        let is_new = store.subscriptions(&query)?.is_empty();
        if is_new && count >= PUSH_SUBSCRIPTIONS_MAX {
            return Ok(Err(full(&format!("an app has at most {PUSH_SUBSCRIPTIONS_MAX} push subscriptions"))));
        }
        store.save_subscription(subscription)?;
        self.subscriptions = Some(count + usize::from(is_new));
        Ok(Ok(PushResponse::Done))
    }

    fn unsubscribe(
        &mut self,
        store: &mut impl Store,
        by: &PushCaller,
        query: &SubscriptionsQuery,
    ) -> Stored<PushResponse> {
        if let Err(error) = may_touch(store, by, query)? {
            return Ok(Err(error));
        }
        let removed = store.remove_subscriptions(query)?;
        self.subscriptions = self.subscriptions.map(|count| count.saturating_sub(removed));
        Ok(Ok(PushResponse::Done))
    }
}

fn subscriptions(store: &mut impl Store, by: &PushCaller, query: &SubscriptionsQuery) -> Stored<PushResponse> {
    match may_touch(store, by, query)? {
        Ok(()) => store.subscriptions(query).map(|found| Ok(PushResponse::Subscriptions(found))),
        Err(error) => Ok(Err(error)),
    }
}

/// Who is no administrator has shown to be the client that it names, or shows here to be the device.
fn may_touch(store: &mut impl Store, by: &PushCaller, query: &SubscriptionsQuery) -> Stored<()> {
    let Some(id) = query.device_id.as_deref().filter(|_| !by.is_admin) else { return Ok(Ok(())) };
    let is_own = store.device(id)?.is_some_and(|device| is_allowed(by, &device));
    Ok(if is_own { Ok(()) } else { Err(not_the_device()) })
}

/// The query that finds this one.
fn exactly(subscription: &Subscription) -> SubscriptionsQuery {
    let (device_id, client_id) = match subscription.subscriber.clone() {
        Subscriber::Device(id) => (Some(id), None),
        Subscriber::Client(id) => (None, Some(id)),
    };
    SubscriptionsQuery { channel: Some(subscription.channel.clone()), device_id, client_id, ..Default::default() }
}

/// Only who may administer is told which devices there are not.
fn known(store: &mut impl Store, by: &PushCaller, id: &str) -> Stored<Device> {
    Ok(match store.device(id)? {
        Some(device) if is_allowed(by, &device) => Ok(device),
        None if by.is_admin => Err(Code::NotFound.because("there is no device of this id")),
        _ => Err(not_the_device()),
    })
}

fn is_allowed(by: &PushCaller, device: &Device) -> bool {
    by.is_admin || by.proof.as_ref().is_some_and(|proof| proof.is_of(device))
}

/// All devices that name a client get what is pushed to it. So without administration a device gets the name of the
/// caller's own credentials, or none; it may keep the one that it has, since SDKs send all that they have. Fails with
/// 40160.
fn may_name(by: &PushCaller, device: Option<&Device>, client_id: Option<&str>) -> Result<(), ErrorInfo> {
    let is_known = device.is_some_and(|device| device.client_id.as_deref() == client_id);
    let is_own = client_id.is_none_or(|id| by.client_id.for_message(Some(id)).is_ok());
    match by.is_admin || is_known || is_own {
        true => Ok(()),
        false => Err(Code::NotPermitted.because("a client can register devices of its own only")),
    }
}

fn patched(device: &mut Device, patch: &DevicePatch, by: &PushCaller, settings: &Settings) -> Result<(), ErrorInfo> {
    if !by.is_admin && patch.metadata.is_some() {
        return Err(Code::NotPermitted.because("a device may change its recipient and clientId, and nothing else"));
    }
    patch.client_id.as_ref().map_or(Ok(()), |id| may_name(by, Some(device), id.as_deref()))?;
    patch.recipient.as_deref().map_or(Ok(()), |recipient| check_address(recipient, settings))?;
    patch.clone().apply(device);
    Ok(())
}

/// Whether this server may call that address. Fails with 40000.
pub fn check_address(recipient: &str, settings: &Settings) -> Result<(), ErrorInfo> {
    match Recipient::parse(recipient)? {
        Recipient::Web(web) if !settings.private_addresses && !web.endpoint.is_public() => {
            Err(Code::BadRequest.because("'targetUrl' must be at a public name, over https"))
        }
        _ => Ok(()),
    }
}

fn shown(device: Device) -> PushResponse {
    PushResponse::Device(Box::new(device))
}

/// Not a code by which SDKs would renew the token of their client.
fn not_the_device() -> ErrorInfo {
    ErrorInfo { status_code: 401, ..Code::BadKey.because("this is not the device's token or secret") }
}

fn full(why: &str) -> ErrorInfo {
    Code::RateLimited.because(why)
}

impl Device {
    /// After an attempt. Gives whether anything changed.
    pub(super) fn note(&mut self, state: State) -> bool {
        let changed = self.state != state;
        self.state = state;
        changed
    }
}
