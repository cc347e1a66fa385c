//! What clients say.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::recovery::{From, Seal, Waiting};
use super::telling::{Awaited, connect_error};
use super::{SocketIo, arguments, engine, packet};
use crate::auth::{Credentials, Grant, Presented, Surface};
use crate::error::{Code, ErrorInfo};
use crate::limits::{CHANNELS_PER_CONNECTION_MAX, FRAME_MAX_BYTES, MESSAGE_MAX_BYTES, SOCKETIO_REFUSALS_MAX};
use crate::model::Format;
use crate::model::message::Params;
use crate::model::name::ChannelName;
use crate::model::node::{self, Node};
use crate::protocol::Encoded;
use crate::protocol::door::{Heard, Setting};
use crate::protocol::inbound::{self, Inbound, InboundMessage, PublishFrame};
use packet::{Kind, Packet};

/// An event of which attachments are still to come.
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    event: Event,
    wanted: usize,
    /// Those that came, empty where all are more than can be published.
    attachments: Vec<Vec<u8>>,
    bytes: usize,
}

/// What a client emits, before a look at its arguments.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    namespace: Rc<str>,
    id: Option<u64>,
    data: String,
}

/// Numbers of publishes: of the time, so that none comes twice however often the connection begins anew, and of the
/// connection, as two of one origin may publish at once.
const SERIALS_PER_MS: u32 = 20;
const SERIALS_OF_CONNECTION: u32 = 8;

impl SocketIo {
    pub(super) fn hears(&mut self, bytes: &[u8], came: Format, setting: Setting<'_>) -> Result<Vec<Heard>, ErrorInfo> {
        if came == Format::Msgpack {
            return self.take_attachment(bytes, setting);
        }
        let is_too_large = bytes.len() > FRAME_MAX_BYTES;
        match engine::read(bytes)? {
            engine::Packet::Message(text) if is_too_large => self.refuse_large(packet::read(text)?, setting),
            _ if is_too_large => Err(too_large()),
            engine::Packet::Close => Ok(vec![Heard::Do(Inbound::Close)]),
            engine::Packet::Ping(data) => Ok(vec![Heard::Say(Encoded::Text(["3", data].concat()))]),
            engine::Packet::Pong => Ok(vec![Heard::Do(Inbound::Pong)]),
            engine::Packet::Noop => Ok(Vec::new()),
            engine::Packet::Message(text) => self.packet(packet::read(text)?, setting),
        }
    }

    fn packet(&mut self, packet: Packet<'_>, setting: Setting<'_>) -> Result<Vec<Heard>, ErrorInfo> {
        if self.open.partial.is_some() {
            return Err(Code::BadBody.because("the attachments of an event must follow it"));
        }
        match packet.kind {
            Kind::Connect => self.enter(&packet, setting),
            Kind::Disconnect => self.leave(packet.namespace),
            Kind::Event => {
                let event = Event::of(&packet);
                self.emit(event, Vec::new(), packet.data.len(), setting)
            }
            Kind::BinaryEvent => {
                let (event, wanted) = (Event::of(&packet), packet.attachments);
                self.open.partial = Some(Partial { event, wanted, attachments: Vec::new(), bytes: 0 });
                Ok(Vec::new())
            }
            // Nothing here asks for one.
            Kind::Ack => Ok(Vec::new()),
            Kind::ConnectError | Kind::BinaryAck => Err(Code::BadBody.because("no client sends such a packet")),
        }
    }

    /// A packet that is not looked into. Its client learns why if it is an event, and else by the connection's end.
    fn refuse_large(&mut self, packet: Packet<'_>, setting: Setting<'_>) -> Result<Vec<Heard>, ErrorInfo> {
        let event = Event::of(&Packet { data: "", ..packet });
        match packet.kind {
            _ if self.open.partial.is_some() => Err(too_large()),
            Kind::Event => self.publish(event, packet.data.len(), setting, |_| Err(too_large())),
            Kind::BinaryEvent => {
                let (wanted, bytes) = (packet.attachments, packet.data.len().max(MESSAGE_MAX_BYTES + 1));
                self.open.partial = Some(Partial { event, wanted, attachments: Vec::new(), bytes });
                Ok(Vec::new())
            }
            _ => Err(too_large()),
        }
    }

    fn take_attachment(&mut self, bytes: &[u8], setting: Setting<'_>) -> Result<Vec<Heard>, ErrorInfo> {
        let Some(partial) = &mut self.open.partial else {
            return Err(Code::BadBody.because("bytes must belong to an event that says so before"));
        };
        partial.bytes += bytes.len();
        if partial.bytes > MESSAGE_MAX_BYTES {
            partial.attachments.iter_mut().for_each(|kept| *kept = Vec::new());
        }
        let kept = if partial.bytes > MESSAGE_MAX_BYTES { Vec::new() } else { bytes.to_vec() };
        partial.attachments.push(kept);
        if partial.attachments.len() < partial.wanted {
            return Ok(Vec::new());
        }
        let Some(Partial { event, attachments, bytes, .. }) = self.open.partial.take() else { return Ok(Vec::new()) };
        if bytes > MESSAGE_MAX_BYTES {
            let error =
                Code::TooLarge.because(format!("an event has at most {MESSAGE_MAX_BYTES} bytes, this one more"));
            return self.publish(event, bytes, setting, |_| Err(error));
        }
        self.emit(event, attachments, bytes, setting)
    }

    fn emit(
        &mut self,
        event: Event,
        attachments: Vec<Vec<u8>>,
        bytes: usize,
        setting: Setting<'_>,
    ) -> Result<Vec<Heard>, ErrorInfo> {
        self.publish(event, bytes, setting, |data| arguments::message(data, attachments))
    }

    fn publish(
        &mut self,
        event: Event,
        bytes: usize,
        setting: Setting<'_>,
        message: impl FnOnce(&str) -> Result<InboundMessage, ErrorInfo>,
    ) -> Result<Vec<Heard>, ErrorInfo> {
        if !self.is_known {
            return Err(Code::NoCredentials.because("connect to a namespace before you emit"));
        }
        self.origin.get_or_insert_with(|| setting.connection_id.to_owned());
        let Event { namespace, id, data } = event;
        let msg_serial = self.next_serial(setting);
        let said = attached(&namespace, setting).and_then(|channel| Ok((channel, message(&data)?)));
        self.open.awaited.push_back(Awaited { msg_serial, namespace, id });
        Ok(vec![match said {
            Ok((channel, message)) => {
                let (messages, params) = (vec![message], Params::default());
                Heard::Do(Inbound::Publish(PublishFrame { channel, msg_serial, messages, params }))
            }
            Err(error) => Heard::Refuse { msg_serial, error, bytes },
        }])
    }

    fn next_serial(&mut self, setting: Setting<'_>) -> u64 {
        let salt = setting.connection_id.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte));
        let salt = salt & ((1 << (SERIALS_PER_MS - SERIALS_OF_CONNECTION)) - 1);
        let first = setting.now_ms << SERIALS_PER_MS | salt << SERIALS_OF_CONNECTION;
        self.last_serial = first.max(self.last_serial + 1);
        self.last_serial
    }

    fn leave(&mut self, namespace: &str) -> Result<Vec<Heard>, ErrorInfo> {
        self.open.waiting.retain(|waiting| waiting.namespace != namespace);
        let channel = packet::channel(namespace)?;
        self.forget_within(&channel);
        Ok(vec![Heard::Do(Inbound::Detach { channel })])
    }

    /// A client would come into a namespace.
    fn enter(&mut self, packet: &Packet<'_>, setting: Setting<'_>) -> Result<Vec<Heard>, ErrorInfo> {
        self.open.waiting.retain(|waiting| waiting.namespace != packet.namespace);
        let (waiting, grant) = match self.entry(packet, setting) {
            Ok(entry) => entry,
            Err(error) => return self.turn_away(packet.namespace, error),
        };
        let is_asked = grant == *setting.grant;
        let heard = match is_asked {
            true => Heard::Do(waiting.attach()),
            false => Heard::Grant { grant: Box::new(grant), channel: waiting.channel.clone() },
        };
        self.open.waiting.push(Waiting { is_asked, ..waiting });
        Ok(vec![heard])
    }

    /// Fails with the error when its client was turned away too often: it guesses.
    fn turn_away(&mut self, namespace: &str, error: ErrorInfo) -> Result<Vec<Heard>, ErrorInfo> {
        self.refused += 1;
        match self.refused > SOCKETIO_REFUSALS_MAX {
            true => Err(error),
            false => Ok(vec![Heard::Say(connect_error(namespace, &error))]),
        }
    }

    /// What a client says that connects. Fails with 40001 when it is no object, with 40010 for a name that cannot be,
    /// with 40003 for a parameter that has no effect here, with 90010 for too many at once, and as [`SocketIo::grant`].
    fn entry(&mut self, packet: &Packet<'_>, setting: Setting<'_>) -> Result<(Waiting, Grant), ErrorInfo> {
        let channel = packet::channel(packet.namespace)?;
        let name = ChannelName::parse(&channel)?;
        let auth = match packet.data.is_empty() {
            true => Map::new(),
            false => node::object_of(packet.data.as_bytes())
                .ok_or_else(|| Code::BadBody.because("what a client says to connect must be an object"))?,
        };
        let params = params(&name, auth.get("params"))?;
        if self.open.waiting.len() >= CHANNELS_PER_CONNECTION_MAX {
            return Err(Code::TooManyChannels.into());
        }
        let grant = self.grant(&auth, setting)?;
        let operators = setting.operators.and_then(|operators| operators.key_of(&grant.key_name));
        let key = operators.as_ref().or_else(|| setting.app.key(&grant.key_name)).ok_or(Code::BadCredentials)?;
        let unique = format!("{} {}", setting.connection_id, setting.now_ms);
        let seal = Seal::of(&key.secret, &grant, &channel, unique);
        let from = auth.get("pid").and_then(Value::as_str);
        let from = from.and_then(|pid| seal.open(pid, auth.get("offset").and_then(Value::as_str)));
        let origin = self.origin_of(from.as_ref());
        self.open.connection_id = setting.connection_id.to_owned();
        let namespace = packet.namespace.to_owned();
        Ok((Waiting { namespace, channel, params, from, origin, seal, is_asked: false }, grant))
    }

    /// As which connection others know it in a namespace that goes on from another one than those before it. Where
    /// nothing goes on from any, that is left open for those that connect with it, until the first is let in.
    fn origin_of(&mut self, from: Option<&From>) -> Option<String> {
        let origin = &from?.origin;
        let known = self.origin.get_or_insert_with(|| origin.clone());
        (origin != known).then(|| origin.clone())
    }

    /// What a client may do by what it says, or by what it said before. Fails with 40106 when it never said who it is,
    /// with 40102 when it is not who it was, and as [`Credentials`] do.
    fn grant(&self, auth: &Map<String, Value>, setting: Setting<'_>) -> Result<Grant, ErrorInfo> {
        let said = |name: &str| match auth.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Code::BadCredentials.because(format!("'auth.{name}' must be a text"))),
        };
        let fields = [("key", said("key")?), ("access_token", said("token")?), ("clientId", said("clientId")?)];
        let query: Vec<(String, String)> =
            fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        if query.iter().all(|(name, _)| name == "clientId") && self.is_known {
            return Ok(setting.grant.clone());
        }
        let presented = Presented { query: &query, ..Presented::default() };
        let credentials = Credentials::parse(&presented, Surface::Realtime)?.or_of(setting.operators);
        let grant = credentials.verify(Some(setting.app), setting.now_ms)?;
        let (known, is_same) =
            (setting.grant, |known: &Grant| (&known.key_name, &known.client_id) == (&grant.key_name, &grant.client_id));
        match self.is_known && !is_same(known) {
            false => Ok(grant),
            true => Err(Code::IncompatibleCredentials
                .because("all namespaces of a connection are of one key and clientId; use 'forceNew' for another")),
        }
    }
}

impl Event {
    fn of(packet: &Packet<'_>) -> Event {
        Event { namespace: packet.namespace.into(), id: packet.id, data: packet.data.to_owned() }
    }
}

fn too_large() -> ErrorInfo {
    Code::TooLarge.because(format!("a packet has at most {FRAME_MAX_BYTES} bytes"))
}

/// The channel of a namespace that the client is in. Fails with 40000 for another.
fn attached(namespace: &str, setting: Setting<'_>) -> Result<String, ErrorInfo> {
    let channel = packet::channel(namespace)?;
    match (setting.is_attached)(&ChannelName::parse(&channel)?) {
        true => Ok(channel),
        false => Err(Code::BadRequest.because("connect to this namespace before you emit")),
    }
}

/// The channel's parameters. Fails with 40003 for one that has no effect in this door, wherever it stands.
fn params(name: &ChannelName, said: Option<&Value>) -> Result<Params, ErrorInfo> {
    const KNOWN: [&str; 4] = ["modes", "occupancy", "rewind", "rewindLimit"];
    let bad = |_| Code::BadParameter.because("'auth.params' must be an object of texts");
    let params = inbound::params(Node::of_value(said.cloned().unwrap_or_default())).map_err(bad)?;
    let in_name = name.params().into_iter().flat_map(|query| query.split('&'));
    let in_name = in_name.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    let unknown = in_name.chain(params.keys().map(String::as_str)).find(|name| !KNOWN.contains(name));
    match unknown.map(|name| Code::BadParameter.because(format!("a namespace has no parameter '{name}'"))) {
        Some(error) => Err(error),
        None => Ok(params),
    }
}
