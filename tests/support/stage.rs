//! A stage for stories: one relay, one channel called `room`, and clients that say what a script tells them to. Nothing
//! happens by chance, and nothing between two lines of the script.

use std::collections::BTreeMap;
use std::rc::Rc;

use courtside::auth::{App, Grant, Identity};
use courtside::call::{Address, RelayName};
use courtside::name::ChannelName;
use courtside::relay::session::Opening;
use courtside::wire::flags::{HAS_BACKLOG, Modes, RESUMED};
use courtside::wire::{Encoded, Format, action};
use serde_json::{Map, Value, json};

use super::describe::action_name;
use super::disk::Disk;
use super::grant::grant;
use super::host::{CallId, Host, Input, LinkId, Output};
use super::random::Random;

const CHANNEL: usize = 0;
const RELAY: usize = 1;

/// Long ago, so that serials are easy to read.
const BEGINNING_MS: u64 = 1_000_000;

pub struct Stage {
    hosts: [Host; 2],
    now_ms: u64,
    clients: BTreeMap<String, Person>,
    connections: u64,
    calls: u64,
    /// Calls under way, and which memory of the caller made them.
    waiting: BTreeMap<CallId, (u64, Output)>,
    /// Calls to the channel, and its deliveries, that wait until the script lets them go.
    held: Option<Vec<(u64, Output)>>,
    said: Vec<String>,
}

struct Person {
    link: LinkId,
    keys: Vec<String>,
}

impl Stage {
    pub fn new() -> Stage {
        Stage::with(&json!([]))
    }

    fn with(namespaces: &Value) -> Stage {
        let app = json!({"id": "demo", "keys": [], "namespaces": namespaces});
        let app: Rc<App> = Rc::new(serde_json::from_value(app).expect("an app"));
        let address = Address { app: app.id().clone(), channel: ChannelName::parse("room").expect("a name") };
        let disk = || Disk::new(Random::new(0));
        let relay = RelayName::shard(app.id(), 0);
        let channel = Host::new(RelayName::of_channel(&address), app.clone(), Some(address), disk());
        Stage {
            hosts: [channel, Host::new(relay, app, None, disk())],
            now_ms: BEGINNING_MS,
            clients: BTreeMap::new(),
            connections: 0,
            calls: 0,
            waiting: BTreeMap::new(),
            held: None,
            said: Vec::new(),
        }
    }

    /// Does what a line says. Gives what clients get meanwhile.
    pub fn perform(&mut self, line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [client, "connects", query @ ..] => self.connect(client, query),
            [client, "resumes", with @ ..] => self.take_over(client, "resume", with),
            [client, "recovers", with @ ..] => self.take_over(client, "recover", with),
            [client, "upgrades", with @ ..] => self.take_over(client, "upgrade", with),
            [client, "sends", frame @ ..] => self.send(client, &frame.join(" ")),
            [client, "drops"] => {
                let link = self.person(client).link;
                self.turn(RELAY, Input::Lost { link });
            }
            ["the", "room's", "namespace", "has", rules @ ..] => {
                let mut rules: Value = serde_json::from_str(&rules.join(" ")).expect("rules are a JSON object");
                rules["id"] = json!("room");
                *self = Stage::with(&json!([rules]));
            }
            ["wait", time] => self.wait(time),
            ["the", "relay", "forgets"] => drop(self.hosts[RELAY].forget()),
            ["the", "channel", "forgets"] => drop(self.hosts[CHANNEL].forget()),
            ["the", "line", "is", "held"] => self.held = Some(Vec::new()),
            ["the", "line", "is", "lost"] => self.lose(),
            ["the", "line", "is", "free"] => self.free(),
            _ => panic!("nobody knows how to do this: {line}"),
        }
        std::mem::take(&mut self.said)
    }

    fn person(&self, client: &str) -> &Person {
        self.clients.get(client).unwrap_or_else(|| panic!("{client} never connected"))
    }

    fn connect(&mut self, client: &str, query: &[&str]) {
        self.connections += 1;
        let link = LinkId(self.connections);
        let pair = |pair: &&str| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        let query: Vec<(String, String)> = query.iter().filter_map(pair).collect();
        let opening = Opening::from_query(Grant { client_id: Identity::Wildcard, ..grant() }, &query, true);
        let keys = self.clients.remove(client).map_or_else(Vec::new, |person| person.keys);
        self.clients.insert(client.to_owned(), Person { link, keys });
        self.turn(
            RELAY,
            Input::Open { link, mode: None, opening, fresh_id: format!("connection{}", self.connections) },
        );
    }

    /// With its latest key, or with `key=n`, the n-th that it was given, or with a word of its own, or, by `of=ann`, with
    /// the latest of another; and what else it says.
    fn take_over(&mut self, client: &str, parameter: &str, with: &[&str]) {
        let latest = |client: &str| self.person(client).keys.last().expect("it was given a key").clone();
        let key = match with.first().and_then(|word| word.split_once('=')) {
            Some(("of", other)) => latest(other),
            Some(("key", number)) => number
                .parse()
                .map_or_else(|_| number.to_owned(), |number: usize| self.person(client).keys[number - 1].clone()),
            _ => latest(client),
        };
        let more = with.get(1..).unwrap_or_default();
        self.connect(client, &[&[format!("{parameter}={key}").as_str()], more].concat());
    }

    fn send(&mut self, client: &str, frame: &str) {
        let (name, fields) = frame.split_once(' ').unwrap_or((frame, "{}"));
        let mut value: Map<String, Value> = serde_json::from_str(fields).expect("fields are a JSON object");
        let number = (0..=23).find(|number| action_name(*number) == name).expect("an action's name");
        value.insert("action".to_owned(), json!(number));
        let bytes = serde_json::to_vec(&value).expect("JSON");
        let link = self.person(client).link;
        self.turn(RELAY, Input::Frame { link, bytes, format: Format::Json });
    }

    fn wait(&mut self, time: &str) {
        let (number, unit_ms) = match time.strip_suffix("ms") {
            Some(number) => (number, 1),
            None => (time.strip_suffix('s').expect("a time, as in 5s or 5ms"), 1_000),
        };
        let end_ms = self.now_ms + number.parse::<u64>().expect("a number") * unit_ms;
        while let Some((due_ms, host, rings)) = self.next_due().filter(|(due_ms, ..)| *due_ms <= end_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            self.turn(host, if rings { Input::Timer } else { Input::Alarm });
        }
        self.now_ms = end_ms;
    }

    /// The next alarm or timer: when, whose, and whether it is a timer.
    fn next_due(&self) -> Option<(u64, usize, bool)> {
        let due = |(index, host): (usize, &Host)| {
            let alarm = host.disk.alarm_ms().map(|alarm_ms| (alarm_ms, index, false));
            alarm.into_iter().chain(host.timer_due_ms().map(|timer_ms| (timer_ms, index, true))).min()
        };
        self.hosts.iter().enumerate().filter_map(due).min()
    }

    /// One turn of an object, and all that follows from it.
    fn turn(&mut self, host: usize, input: Input) {
        let mut inputs = std::collections::VecDeque::from([(host, input)]);
        while let Some((host, input)) = inputs.pop_front() {
            if self.hosts[host].turn(input, self.now_ms) {
                self.hosts[host].disk.sync();
                self.hosts[host].synced();
            }
            for (life, output) in self.hosts[host].release() {
                inputs.extend(self.leave(life, output));
            }
            let committing = inputs.iter().any(|(_, input)| matches!(input, Input::Commit));
            if self.hosts[host].wants_commit() && !committing {
                inputs.push_back((host, Input::Commit));
            }
        }
    }

    fn leave(&mut self, life: u64, output: Output) -> Option<(usize, Input)> {
        match output {
            Output::Frame { link, frame } => self.tell(link, &frame),
            Output::Close { link } => self.say(link, "transport is closed"),
            Output::Call { .. } | Output::Deliver { .. } | Output::Roll { .. } => match &mut self.held {
                Some(held) => held.push((life, output)),
                None => return Some(self.call(life, output)),
            },
            Output::Follow { .. } => unreachable!("there is one relay"),
            Output::Body(_) => unreachable!("all are sockets"),
            Output::Answer { id, answer } => {
                let (life, call) = self.waiting.remove(&id)?;
                let Output::Call { ticket, .. } = call else { unreachable!("calls get answers") };
                return self.to_memory(RELAY, life, Input::Answered { ticket, answer });
            }
            Output::Delivered { id, answer } => {
                let (life, call) = self.waiting.remove(&id)?;
                let Output::Deliver { relay, attempt, delivery } = call else {
                    unreachable!("deliveries are answered so")
                };
                let channel = delivery.channel;
                return self.to_memory(
                    CHANNEL,
                    life,
                    Input::Delivered { channel, relay, attempt, answer: Some(answer) },
                );
            }
            Output::Rolled { id, answer } => {
                let (life, call) = self.waiting.remove(&id)?;
                let Output::Roll { relay, attempt, .. } = call else { unreachable!("roll calls are answered so") };
                return self.to_memory(CHANNEL, life, Input::Rolled { relay, attempt, answer: Some(answer) });
            }
        }
        None
    }

    /// An answer reaches the memory that waits for it, or none.
    fn to_memory(&self, host: usize, life: u64, input: Input) -> Option<(usize, Input)> {
        (self.hosts[host].life == life).then_some((host, input))
    }

    fn call(&mut self, life: u64, output: Output) -> (usize, Input) {
        self.calls += 1;
        let id = CallId(self.calls);
        let input = match &output {
            Output::Call { call, .. } => (CHANNEL, Input::Call { id, call: call.clone() }),
            Output::Deliver { delivery, .. } => (RELAY, Input::Deliver { id, delivery: delivery.clone() }),
            Output::Roll { roll, .. } => (RELAY, Input::Roll { id, roll: roll.clone() }),
            _ => unreachable!("only calls are made"),
        };
        self.waiting.insert(id, (life, output));
        input
    }

    fn free(&mut self) {
        for (life, output) in self.held.take().unwrap_or_default() {
            let (host, input) = self.call(life, output);
            self.turn(host, input);
        }
    }

    /// What was held never arrives, and whoever called learns that it failed.
    fn lose(&mut self) {
        for (life, output) in self.held.take().unwrap_or_default() {
            let (host, input) = match output {
                Output::Call { ticket, .. } => (RELAY, Input::Answered { ticket, answer: None }),
                Output::Deliver { relay, attempt, delivery } => {
                    (CHANNEL, Input::Delivered { channel: delivery.channel, relay, attempt, answer: None })
                }
                Output::Roll { relay, attempt, .. } => (CHANNEL, Input::Rolled { relay, attempt, answer: None }),
                _ => unreachable!("only calls are held"),
            };
            if let Some((host, input)) = self.to_memory(host, life, input) {
                self.turn(host, input);
            }
        }
    }

    fn tell(&mut self, link: LinkId, frame: &Encoded) {
        let Encoded::Text(text) = frame else { panic!("the stage speaks JSON") };
        let mut value: Map<String, Value> = serde_json::from_str(text).expect("JSON");
        let action = value.shift_remove("action").and_then(|action| action.as_u64()).expect("an action");
        if let Some(key) =
            value.shift_remove("connectionDetails").and_then(|details| details.get("connectionKey").cloned())
        {
            let person = self.clients.values_mut().find(|person| person.link == link).expect("it connects");
            person.keys.push(key.as_str().expect("text").to_owned());
            value.insert("key".to_owned(), json!(person.keys.len()));
        }
        plain(&mut value);
        if action as u8 == action::HEARTBEAT && value.is_empty() {
            return;
        }
        let words = format!("{} {}", action_name(action as u8), Value::Object(value));
        self.say(link, words.strip_suffix(" {}").unwrap_or(&words));
    }

    fn say(&mut self, link: LinkId, words: &str) {
        let names = self.clients.iter().filter(|(_, person)| person.link == link).map(|(name, _)| name.as_str());
        let name = names.collect::<String>();
        let name = if name.is_empty() { "(an old transport)" } else { &name };
        self.said.push(format!("{name} <- {words}"));
    }
}

/// What a reader would stumble over: flags as words, errors as their code.
fn plain(frame: &mut Map<String, Value>) {
    if let Some(flags) = frame.get("flags").and_then(Value::as_u64) {
        let known = [("HAS_BACKLOG", HAS_BACKLOG), ("RESUMED", RESUMED)];
        let words = known.iter().filter(|(_, bit)| flags as u32 & bit != 0).map(|(word, _)| *word);
        let mut words: Vec<&str> = words.collect();
        if Modes::from_flags(flags as u32) != Modes::DEFAULT {
            words.push("and other modes than usual");
        }
        frame.insert("flags".to_owned(), json!(words.join(" ")));
    }
    frame.retain(|name, value| name != "flags" || *value != json!(""));
    if let Some(code) = frame.get("error").and_then(|error| error.get("code")).cloned() {
        frame.insert("error".to_owned(), code);
    }
    frame.retain(|name, value| name != "timestamp" && !(name == "params" && *value == json!({})));
    for message in frame.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
        message
            .as_object_mut()
            .expect("a message")
            .retain(|name, _| ["id", "data", "encoding", "extras", "serial"].contains(&name.as_str()));
    }
}
