//! What an app's object is asked of push, and answers.

use serde::{Deserialize, Serialize};

use super::Answer;
use crate::auth::Identity;
use crate::push::{Device, DevicePatch, Proof, Subscriber, Subscription};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushCaller {
    /// Whether the credentials allow it to administer what it asks for.
    pub is_admin: bool,
    /// What it brings to show that it is a device.
    pub proof: Option<Proof>,
    /// Whose device it may say that one is.
    pub client_id: Identity,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PushRequest {
    /// A device that registers itself, or anew. Answered by [`PushResponse::Device`].
    Register(PushCaller, Device),
    /// The same by who administers devices, or by the device. Answered by [`PushResponse::Device`].
    Save(PushCaller, Device),
    /// Answered by [`PushResponse::Device`].
    Patch(PushCaller, String, DevicePatch),
    /// Gives a device another identity token, of this hash. Answered by [`PushResponse::Device`].
    Renew(PushCaller, String, String),
    /// Answered by [`PushResponse::Device`].
    Device(PushCaller, String),
    /// Answered by [`PushResponse::Devices`].
    Devices(DevicesQuery),
    /// All that the query finds. Answered by [`PushResponse::Done`].
    Remove(PushCaller, DevicesQuery),
    /// Answered by [`PushResponse::Done`].
    Subscribe(PushCaller, Subscription),
    /// All that the query finds. Answered by [`PushResponse::Done`].
    Unsubscribe(PushCaller, SubscriptionsQuery),
    /// Answered by [`PushResponse::Subscriptions`].
    Subscriptions(PushCaller, SubscriptionsQuery),
    /// Channels with subscriptions behind that one. Answered by [`PushResponse::Channels`].
    Channels { after: String, limit: usize },
    /// Deliver these. With `wait` it is answered when that is done. Answered by [`PushResponse::Published`].
    Publish { pushes: Vec<DirectPush>, wait: bool },
    /// What was published on a channel. Answered by [`PushResponse::Done`].
    Said(Vec<ChannelPush>),
    /// The public key by which push services know the app. `contact` is whom they may write to, if nobody else is
    /// named; empty where that is not known. Answered by [`PushResponse::Key`].
    Key { contact: String },
}

impl PushRequest {
    /// Who asks, where that matters.
    pub fn by(&self) -> Option<&PushCaller> {
        match self {
            PushRequest::Register(by, _)
            | PushRequest::Save(by, _)
            | PushRequest::Patch(by, ..)
            | PushRequest::Renew(by, ..)
            | PushRequest::Device(by, _)
            | PushRequest::Remove(by, _)
            | PushRequest::Subscribe(by, _)
            | PushRequest::Unsubscribe(by, _)
            | PushRequest::Subscriptions(by, _) => Some(by),
            PushRequest::Devices(_)
            | PushRequest::Channels { .. }
            | PushRequest::Publish { .. }
            | PushRequest::Said(_)
            | PushRequest::Key { .. } => None,
        }
    }

    /// The device that it is about, if it is about one.
    pub fn device_id(&self) -> Option<&str> {
        match self {
            PushRequest::Register(_, device) | PushRequest::Save(_, device) => Some(&device.id),
            PushRequest::Patch(_, id, _) | PushRequest::Renew(_, id, _) | PushRequest::Device(_, id) => Some(id),
            PushRequest::Remove(_, query) => query.device_id.as_deref(),
            PushRequest::Subscribe(_, subscription) => match &subscription.subscriber {
                Subscriber::Device(id) => Some(id),
                Subscriber::Client(_) => None,
            },
            PushRequest::Unsubscribe(_, query) | PushRequest::Subscriptions(_, query) => query.device_id.as_deref(),
            _ => None,
        }
    }

    /// The channel that it is about.
    pub fn channel(&self) -> Option<&str> {
        match self {
            PushRequest::Subscribe(_, subscription) => Some(&subscription.channel),
            PushRequest::Unsubscribe(_, query) | PushRequest::Subscriptions(_, query) => query.channel.as_deref(),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PushResponse {
    Done,
    Device(Box<Device>),
    Devices(Vec<Device>),
    Subscriptions(Vec<Subscription>),
    Channels(Vec<String>),
    /// One outcome for each push, in order.
    Published(Vec<Answer<()>>),
    /// In base64url.
    Key(String),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DevicesQuery {
    pub device_id: Option<String>,
    pub client_id: Option<String>,
    /// ACTIVE, FAILING or FAILED.
    pub state: Option<String>,
    pub after: String,
    pub limit: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionsQuery {
    pub channel: Option<String>,
    pub device_id: Option<String>,
    pub client_id: Option<String>,
    /// Whether one of `device_id` and `client_id` is enough.
    pub is_either: bool,
    pub after: Option<Subscription>,
    pub limit: usize,
}

/// A push to a recipient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DirectPush {
    /// By what a repeat is known.
    pub key: String,
    pub target: PushTarget,
    /// The text of a [`Payload`](crate::push::Payload).
    pub payload: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PushTarget {
    Device(String),
    /// All of its devices.
    Client(String),
    /// All that subscribe to the channel.
    Channel(String),
    /// The text of a [`Recipient`](crate::push::Recipient).
    Recipient(String),
}

/// What a message says to those who are not connected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelPush {
    /// By what a repeat is known.
    pub key: String,
    pub channel: String,
    /// The text of a [`Payload`](crate::push::Payload).
    pub payload: String,
}
