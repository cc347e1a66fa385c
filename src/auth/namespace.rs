//! Namespaces: the rules of groups of channels (protocol.md § 17). Owns which rules exist and which of them this server
//! obeys yet; what they do is the channel's affair. Without effect, a rule is refused in the configuration, and named
//! in the answer that shows an app made at run time.

use serde_json::{Map, Value, json};

use super::fields::{Fields, wrong};
use super::webhook::Webhook;
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    CHANNEL_NAME_MAX_BYTES, CLIENT_RATE_MAX, HOOKS_PER_APP_MAX, MESSAGE_MAX_BYTES, OBJECTS_RETENTION_MAX_DAYS,
    PACE_MAX_MS, PACE_MIN_MS, RETENTION_MAX_HOURS,
};
use crate::model::conflation::check_key;

/// The rules that change what this server does, beside those of batches and conflation where these are enabled. The
/// others would change nothing.
const EFFECTIVE: &[&str] = &[
    "persisted",
    "persistLast",
    "authenticated",
    "tlsOnly",
    "maxMembers",
    "mutableMessages",
    "pushEnabled",
    "clientMessagesPerSecond",
    "clientPresencePerSecond",
    "clientAttachesPerSecond",
    "messagesPerSecond",
    "restMessagesPerSecond",
    "commitInterval",
    "traced",
    "maxMessageSize",
    "objectsRetentionDays",
];

/// Declares [`Rules`]: a flag each, with its name in JSON.
macro_rules! flags {
    ($($(#[$doc:meta])* $field:ident = $name:literal;)*) => {
        /// What holds for the channels of a namespace. Nothing, by default.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Rules {
            $($(#[$doc])* pub $field: bool,)*
            /// Between two batches.
            pub batching_interval_ms: Option<u64>,
            /// Between two commits.
            pub commit_interval_ms: Option<u64>,
            /// Between two conflated messages.
            pub conflation_interval_ms: Option<u64>,
            /// What tells messages of one conflated epoch from those of another.
            pub conflation_key: Option<String>,
            /// How many may be present on a channel, if it is fewer than on any.
            pub max_members: Option<u64>,
            /// How long messages are kept that are persisted.
            pub retention_hours: Option<u64>,
            /// How many messages one client may publish on them a second, over all its connections at a relay.
            pub client_messages_per_second: Option<u64>,
            /// The same of presence events, and of attaches.
            pub client_presence_per_second: Option<u64>,
            pub client_attaches_per_second: Option<u64>,
            /// How many messages all may publish on one channel a second.
            pub messages_per_second: Option<u64>,
            /// How many of them one key, or one client by a token, may publish over REST.
            pub rest_messages_per_second: Option<u64>,
            /// How many bytes a publish has, or a change of a message, if it is fewer than any may have.
            pub max_message_size: Option<u64>,
            /// How long objects are kept after their last use.
            pub objects_retention_days: Option<u64>,
            /// Where events of them go, beside the app's own.
            pub webhooks: Vec<Webhook>,
        }

        const FLAGS: &[&str] = &[$($name),*];

        impl Rules {
            /// No rule at all.
            pub const NONE: &Rules = &Rules {
                $($field: false,)*
                batching_interval_ms: None,
                commit_interval_ms: None,
                conflation_interval_ms: None,
                conflation_key: None,
                max_members: None,
                retention_hours: None,
                client_messages_per_second: None,
                client_presence_per_second: None,
                client_attaches_per_second: None,
                messages_per_second: None,
                rest_messages_per_second: None,
                max_message_size: None,
                objects_retention_days: None,
                webhooks: Vec::new(),
            };

            fn read_flags(fields: &Fields<'_>) -> Result<Rules, ErrorInfo> {
                Ok(Rules { $($field: fields.flag($name)?,)* ..Rules::default() })
            }

            fn flags(&self) -> [(&'static str, bool); FLAGS.len()] {
                [$(($name, self.$field)),*]
            }
        }
    };
}

flags! {
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

/// Flags that are named where they are set: the builds before theirs read all other apps.
const LATER: &[&str] = &["traced"];

const MILLISECONDS: &str = "must be whole milliseconds";
const HOURS: &str = "must be whole hours, from 1 to 8760";

const WEBHOOKS: &str = "webhooks";

/// What may be done so often, from once to [`CLIENT_RATE_MAX`] times a second.
const RATES: [&str; 5] = [
    "clientMessagesPerSecond",
    "clientPresencePerSecond",
    "clientAttachesPerSecond",
    "messagesPerSecond",
    "restMessagesPerSecond",
];

const VALUED: [&str; 13] = [
    "batchingInterval",
    "commitInterval",
    "conflationInterval",
    "conflationKey",
    "maxMembers",
    "retentionHours",
    "clientMessagesPerSecond",
    "clientPresencePerSecond",
    "clientAttachesPerSecond",
    "messagesPerSecond",
    "restMessagesPerSecond",
    "maxMessageSize",
    "objectsRetentionDays",
];

/// A namespace: the channels whose first segment, or whole name, is `id`. `*` holds for all channels without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    pub id: String,
    pub rules: Rules,
}

impl Namespace {
    pub(super) fn read(value: &Value, path: &str, secret_min_bytes: usize) -> Result<Namespace, ErrorInfo> {
        let known: Vec<&str> = ["id", WEBHOOKS].iter().chain(FLAGS).chain(&VALUED).copied().collect();
        let fields = Fields::of(value, path, &known)?;
        let id = fields.text("id")?;
        if id.is_empty()
            || id.len() > CHANNEL_NAME_MAX_BYTES
            || id.contains([':', '['])
            || id.contains(char::is_control)
        {
            return Err(fields.wrong("id", "must be the part of a channel name before its first ':'"));
        }
        let rules = Rules {
            batching_interval_ms: fields.whole("batchingInterval", MILLISECONDS)?,
            commit_interval_ms: fields.whole("commitInterval", MILLISECONDS)?,
            conflation_interval_ms: fields.whole("conflationInterval", MILLISECONDS)?,
            conflation_key: fields.optional_text("conflationKey")?.map(str::to_owned),
            max_members: fields.whole("maxMembers", "must be a whole number")?,
            retention_hours: fields.whole("retentionHours", HOURS)?,
            client_messages_per_second: rate(&fields, RATES[0])?,
            client_presence_per_second: rate(&fields, RATES[1])?,
            client_attaches_per_second: rate(&fields, RATES[2])?,
            messages_per_second: rate(&fields, RATES[3])?,
            rest_messages_per_second: rate(&fields, RATES[4])?,
            max_message_size: within(&fields, "maxMessageSize", MESSAGE_MAX_BYTES as u64)?,
            objects_retention_days: within(&fields, "objectsRetentionDays", OBJECTS_RETENTION_MAX_DAYS)?,
            webhooks: fields.list(WEBHOOKS, HOOKS_PER_APP_MAX, |value, path: &str| {
                Webhook::read_of_namespace(value, path, secret_min_bytes)
            })?,
            ..Rules::read_flags(&fields)?
        };
        check_pace(&fields, &rules)?;
        if rules.retention_hours.is_some_and(|hours| !(1..=RETENTION_MAX_HOURS).contains(&hours)) {
            return Err(fields.wrong("retentionHours", HOURS));
        }
        Ok(Namespace { id: id.to_owned(), rules })
    }

    /// Whether a namespace may have a field of this name.
    pub fn knows(field: &str) -> bool {
        field == "id" || field == WEBHOOKS || FLAGS.contains(&field) || VALUED.contains(&field)
    }

    /// As it stands in the configuration, every flag of the first build spelled out.
    pub fn to_json(&self) -> Value {
        let mut object = Map::from_iter([("id".to_owned(), json!(self.id))]);
        let flags = self.rules.flags().into_iter().filter(|(name, set)| *set || !LATER.contains(name));
        object.extend(flags.map(|(name, set)| (name.to_owned(), json!(set))));
        object.extend(
            self.rules.valued().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)),
        );
        if !self.rules.webhooks.is_empty() {
            object.insert(WEBHOOKS.to_owned(), self.rules.webhooks.iter().map(Webhook::to_json).collect());
        }
        Value::Object(object)
    }

    /// The rules that are set here and change nothing yet.
    pub fn not_effective(&self) -> Vec<&'static str> {
        let flags = self.rules.flags().into_iter().filter(|(_, set)| *set).map(|(name, _)| name);
        let valued = self.rules.valued().filter(|(_, value)| !value.is_null()).map(|(name, _)| name);
        let is_effective = |name: &str| {
            EFFECTIVE.contains(&name)
                || (self.rules.persisted || self.rules.mutable_messages) && name == "retentionHours"
                || self.rules.batching_enabled && name.starts_with("batching")
                || self.rules.conflation_enabled && name.starts_with("conflation")
        };
        flags.chain(valued).filter(|name| !is_effective(name)).collect()
    }

    /// Fails with 40000 for a rule without effect: whoever sets it relies on it.
    pub(super) fn check_effective(&self, path: &str) -> Result<(), ErrorInfo> {
        let Some(rule) = self.not_effective().into_iter().next() else { return Ok(()) };
        let what = match rule {
            "batchingInterval" => "has no effect without batchingEnabled",
            "retentionHours" => "has no effect without persisted or mutableMessages",
            "conflationInterval" | "conflationKey" => "has no effect without conflationEnabled",
            _ => "has no effect in this version; leave it out",
        };
        Err(wrong(&format!("{path}.{rule}"), what))
    }
}

fn rate(fields: &Fields<'_>, name: &str) -> Result<Option<u64>, ErrorInfo> {
    within(fields, name, CLIENT_RATE_MAX)
}

fn within(fields: &Fields<'_>, name: &str, max: u64) -> Result<Option<u64>, ErrorInfo> {
    let number = fields.whole(name, "must be a whole number")?;
    match number.is_none_or(|number| (1..=max).contains(&number)) {
        true => Ok(number),
        false => Err(fields.wrong(name, &format!("must be from 1 to {max}"))),
    }
}

/// Batches and conflation need an interval, one for both would be two rules for one thing, and a key must be one that
/// is understood.
fn check_pace(fields: &Fields<'_>, rules: &Rules) -> Result<(), ErrorInfo> {
    let commits = rules.commit_interval_ms;
    for (enabled, name, interval_ms) in [
        (commits.is_some(), "commitInterval", commits),
        (rules.batching_enabled, "batchingInterval", rules.batching_interval_ms),
        (rules.conflation_enabled, "conflationInterval", rules.conflation_interval_ms),
    ] {
        let interval_ms = interval_ms.or((!enabled).then_some(PACE_MIN_MS));
        if interval_ms.is_none_or(|ms| !(PACE_MIN_MS..=PACE_MAX_MS).contains(&ms)) {
            return Err(fields.wrong(name, &format!("must be from {PACE_MIN_MS} to {PACE_MAX_MS} ms")));
        }
    }
    if rules.batching_enabled && rules.conflation_enabled {
        return Err(fields.wrong("conflationEnabled", "excludes batchingEnabled: what is conflated is batched"));
    }
    if rules.conflation_enabled || rules.conflation_key.is_some() {
        fields.parsed("conflationKey", check_key)?;
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

    fn valued(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let intervals = [self.batching_interval_ms, self.commit_interval_ms, self.conflation_interval_ms];
        let others = [json!(self.conflation_key), json!(self.max_members), json!(self.retention_hours)];
        let rates = [
            self.client_messages_per_second,
            self.client_presence_per_second,
            self.client_attaches_per_second,
            self.messages_per_second,
            self.rest_messages_per_second,
        ];
        let intervals = intervals.map(|interval| json!(interval)).into_iter();
        let values = intervals
            .chain(others)
            .chain(rates.map(|rate| json!(rate)))
            .chain([self.max_message_size, self.objects_retention_days].map(|value| json!(value)));
        VALUED.into_iter().zip(values)
    }
}
