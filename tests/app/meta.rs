//! What an app tells on its metachannels: as long as somebody reads them, in order, and no more than there is room for.

use courtside::auth::Ban;
use courtside::error::Code;
use courtside::limits::{META_STATS_MS, META_WAITING_MAX, STATS_OBSERVED_MS};
use courtside::model::data::Data;
use courtside::model::name::{AppId, ChannelName, LIFECYCLE, LOG, METACHANNELS, STATISTICS};
use courtside::object::{AppHost, AppInput, AppOutput, CallerId, Settings};
use courtside::rpc::{
    Act, AdminCall, AppCall, AppRequest, AppResponse, HookReport, HookStanding, Note, Publish, PublishKey, Request,
};
use courtside::stats::{Counter, Report, Tally};
use serde_json::{Value, json};

use super::support::app_store::AppMemory;

/// The beginning of a minute.
const NOW_MS: u64 = 1_800_000_000_000;
const MINUTE: u64 = NOW_MS / 60_000;

struct Stage {
    host: AppHost<AppMemory>,
    now_ms: u64,
    calls: Vec<(ChannelName, Vec<Publish>)>,
    answer: Option<AppResponse>,
    alarm_ms: Option<u64>,
}

impl Stage {
    fn new() -> Stage {
        Stage { host: host(AppMemory::default()), now_ms: NOW_MS, calls: Vec::new(), answer: None, alarm_ms: None }
    }

    fn read_by(names: &[&str]) -> Stage {
        let mut stage = Stage::new();
        names.iter().for_each(|name| stage.list(name, true, 1));
        stage
    }

    fn forget(&mut self) {
        let store = std::mem::replace(&mut self.host, host(AppMemory::default())).into_store();
        self.host = host(store);
    }

    fn turn(&mut self, input: AppInput) {
        for output in self.host.turn(input, self.now_ms) {
            match output {
                AppOutput::Publish(call) => {
                    let Request::Publish(publishes) = call.request else { panic!("not a publish") };
                    self.calls.push((call.to.channel, publishes));
                }
                AppOutput::Answer { answer, .. } => self.answer = answer.ok(),
                AppOutput::SetAlarm { at_ms } => self.alarm_ms = Some(at_ms),
                _ => {}
            }
        }
    }

    fn ask(&mut self, request: AppRequest) {
        let call = AppCall { app: AppId::parse("demo").unwrap(), request };
        self.turn(AppInput::Call { caller: CallerId(1), call });
    }

    fn list(&mut self, name: &str, active: bool, number: u64) {
        self.ask(AppRequest::ListChannel { channel: ChannelName::parse(name).unwrap(), active, number });
    }

    fn report(&mut self, revision: u64) {
        let mut tally = Tally::default();
        tally.add(Counter::RequestsSucceeded, revision);
        let report = Report { minute: self.now_ms / 60_000, revision, tally }.into();
        self.ask(AppRequest::Report { reporter: "r".into(), report });
    }

    /// Time passes, and an alarm rings that is due.
    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        if self.alarm_ms.take_if(|at_ms| *at_ms <= self.now_ms).is_some() {
            self.turn(AppInput::Alarm);
        }
    }

    /// What was published, all of which arrives.
    fn told(&mut self) -> Vec<(String, String, Value)> {
        let mut told = Vec::new();
        while !self.calls.is_empty() {
            for (channel, publishes) in std::mem::take(&mut self.calls) {
                told.extend(publishes.iter().flat_map(Publish::messages).map(|message| {
                    let Data::Text(data) = &message.data else { panic!("no text") };
                    let name = message.name.clone().unwrap();
                    (channel.as_str().to_owned(), name, serde_json::from_str(data).unwrap())
                }));
                self.turn(AppInput::Published { channel });
            }
        }
        told
    }
}

fn host(store: AppMemory) -> AppHost<AppMemory> {
    let settings = Settings { apps: Ok(Default::default()), bounds: Default::default() };
    AppHost::new(settings, store).called(AppId::parse("demo").ok())
}

fn noted(action: &str) -> AppRequest {
    let [app, by, action, target] = ["demo", "key demo.k", action, "client ann"].map(str::to_owned);
    let note = Note { at_ms: NOW_MS, app, by, action, target };
    AppRequest::Admin(Box::new(AdminCall { note: Some(note), act: Act::Note }))
}

fn fares(standing: HookStanding) -> AppRequest {
    let channel = ChannelName::parse("room").unwrap();
    let standings = vec![("w1".to_owned(), standing)];
    AppRequest::HookReport(Box::new(HookReport { channel, epoch: "e".into(), standings, dead: Vec::new() }))
}

#[test]
fn nothing_is_told_and_no_alarm_set_while_nobody_reads() {
    let mut stage = Stage::new();
    stage.ask(AppRequest::Create { config: "{}".into(), channels: String::new() });
    stage.list("room", true, 1);
    stage.report(1);
    assert_eq!(stage.answer, Some(AppResponse::Done), "who reports does so once a minute");
    stage.ask(noted("ban"));
    stage.ask(fares(HookStanding::Failing { since_ms: 1, error: Code::Internal.into() }));
    stage.wait(60_000);
    assert_eq!((stage.told(), stage.alarm_ms), (vec![], None));
}

#[test]
fn how_a_webhook_fares_is_told_without_a_look_at_what_was_given_up() {
    let mut stage = Stage::read_by(&[LOG]);
    stage.ask(AppRequest::Create { config: "{}".into(), channels: String::new() });
    stage.ask(fares(HookStanding::Failing { since_ms: 1, error: Code::Internal.into() }));
    assert_eq!(stage.told().len(), 1);
    assert_eq!(stage.host.into_store().dead_reads, 0);
}

#[test]
fn who_reads_hears_of_channels_that_come_into_use_and_go_out_of_it() {
    let mut stage = Stage::read_by(&[LIFECYCLE]);
    stage.list("room", true, 10);
    stage.list("room", true, 11);
    stage.list("room", false, 9);
    stage.forget();
    stage.list("room", false, 12);
    stage.list("room", false, 12);
    for name in METACHANNELS {
        stage.list(name, true, 13);
    }
    let event = |name: &str, active: bool| {
        let data = json!({"channelId": "room", "name": "room", "status": {"isActive": active}});
        (LIFECYCLE.to_owned(), name.to_owned(), data)
    };
    assert_eq!(stage.told(), [event("channel.opened", true), event("channel.closed", false)]);
    stage.list(LIFECYCLE, false, 20);
    stage.list("room", true, 21);
    assert_eq!(stage.told(), [], "nobody reads any more");
}

#[test]
fn what_operators_do_and_how_webhooks_fare_is_told_as_the_audit_has_it() {
    let mut stage = Stage::read_by(&[LOG]);
    stage.ask(AppRequest::Create { config: "{}".into(), channels: String::new() });
    stage.ask(noted("disconnect"));
    let ban = AdminCall { note: None, act: Act::Ban(Ban::lifted("ann", None)) };
    stage.ask(AppRequest::Admin(ban.into()));
    let failing = || fares(HookStanding::Failing { since_ms: 5, error: Code::Internal.because("down") });
    stage.ask(failing());
    stage.ask(failing());
    stage.ask(fares(HookStanding::Fine));
    let told = stage.told();
    let names: Vec<_> = told.iter().map(|(channel, name, _)| (channel.as_str(), name.as_str())).collect();
    assert_eq!(names, [(LOG, "disconnect"), (LOG, "webhook.failing"), (LOG, "webhook.ok")]);
    let audit = json!({
        "timestamp": NOW_MS, "appId": "demo", "by": "key demo.k", "action": "disconnect", "target": "client ann",
    });
    assert_eq!(told[0].2, audit);
    assert_eq!((&told[1].2["webhookId"], &told[1].2["error"]["code"]), (&json!("w1"), &json!(50000)));
}

#[test]
fn a_minute_is_told_as_it_grows_every_two_seconds_at_most_and_once_more_when_it_is_over() {
    let mut stage = Stage::read_by(&[STATISTICS]);
    let requests = |told: &[(String, String, Value)]| -> Vec<(u64, bool)> {
        let one = |(_, name, item): &(String, String, Value)| {
            assert_eq!((name.as_str(), &item["unit"], &item["appId"]), ("update", &json!("minute"), &json!("demo")));
            (item["entries"]["apiRequests.all.succeeded"].as_u64().unwrap(), item.get("inProgress").is_some())
        };
        told.iter().map(one).collect()
    };
    stage.report(1);
    assert_eq!(stage.answer, Some(AppResponse::Observed));
    stage.wait(META_STATS_MS);
    assert_eq!(requests(&stage.told()), [(1, true)]);
    (2..50).for_each(|revision| stage.report(revision));
    assert_eq!(stage.told(), [], "not for each report");
    assert_eq!(stage.alarm_ms, Some(NOW_MS + 2 * META_STATS_MS));
    stage.wait(META_STATS_MS);
    assert_eq!(requests(&stage.told()), [(49, true)]);
    assert_eq!(stage.alarm_ms, Some((MINUTE + 1) * 60_000 + STATS_OBSERVED_MS));
    stage.wait(120_000);
    assert_eq!(requests(&stage.told()), [(49, false)]);
    assert_eq!(stage.alarm_ms, None, "and then it may sleep");
    stage.list(STATISTICS, false, 2);
    stage.report(50);
    assert_eq!((stage.answer.take(), stage.told()), (Some(AppResponse::Done), vec![]));
}

#[test]
fn a_minute_is_told_though_the_memory_goes_before() {
    let mut stage = Stage::read_by(&[STATISTICS]);
    let told = |stage: &mut Stage| -> Vec<(Value, bool)> {
        let one = |(_, _, item): &(String, String, Value)| {
            (item["entries"]["apiRequests.all.succeeded"].clone(), item.get("inProgress").is_some())
        };
        stage.told().iter().map(one).collect()
    };
    stage.report(1);
    stage.wait(META_STATS_MS);
    assert_eq!(told(&mut stage), [(json!(1), true)]);
    stage.report(2);
    stage.forget();
    stage.wait(META_STATS_MS);
    assert_eq!(told(&mut stage), [(json!(2), true)], "by the alarm, which nobody has called");
    stage.forget();
    stage.wait(60_000 + STATS_OBSERVED_MS);
    assert_eq!(told(&mut stage), [(json!(2), false)], "and that it is over");
    stage.forget();
    stage.wait(3_600_000);
    stage.ask(AppRequest::Config);
    assert_eq!((told(&mut stage), stage.alarm_ms), (vec![], None), "an hour later there is nothing to tell");
}

#[test]
fn what_waits_goes_together_in_order_and_the_oldest_is_dropped() {
    let mut stage = Stage::read_by(&[LOG]);
    stage.ask(noted("first"));
    let (channel, sent) = stage.calls.pop().unwrap();
    assert_eq!(sent.len(), 1);
    (0..META_WAITING_MAX + 5).for_each(|number| stage.ask(noted(&format!("act {number}"))));
    assert!(stage.calls.is_empty(), "one call at a time");
    stage.turn(AppInput::Published { channel });
    let (_, sent) = stage.calls.pop().unwrap();
    let names: Vec<_> = sent.iter().filter_map(|publish| publish.messages()[0].name.clone()).collect();
    assert_eq!(names, (5..META_WAITING_MAX + 5).map(|number| format!("act {number}")).collect::<Vec<_>>());
    let keys: std::collections::HashSet<_> = sent.iter().map(|publish| publish.key.clone()).collect();
    assert_eq!(keys.len(), META_WAITING_MAX);
    assert!(matches!(&sent[0].key, PublishKey::Request(_)), "a call that is made again says nothing twice");
}

#[test]
fn an_app_that_ends_tells_nothing() {
    let mut stage = Stage::new();
    stage.ask(AppRequest::Create { config: "{}".into(), channels: String::new() });
    stage.list(LOG, true, 1);
    stage.ask(AppRequest::Delete);
    stage.ask(noted("late"));
    assert_eq!(stage.told(), []);
}
