//! Clients of Pusher at a relay.

use std::rc::Rc;

use crate::auth::{App, Ban, Credentials, Signed};
use crate::limits::REFUSED_FLOW;
use crate::model::Format;
use crate::model::message::{Content, Entry};
use crate::model::name::ChannelName;
use crate::model::packed::Packed;
use crate::model::presence::{PresenceAction, PresenceMessage};
use crate::model::serial::Position;
use crate::protocol::door::Door;
use crate::relay::record::Record;
use crate::relay::session::Opening;
use crate::relay::{Effect, Relay, SocketId};
use crate::rpc::{Delivery, Outcome, Publish, Published, RelayName, Request, Response, Submission, Subscribed, Ticket};

const NOW_MS: u64 = 1_000_000;
const SOCKET: SocketId = SocketId(1);

fn call(effects: &[Effect]) -> (Ticket, Request) {
    let called = |effect: &Effect| match effect {
        Effect::Call { ticket, call } => Some((*ticket, call.request.clone())),
        _ => None,
    };
    effects.iter().find_map(called).expect("a call")
}

/// Whether its record, written last, says that something was begun.
fn is_busy(effects: &[Effect]) -> bool {
    let record = |effect: &Effect| match effect {
        Effect::Save { socket: SOCKET, record } => Record::decode(record),
        _ => None,
    };
    effects.iter().rev().find_map(record).expect("a record").busy
}

/// A client that joins must come back when the relay loses its memory, and one that has joined must not.
#[test]
fn a_record_says_whether_its_client_is_joining() {
    let app: App = serde_json::from_str(
        r#"{"id":"demo","keys":[{"name":"key","secret":"local-only","pusher":true}],"namespaces":[]}"#,
    )
    .unwrap();
    let app = Rc::new(app);
    let grant = Credentials::named("demo.key").unwrap().verify(Some(&app), NOW_MS).unwrap();
    let mut opening = Opening::from_query(grant.clone(), &[], true);
    opening.enter_by(Door::at("/app/demo.key").unwrap());
    let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, app.clone(), b"secret".to_vec());
    // Another remembers for the relay how far it is: nothing but what it is told changes the record of the first.
    let other = SocketId(2);
    relay.open(other, Opening::from_query(grant, &[], true), "other".to_owned(), NOW_MS);
    let asked = relay.frame(other, br#"{"action":10,"channel":"presence-a"}"#, Format::Json, NOW_MS);
    let (epoch, position) = ("life".to_owned(), Position(0));
    let subscribed = Subscribed { epoch: epoch.clone(), position, members: 0, reports: false, direct: true };
    relay.answered(call(&asked).0, Some(Ok(Response::Subscribed(subscribed))), NOW_MS);

    assert!(!is_busy(&relay.open(SOCKET, opening, "random".to_owned(), NOW_MS)));
    let id = relay.sessions[&SOCKET].connection_id().to_owned();
    let (channel, data) = ("presence-a", r#"{"user_id":"ann"}"#);
    let auth = app.keys()[0].sign_for_pusher(&id, Signed::Channel { channel, channel_data: Some(data) });
    let data = serde_json::json!({ "channel": channel, "auth": auth, "channel_data": data });
    let frame = serde_json::json!({ "event": "pusher:subscribe", "data": data }).to_string();
    let effects = relay.frame(SOCKET, frame.as_bytes(), Format::Json, NOW_MS);
    assert!(is_busy(&effects));
    let (ticket, request) = call(&effects);
    let publishes = request.publishes().expect("it enters");
    let Submission::Presence { updates, .. } = &publishes[0].content else { panic!("it enters") };
    let event = PresenceMessage { action: PresenceAction::Enter, ..updates[0].event.clone() };
    let accepted = Outcome::Accepted { position: Position(1), count: 0 };
    let published = Published { epoch: epoch.clone(), outcomes: vec![accepted] };
    assert!(is_busy(&relay.answered(ticket, Some(Ok(Response::Published(published))), NOW_MS)));

    let entry = Entry {
        position: Position(1),
        id: "x".to_owned(),
        connection_id: Some(id),
        content: Content::Presence(vec![event]),
    };
    let delivery = Delivery {
        channel: ChannelName::parse(channel).unwrap(),
        epoch,
        prior: Position(0),
        through: Position(1),
        gap: false,
        entries: Packed::one(&entry),
        members: 1,
    };
    let effects = relay.deliver(&delivery, NOW_MS).1;
    assert!(format!("{effects:?}").contains("subscription_succeeded"), "{effects:?}");
    assert!(!is_busy(&effects));
}

/// A relay with channels that take everything.
struct Scene {
    relay: Relay,
    app: Rc<App>,
    published: Vec<Publish>,
}

impl Scene {
    fn new() -> Scene {
        let key = r#"{"name":"key","secret":"local-only","pusher":true,"revocableTokens":true}"#;
        let namespaces = r#"[{"id":"private-rated","clientMessagesPerSecond":1}]"#;
        let app = format!(r#"{{"id":"demo","keys":[{key}],"namespaces":{namespaces}}}"#);
        let app: Rc<App> = Rc::new(serde_json::from_str(&app).unwrap());
        let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, app.clone(), b"secret".to_vec());
        relay.watch(Vec::new(), Vec::new(), NOW_MS);
        Scene { relay, app, published: Vec::new() }
    }

    fn enters(&mut self, socket: SocketId) {
        let grant = Credentials::named("demo.key").unwrap().verify(Some(&self.app), NOW_MS).unwrap();
        let mut opening = Opening::from_query(grant, &[], true);
        opening.enter_by(Door::at("/app/demo.key").unwrap());
        self.relay.open(socket, opening, format!("random{}", socket.0), NOW_MS);
    }

    /// Calls are answered until there are none. Gives what was sent.
    fn settle(&mut self, effects: Vec<Effect>) -> String {
        let (mut told, mut effects) = (String::new(), std::collections::VecDeque::from(effects));
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Send { frame, .. } => told += &format!("{frame:?}\n"),
                Effect::Call { ticket, call } => {
                    if let Some(answer) = self.answer(call.request) {
                        effects.extend(self.relay.answered(ticket, Some(Ok(answer)), NOW_MS));
                    }
                }
                _ => {}
            }
        }
        told
    }

    fn answer(&mut self, request: Request) -> Option<Response> {
        let (epoch, position) = ("life".to_owned(), Position(0));
        match request {
            Request::Publish(publishes) | Request::PublishBy(_, publishes) => {
                let accepted = |_: &Publish| Outcome::Accepted { position: Position(1), count: 1 };
                let outcomes = publishes.iter().map(accepted).collect();
                self.published.extend(publishes);
                Some(Response::Published(Published { epoch, outcomes }))
            }
            Request::Subscribe(..) => {
                let subscribed = Subscribed { epoch, position, members: 0, reports: false, direct: true };
                Some(Response::Subscribed(subscribed))
            }
            _ => None,
        }
    }

    fn says(&mut self, socket: SocketId, event: &str, channel: Option<&str>, data: serde_json::Value) -> String {
        let frame = serde_json::json!({ "event": event, "channel": channel, "data": data }).to_string();
        let effects = self.relay.frame(socket, frame.as_bytes(), Format::Json, NOW_MS);
        self.settle(effects)
    }

    fn sign(&self, socket: SocketId, signed: Signed<'_>) -> String {
        self.app.keys()[0].sign_for_pusher(self.relay.sessions[&socket].connection_id(), signed)
    }

    /// As this user, on a presence channel.
    fn subscribes(&mut self, socket: SocketId, channel: &str, user: &str) -> String {
        let data = channel.starts_with("presence-").then(|| serde_json::json!({ "user_id": user }).to_string());
        let auth = self.sign(socket, Signed::Channel { channel, channel_data: data.as_deref() });
        let data = serde_json::json!({ "channel": channel, "auth": auth, "channel_data": data });
        self.says(socket, "pusher:subscribe", None, data)
    }

    fn signs_in(&mut self, socket: SocketId, user: &str) -> String {
        let user_data = serde_json::json!({ "id": user }).to_string();
        let auth = self.sign(socket, Signed::User { user_data: &user_data });
        self.says(socket, "pusher:signin", None, serde_json::json!({ "auth": auth, "user_data": user_data }))
    }

    /// What the client is told of it, if it is refused.
    fn says_something(&mut self, socket: SocketId, channel: &str) -> String {
        self.says(socket, "client-said", Some(channel), serde_json::json!("x"))
    }

    fn ban(&mut self, client_id: &str, channels: Option<&str>, interval_ms: Option<u32>) -> String {
        let ban = Ban { until_ms: None, interval_ms, ..Ban::lifted(client_id, channels) };
        let effects = self.relay.ban(vec![ban], NOW_MS);
        self.settle(effects)
    }

    fn is_on(&self, socket: SocketId, channel: &str) -> bool {
        self.relay.sessions[&socket].attachments.contains_key(&ChannelName::parse(channel).unwrap())
    }
}

#[test]
fn a_ban_ends_what_a_user_has_and_keeps_it_out() {
    let mut scene = Scene::new();
    let [member, signed_in, another, late] = [1, 2, 3, 4].map(SocketId);
    for socket in [member, signed_in, another, late] {
        scene.enters(socket);
    }
    scene.subscribes(member, "presence-a", "ann");
    scene.signs_in(signed_in, "ann");
    scene.subscribes(another, "presence-a", "ben");
    let told = scene.ban("ann", None, None);
    assert!(told.matches("banned from this app").count() == 2 && told.contains("Close(4009)"), "{told}");
    assert_eq!([member, signed_in, another].map(|socket| scene.relay.holds(socket)), [false, false, true]);
    assert!(scene.subscribes(late, "presence-b", "ann").contains("40300"));
    assert!(!scene.relay.holds(late), "it has shown to be who is banned");
    scene.enters(late);
    let told = scene.signs_in(late, "ann");
    assert!(!told.contains("signin_success") && told.contains("40300"), "{told}");
    assert!(!scene.relay.holds(late));
    scene.subscribes(another, "presence-b", "ben");
    assert!(scene.is_on(another, "presence-b"));
}

#[test]
fn a_ban_of_channels_ends_the_subscriptions_of_a_user_there_and_nothing_else() {
    let mut scene = Scene::new();
    scene.enters(SOCKET);
    for channel in ["presence-a", "presence-b", "private-a"] {
        scene.subscribes(SOCKET, channel, "ann");
    }
    let on = |scene: &Scene| ["presence-a", "presence-b", "private-a"].map(|channel| scene.is_on(SOCKET, channel));
    let told = scene.ban("ann", Some("presence-a"), None);
    assert!(told.contains("pusher:subscription_error") && told.contains("40300"), "{told}");
    assert_eq!(on(&scene), [false, true, true]);
    assert!(scene.subscribes(SOCKET, "presence-a", "ann").contains("40300"));
    scene.ban("ann", Some("private-a"), None);
    assert_eq!(on(&scene), [false, true, false], "whatever the channel, it is the same user's connection");
    // One whose user is known only now.
    let late = SocketId(2);
    scene.enters(late);
    scene.subscribes(late, "private-a", "ann");
    assert!(scene.is_on(late, "private-a"), "nobody knows who that is");
    scene.signs_in(late, "ann");
    assert!(!scene.is_on(late, "private-a") && scene.relay.holds(late));
}

#[test]
fn a_user_who_is_mute_says_nothing_on_any_channel() {
    let mut scene = Scene::new();
    scene.enters(SOCKET);
    scene.subscribes(SOCKET, "presence-a", "ann");
    scene.subscribes(SOCKET, "private-a", "ann");
    scene.ban("ann", None, Some(0));
    for channel in ["presence-a", "private-a"] {
        let told = scene.says_something(SOCKET, channel);
        assert!(told.contains("muted in this app"), "{channel}: {told}");
    }
    let unknown = SocketId(2);
    scene.enters(unknown);
    scene.subscribes(unknown, "private-a", "?");
    assert_eq!(scene.says_something(unknown, "private-a"), "");
    scene.ban("*", Some("private-a"), Some(0));
    assert!(scene.says_something(unknown, "private-a").contains("muted on this channel"), "it is no moderator");
}

#[test]
fn in_slow_mode_a_user_waits_for_its_turn_over_all_its_connections() {
    let mut scene = Scene::new();
    let [one, two, another] = [1, 2, 3].map(SocketId);
    for (socket, user) in [(one, "ann"), (two, "ann"), (another, "ben")] {
        scene.enters(socket);
        scene.subscribes(socket, "presence-a", user);
    }
    scene.ban("*", Some("presence-a"), Some(60_000));
    assert_eq!(scene.says_something(one, "presence-a"), "");
    assert!(scene.says_something(two, "presence-a").contains("slow mode"));
    assert_eq!(scene.says_something(another, "presence-a"), "");
}

#[test]
fn a_user_who_was_sent_away_for_being_too_fast_stays_away_whoever_its_next_connection_is() {
    let mut scene = Scene::new();
    let [member, signed_in, another] = [1, 2, 3].map(SocketId);
    for (socket, user) in [(member, "ann"), (signed_in, "ben")] {
        scene.enters(socket);
        scene.subscribes(socket, "private-rated:a", user);
    }
    scene.subscribes(member, "presence-a", "ann");
    scene.signs_in(signed_in, "ben");
    for socket in [member, signed_in] {
        (0..REFUSED_FLOW.burst + 2).for_each(|_| _ = scene.says_something(socket, "private-rated:a"));
        assert!(!scene.relay.holds(socket), "it went on and on");
        scene.enters(socket);
    }
    let told = scene.subscribes(member, "presence-b", "ann");
    assert!(told.contains("42910") && !scene.relay.holds(member), "{told}");
    let told = scene.signs_in(signed_in, "ben");
    assert!(told.contains("42910") && !told.contains("signin_success") && !scene.relay.holds(signed_in), "{told}");
    scene.enters(another);
    scene.signs_in(another, "cid");
    assert!(scene.relay.holds(another), "others come in");
}

#[test]
fn who_only_names_a_key_has_the_rates_and_shares_of_a_client() {
    let mut scene = Scene::new();
    let [one, two] = [1, 2].map(SocketId);
    for (socket, user) in [(one, "ann"), (two, "ann")] {
        scene.enters(socket);
        scene.signs_in(socket, user);
        scene.subscribes(socket, "private-rated:a", user);
    }
    assert_eq!(scene.says_something(one, "private-rated:a"), "");
    assert!(scene.says_something(two, "private-rated:a").contains("42911"), "a connection more is no share more");
    let by = scene.published.last().expect("it was said").by;
    let grant = &scene.relay.sessions[&one].grant;
    assert!(!by.is_key && by == grant.source_of(Some("ann")) && by != grant.source_of(Some("ben")));
    assert!(!scene.app.is_revocable(grant), "it has no token");
}
