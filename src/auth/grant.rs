//! What verified credentials allow: the one thing that the rest of the server knows about them.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::operations::MODERATOR;
use super::resource::Resource;
use super::{App, Capability, Identity, Key, KeyName, Operations, Target};
use crate::error::{Code, ErrorInfo};
use crate::model::name::{AppId, ChannelName};
use crate::model::node;

/// Marks a claim, among those of channels, that is said of a chat room. No channel's name begins so.
pub(super) const ROOM_CLAIM: &str = "[room]";

/// Serializes as a tuple in msgpack, below [`GRANT_MAX_BYTES`](crate::limits::GRANT_MAX_BYTES): it is a part of calls
/// between objects and of every socket's attachment. The order of the fields is that format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub key_name: KeyName,
    pub capability: Capability,
    /// Who the connection or request is, after it said who it wants to be.
    pub client_id: Identity,
    /// Whether an API key was presented, not a token.
    pub basic: bool,
    /// Absent for an API key, and for who names one and shows no secret.
    pub issued_at_ms: Option<u64>,
    pub expires_at_ms: Option<u64>,
    /// What the token can be revoked by besides what it says here: its revocation key, the `*` by which its client took
    /// a name, resources that the key narrows. Absent when there is nothing, as for keys whose tokens can't be revoked.
    pub also_revoked_by: Option<Rc<[Target]>>,
    /// What its signer says of the client: a JSON object by the channels for which it is said. A text, as few have any.
    pub user_claims: Option<Rc<str>>,
}

impl Grant {
    pub fn app(&self) -> &AppId {
        self.key_name.app()
    }

    /// Whether all of `operations` are allowed on the channel.
    pub fn permits(&self, channel: &ChannelName, operations: Operations) -> bool {
        self.capability.operations(channel).contains(operations)
    }

    /// Whether it moderates a channel: an API key does, and a token that allows it. Who only names a key does not, of
    /// whom nothing is known.
    pub fn moderates(&self, channel: &ChannelName) -> bool {
        self.basic || self.issued_at_ms.is_some() && self.permits(channel, MODERATOR)
    }

    /// The clientId that CONNECTED tells the client: none without a token that names one, though it may claim any.
    pub fn connection_client_id(&self) -> Option<&str> {
        match self.client_id {
            Identity::Wildcard if self.issued_at_ms.is_none() => None,
            _ => self.client_id.as_str(),
        }
    }

    /// What is said of the client on a channel: by the channel's own name, else by the longest pattern that it matches.
    /// Of a chat room's channel it may be said by the room's name.
    pub fn user_claim(&self, channel: &ChannelName) -> Option<Value> {
        let claims = node::object_of(self.user_claims.as_deref()?.as_bytes())?;
        let mut closest = None;
        for (name, claim) in &claims {
            let room = name.strip_prefix(ROOM_CLAIM);
            let plain = room.map_or(Some(channel.plain()), |_| channel.room());
            let stated = room.unwrap_or(name);
            let rank = (plain == Some(stated), stated.len());
            let is_said = Resource::parse(stated).is_ok_and(|resource| match room {
                Some(_) => resource.matches_room(channel),
                None => resource.matches_channel(channel),
            });
            if is_said && closest.as_ref().is_none_or(|(known, _)| *known < rank) {
                closest = Some((rank, claim));
            }
        }
        closest.map(|(_, claim)| claim.clone())
    }

    /// As much of it as its key still allows, by what the app has now, whatever the key was when the client was let
    /// through. Fails with 80003 when that is nothing: the client comes back, and is told why.
    pub fn within(self, app: &App, now_ms: u64) -> Result<Grant, ErrorInfo> {
        if self.is_of_nobody() || self.key_name.reach().is_some() {
            return Ok(self);
        }
        let ended = || Code::Disconnected.because("the key was configured anew; reconnect");
        let key = app.live_key(&self.key_name, now_ms).ok_or_else(ended)?;
        let capability = match key.capability.intersect(&self.capability) {
            Err(error) if error.is(Code::NotPermitted) => return Err(ended()),
            // Too large to keep, which it was not for whoever let the client through.
            both => both.unwrap_or_else(|_| self.capability.clone()),
        };
        let expires_at_ms = self.expires_at_ms.into_iter().chain(key.valid_until_ms).min();
        Ok(Grant { capability, expires_at_ms, ..self })
    }

    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= now_ms)
    }
}

/// What a token or JWT says, once its signature is known to be right.
pub(super) struct Claims {
    /// Absent: all that the key allows.
    pub capability: Option<Capability>,
    pub client_id: Identity,
    pub issued_at_ms: u64,
    pub expires_at_ms: u64,
    pub revocation_key: Option<String>,
    pub user_claims: Option<Rc<str>>,
}

impl Grant {
    /// What a client may do that has yet to say who it is, until then: nothing.
    pub fn of_nobody(app: &AppId, until_ms: u64) -> Grant {
        let key_name = KeyName::nobodys(app.clone());
        let nothing = Grant::of_key(key_name, Capability::of_nothing());
        Grant { client_id: Identity::Anonymous, basic: false, expires_at_ms: Some(until_ms), ..nothing }
    }

    pub fn is_of_nobody(&self) -> bool {
        self.key_name.is_nobodys() && self.capability == Capability::of_nothing()
    }

    /// What an API key gives whoever presents it.
    pub fn of_key(key_name: KeyName, capability: Capability) -> Grant {
        Grant {
            key_name,
            capability,
            client_id: Identity::Wildcard,
            basic: true,
            issued_at_ms: None,
            expires_at_ms: None,
            also_revoked_by: None,
            user_claims: None,
        }
    }

    /// The grant of a client that names an API key and shows no secret. The key is not its own.
    pub fn of_key_name(key_name: KeyName, capability: Capability) -> Grant {
        Grant { basic: false, ..Grant::of_key(key_name, capability) }
    }

    /// Never more than the key allows now: narrowing a key narrows the tokens that it signed before. Fails with 40142
    /// when the token has expired, with 40160 when the key allows nothing of it, with 40000 when it names too many
    /// resources that the key narrows.
    pub(super) fn of_token(key: &Key, claims: Claims, now_ms: u64) -> Result<Grant, ErrorInfo> {
        let longest_ms = if key.revocable_tokens { key.token_max_ttl_ms() } else { u64::MAX };
        let expires_at_ms = claims.expires_at_ms.min(claims.issued_at_ms.saturating_add(longest_ms));
        if expires_at_ms <= now_ms {
            return Err(Code::TokenExpired.into());
        }
        let named = claims.capability;
        let capability = named.as_ref().map_or(Ok(key.capability.clone()), |named| key.capability.intersect(named))?;
        let mut also = Vec::new();
        if key.revocable_tokens {
            also.extend(claims.revocation_key.map(Target::RevocationKey));
            let narrowed = named.as_ref().map(|named| capability.narrowed(named)).transpose()?;
            also.extend(narrowed.into_iter().flatten().map(|name| Target::Channel(name.to_owned())));
        }
        Ok(Grant {
            key_name: key.name.clone(),
            capability,
            client_id: claims.client_id,
            basic: false,
            issued_at_ms: Some(claims.issued_at_ms),
            expires_at_ms: Some(expires_at_ms),
            also_revoked_by: Some(also).filter(|also| !also.is_empty()).map(Rc::from),
            user_claims: claims.user_claims,
        })
    }

    /// The grant of a client that asks to be `requested`; `key` is that of its credentials. Fails as
    /// [`Identity::for_connection`] does.
    pub fn of_client(self, requested: Option<&str>, key: &Key) -> Result<Grant, ErrorInfo> {
        let client_id = self.client_id.for_connection(requested)?;
        let mut also_revoked_by = self.also_revoked_by;
        if self.client_id == Identity::Wildcard && client_id.name().is_some() && !self.basic && key.revocable_tokens {
            let also = also_revoked_by.iter().flat_map(|targets| targets.iter().cloned());
            also_revoked_by = Some(also.chain([Target::ClientId("*".to_owned())]).collect());
        }
        Ok(Grant { client_id, also_revoked_by, ..self })
    }
}
