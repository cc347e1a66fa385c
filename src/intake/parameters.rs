//! Query parameters: which ones each request takes, and what they may say.
//!
//! A parameter is obeyed or refused, and never dropped in silence: a client that writes `rewnid=10` must learn of it.
//! So the table also lists what SDKs are known to send and nothing here depends on. A client that says it is an SDK may
//! send names that are not listed: a later version of it may know more than this server.
//!
//! Parameters of an ATTACH frame are not checked by name: the answer lists those that were accepted (protocol.md §
//! 7.1).

use std::collections::BTreeSet;

use crate::base::whole_number;
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    APPEND_ROLLUP_MAX_MS, GRACE_MAX_MS, GRACE_MIN_MS, HEARTBEAT_INTERVAL_MAX_MS, HEARTBEAT_INTERVAL_MIN_MS,
    PARAMETER_SHOWN_MAX_CHARS,
};
use crate::protocol;

/// Where a query arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryOf {
    Socket,
    Comet,
    Stream,
    Pusher,
    /// A request that is signed.
    PusherApi,
    /// Of messages or of presence.
    History,
    Publish,
    Batch,
    /// To one message.
    Operation,
    Versions,
    Members,
    MembersOfMany,
    Objects,
    Annotations,
    ClientSummary,
    /// A message of a chat, to send, change or delete.
    Chat,
    ChatHistory,
    /// A reaction that is taken back.
    ChatReaction,
    Channels,
    Token,
    PushDevices,
    PushSubscriptions,
    PushChannels,
    /// The other paths of push.
    Push,
    Stats,
    /// An operator's: who is connected, a ban that is lifted, and other lists.
    Connections,
    Unban,
    ForgetDead,
    Pages,
    /// A REST path with no parameters of its own.
    Plain,
}

/// What a parameter may say.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// Whatever reads it checks it.
    Read,
    OneOf(&'static [&'static str]),
    /// A whole number of milliseconds, from the first to the second.
    Milliseconds(u64, u64),
    /// Has an effect only next to `attach=auto`.
    Attach,
    /// SDKs and browsers send it, and nothing here depends on it.
    Ignored,
    /// The hosted service has it, and this server does not.
    Missing,
}

use Rule::{Attach, Ignored, Milliseconds, Missing, OneOf, Read};

type Table = &'static [(&'static str, Rule)];

const BOOLEAN: Rule = OneOf(&["true", "false"]);
const FORMAT: Rule = OneOf(&["json", "msgpack"]);

/// Credentials, the version and name of the SDK, and what keeps caches away.
const ANYWHERE: Table = &[
    ("key", Read),
    ("access_token", Read),
    ("accessToken", Read),
    ("v", Read),
    ("agent", Ignored),
    ("Ably-Agent", Ignored),
    ("lib", Ignored),
    ("rnd", Ignored),
    ("timestamp", Ignored),
    ("_", Ignored),
];

const CONNECTION: Table = &[
    ("clientId", Read),
    ("resume", Read),
    ("recover", Read),
    ("upgrade", Read),
    ("echo", BOOLEAN),
    ("heartbeatInterval", Milliseconds(HEARTBEAT_INTERVAL_MIN_MS, HEARTBEAT_INTERVAL_MAX_MS)),
    ("remainPresentFor", Milliseconds(GRACE_MIN_MS, GRACE_MAX_MS)),
    ("channel", Read),
    ("attach", OneOf(&["auto"])),
    ("channelSerial", Attach),
    ("delta", Attach),
    ("filter", Attach),
    ("modes", Attach),
    ("occupancy", Attach),
    ("rewind", Attach),
    ("rewindLimit", Attach),
    // The server sends heartbeats either way.
    ("heartbeats", OneOf(&["true", "false", "bounce"])),
    ("stream", BOOLEAN),
    // Of older SDKs, which resume anew here.
    ("connectionSerial", Ignored),
    ("connection_serial", Ignored),
    ("cause", Ignored),
    // Appends go out as they come: what may be rolled up need not be.
    ("appendRollupWindow", Milliseconds(0, APPEND_ROLLUP_MAX_MS)),
    ("appendMode", Attach),
];

const PUSHER_API: Table = &[
    ("auth_key", Read),
    ("auth_timestamp", Read),
    ("auth_version", Read),
    ("auth_signature", Read),
    ("body_md5", Read),
    ("filter_by_prefix", Read),
    ("info", Read),
];

/// What its clients say of themselves. What an older one would be sent it could not read.
const PUSHER: Table =
    &[("protocol", OneOf(&["5", "6", "7"])), ("client", Ignored), ("version", Ignored), ("flash", Ignored)];

const SOCKET: Table = &[("format", FORMAT)];
const COMET: Table = &[("format", OneOf(&["json"]))];

const STREAM: Table = &[
    ("channels", Read),
    ("channel", Read),
    ("separator", Read),
    ("lastEvent", Read),
    ("lastEventId", Read),
    ("rewind", Read),
    ("rewindLimit", Read),
    ("modes", Read),
    ("occupancy", Read),
    ("delta", Read),
    ("filter", Read),
    ("clientId", Read),
    ("enveloped", BOOLEAN),
    ("heartbeats", BOOLEAN),
    ("heartbeatInterval", Milliseconds(HEARTBEAT_INTERVAL_MIN_MS, HEARTBEAT_INTERVAL_MAX_MS)),
    ("format", OneOf(&["json"])),
];

const REST: Table = &[
    ("format", FORMAT),
    ("envelope", FORMAT),
    ("callback", Missing),
    ("fields", Missing),
    ("flatten", Missing),
    ("select", Missing),
    // Of the links between pages.
    ("rel", Ignored),
];

const CONNECTIONS: Table = &[("clientId", Read), ("channel", Read), ("limit", Read), ("cursor", Read)];

const HISTORY: Table = &[
    ("start", Read),
    ("end", Read),
    ("direction", Read),
    ("limit", Read),
    ("from_serial", Read),
    ("fromSerial", Read),
    ("wait", Read),
    ("cursor", Read),
];

const CHAT_HISTORY: Table = &[
    ("start", Read),
    ("end", Read),
    ("direction", Read),
    // The SDK says both, and means this by the direction.
    ("orderBy", Ignored),
    ("limit", Read),
    ("from_serial", Read),
    ("fromSerial", Read),
    ("cursor", Read),
];

const PUBLISH: Table = &[
    ("enveloped", BOOLEAN),
    ("messageId", Read),
    ("name", Read),
    ("connectionKey", Read),
    ("encoding", Read),
    ("clientId", Read),
    ("ephemeral", BOOLEAN),
    ("_forceNack", BOOLEAN),
    // Acknowledgements come as soon as a message is durable, and no sooner.
    ("quickAck", BOOLEAN),
];

const BATCH: Table =
    &[("ephemeral", BOOLEAN), ("_forceNack", BOOLEAN), ("quickAck", BOOLEAN), ("newBatchResponse", BOOLEAN)];

const OPERATION: Table = &[("_forceNack", BOOLEAN), ("quickAck", BOOLEAN)];

const VERSIONS: Table = &[("start", Read), ("end", Read), ("direction", Read), ("limit", Read), ("cursor", Read)];

const MEMBERS: Table = &[("limit", Read), ("clientId", Read), ("connectionId", Read), ("cursor", Read)];

const OBJECTS: Table = &[("compact", BOOLEAN), ("path", Read), ("objectId", Read)];

const CHANNELS: Table = &[("limit", Read), ("prefix", Read), ("by", Read), ("cursor", Read)];

/// The fields of a token request, which a GET has in its query.
const TOKEN: Table =
    &[("keyName", Read), ("ttl", Read), ("capability", Read), ("clientId", Read), ("nonce", Read), ("mac", Read)];

/// Registrations are done when they are answered, whether their client waits for that or not.
const PUSH: Table = &[("fullWait", BOOLEAN)];

const PUSH_DEVICES: Table = &[
    ("deviceId", Read),
    ("clientId", Read),
    ("state", Read),
    ("limit", Read),
    ("cursor", Read),
    ("fullWait", BOOLEAN),
];

const PUSH_SUBSCRIPTIONS: Table = &[
    ("channel", Read),
    ("deviceId", Read),
    ("clientId", Read),
    ("concatFilters", BOOLEAN),
    ("limit", Read),
    ("cursor", Read),
    ("fullWait", BOOLEAN),
];

/// Older SDKs say `by` for `unit`.
const STATS: Table = &[
    ("unit", Read),
    ("by", Read),
    ("start", Read),
    ("end", Read),
    ("direction", Read),
    ("limit", Read),
    ("cursor", Read),
];

/// The parameters of a door for another protocol.
pub fn at(door: &protocol::door::Door) -> QueryOf {
    match door {
        protocol::door::Door::Pusher(_) => QueryOf::Pusher,
        // Socket.IO's query is the application's, see `transport::engine`; MQTT has packets for what others say in one.
        protocol::door::Door::SocketIo(_) | protocol::door::Door::Mqtt(_) => QueryOf::Socket,
    }
}

impl QueryOf {
    /// From the most particular to the most general; the first that knows a name decides.
    const fn tables(self) -> [Table; 3] {
        match self {
            QueryOf::Socket => [SOCKET, CONNECTION, ANYWHERE],
            QueryOf::Comet => [COMET, CONNECTION, ANYWHERE],
            QueryOf::Pusher => [PUSHER, &[], &[]],
            QueryOf::PusherApi => [PUSHER_API, &[], &[]],
            QueryOf::Stream => [STREAM, &[], ANYWHERE],
            QueryOf::History => [HISTORY, REST, ANYWHERE],
            QueryOf::Publish => [PUBLISH, REST, ANYWHERE],
            QueryOf::Batch => [BATCH, REST, ANYWHERE],
            QueryOf::Operation => [OPERATION, REST, ANYWHERE],
            QueryOf::Versions => [VERSIONS, REST, ANYWHERE],
            QueryOf::Members => [MEMBERS, REST, ANYWHERE],
            QueryOf::MembersOfMany => [&[("channels", Read), ("separator", Read)], REST, ANYWHERE],
            QueryOf::Objects => [OBJECTS, REST, ANYWHERE],
            QueryOf::Annotations => [&[("limit", Read), ("cursor", Read)], REST, ANYWHERE],
            QueryOf::ClientSummary => [&[("forClientId", Read)], REST, ANYWHERE],
            QueryOf::Chat => [&[("idempotencyKey", Read)], REST, ANYWHERE],
            QueryOf::ChatHistory => [CHAT_HISTORY, REST, ANYWHERE],
            QueryOf::ChatReaction => [&[("type", Read), ("name", Read)], REST, ANYWHERE],
            QueryOf::Channels => [CHANNELS, REST, ANYWHERE],
            QueryOf::Token => [TOKEN, REST, ANYWHERE],
            QueryOf::PushDevices => [PUSH_DEVICES, REST, ANYWHERE],
            QueryOf::PushSubscriptions => [PUSH_SUBSCRIPTIONS, REST, ANYWHERE],
            QueryOf::PushChannels => [&[("limit", Read), ("cursor", Read)], REST, ANYWHERE],
            QueryOf::Push => [PUSH, REST, ANYWHERE],
            QueryOf::Stats => [STATS, REST, ANYWHERE],
            QueryOf::Connections => [CONNECTIONS, REST, ANYWHERE],
            QueryOf::Unban => [&[("clientId", Read), ("channel", Read)], REST, ANYWHERE],
            QueryOf::ForgetDead => [&[("channel", Read)], REST, ANYWHERE],
            QueryOf::Pages => [&[("limit", Read), ("cursor", Read)], REST, ANYWHERE],
            QueryOf::Plain => [&[], REST, ANYWHERE],
        }
    }

    fn known(self) -> impl Iterator<Item = (&'static str, Rule)> {
        self.tables().into_iter().flatten().copied()
    }

    fn rule(self, name: &str) -> Option<Rule> {
        self.known().find(|(known, _)| *known == name).map(|(_, rule)| rule)
    }

    /// The names that a client may choose to write, for one that wrote another.
    fn offered(self) -> String {
        let offered = self.known().filter(|(_, rule)| !matches!(rule, Ignored | Missing));
        offered.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
    }
}

/// Parameters that name the client an SDK, where it can send no header; the one for .NET uses the header's name.
const SDK_NAMES: [&str; 3] = ["agent", "Ably-Agent", "lib"];

const CREDENTIALS: [&str; 3] = ["key", "access_token", "accessToken"];

fn names_an_sdk(query: &[(String, String)]) -> bool {
    SDK_NAMES.iter().any(|name| value(query, name).is_some())
}

/// Which SDK it says that it is.
pub fn agent(query: &[(String, String)]) -> Option<&str> {
    SDK_NAMES[..2].iter().find_map(|name| value(query, name))
}

/// The last holds of what an SDK says twice: its users' own parameters override its own, and some write them behind.
/// Credentials are said once.
pub fn override_earlier(query: &mut Vec<(String, String)>, is_sdk: bool) {
    if !is_sdk && !names_an_sdk(query) {
        return;
    }
    let mut later = BTreeSet::new();
    let mut held = std::mem::take(query);
    held.reverse();
    held.retain(|(name, _)| CREDENTIALS.contains(&name.as_str()) || later.insert(name.clone()));
    held.reverse();
    *query = held;
}

/// Whether every parameter of a query can be obeyed. `is_sdk` says that a header names the client an SDK; its query
/// may.
///
/// Fails with 40002 for a name that is not known there, and with 40003 for a value that it does not allow, for one
/// that is read and stands twice with different values, and for one that has no effect here or on a filtered channel.
pub fn check(query_of: QueryOf, query: &[(String, String)], is_sdk: bool) -> Result<(), ErrorInfo> {
    let is_sdk = is_sdk || names_an_sdk(query);
    for (index, (name, text)) in query.iter().enumerate() {
        match query_of.rule(name) {
            Some(Ignored) => continue,
            Some(rule) => allow(rule, query, name, text)?,
            None if is_sdk => continue,
            None => return Err(unknown(query_of, name)),
        }
        if query[..index].iter().any(|(earlier, other)| earlier == name && other != text) {
            return Err(refuse(name, "can be given only once"));
        }
    }
    if is_filtered(query) { check_filtered(query) } else { Ok(()) }
}

/// Whether a channel that the query names is filtered, by a parameter or in its name.
fn is_filtered(query: &[(String, String)]) -> bool {
    let separator = value(query, "separator").unwrap_or(",");
    let names = ["channel", "channels"].into_iter().filter_map(|list| value(query, list));
    value(query, "filter").is_some()
        || names.flat_map(|list| list.split(separator)).any(|name| name.starts_with("[filter="))
}

/// Fails with 40003 for what would have no effect on a filtered channel (protocol.md § 16.2).
fn check_filtered(query: &[(String, String)]) -> Result<(), ErrorInfo> {
    for name in ["delta", "occupancy", "rewind", "rewindLimit"] {
        if value(query, name).is_some() {
            return Err(refuse(name, "has no effect on a filtered channel"));
        }
    }
    match value(query, "modes") {
        None | Some("subscribe") => Ok(()),
        Some(_) => Err(refuse("modes", "must be 'subscribe' for a filtered channel")),
    }
}

/// The value of a parameter that is there and not empty.
fn value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

fn allow(rule: Rule, query: &[(String, String)], name: &str, text: &str) -> Result<(), ErrorInfo> {
    match rule {
        Read | Ignored => Ok(()),
        Missing => Err(refuse(name, "is not available on this server")),
        // An empty value is as good as none.
        _ if text.is_empty() => Ok(()),
        OneOf(allowed) if allowed.contains(&text) => Ok(()),
        OneOf(allowed) => Err(refuse(name, &["must be '", &allowed.join("' or '"), "'"].concat())),
        Milliseconds(min, max) if is_within(text, min, max) => Ok(()),
        Milliseconds(min, max) => Err(refuse(name, &format!("must be a number of milliseconds from {min} to {max}"))),
        Attach if value(query, "attach") == Some("auto") => Ok(()),
        Attach => Err(refuse(name, "has an effect only with 'attach=auto'")),
    }
}

fn is_within(text: &str, min: u64, max: u64) -> bool {
    whole_number(text).is_some_and(|number| (min..=max).contains(&number))
}

/// The value is not repeated: it may be a secret under a wrong name.
fn refuse(name: &str, why: &str) -> ErrorInfo {
    Code::BadParameter.because(["the parameter '", name, "' ", why].concat())
}

fn unknown(query_of: QueryOf, name: &str) -> ErrorInfo {
    let shown: String = name.chars().take(PARAMETER_SHOWN_MAX_CHARS).collect();
    let text = ["there is no parameter '", &shown, "' here; there are ", &query_of.offered()].concat();
    Code::BadParameterName.because(text)
}

#[cfg(test)]
mod tests;
