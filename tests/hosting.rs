//! Objects whose drivers decide what the cores can't: who comes in, what outlives a memory, when something is written.

#[allow(dead_code, reason = "shared with the simulation")]
mod support {
    pub mod app_store;
    pub mod disk;
    pub mod grant;
    pub mod host;
    pub mod memory_store;
    pub mod objects;
    pub mod random;
}

use std::rc::Rc;

use courtside::auth::{App, Apps, Rules as NamespaceRules, Source};
use courtside::error::Code;
use courtside::model::Format;
use courtside::model::message::Message;
use courtside::model::name::{AppId, ChannelName};
use courtside::model::serial::Position;
use courtside::object::{self, CallerId, Class, Question, Reply, Settings, Timer};
use courtside::protocol::Encoded;
use courtside::relay::bounds::Bounds;
use courtside::relay::session::Opening;
use courtside::rpc::{
    Address, Answer, AppRequest, AppResponse, ChannelCall, Follow, LocalOccupancy, Publish, PublishKey, RelayName,
    Request, Rules, Standing, Submission,
};
use serde_json::{Value, json};
use support::disk::Disk;
use support::host::{Host, Input, LinkId, Output};
use support::objects::{Heard, Objects};
use support::random::Random;

/// A channel's object, and one relay.
const CHANNEL: usize = 0;
const RELAY: usize = 1;

fn address() -> Address {
    Address { app: AppId::parse("demo").unwrap(), channel: ChannelName::parse("room").unwrap() }
}

fn objects() -> Objects {
    objects_in(json!([]))
}

fn objects_in(namespaces: Value) -> Objects {
    let app = json!({"id": "demo", "keys": [{"name": "key", "secret": "local-only"}], "namespaces": namespaces});
    let app: Rc<App> = Rc::new(serde_json::from_value(app).unwrap());
    let address = address();
    let disk = || Disk::new(Random::new(0));
    let channel = Host::new(RelayName::of_channel(&address), app.clone(), Some(address), disk());
    let relay = Host::new(RelayName::shard(app.id(), 0), app.clone(), None, disk());
    Objects::new(app, vec![channel, relay], 1_000_000)
}

fn connect(objects: &mut Objects, host: usize, link: u64) {
    let opening = Opening::from_query(support::grant::grant(), &[], true);
    objects.turn(host, Input::Open { link: LinkId(link), mode: None, opening, fresh_id: format!("conn{link}") });
}

fn send(objects: &mut Objects, host: usize, link: u64, frame: &Value) {
    let bytes = frame.to_string().into_bytes();
    objects.turn(host, Input::Frame { link: LinkId(link), bytes, format: Format::Json });
}

/// What a host said, by the number of the turn.
type Said = Vec<(u64, Output)>;

/// One turn, and nothing that follows from it: the timers that it started, and what it said.
fn turn(host: &mut Host, input: object::Input, now_ms: u64) -> (Vec<(Timer, u64)>, Said) {
    let turned = host.turn(Input::Object(input), now_ms);
    if turned.wrote {
        host.disk_mut().sync();
        host.synced();
    }
    (turned.started, host.release())
}

/// The actions of the frames that a client was sent since this was last asked.
fn actions(objects: &mut Objects, link: u64) -> Vec<u64> {
    let heard = std::mem::take(&mut objects.heard).into_iter();
    let frames = heard.filter_map(|(to, heard)| match heard {
        Heard::Frame(frame) if to == LinkId(link) => Some(frame),
        _ => None,
    });
    let action = |frame: Rc<Encoded>| match &*frame {
        Encoded::Text(text) => serde_json::from_str::<Value>(text).unwrap()["action"].as_u64().unwrap(),
        _ => unreachable!("all speak JSON"),
    };
    frames.map(action).collect()
}

/// Found by the simulation: a memory that found nothing stored took itself for a relay of another name.
#[test]
fn who_came_to_a_channel_before_anything_was_published_is_fed_by_its_next_memory() {
    let mut objects = objects();
    connect(&mut objects, CHANNEL, 1);
    objects.hosts[CHANNEL].forget();
    send(&mut objects, CHANNEL, 1, &json!({"action": 10, "channel": "room"}));
    connect(&mut objects, RELAY, 2);
    actions(&mut objects, 1);
    send(&mut objects, RELAY, 2, &json!({"action": 15, "channel": "room", "msgSerial": 0, "messages": [{}]}));
    assert_eq!(actions(&mut objects, 1), [15]);
}

/// Deaf sockets would be worse than none.
#[test]
fn sockets_that_cannot_be_restored_are_closed() {
    let mut objects = objects();
    connect(&mut objects, RELAY, 1);
    objects.hosts[RELAY].forget();
    objects.hosts[RELAY].disk_mut().failures = 1_000;
    objects.heard.clear();
    send(&mut objects, RELAY, 1, &json!({"action": 0}));
    assert!(matches!(objects.heard[..], [(LinkId(1), Heard::Closed)]), "{:?}", objects.heard);
}

/// Nobody is here any more who would wake the relay.
#[test]
fn webhooks_are_told_of_connections_that_could_not_be_restored() {
    let (url, events) = ("https://example.com", ["connection.closed"]);
    let app = json!({
        "id": "demo", "keys": [{"name": "key", "secret": "local-only"}],
        "webhooks": [{"id": "w", "url": url, "secret": "a-secret", "events": events}],
    });
    let app: Rc<App> = Rc::new(serde_json::from_value(app).unwrap());
    let to = Address { app: app.id().clone(), channel: ChannelName::connections() };
    let disk = || Disk::new(Random::new(0));
    let channel = Host::new(RelayName::of_channel(&to), app.clone(), Some(to), disk());
    let relay = Host::new(RelayName::shard(app.id(), 0), app.clone(), None, disk());
    let mut objects = Objects::new(app, vec![channel, relay], 1_000_000);
    connect(&mut objects, RELAY, 1);
    objects.hosts[RELAY].forget();
    objects.hosts[RELAY].disk_mut().failures = 1_000;
    objects.turn(RELAY, Input::Object(object::Input::Alarm));
    objects.hosts[RELAY].disk_mut().failures = 0;
    assert!(objects.posts.is_empty());
    objects.pass(10 * 60 * 1_000);
    let told = objects.posts.iter().filter(|(_, post)| {
        let body = String::from_utf8_lossy(&post.body);
        body.contains("connection.closed") && body.contains("conn1")
    });
    assert_eq!(told.count(), 1);
}

#[test]
fn what_is_published_to_a_quiet_channel_is_written_in_that_turn() {
    let mut objects = objects();
    connect(&mut objects, CHANNEL, 1);
    let publish = json!({"action": 15, "channel": "room", "msgSerial": 0, "messages": [{}]}).to_string();
    let input = Input::Frame { link: LinkId(1), bytes: publish.into_bytes(), format: Format::Json };
    let turned = objects.hosts[CHANNEL].turn(input, 1_000_000);
    assert_eq!((turned.wrote, objects.hosts[CHANNEL].disk().stored().rows.len()), (true, 1));
}

/// What a relay publishes after the answer to what it alone published shares its turn with nobody who waits.
#[test]
fn a_lone_relay_is_served_without_a_timer_and_others_wait_for_the_end_of_the_turn() {
    let mut host = objects().hosts.swap_remove(CHANNEL);
    let mut publishes = 0;
    let mut publish = |host: &mut Host, relay: u16| {
        publishes += 1;
        let relay = RelayName::shard(&address().app, relay);
        let message = Publish {
            key: PublishKey::Request(format!("{publishes}")),
            connection_id: None,
            by: Source::SERVER,
            content: Submission::Messages(vec![Message::default()]),
        };
        let standing = Standing { relay, epoch: String::new(), position: Position::default() };
        let request = Request::PublishBy(standing, vec![message]);
        let call = ChannelCall { to: address(), rules: Rules::of(NamespaceRules::NONE), request };
        let call = Input::Object(object::Input::Call { caller: CallerId(publishes), call });
        let turned = host.turn(call, 1_000_000);
        (turned.wrote, turned.started.contains(&(Timer::Commit, 0)))
    };
    assert_eq!([0, 0].map(|relay| publish(&mut host, relay)), [(true, true), (false, false)]);
    host.turn(Input::Object(object::Input::Rang(Timer::Commit)), 1_000_000);
    let expected = [(true, false), (true, false), (true, true), (false, false)];
    assert_eq!([0, 0, 1, 0].map(|relay| publish(&mut host, relay)), expected);
}

/// So that whoever is attached to a metachannel hears all that happens from then on.
#[test]
fn who_begins_to_read_a_metachannel_is_answered_once_the_app_knows() {
    let app: Rc<App> = Rc::new(
        serde_json::from_value(json!({"id": "demo", "keys": [{"name": "key", "secret": "local-only"}]})).unwrap(),
    );
    let channel = ChannelName::parse("[meta]log").unwrap();
    let to = Address { channel, ..address() };
    let begins = |caller, relay: u16| object::Input::Call {
        caller: CallerId(caller),
        call: ChannelCall {
            to: to.clone(),
            rules: Rules::on(&app, &to.channel),
            request: Request::Subscribe(RelayName::shard(app.id(), relay), LocalOccupancy::default()),
        },
    };
    let answered = |said: &Said| -> Vec<u64> {
        let id = |(_, output): &(u64, Output)| match output {
            Output::Answer { id, reply: Reply::Response(Ok(_)) } => Some(id.0),
            _ => None,
        };
        said.iter().filter_map(id).collect()
    };
    let answers: [Answer<AppResponse>; 2] = [Ok(AppResponse::Done), Err(Code::TimedOut.into())];
    for answer in answers {
        let mut host = Host::new(RelayName::of_channel(&to), app.clone(), Some(to.clone()), Disk::new(Random::new(0)));
        let (_, said) = turn(&mut host, begins(1, 0), 1_000_000);
        assert!(answered(&said).is_empty());
        let asked = said.iter().find_map(|(_, output)| match output {
            Output::Ask(Question::App { ticket, call }) => Some((*ticket, call.request.clone())),
            _ => None,
        });
        let Some((ticket, AppRequest::ListChannel { active: true, .. })) = asked else { panic!("{asked:?}") };
        assert!(answered(&turn(&mut host, begins(2, 1), 1_000_001).1).is_empty(), "nor who comes meanwhile");
        let (_, said) = turn(&mut host, object::Input::AppAnswered { ticket, answer }, 1_000_002);
        assert_eq!(answered(&said), [1, 2]);
        assert_eq!(answered(&turn(&mut host, begins(3, 2), 1_000_003).1), [3]);
    }
}

/// Where a namespace says how often a channel commits, what comes sooner is one write at the end of the interval, and
/// acknowledged then.
#[test]
fn a_channel_commits_as_often_as_its_namespace_says() {
    let mut objects = objects_in(json!([{"id": "*", "commitInterval": 500}]));
    connect(&mut objects, CHANNEL, 1);
    let host = &mut objects.hosts[CHANNEL];
    let publish = |serial: u64, data: &str| {
        let frame = json!({"action": 15, "channel": "room", "msgSerial": serial, "messages": [{"data": data}]});
        Input::Frame { link: LinkId(1), bytes: frame.to_string().into_bytes(), format: Format::Json }
    };
    let first = host.turn(publish(0, "a"), 1_000_000);
    assert!(first.wrote, "nothing was written before");
    let second = host.turn(publish(1, "b"), 1_000_100);
    let third = host.turn(publish(2, "c"), 1_000_200);
    assert_eq!((second.wrote, third.wrote), (false, false));
    // The timer of the first commit's turn runs still.
    let rang = host.turn(Input::Object(object::Input::Rang(Timer::Commit)), 1_000_200);
    assert!(!rang.wrote, "it is not yet time");
    assert_eq!(rang.started, [(Timer::Commit, 300)]);
    assert!(host.turn(Input::Object(object::Input::Rang(Timer::Commit)), 1_000_500).wrote);
    assert_eq!(host.disk().stored().rows.len(), 2);
}

/// Relays below don't wait for the sockets here, and the answer says that these are served.
#[test]
fn a_delivery_is_passed_on_first_and_answered_when_the_sockets_are_served() {
    let mut objects = objects();
    connect(&mut objects, RELAY, 1);
    send(&mut objects, RELAY, 1, &json!({"action": 10, "channel": "room"}));
    objects.held = Some(Vec::new());
    let publish = json!({"action": 15, "channel": "room", "msgSerial": 0, "messages": [{}]});
    connect(&mut objects, CHANNEL, 2);
    send(&mut objects, CHANNEL, 2, &publish);
    let delivery = objects.held.take().unwrap().into_iter().find_map(|(_, _, question)| match question {
        Question::Deliver { delivery, .. } => Some(delivery),
        _ => None,
    });
    let (delivery, now_ms) = (delivery.expect("a relay to feed"), objects.now_ms);
    let (relay, host) = (RelayName::shard(&address().app, 1), &mut objects.hosts[RELAY]);
    let follow = Follow { channel: delivery.channel.clone(), relay: relay.clone(), position: delivery.prior };
    turn(host, object::Input::Follow { caller: CallerId(1), follow }, now_ms);
    let (started, passed_on) = turn(host, object::Input::Deliver { caller: CallerId(2), delivery }, now_ms);
    let [(_, Output::Ask(Question::Deliver { relay: below, .. }))] = &passed_on[..] else { panic!("{passed_on:?}") };
    assert_eq!((below, started), (&relay, vec![(Timer::FanOut, 0)]));
    let (_, served) = turn(host, object::Input::Rang(Timer::FanOut), now_ms);
    assert!(served.iter().any(|(_, output)| matches!(output, Output::Frame { link: LinkId(1), .. })), "{served:?}");
    let is_answer = |output: &Output| matches!(output, Output::Answer { id: CallerId(2), reply: Reply::Delivered(_) });
    assert!(served.iter().any(|(_, output)| is_answer(output)), "{served:?}");
}

/// The platform repeats what fails; nobody else would ring again.
#[test]
fn an_alarm_that_finds_its_channel_unreadable_rings_again() {
    let mut objects = objects();
    connect(&mut objects, CHANNEL, 1);
    objects.hosts[CHANNEL].forget();
    objects.hosts[CHANNEL].disk_mut().failures = 1_000;
    let now_ms = objects.now_ms;
    objects.hosts[CHANNEL].turn(Input::Object(object::Input::Alarm), now_ms);
    assert!(objects.hosts[CHANNEL].disk().alarm_ms().is_some_and(|at_ms| at_ms > now_ms));
}

/// The memory that committed it is lost, and its alarm is the first thing that the next one does.
#[test]
fn what_a_channel_commits_as_it_wakes_is_delivered_whatever_becomes_of_it() {
    let mut objects = objects();
    connect(&mut objects, RELAY, 1);
    send(&mut objects, RELAY, 1, &json!({"action": 10, "channel": "room"}));
    connect(&mut objects, CHANNEL, 2);
    objects.pass(60 * 1_000);
    objects.hosts[CHANNEL].forget();
    objects.hosts[CHANNEL].disk_mut().set_alarm(None);
    objects.hosts[CHANNEL].holds_alarm = true;
    objects.held = Some(Vec::new());
    actions(&mut objects, 1);
    send(&mut objects, CHANNEL, 2, &json!({"action": 15, "channel": "room", "msgSerial": 0, "messages": [{}]}));
    objects.hosts[CHANNEL].forget();
    objects.lose_calls();
    objects.hosts[CHANNEL].holds_alarm = false;
    objects.pass(60 * 1_000);
    assert!(actions(&mut objects, 1).contains(&15));
}

/// The platform has not said yet what alarm is set: one that rings at once costs a look, which others are spared.
#[test]
fn a_channel_that_owes_pushes_wakes_though_it_is_killed_at_once() {
    let extras = json!({"push": {"notification": {"title": "Goal"}}});
    let message = Message { extras: extras.as_object().cloned(), ..Message::default() };
    for (push, alarm_ms) in [(true, Some(1_000_000)), (false, None)] {
        let mut objects = objects_in(json!([{"id": "room", "pushEnabled": push}]));
        let host = &mut objects.hosts[CHANNEL];
        let rules = Rules::on(&host.app, &address().channel);
        host.holds_alarm = true;
        let (key, content) = (PublishKey::Request("1".into()), Submission::Messages(vec![message.clone()]));
        let request = Request::Publish(vec![Publish { key, connection_id: None, by: Source::SERVER, content }]);
        let call = ChannelCall { to: address(), rules, request };
        let (_, said) = turn(host, object::Input::Call { caller: CallerId(1), call }, 1_000_000);
        assert!(said.iter().any(|(_, output)| matches!(output, Output::Answer { .. })), "{said:?}");
        assert_eq!(host.disk().alarm_ms(), alarm_ms, "with pushes: {push}");
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn publish(objects: &mut Objects, link: u64, serial: u64) {
    send(objects, RELAY, link, &json!({"action": 15, "channel": "room", "msgSerial": serial, "messages": [{}]}));
}

#[test]
fn a_deserted_channel_keeps_nothing_and_begins_anew() {
    let mut objects = objects();
    connect(&mut objects, RELAY, 1);
    publish(&mut objects, 1, 0);
    let stored = |objects: &Objects| objects.hosts[CHANNEL].disk().stored().clone();
    let first = stored(&objects).meta;
    assert!(first.is_some());
    objects.pass(DAY_MS);
    assert!(stored(&objects).meta.is_none() && stored(&objects).rows.is_empty());
    publish(&mut objects, 1, 1);
    assert_eq!(stored(&objects).rows.len(), 1);
    assert_ne!(stored(&objects).meta, first, "another life");
    objects.hosts[CHANNEL].forget();
    publish(&mut objects, 1, 2);
    assert_eq!(stored(&objects).rows.len(), 2, "what begins anew is found again");
}

/// A clear that says that it failed may have been carried out.
#[test]
fn a_channel_whose_storage_could_not_be_cleared_believes_what_is_there() {
    for failures in [1_000, 0] {
        let mut objects = objects();
        connect(&mut objects, RELAY, 1);
        publish(&mut objects, 1, 0);
        objects.pass(60 * 60 * 1_000);
        objects.hosts[CHANNEL].disk_mut().failures = failures;
        objects.pass(2 * 60 * 60 * 1_000);
        objects.hosts[CHANNEL].disk_mut().failures = 0;
        publish(&mut objects, 1, 1);
        let stored = objects.hosts[CHANNEL].disk().stored();
        assert!(stored.meta.is_some() && !stored.rows.is_empty(), "no row without its channel");
    }
}

#[test]
fn a_channel_that_somebody_hears_stays() {
    let mut objects = objects();
    connect(&mut objects, RELAY, 1);
    send(&mut objects, RELAY, 1, &json!({"action": 10, "channel": "room"}));
    publish(&mut objects, 1, 0);
    let first = objects.hosts[CHANNEL].disk().stored().meta.clone();
    objects.pass(DAY_MS);
    actions(&mut objects, 1);
    publish(&mut objects, 1, 1);
    assert_eq!(objects.hosts[CHANNEL].disk().stored().meta, first);
    assert!(actions(&mut objects, 1).contains(&15));
}

/// The platform repeats a failed alarm six times.
#[test]
fn a_channel_that_cannot_be_read_is_read_again_however_often_that_failed() {
    let mut disk = Disk::new(Random::new(0));
    disk.failures = 1_000;
    let settings = Settings { apps: Ok(Rc::new(Apps::of([]))), bounds: Bounds::default() };
    let mut host = object::Host::new(Class::Channel, settings, disk);
    host.turn(object::Input::Wake { sockets: Vec::new(), fresh_epoch: "a".into() }, 0);
    let mut now_ms = 1_000_000;
    for _ in 0..20 {
        let outputs = host.turn(object::Input::Alarm, now_ms);
        let next = outputs.iter().find_map(|output| match output {
            object::Output::SetAlarm { at_ms } => Some(*at_ms),
            _ => None,
        });
        assert!(outputs.iter().any(|output| matches!(output, object::Output::RepeatAlarm { .. })), "{outputs:?}");
        assert!(next.is_some_and(|at_ms| at_ms > now_ms), "{outputs:?}");
        now_ms = next.unwrap_or_default();
    }
}

/// A relay, and how often it has told its app what it counted.
struct Reporting {
    relay: Host,
    now_ms: u64,
    is_due: bool,
    reports: usize,
}

impl Reporting {
    fn turn(&mut self, input: Input) {
        let turned = self.relay.turn(input, self.now_ms);
        if turned.wrote {
            self.relay.disk_mut().sync();
            self.relay.synced();
        }
        self.is_due |= turned.started.iter().any(|(timer, _)| *timer == Timer::Report);
        for (_, output) in self.relay.release() {
            let Output::Ask(Question::App { ticket, call }) = output else { continue };
            let is_report = matches!(call.request, AppRequest::Report { .. });
            self.reports += usize::from(is_report);
            let answer = if is_report { Ok(AppResponse::Done) } else { Err(Code::TimedOut.into()) };
            self.turn(Input::Object(object::Input::AppAnswered { ticket, answer }));
        }
    }

    /// How often it tells of what has happened.
    fn reports_after(&mut self, pause_ms: u64) -> usize {
        self.now_ms += pause_ms;
        if std::mem::take(&mut self.is_due) {
            self.turn(Input::Object(object::Input::Rang(Timer::Report)));
        }
        std::mem::take(&mut self.reports)
    }
}

/// To tell the app of it is no call for each.
#[test]
fn however_many_attach_or_detach_a_relay_reports_once() {
    let keys = json!([{"name": "key", "secret": "local-only"}]);
    let app: Rc<App> = Rc::new(serde_json::from_value(json!({"id": "demo", "keys": keys, "namespaces": []})).unwrap());
    let relay = Host::new(RelayName::shard(app.id(), 0), app, None, Disk::new(Random::new(0)));
    let mut it = Reporting { relay, now_ms: 1_000_000, is_due: false, reports: 0 };
    for link in 0..20 {
        let opening = Opening::from_query(support::grant::grant(), &[], true);
        it.turn(Input::Open { link: LinkId(link), mode: None, opening, fresh_id: format!("conn{link}") });
    }
    assert_eq!(it.reports_after(5_000), 1, "they have come");
    for action in [10, 12] {
        assert_eq!(it.reports_after(60_000), 0, "nothing has happened");
        for link in 0..20 {
            let bytes = json!({"action": action, "channel": "room"}).to_string().into_bytes();
            it.turn(Input::Frame { link: LinkId(link), bytes, format: Format::Json });
        }
        assert_eq!(it.reports_after(1_000), 1, "by action {action}");
    }
}
