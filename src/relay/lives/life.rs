//! A connection as its row has it, and what the channel is told of it.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::inspection::transport;
use super::super::session::Session;
use crate::base::pinned::{self, Versioned};
use crate::model::data::Data;
use crate::model::message::Message;
use crate::model::name::AppId;
use crate::protocol::dialect::Dialect;
use crate::rpc::placement::Shard;
use crate::rpc::{CONNECTION_CLOSED, CONNECTION_OPENED};

/// A connection as its row has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Life {
    pub app: AppId,
    pub shard: u16,
    pub opened_ms: u64,
    pub client_id: Option<String>,
    pub key_name: String,
    pub door: String,
    pub transport: String,
    /// The channel has its beginning.
    pub is_told: bool,
    /// Until when it may come back, where it was looked for and not there.
    pub lost_until_ms: Option<u64>,
}

impl Versioned for Life {
    const VERSION: u8 = 1;
}

impl Life {
    pub fn decode(bytes: &[u8]) -> Option<Life> {
        pinned::decode(bytes).ok()
    }

    pub fn shard(&self) -> Shard {
        Shard(self.shard)
    }

    pub(super) fn of(session: &Session, now_ms: u64) -> Life {
        Life {
            app: session.grant.app().clone(),
            shard: session.key.shard,
            opened_ms: now_ms,
            client_id: session.grant.client_id.name().map(str::to_owned),
            key_name: session.grant.key_name.to_string(),
            door: door(session).to_owned(),
            transport: transport(session).to_owned(),
            is_told: false,
            lost_until_ms: None,
        }
    }

    /// The event, as the channel keeps it.
    pub(super) fn message(&self, connection_id: &str, what: What) -> Message {
        let (name, ended) = match what {
            What::Opened => (CONNECTION_OPENED, None),
            What::Closed(end) => (CONNECTION_CLOSED, Some(end)),
        };
        let mut data = json!({
            "connectionId": connection_id,
            "clientId": self.client_id,
            "keyName": self.key_name,
            "door": self.door,
            "transport": self.transport,
            "openedAt": self.opened_ms,
        });
        if let Some(End { at_ms, code, is_lost }) = ended {
            data["closedAt"] = json!(at_ms);
            data["reason"] = json!(if is_lost { "lost" } else { "closed" });
            code.into_iter().for_each(|code| data["code"] = json!(code));
        }
        Message {
            // A connection that comes back after its end was told begins anew.
            id: Some(format!("{connection_id}.{}.{name}", self.opened_ms)),
            name: Some(name.to_owned()),
            data: Data::Text(data.to_string()),
            encoding: Some("json".to_owned()),
            client_id: self.client_id.clone(),
            extras: None,
        }
    }
}

/// The protocol that a client speaks.
fn door(session: &Session) -> &'static str {
    match (&session.door, session.dialect) {
        (Some(door), _) => door.name(),
        (None, Dialect::Events(_)) => "events",
        (None, _) => "ably",
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct End {
    pub at_ms: u64,
    /// That of the error by which the server ended it.
    pub code: Option<u32>,
    /// Its client did not come back.
    pub is_lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What {
    Opened,
    Closed(End),
}

/// What the channel is to be told.
#[derive(Debug)]
pub(super) struct Event {
    pub connection_id: String,
    /// As it was: the row may be that of another by then.
    pub life: Life,
    pub what: What,
}
