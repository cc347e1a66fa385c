//! Namespaces: the rules of groups of channels (protocol.md § 17). Owns which rules exist and what they may say; what
//! they do is the channel's affair. A rule that needs another is refused in the configuration without it, and named in
//! the answer that shows an app made at run time.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::fields::{Fields, wrong};
use super::webhook::Webhook;
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    CHANNEL_NAME_MAX_BYTES, CLIENT_RATE_MAX, HOOKS_PER_APP_MAX, MESSAGE_MAX_BYTES, OBJECTS_RETENTION_MAX_DAYS,
    PACE_MAX_MS, PACE_MIN_MS, RETENTION_MAX_HOURS,
};
use crate::model::conflation::check_key;

/// Declares [`Rules`]: flags, each with its name in JSON, and numbers with theirs, their bounds and their unit.
macro_rules! rules {
    (
        flags { $($(#[$flag_doc:meta])* $flag:ident = $flag_name:literal;)* }
        numbers { $($(#[$doc:meta])* $number:ident = $name:literal, $bounds:expr, $unit:literal;)* }
    ) => {
        /// What holds for the channels of a namespace. Nothing, by default.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Rules {
            $($(#[$flag_doc])* pub $flag: bool,)*
            $($(#[$doc])* pub $number: Option<u64>,)*
            /// What tells messages of one conflated epoch from those of another.
            pub conflation_key: Option<String>,
            /// Where events of them go, beside the app's own.
            pub webhooks: Vec<Webhook>,
        }

        const FLAGS: &[&str] = &[$($flag_name),*];
        const NUMBERS: &[&str] = &[$($name),*];

        impl Rules {
            /// No rule at all.
            pub const NONE: &Rules = &Rules {
                $($flag: false,)*
                $($number: None,)*
                conflation_key: None,
                webhooks: Vec::new(),
            };

            fn read(fields: &Fields<'_>, webhooks: Vec<Webhook>) -> Result<Rules, ErrorInfo> {
                Ok(Rules {
                    $($flag: fields.flag($flag_name)?,)*
                    $($number: number(fields, $name, $bounds, $unit)?,)*
                    conflation_key: fields.optional_text(CONFLATION_KEY)?.map(str::to_owned),
                    webhooks,
                })
            }

            fn flags(&self) -> [(&'static str, bool); FLAGS.len()] {
                [$(($flag_name, self.$flag)),*]
            }

            /// Numbers and the key of conflation, where they are set.
            fn values(&self) -> impl Iterator<Item = (&'static str, Value)> {
                let numbers = [$(($name, json!(self.$number))),*];
                numbers.into_iter().chain([(CONFLATION_KEY, json!(self.conflation_key))]).filter(|(_, value)| !value.is_null())
            }
        }
    };
}

rules! {
    flags {
        /// History outlives the two minutes that every channel keeps.
        persisted = "persisted";
        /// The last message is kept for a year.
        persist_last = "persistLast";
        /// Anonymous clients are refused.
        authenticated = "authenticated";
        /// Connections without TLS are refused.
        tls_only = "tlsOnly";
        /// `extras.push` is honoured.
        push_enabled = "pushEnabled";
        /// Messages can be updated, deleted, appended to and annotated, and are kept as persisted ones are.
        mutable_messages = "mutableMessages";
        /// Messages are delivered in batches.
        batching_enabled = "batchingEnabled";
        /// Only the latest message of each key is delivered.
        conflation_enabled = "conflationEnabled";
        /// A publish over REST is part of the trace of its request.
        traced = "traced";
    }
    numbers {
        /// Between two batches.
        batching_interval_ms = "batchingInterval", PACE, " ms";
        /// Between two commits.
        commit_interval_ms = "commitInterval", PACE, " ms";
        /// Between two conflated messages.
        conflation_interval_ms = "conflationInterval", PACE, " ms";
        /// How many may be present on a channel, if it is fewer than on any.
        max_members = "maxMembers", 0..=u64::MAX, "";
        /// How long messages are kept that are persisted.
        retention_hours = "retentionHours", 1..=RETENTION_MAX_HOURS, " hours";
        /// How many messages one client may publish on them a second, over all its connections at a relay.
        client_messages_per_second = "clientMessagesPerSecond", RATE, "";
        /// The same of presence events, and of attaches.
        client_presence_per_second = "clientPresencePerSecond", RATE, "";
        client_attaches_per_second = "clientAttachesPerSecond", RATE, "";
        /// How many messages all may publish on one channel a second.
        messages_per_second = "messagesPerSecond", RATE, "";
        /// How many of them one key, or one client by a token, may publish over REST.
        rest_messages_per_second = "restMessagesPerSecond", RATE, "";
        /// How many bytes a publish has, or a change of a message, if it is fewer than any may have.
        max_message_size = "maxMessageSize", 1..=MESSAGE_MAX_BYTES as u64, "";
        /// How long objects are kept after their last use.
        objects_retention_days = "objectsRetentionDays", 1..=OBJECTS_RETENTION_MAX_DAYS, "";
    }
}

const CONFLATION_KEY: &str = "conflationKey";
const WEBHOOKS: &str = "webhooks";

const PACE: RangeInclusive<u64> = PACE_MIN_MS..=PACE_MAX_MS;
const RATE: RangeInclusive<u64> = 1..=CLIENT_RATE_MAX;

/// Flags that are named where they are set: the builds before theirs read all other apps.
const LATER: &[&str] = &["traced"];

/// A namespace: the channels whose first segment, or whole name, is `id`. `*` holds for all channels without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    pub id: String,
    pub rules: Rules,
}

impl Namespace {
    pub(super) fn read(value: &Value, path: &str, secret_min_bytes: usize) -> Result<Namespace, ErrorInfo> {
        let known: Vec<&str> = ["id", WEBHOOKS, CONFLATION_KEY].iter().chain(FLAGS).chain(NUMBERS).copied().collect();
        let fields = Fields::of(value, path, &known)?;
        let id = fields.text("id")?;
        if id.is_empty()
            || id.len() > CHANNEL_NAME_MAX_BYTES
            || id.contains([':', '['])
            || id.contains(char::is_control)
        {
            return Err(fields.wrong("id", "must be the part of a channel name before its first ':'"));
        }
        let webhooks = fields.list(WEBHOOKS, HOOKS_PER_APP_MAX, |value, path: &str| {
            Webhook::read_of_namespace(value, path, secret_min_bytes)
        })?;
        let rules = Rules::read(&fields, webhooks)?;
        check_pace(&fields, &rules)?;
        Ok(Namespace { id: id.to_owned(), rules })
    }

    /// Whether a namespace may have a field of this name.
    pub fn knows(field: &str) -> bool {
        ["id", WEBHOOKS, CONFLATION_KEY].iter().chain(FLAGS).chain(NUMBERS).any(|known| *known == field)
    }

    /// As it stands in the configuration, every flag of the first build spelled out.
    pub fn to_json(&self) -> Value {
        let mut object = Map::from_iter([("id".to_owned(), json!(self.id))]);
        let flags = self.rules.flags().into_iter().filter(|(name, set)| *set || !LATER.contains(name));
        object.extend(flags.map(|(name, set)| (name.to_owned(), json!(set))));
        object.extend(self.rules.values().map(|(name, value)| (name.to_owned(), value)));
        if !self.rules.webhooks.is_empty() {
            object.insert(WEBHOOKS.to_owned(), self.rules.webhooks.iter().map(Webhook::to_json).collect());
        }
        Value::Object(object)
    }

    /// The rules that are set here without another that they need.
    pub fn not_effective(&self) -> Vec<&'static str> {
        self.rules.values().map(|(name, _)| name).filter(|name| self.rules.lacks(name).is_some()).collect()
    }

    /// Fails with 40000 for a rule without effect: whoever sets it relies on it.
    pub(super) fn check_effective(&self, path: &str) -> Result<(), ErrorInfo> {
        match self.rules.values().find_map(|(name, _)| self.rules.lacks(name).map(|needed| (name, needed))) {
            Some((name, needed)) => Err(wrong(&format!("{path}.{name}"), &format!("has no effect without {needed}"))),
            None => Ok(()),
        }
    }
}

fn number(fields: &Fields<'_>, name: &str, bounds: RangeInclusive<u64>, unit: &str) -> Result<Option<u64>, ErrorInfo> {
    let number = fields.whole(name, "must be a whole number")?;
    match number.is_none_or(|number| bounds.contains(&number)) {
        true => Ok(number),
        false => Err(fields.wrong(name, &format!("must be from {} to {}{unit}", bounds.start(), bounds.end()))),
    }
}

/// Batches and conflation need an interval, one for both would be two rules for one thing, and a key must be one that
/// is understood.
fn check_pace(fields: &Fields<'_>, rules: &Rules) -> Result<(), ErrorInfo> {
    for (enabled, name, interval_ms) in [
        (rules.batching_enabled, "batchingInterval", rules.batching_interval_ms),
        (rules.conflation_enabled, "conflationInterval", rules.conflation_interval_ms),
    ] {
        if enabled && interval_ms.is_none() {
            return Err(fields.wrong(name, &format!("must be from {PACE_MIN_MS} to {PACE_MAX_MS} ms")));
        }
    }
    if rules.batching_enabled && rules.conflation_enabled {
        return Err(fields.wrong("conflationEnabled", "excludes batchingEnabled: what is conflated is batched"));
    }
    if rules.conflation_enabled || rules.conflation_key.is_some() {
        fields.parsed(CONFLATION_KEY, check_key)?;
    }
    Ok(())
}

impl Rules {
    /// Whether a client may use such a channel. Fails with 40161 for one without a name where all must have one, with
    /// 40311 without TLS where it is required.
    pub fn admit(&self, is_identified: bool, is_secure: bool) -> Result<(), ErrorInfo> {
        if self.authenticated && !is_identified {
            return Err(Code::NotIdentified.into());
        }
        if self.tls_only && !is_secure {
            return Err(Code::TlsRequired.into());
        }
        Ok(())
    }

    /// Another rule that the one of this name needs, where that is not set.
    fn lacks(&self, name: &str) -> Option<&'static str> {
        match name {
            "retentionHours" if !self.persisted && !self.mutable_messages => Some("persisted or mutableMessages"),
            "batchingInterval" if !self.batching_enabled => Some("batchingEnabled"),
            "conflationInterval" | CONFLATION_KEY if !self.conflation_enabled => Some("conflationEnabled"),
            _ => None,
        }
    }
}
