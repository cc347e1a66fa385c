//! Webhooks of an app that was made at run time, as its operator changes them: what is acknowledged behind the answer
//! reaches the receiver, whoever brought it and whatever they had heard of the change.

use std::collections::BTreeSet;
use std::rc::Rc;

use courtside::app;
use courtside::auth::{App, Source};
use courtside::limits::STATS_ROUTER_MS;
use courtside::model::data::Data;
use courtside::model::message::Message;
use courtside::object::Reply;
use courtside::rpc::{
    Act, AdminCall, AdminResponse, AppRequest, AppResponse, Change, ChannelCall, Publish, PublishKey, RelayName,
    Request, Response, Rules, Submission,
};
use serde_json::{Value, json};

use super::support::disk::Disk;
use super::support::host::Host;
use super::support::objects::Objects;
use super::support::random::Random;
use super::world::address;

const START_MS: u64 = 1_800_000_000_000;
const MINUTE_MS: u64 = 60_000;
const CHANNEL: usize = 0;

/// Two clocks differ by less than what a webhook gets of before.
const APART_MS: u64 = 5_000;

struct Scene {
    objects: Objects,
    /// What routers and relays may have heard of the app, the newest last.
    heard: Vec<Rc<App>>,
    count: u64,
}

fn webhook(path: u64) -> Value {
    json!([{"id": "log", "url": format!("https://example.com/{path}"), "secret": "a-secret-of-sixteen"}])
}

impl Scene {
    fn new(webhooks: &Value) -> Scene {
        let key = json!({"name": "key", "secret": "a-secret-of-the-app"});
        let app = json!({"id": "demo", "keys": [key], "namespaces": [], "webhooks": webhooks});
        let app: Rc<App> = Rc::new(serde_json::from_value(app).unwrap());
        let disk = Disk::new(Random::new(0));
        let host = Host::new(RelayName::of_channel(&address()), app.clone(), Some(address()), disk);
        Scene { objects: Objects::made(app.clone(), vec![host], START_MS), heard: vec![app], count: 0 }
    }

    fn change(&mut self, change: Change) {
        let act = Act::Configure(change);
        let answer = self.objects.operate(AppRequest::Admin(AdminCall { note: None, act }.into()));
        let Ok(AppResponse::Admin(AdminResponse::Configured(config))) = answer else { panic!("{answer:?}") };
        self.heard.push(Rc::new(app::configuration(&config).unwrap()));
    }

    fn hook(&mut self, webhooks: &Value) {
        self.change(Change::Webhooks(webhooks.to_string()));
    }

    /// By somebody who knows the app as it was so many changes ago. Gives what was acknowledged.
    fn publish(&mut self, changes_ago: usize) -> String {
        self.count += 1;
        let data = self.count.to_string();
        let message = Message { data: Data::Text(data.clone()), ..Message::default() };
        let (key, by) = (PublishKey::Request(data.clone()), Source::SERVER);
        let publish = Publish { key, connection_id: None, by, content: Submission::Messages(vec![message]) };
        let app = &self.heard[self.heard.len() - 1 - changes_ago.min(self.heard.len() - 1)];
        let rules = Rules::on(app, &address().channel);
        let call = ChannelCall { to: address(), rules, request: Request::Publish(vec![publish]) };
        let caller = self.objects.call(call);
        self.objects.pass(1);
        let answer = self.objects.answers.remove(&caller);
        assert!(matches!(answer, Some(Reply::Response(Ok(Response::Published(_))))), "{answer:?}");
        data
    }

    /// What receivers got that took it.
    fn got(&self) -> BTreeSet<String> {
        let requests = self.objects.posts.iter().filter(|(status, _)| *status == 200);
        let items = requests.flat_map(|(_, request)| {
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            body["items"].as_array().cloned().expect("a batch")
        });
        let data = items.flat_map(|item| {
            let messages = item["data"]["messages"].as_array().cloned().expect("messages");
            messages.into_iter().map(|message| message["data"].as_str().expect("a text").to_owned())
        });
        data.collect()
    }

    /// What was counted is reported.
    fn settle(&mut self) {
        self.objects.pass(2 * STATS_ROUTER_MS + 10_000);
    }
}

#[test]
fn a_webhook_that_had_ended_gets_the_first_message_behind_its_change() {
    let mut scene = Scene::new(&webhook(1));
    scene.objects.receiver = 410;
    scene.publish(0);
    scene.objects.pass(APART_MS);
    scene.objects.receiver = 200;
    scene.hook(&webhook(2));
    let first = scene.publish(0);
    scene.settle();
    assert_eq!(scene.got(), BTreeSet::from([first]));
}

#[test]
fn a_webhook_gets_what_they_publish_who_have_not_heard_of_it_and_nothing_of_before() {
    let mut scene = Scene::new(&json!([]));
    scene.publish(0);
    scene.objects.pass(APART_MS);
    scene.hook(&webhook(1));
    let expected = BTreeSet::from([scene.publish(1), scene.publish(1)]);
    scene.settle();
    assert_eq!(scene.got(), expected, "though nobody told the channel of it");
}

/// Its report would have made the channel ask, and went with its memory. Nobody calls it any more.
#[test]
fn a_webhook_gets_what_was_published_before_the_channel_lost_its_memory() {
    for (retention, out_of_reach_ms) in [(json!({}), 0), (json!({"persisted": true}), 0), (json!({}), 10 * MINUTE_MS)] {
        let mut scene = Scene::new(&json!([]));
        let mut namespace = json!({"id": "*"});
        namespace.as_object_mut().unwrap().extend(retention.as_object().cloned().unwrap());
        scene.change(Change::PutNamespace(namespace.to_string()));
        scene.publish(0);
        scene.objects.pass(10 * MINUTE_MS);
        scene.hook(&webhook(1));
        let expected: BTreeSet<_> = (0..5).map(|_| scene.publish(1)).collect();
        scene.objects.hosts[CHANNEL].forget();
        for _ in 0..out_of_reach_ms / MINUTE_MS {
            scene.objects.app.held = Some(Vec::new());
            scene.objects.pass(MINUTE_MS);
            scene.objects.lose_questions();
            scene.objects.hosts[CHANNEL].forget();
        }
        scene.objects.pass(5 * MINUTE_MS);
        assert_eq!(scene.got(), expected, "{retention} {out_of_reach_ms}");
        let asked = scene.objects.app.asked;
        scene.objects.pass(60 * MINUTE_MS);
        assert_eq!(scene.objects.app.asked, asked, "nobody asks who knows");
    }
}

/// Which of its channels it has follows from the other namespaces.
#[test]
fn a_webhook_of_a_namespace_begins_where_it_gets_the_channel() {
    let hooked = |id: &str| json!({"id": id, "webhooks": webhook(1), "persisted": true}).to_string();
    let mut scene = Scene::new(&json!([]));
    scene.change(Change::PutNamespace(hooked("*")));
    scene.change(Change::PutNamespace(json!({"id": "room", "persisted": true}).to_string()));
    scene.publish(0);
    scene.objects.pass(APART_MS);
    scene.change(Change::RemoveNamespace("room".into()));
    let expected = BTreeSet::from([scene.publish(1), scene.publish(0)]);
    scene.settle();
    assert_eq!(scene.got(), expected);
}

#[test]
fn a_webhook_gets_all_that_is_acknowledged_once_it_is_made_or_changed_whatever_was_lost_meanwhile() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut scene = Scene::new(&if random.chance(500) { webhook(0) } else { json!([]) });
        let mut owed = BTreeSet::new();
        for number in 1..40 {
            match random.below(13) {
                // What it had not got when it ended is not owed.
                0 | 1 => {
                    scene.objects.receiver = 200;
                    scene.hook(&webhook(number));
                    owed.insert(scene.publish(random.below(3) as usize));
                }
                2 if owed.is_empty() => scene.objects.receiver = 410,
                3 => drop(scene.objects.hosts[CHANNEL].forget()),
                4 => scene.objects.app.forget(),
                5 => scene.objects.pass(random.below(8_000)),
                6 => scene.objects.app.held = scene.objects.app.held.take().or_else(|| Some(Vec::new())),
                7 => drop(scene.objects.lose_questions()),
                // Nobody calls the channel, which knows nothing by itself, until its rows have had their time.
                8 => {
                    scene.objects.hosts[CHANNEL].forget();
                    scene.objects.lose_questions();
                    scene.objects.pass(5 * MINUTE_MS);
                }
                _ => {
                    let data = scene.publish(random.below(3) as usize);
                    if !owed.is_empty() {
                        owed.insert(data);
                    }
                }
            }
        }
        scene.objects.lose_questions();
        owed.insert(scene.publish(0));
        scene.objects.receiver = 200;
        scene.settle();
        if scene.heard.len() > 1 {
            let got = scene.got();
            assert!(owed.is_subset(&got), "seed {seed}: {:?}", owed.difference(&got));
        }
    }
}
