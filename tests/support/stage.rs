//! A stage for stories: one relay, one channel called `room`, and clients that say what a script tells them to. Nothing
//! happens by chance, and nothing between two lines of the script.

use std::collections::BTreeMap;
use std::rc::Rc;

use courtside::auth::{App, Apps, Grant, Identity};
use courtside::model::Format;
use courtside::model::flags::{HAS_BACKLOG, HAS_OBJECTS, Modes, RESUMED};
use courtside::model::name::ChannelName;
use courtside::object;
use courtside::protocol::{Encoded, action};
use courtside::relay::session::Opening;
use courtside::rpc::{Address, RelayName};
use serde_json::{Map, Value, json};

use super::describe::action_name;
use super::disk::Disk;
use super::grant::grant;
use super::host::{Host, Input, LinkId};
use super::objects::{Heard, Objects};
use super::random::Random;

const CHANNEL: usize = 0;
const RELAY: usize = 1;

/// Long ago, so that serials are easy to read.
const BEGINNING_MS: u64 = 1_000_000;

pub struct Stage {
    objects: Objects,
    clients: BTreeMap<String, Person>,
    connections: u64,
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
        let app = app(namespaces);
        let address = Address { app: app.id().clone(), channel: ChannelName::parse("room").expect("a name") };
        let disk = || Disk::new(Random::new(0));
        let relay = RelayName::shard(app.id(), 0);
        let channel = Host::new(RelayName::of_channel(&address), app.clone(), Some(address), disk());
        let hosts = vec![channel, Host::new(relay, app.clone(), None, disk())];
        let objects = Objects::new(app, hosts, BEGINNING_MS);
        Stage { objects, clients: BTreeMap::new(), connections: 0, said: Vec::new() }
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
                self.objects.turn(RELAY, Input::Lost { link });
            }
            ["the", "room's", "namespace", "has", rules @ ..] => *self = Stage::with(&namespaces(rules)),
            ["then", "the", "room's", "namespace", "has", rules @ ..] => self.reconfigure(&app(&namespaces(rules))),
            ["wait", time] => self.wait(time),
            ["the", "relay", "forgets"] => drop(self.objects.hosts[RELAY].forget()),
            ["the", "channel", "forgets"] => drop(self.objects.hosts[CHANNEL].forget()),
            ["the", "line", "is", "held"] => self.objects.held = Some(Vec::new()),
            ["the", "line", "is", "lost"] => self.objects.lose_calls(),
            ["the", "line", "is", "free"] => self.objects.free_calls(),
            _ => panic!("nobody knows how to do this: {line}"),
        }
        for (link, heard) in std::mem::take(&mut self.objects.heard) {
            match heard {
                Heard::Frame(frame) => self.tell(link, &frame),
                Heard::Closed => self.say(link, "transport is closed"),
            }
        }
        std::mem::take(&mut self.said)
    }

    /// Every object hears of it at once.
    fn reconfigure(&mut self, app: &Rc<App>) {
        for host in [CHANNEL, RELAY] {
            let before = std::mem::replace(&mut self.objects.hosts[host].app, app.clone());
            let [apps, before] = [app.clone(), before].map(|app| Rc::new(Apps::of([app])));
            let input = object::Input::Reconfigure { apps: Ok(apps), before: Some(before) };
            self.objects.turn(host, Input::Object(input));
        }
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
        self.objects.turn(
            RELAY,
            Input::Open { link, mode: None, opening, fresh_id: format!("connection{}", self.connections) },
        );
    }

    /// With its latest key, or with `key=n`, the n-th that it was given, or with a word of its own, or, by `of=ann`,
    /// with the latest of another; and what else it says.
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
        self.objects.turn(RELAY, Input::Frame { link, bytes, format: Format::Json });
    }

    fn wait(&mut self, time: &str) {
        let (number, unit_ms) = match time.strip_suffix("ms") {
            Some(number) => (number, 1),
            None => (time.strip_suffix('s').expect("a time, as in 5s or 5ms"), 1_000),
        };
        self.objects.pass(number.parse::<u64>().expect("a number") * unit_ms);
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

/// The rules of the one namespace that there is.
fn namespaces(rules: &[&str]) -> Value {
    let mut rules: Value = serde_json::from_str(&rules.join(" ")).expect("rules are a JSON object");
    rules["id"] = json!("room");
    json!([rules])
}

fn app(namespaces: &Value) -> Rc<App> {
    let app = json!({"id": "demo", "keys": [{"name": "key", "secret": "local-only"}], "namespaces": namespaces});
    Rc::new(serde_json::from_value(app).expect("an app"))
}

/// What a reader would stumble over: flags as words, errors as their code.
fn plain(frame: &mut Map<String, Value>) {
    if let Some(flags) = frame.get("flags").and_then(Value::as_u64) {
        let known = [("HAS_BACKLOG", HAS_BACKLOG), ("RESUMED", RESUMED), ("HAS_OBJECTS", HAS_OBJECTS)];
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
    for message in frame.get_mut("state").and_then(Value::as_array_mut).into_iter().flatten() {
        // As of messages; the serial says when.
        message
            .as_object_mut()
            .expect("an object message")
            .retain(|name, _| ["id", "clientId", "serial", "operation", "object"].contains(&name.as_str()));
    }
    for message in frame.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
        message.as_object_mut().expect("a message").retain(|name, value| {
            let is_told = ["id", "data", "encoding", "extras", "serial", "version"].contains(&name.as_str());
            is_told || name == "action" && *value != json!(0)
        });
    }
}
