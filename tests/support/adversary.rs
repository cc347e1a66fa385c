//! Clients that mean harm, and may only listen: they flood, count backwards, ask for what they have no right to, write
//! what is no frame, and come and go. Whatever they say must leave no trace with the others, whose order, promises and
//! pace are judged as if these were not there: a message of theirs in a log is one that nobody published.

use courtside::auth::{Capability, Grant};
use courtside::model::Format;
use courtside::protocol::Encoded;
use courtside::relay::session::{Opening, Takeover};
use courtside::rpc::connection_key::TakeoverKind;
use serde_json::{Value, json};

use super::frames::{self, Frame};
use super::host::{Input, LinkId};
use super::network::{Link, Owner, grant};
use super::trace::note;
use super::world::{Event, World};

/// Frames of one flood: more than a connection may have waiting.
const FLOOD: u64 = 300;

#[derive(Debug, Default)]
pub struct Adversary {
    link: Option<LinkId>,
    /// Of its last connection, or of another's, as it was overheard.
    key: Option<String>,
    /// Runs down.
    msg_serial: u64,
    gone: bool,
}

impl World {
    pub fn add_adversary(&mut self) {
        self.adversaries.push(Adversary { msg_serial: 1_000_000, ..Adversary::default() });
        self.after(1, Event::Mischief { adversary: self.adversaries.len() - 1 });
    }

    /// What they have left behind is all that is still to be felt of them.
    pub fn adversaries_leave(&mut self) {
        for index in 0..self.adversaries.len() {
            self.adversaries[index].gone = true;
            if let Some(link) = self.adversaries[index].link.take() {
                self.drop_link(link);
            }
        }
    }

    pub(super) fn mischief(&mut self, index: usize) {
        if self.adversaries[index].gone {
            return;
        }
        match self.adversaries[index].link {
            None => self.intrude(index),
            Some(link) if self.random.chance(60) => {
                self.adversaries[index].link = None;
                self.drop_link(link);
            }
            Some(link) => {
                let count = if self.random.chance(50) { self.random.below(FLOOD) } else { self.random.below(4) };
                for _ in 0..count {
                    let bytes = self.harm(index);
                    self.send_by(link, |link| Input::Frame { link, bytes, format: Format::Json });
                }
            }
        }
        let delay_ms = self.random.between(1, 600);
        self.after(delay_ms, Event::Mischief { adversary: index });
    }

    fn intrude(&mut self, index: usize) {
        let (link, fresh_id) = (LinkId(self.fresh()), format!("conn{}", self.fresh()));
        let host = self.random.below(self.hosts.len() as u64) as usize;
        let kind = *self.random.pick(&[TakeoverKind::Resume, TakeoverKind::Recover, TakeoverKind::Upgrade]);
        let key = self.adversaries[index].key.clone().filter(|_| self.random.chance(500));
        let key = key.or_else(|| self.random.chance(200).then(|| "conn1!forged".to_owned()));
        let opening = Opening {
            grant: listener(),
            format: Format::Json,
            earlier_objects: false,
            stays_attached: true,
            echo: true,
            heartbeat_interval_ms: 5_000,
            grace_ms: 5_000,
            bounces: false,
            takeover: key.map(|key| Takeover { kind, key }),
            is_secure: true,
            is_kept: true,
            attach: Vec::new(),
            spoken: None,
            door: None,
        };
        let now_ms = self.now_ms;
        let owner = Owner::Adversary(index);
        let known = Link { owner, host, mode: None, key: None, to_server_ms: now_ms, to_client_ms: now_ms };
        self.links.insert(link, known);
        self.adversaries[index].link = Some(link);
        self.send_by(link, |link| Input::Open { link, mode: None, opening, fresh_id });
    }

    /// One frame, or what is none.
    fn harm(&mut self, index: usize) -> Vec<u8> {
        let serial = &mut self.adversaries[index].msg_serial;
        *serial = serial.saturating_sub(1);
        let serial = *serial;
        let number = self.random.below(12);
        let host = self.random.below(self.channels as u64) as usize;
        let plain = self.hosts[host].address.as_ref().expect("a channel's object").channel.to_string();
        let odd = [plain.clone(), format!("[?x={number}]{plain}"), format!("[?rewind={number}]{plain}")];
        let channel = self.random.pick(&odd).clone();
        let messages = |count: u64| -> Vec<Value> { (0..count).map(|_| json!({"name": "harm"})).collect() };
        let params: serde_json::Map<String, Value> =
            (0..number * 20).map(|param| (format!("p{}", 999 - param), "v".into())).collect();
        let frame = match self.random.below(12) {
            0..3 => json!({"action": 10, "channel": channel, "flags": u32::MAX, "params": params}),
            3 => json!({"action": 10, "channel": channel, "channelSerial": "00000000000009-000@another:life"}),
            4 => json!({"action": 12, "channel": channel}),
            5..7 => json!({"action": 15, "channel": channel, "msgSerial": serial, "messages": messages(number * 9)}),
            7 => json!({"action": 15, "channel": channel, "msgSerial": number, "messages": [{"id": "p1:0"}]}),
            8 => json!({
                "action": 14, "channel": channel, "msgSerial": serial,
                "presence": [{"action": 2, "clientId": "ghost"}, {"action": 3, "clientId": "ann"}],
            }),
            9 => json!({"action": number, "channel": channel, "auth": {"accessToken": "none"}}),
            10 => json!({"action": 200 + number, "channel": channel, "messages": {"no": "list"}}),
            _ => return (0..number * 50).map(|_| self.random.below(256) as u8).collect(),
        };
        frames::write(&frame, Format::Json)
    }

    pub(super) fn adversary_gets(&mut self, index: usize, frame: &Encoded) {
        if let Some(details) = Frame::read(frame).connection_details {
            self.adversaries[index].key = Some(details.connection_key);
        }
    }

    pub(super) fn adversary_lost(&mut self, index: usize) {
        note(self.now_ms, format_args!("adversary {index} loses its transport"));
        self.adversaries[index].link = None;
    }
}

fn listener() -> Grant {
    let capability = Capability::parse(r#"{"*":["subscribe"]}"#).expect("a capability");
    Grant { capability, basic: false, ..grant() }
}
