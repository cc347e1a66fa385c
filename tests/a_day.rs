//! A day of one channel, by a clock that jumps from one thing to the next: what expires goes, whatever was done with
//! it, and after the first retention periods neither storage nor memory grows any more.
//!
//! Messages are kept for an hour. Six hours are run among the tests; `HOURS=24 cargo test --release --test a_day` runs
//! the day.

#[allow(dead_code, reason = "shared with the simulation")]
mod support {
    pub mod app_store;
    pub mod disk;
    pub mod grant;
    pub mod held;
    pub mod host;
    pub mod memory_store;
    pub mod objects;
    pub mod random;
    pub mod submissions;
}

use std::rc::Rc;

use courtside::auth::{App, Source};
use courtside::model::Format;
use courtside::model::annotation::{Annotation, AnnotationAction};
use courtside::model::data::Data;
use courtside::model::message::Message;
use courtside::model::name::ChannelName;
use courtside::model::objects::operation::{Action, Value};
use courtside::model::operation::{Operation, Patch, Reach};
use courtside::model::revision::Act;
use courtside::object::Reply;
use courtside::relay::session::Opening;
use courtside::rpc::{
    Address, ChannelCall, Outcome, Publish, PublishKey, RelayName, Request, Response, Rules, Submission,
};
use serde_json::{Value as Json, json};
use support::disk::Disk;
use support::held;
use support::host::{Host, Input, LinkId};
use support::objects::{Heard, Objects};
use support::random::Random;
use support::submissions;

const NOW_MS: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 60 * 60 * 1_000;
/// Between two things that somebody does.
const ACT_MS: u64 = 10_000;
/// Something is done of each kind.
const KINDS: u64 = 6;
const KEYS: u64 = 10;
const MEMBERS: u64 = 20;

/// The channel's object, a relay, and a client of it that hears and does all.
const CHANNEL: usize = 0;
const RELAY: usize = 1;
const CLIENT: LinkId = LinkId(1);

struct Day {
    objects: Objects,
    app: Rc<App>,
    address: Address,
    acts: u64,
    /// That of the last message.
    serial: String,
    msg_serial: u64,
    heard: usize,
}

impl Day {
    fn begin() -> Day {
        let room = json!({"id": "room", "mutableMessages": true, "retentionHours": 1});
        let app = json!({"id": "demo", "keys": [{"name": "key", "secret": "local-only"}], "namespaces": [room]});
        let app: Rc<App> = Rc::new(serde_json::from_value(app).unwrap());
        let address = Address { app: app.id().clone(), channel: ChannelName::parse("room").unwrap() };
        let disk = || Disk::new(Random::new(0));
        let channel = Host::new(RelayName::of_channel(&address), app.clone(), Some(address.clone()), disk());
        let relay = Host::new(RelayName::shard(app.id(), 0), app.clone(), None, disk());
        let objects = Objects::new(app.clone(), vec![channel, relay], NOW_MS);
        let mut day = Day { objects, app, address, acts: 0, serial: String::new(), msg_serial: 0, heard: 0 };
        let opening = Opening::from_query(support::grant::grant(), &[], true);
        day.objects.turn(RELAY, Input::Open { link: CLIENT, mode: None, opening, fresh_id: "client".into() });
        day.say(&json!({"action": 10, "channel": "room"}));
        day
    }

    fn say(&mut self, frame: &Json) {
        let bytes = frame.to_string().into_bytes();
        self.objects.turn(RELAY, Input::Frame { link: CLIENT, bytes, format: Format::Json });
        let heard = std::mem::take(&mut self.objects.heard);
        assert!(!heard.iter().any(|(_, heard)| matches!(heard, Heard::Closed)), "the client stays");
        self.heard += heard.len();
    }

    /// By REST. Gives the serial of what was published.
    fn publish(&mut self, content: Submission) -> String {
        let key = PublishKey::Request(format!("act{}", self.acts));
        let publish = Publish { key, connection_id: None, by: Source::SERVER, content };
        let (to, rules) = (self.address.clone(), Rules::on(&self.app, &self.address.channel));
        let id = self.objects.call(ChannelCall { to, rules, request: Request::Publish(vec![publish]) });
        let answer = self.objects.answers.remove(&id);
        let Some(Reply::Response(Ok(Response::Published(published)))) = answer else { panic!("{answer:?}") };
        match &published.outcomes[..] {
            [Outcome::Accepted { position, .. }] => position.message_serial(&published.epoch, 0),
            [Outcome::Operated { .. }] => String::new(),
            other => panic!("{other:?}"),
        }
    }

    fn act(&mut self) {
        self.acts += 1;
        let (number, serial) = (self.acts, self.serial.clone());
        match number % KINDS {
            1 => {
                let message = Message { data: Data::Text(format!("message {number}")), ..Message::default() };
                self.serial = self.publish(Submission::Messages(vec![message]));
            }
            2 => drop(self.publish(operation(Act::Update, serial, number))),
            3 => drop(self.publish(operation(Act::Append, serial, number))),
            4 => drop(self.publish(Submission::Annotations { message: serial, annotations: vec![reaction(number)] })),
            5 => drop(self.publish(set(number))),
            _ => self.come_or_go(number / KINDS),
        }
    }

    /// Members come one after another, and leave in that order.
    fn come_or_go(&mut self, round: u64) {
        let action = if (round / MEMBERS).is_multiple_of(2) { 2 } else { 3 };
        let presence = json!([{"action": action, "clientId": format!("member{}", round % MEMBERS)}]);
        let frame = json!({"action": 14, "channel": "room", "msgSerial": self.msg_serial, "presence": presence});
        self.msg_serial += 1;
        self.say(&frame);
    }

    /// Gives the most that was stored at any time, looked at every five minutes: rows of all kinds, and bytes of the
    /// log.
    fn pass(&mut self, for_ms: u64) -> (usize, usize) {
        let (until_ms, mut most) = (self.objects.now_ms + for_ms, (0, 0));
        let mut look_at_ms = 0;
        while self.objects.now_ms < until_ms {
            self.act();
            self.objects.pass(ACT_MS);
            self.heard += std::mem::take(&mut self.objects.heard).len();
            if self.objects.now_ms >= look_at_ms {
                look_at_ms = self.objects.now_ms + HOUR_MS / 12;
                let (rows, bytes) = self.stored();
                most = (most.0.max(rows), most.1.max(bytes));
            }
        }
        most
    }

    fn stored(&self) -> (usize, usize) {
        let stored = self.objects.hosts[CHANNEL].disk().stored();
        let said = &stored.said;
        let said = said.annotations.len() + said.counts.len() + said.shares.len();
        let changed = stored.latest.len() + stored.endings.len() + stored.versions.len() + said;
        let rows = stored.rows.len() + changed + stored.members.len() + stored.objects.len() + stored.pushes.len();
        (rows, stored.rows.values().map(|row| row.entries.len()).sum())
    }

    /// Bytes of memory of the channel and of the relay, which they lose by that.
    fn memory(mut self) -> [isize; 2] {
        [CHANNEL, RELAY].map(|host| {
            let before = held::bytes();
            self.objects.hosts[host].forget();
            before - held::bytes()
        })
    }
}

fn operation(act: Act, serial: String, number: u64) -> Submission {
    let patch = Patch { data: Data::Text(format!("and {number};")), ..Patch::default() };
    let (client_id, description, metadata, reach) = (None, None, None, Reach::Any);
    Submission::Operation(Operation { act, serial, patch, client_id, description, metadata, reach }.into())
}

fn reaction(number: u64) -> Annotation {
    Annotation {
        id: None,
        action: AnnotationAction::Create,
        kind: "r:distinct.v1".into(),
        name: Some("clap".into()),
        count: None,
        client_id: Some(format!("client{}", number % MEMBERS)),
        data: Data::Absent,
        encoding: None,
        extras: None,
    }
}

fn set(number: u64) -> Submission {
    let value = Value::Number(number as f64);
    submissions::operation(number, Action::MapSet { key: format!("key{}", number % KEYS), value }).content
}

#[test]
fn storage_and_memory_are_flat_after_the_first_retention_periods() {
    let hours = std::env::var("HOURS").map_or(6, |text| text.parse::<u64>().expect("a number"));
    let settling_ms = 2 * HOUR_MS;
    let mut short = Day::begin();
    short.pass(settling_ms);
    let early = short.pass(HOUR_MS);
    let [channel, relay] = short.memory();

    let mut day = Day::begin();
    day.pass(settling_ms);
    let later = day.pass(hours * HOUR_MS - settling_ms);
    assert!(day.heard as u64 > day.acts / 2, "somebody heard it");
    let (acts, [channel_later, relay_later]) = (day.acts, day.memory());
    println!(
        "{acts} acts in {hours} h: stored {early:?}, then {later:?}; memory {channel}, {relay} B, then \
         {channel_later}, {relay_later} B"
    );
    let is_flat = |before: usize, after: usize| after <= before + before / 10;
    assert!(is_flat(early.0, later.0) && is_flat(early.1, later.1), "stored rows and bytes: {early:?}, then {later:?}");
    assert!(
        is_flat(channel as usize, channel_later as usize),
        "the channel's memory: {channel} B, then {channel_later} B"
    );
    assert!(is_flat(relay as usize, relay_later as usize), "the relay's memory: {relay} B, then {relay_later} B");
}
