//! What an app's namespaces come to on one channel.

use serde::{Deserialize, Serialize};

use crate::auth::App;
use crate::limits::{MEMBERS_MAX, PACE_MAX_MS, RETENTION_MS, RETENTION_PERSISTED_MS};
use crate::name::ChannelName;

/// What an app's namespaces say of a channel. Sent along with calls, so that no channel reads configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    pub retention_ms: u64,
    pub max_members: u32,
    /// Between two deliveries to a relay; 0 where each message goes out as it comes.
    pub interval_ms: u32,
    /// Of which messages only the latest in an interval goes out; see [`crate::conflation`].
    pub conflation_key: Option<String>,
    /// Whether messages can be updated, deleted and appended to.
    pub mutable: bool,
}

/// Rules as version 1 of a call, and of a channel's own record, had them.
#[derive(Serialize, Deserialize)]
pub struct RulesOfVersion1 {
    retention_ms: u64,
    max_members: u32,
    interval_ms: u32,
    conflation_key: Option<String>,
}

impl From<RulesOfVersion1> for Rules {
    fn from(rules: RulesOfVersion1) -> Rules {
        let RulesOfVersion1 { retention_ms, max_members, interval_ms, conflation_key } = rules;
        Rules { retention_ms, max_members, interval_ms, conflation_key, mutable: false }
    }
}

/// How the names of chat channels end: their messages can be changed, whatever the namespace says.
const CHAT: &str = "::$chat";

impl Rules {
    /// What an app's rules come to on a channel.
    pub fn on(app: &App, channel: &ChannelName) -> Rules {
        let mut rules = app.rules(channel).clone();
        rules.mutable_messages |= channel.plain().ends_with(CHAT);
        Rules::of(&rules)
    }

    pub fn of(rules: &crate::auth::Rules) -> Rules {
        let retention_ms =
            if rules.persisted || rules.mutable_messages { RETENTION_PERSISTED_MS } else { RETENTION_MS };
        let max_members = rules.max_members.unwrap_or(u64::MAX).min(MEMBERS_MAX as u64) as u32;
        let interval_ms = match (rules.batching_enabled, rules.conflation_enabled) {
            (false, false) => None,
            (true, _) => rules.batching_interval_ms,
            (false, true) => rules.conflation_interval_ms,
        };
        let interval_ms = interval_ms.unwrap_or(0).min(PACE_MAX_MS) as u32;
        let conflation_key = rules.conflation_key.clone().filter(|_| rules.conflation_enabled);
        Rules { retention_ms, max_members, interval_ms, conflation_key, mutable: rules.mutable_messages }
    }
}
