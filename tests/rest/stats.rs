//! Statistics: what an app is told of itself, and what a deployment is told of all.

use std::rc::Rc;

use courtside::auth::Apps;
use courtside::error::Code;
use courtside::limits::{
    METRICS_APPS_MAX, STATS_FIXTURES_KEPT_MAX, STATS_FIXTURES_MAX, STATS_HOURS_KEPT_MINUTES, STATS_MINUTES_KEPT,
};
use courtside::model::name::AppId;
use courtside::rest::Admin;
use courtside::rpc::{AppCall, AppRequest};
use courtside::stats::{Counter, Report, Tally};
use serde_json::{Value, json};

use crate::world::{Asked, NOW_MS, World, delete, get, post};

const MINUTE_MS: u64 = 60_000;

fn sandbox() -> World {
    let mut world = World::new();
    world.admin = Admin::Open;
    world
}

/// What SDKs' suites post: two minutes of an hour, one of another, and one of the year before.
fn with_fixtures() -> World {
    let mut world = sandbox();
    let minute = |id: &str, count: u64| {
        let messages = json!({ "messages": { "count": count, "data": count * 100 } });
        json!({ "intervalId": id, "inbound": { "realtime": messages }, "connections": { "tls": { "peak": count } } })
    };
    let body = json!([
        minute("2025-02-03:15:03", 50),
        minute("2025-02-03:15:04", 60),
        minute("2025-02-03:16:00", 70),
        minute("2024-02-03:15:03", 5),
    ]);
    assert_eq!(world.send(post("/stats", &body.to_string())).status, 201);
    world
}

fn stats(world: &mut World, query: &[(&str, &str)]) -> Vec<(String, u64)> {
    let asked = query.iter().fold(get("/stats"), |asked, (name, value)| asked.query(name, value));
    shown(&world.send(asked).json)
}

fn shown(page: &Value) -> Vec<(String, u64)> {
    let item = |item: &Value| {
        let count = item["entries"]["messages.inbound.realtime.messages.count"].as_u64().unwrap_or_default();
        (item["intervalId"].as_str().unwrap().to_owned(), count)
    };
    page.as_array().unwrap_or_else(|| panic!("{page}")).iter().map(item).collect()
}

fn rows(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter().map(|(id, count)| (id.to_string(), *count)).collect()
}

#[test]
fn an_app_without_statistics_has_an_empty_page() {
    let reply = World::new().send(get("/stats"));
    assert_eq!((reply.status, &reply.json), (200, &json!([])));
    assert_eq!((reply.next(), reply.link("first").is_some()), (None, true));
}

#[test]
fn intervals_are_those_that_have_data_and_sum_up() {
    let mut world = with_fixtures();
    let day = [("start", "2025-02-03"), ("end", "2025-02-03:23:59")];
    let minutes = [("2025-02-03:16:00", 70), ("2025-02-03:15:04", 60), ("2025-02-03:15:03", 50)];
    assert_eq!(stats(&mut world, &day), rows(&minutes));
    let by = |unit| [&day[..], &[("unit", unit)]].concat();
    assert_eq!(stats(&mut world, &by("hour")), rows(&[("2025-02-03:16", 70), ("2025-02-03:15", 110)]));
    assert_eq!(stats(&mut world, &by("day")), rows(&[("2025-02-03:00", 180)]));
    assert_eq!(stats(&mut world, &by("month")), rows(&[("2025-02-01:00", 180)]));
    assert_eq!(stats(&mut world, &[("by", "month")]), rows(&[("2025-02-01:00", 180), ("2024-02-01:00", 5)]));
    let hour = world.send(get("/stats").query("unit", "hour").query("end", "2025-02-03:15"));
    let entries = &hour.json[0]["entries"];
    assert_eq!(entries["messages.all.all.data"], 11_000);
    assert_eq!(entries["connections.all.peak"], 60, "the highest of its minutes");
    assert_eq!(hour.json[0].get("inProgress"), None);
}

#[test]
fn clients_up_to_version_2_get_trees() {
    let mut world = with_fixtures();
    let mut asked_as = |version: &str| {
        let mut asked = get("/stats").query("unit", "hour").query("end", "2025-02-03:15").query("limit", "1");
        asked.request.headers.x_ably_version = Some(version.into());
        let mut page = world.send(asked);
        assert!(page.next().is_some(), "{}", page.json);
        page.json[0].take()
    };
    for old in ["1.2", "2"] {
        let item = asked_as(old);
        assert_eq!(item["inbound"]["realtime"]["messages"], json!({ "count": 110, "data": 11_000 }));
        assert_eq!(item["all"]["all"]["count"], 110);
        assert_eq!(item["connections"]["all"]["peak"], 60);
        assert_eq!((&item["intervalId"], &item["unit"]), (&json!("2025-02-03:15"), &json!("hour")));
        assert_eq!(item.get("entries"), None);
    }
    let item = asked_as("3");
    assert_eq!(item["entries"]["messages.inbound.realtime.messages.count"], 110);
    assert_eq!(item.get("inbound"), None);
    let page = world.send(get("/stats").query("limit", "1").query("v", "2"));
    let next = page.next().expect("three minutes are more than one page");
    assert!(next.contains(&("v".into(), "2".into())), "the next page is of the same version: {next:?}");
}

#[test]
fn both_ends_are_rounded_down_and_the_last_interval_is_whole() {
    let mut world = with_fixtures();
    let at = |start, end, unit| [("start", start), ("end", end), ("unit", unit)];
    let hour = rows(&[("2025-02-03:15", 110)]);
    assert_eq!(
        stats(&mut world, &at("2025-02-03:15:59", "2025-02-03:15:00", "minute")[..1]),
        rows(&[("2025-02-03:16:00", 70)])
    );
    assert_eq!(stats(&mut world, &at("2025-02-03:15:04", "2025-02-03:15:04", "hour")), hour);
    assert_eq!(stats(&mut world, &at("1738595100000", "1738595100000", "hour")), hour, "in milliseconds");
    assert_eq!(
        stats(&mut world, &at("2025-02-03:15:04", "2025-02-03:15:04", "minute")),
        rows(&[("2025-02-03:15:04", 60)])
    );
    assert_eq!(stats(&mut world, &at("2025-02", "2025-02", "month")), rows(&[("2025-02-01:00", 180)]));
}

#[test]
fn pages_follow_each_other_in_both_directions() {
    let mut world = with_fixtures();
    for (direction, expected) in [("backwards", [70, 60, 50, 5]), ("forwards", [5, 50, 60, 70])] {
        let asked = get("/stats").query("limit", "1").query("direction", direction);
        let (mut counts, mut firsts) = (Vec::new(), Vec::new());
        world.walk(asked, |page| {
            counts.extend(shown(&page.json).into_iter().map(|(_, count)| count));
            firsts.push(page.link("first"));
        });
        assert_eq!(counts, expected, "{direction}");
        assert!(firsts.iter().all(|first| first == &firsts[0]));
    }
    let mut hours = Vec::new();
    let asked = get("/stats").query("limit", "1").query("unit", "hour");
    world.walk(asked, |page| hours.extend(shown(&page.json).into_iter().map(|(_, count)| count)));
    assert_eq!(hours, [70, 110, 5]);
}

#[test]
fn wrong_parameters_are_refused_by_name() {
    let mut world = sandbox();
    for (name, value) in [
        ("unit", "week"),
        ("start", "yesterday"),
        ("end", "2025-02-30"),
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "x"),
        ("direction", "up"),
        ("cursor", "x"),
        ("cursor", "99999999999"),
        ("start", "2999-01"),
    ] {
        let reply = world.send(get("/stats").query(name, value));
        assert_eq!(reply.code(), Code::BadParameter.number(), "{name}={value}: {}", reply.json);
    }
    assert_eq!(world.send(get("/stats").query("units", "hour")).code(), Code::BadParameterName.number());
    assert_eq!(world.send(get("/stats").query("fields", "x")).code(), Code::BadParameter.number());
    assert_eq!(world.send(get("/stats").key("demo.reader:local-only")).code(), Code::NotPermitted.number());
    assert_eq!(world.send(get("/stats").anonymous()).code(), Code::NoCredentials.number());
}

#[test]
fn statistics_are_made_up_in_a_sandbox_only_and_not_without_end() {
    let body = json!([{ "intervalId": "2025-02-03:15:03" }]).to_string();
    assert_eq!(World::new().send(post("/stats", &body)).code(), Code::Forbidden.number());
    let with_token = &mut World::new().with_admin_token("admin-token-of-this-deployment");
    assert_eq!(with_token.send(post("/stats", &body)).code(), Code::Forbidden.number());
    let mut world = sandbox();
    assert_eq!(world.send(post("/stats", "[{}]")).code(), Code::BadRequest.number());
    let fill = json!(vec![json!({ "intervalId": "2025-02-03:15:03" }); STATS_FIXTURES_MAX]).to_string();
    assert_eq!(world.send(post("/stats", &fill)).status, 201);
    let minutes = |hour: usize| {
        (0..STATS_FIXTURES_MAX).map(move |minute| {
        json!({ "intervalId": ((hour * STATS_FIXTURES_MAX + minute) as u64 * MINUTE_MS).to_string() })
    })
    };
    for hour in 0..STATS_FIXTURES_KEPT_MAX / STATS_FIXTURES_MAX {
        world.send(post("/stats", &json!(minutes(hour).collect::<Vec<_>>()).to_string()));
    }
    assert_eq!(world.send(post("/stats", &fill)).code(), Code::TooLarge.number());
}

fn report(world: &mut World, reporter: &str, minute: u64, revision: u64, commits: u64) {
    report_of("demo", world, reporter, minute, revision, commits);
}

fn report_of(app: &str, world: &mut World, reporter: &str, minute: u64, revision: u64, commits: u64) {
    let mut tally = Tally::default();
    tally.add(Counter::RequestsSucceeded, commits);
    let report = Box::new(Report { minute, revision, tally });
    let request = AppRequest::Report { reporter: reporter.to_owned(), report };
    world.ask(AppCall { app: AppId::parse(app).unwrap(), request }).unwrap();
}

fn counted(world: &mut World, query: &[(&str, &str)]) -> Vec<u64> {
    let asked = query.iter().fold(get("/stats"), |asked, (name, value)| asked.query(name, value));
    let page = world.send(asked).json;
    page.as_array().unwrap().iter().map(|item| item["entries"]["apiRequests.all.succeeded"].as_u64().unwrap()).collect()
}

#[test]
fn what_objects_report_is_counted_once_and_stays_when_rows_are_put_together() {
    let mut world = World::new();
    let first = NOW_MS / MINUTE_MS;
    report(&mut world, "a", first, 1, 3);
    report(&mut world, "a", first, 2, 5);
    report(&mut world, "a", first, 1, 3);
    report(&mut world, "b", first, 1, 10);
    assert_eq!(counted(&mut world, &[]), [15], "the later report of each");
    let mut expected = 15;
    for minute in 1..200 {
        world.now_ms += MINUTE_MS;
        report(&mut world, "a", first + minute, 1, minute);
        expected += minute;
        if minute % 40 == 0 {
            let all: u64 = counted(&mut world, &[("unit", "hour")]).iter().sum();
            assert_eq!(all, expected, "after {minute} minutes, in hours");
            let all: u64 = counted(&mut world, &[("unit", "minute"), ("limit", "1000")]).iter().sum();
            assert_eq!(all, expected, "after {minute} minutes, in minutes");
        }
    }
    report(&mut world, "a", first, 9, 1_000);
    assert_eq!(counted(&mut world, &[("unit", "month")]), [expected], "one of a minute that is closed is dropped");
    let text = String::from_utf8(metrics(&mut world).body).unwrap();
    assert!(text.contains(&format!("outcome=\"succeeded\"}} {expected}\n")), "{text}");
}

#[test]
fn what_is_old_is_forgotten_minutes_first() {
    let mut world = World::new();
    let first = NOW_MS / MINUTE_MS;
    report(&mut world, "a", first, 1, 3);
    for (later, minutes, hours) in [(30, 2, 1), (STATS_MINUTES_KEPT + 60, 1, 2), (STATS_HOURS_KEPT_MINUTES + 200, 1, 1)]
    {
        world.now_ms = (first + later) * MINUTE_MS;
        report(&mut world, "a", first + later, 1, 1);
        let from_hours = counted(&mut world, &[("unit", "hour"), ("limit", "1000")]).len();
        assert_eq!((counted(&mut world, &[]).len(), from_hours >= hours), (minutes, true), "{later} minutes later");
    }
}

fn metrics(world: &mut World) -> crate::world::Exchanged {
    world.admin = Admin::Open;
    world.send(get("/metrics").anonymous())
}

#[test]
fn metrics_and_statistics_are_of_all_apps_for_the_operator() {
    let mut world = World::new().with_admin_token(ADMIN);
    assert_eq!(world.send(get("/metrics").bearer("another")).code(), Code::BadCredentials.number());
    assert_eq!(world.send(get("/metrics").anonymous()).code(), Code::NoCredentials.number());
    assert_eq!(world.send(get("/stats").anonymous()).code(), Code::NoCredentials.number());
    let admin = |asked: Asked| asked.bearer(ADMIN);
    let made = world.send(admin(post("/apps", "{}")));
    assert_eq!(made.status, 201, "{}", made.json);
    report(&mut world, "a", NOW_MS / MINUTE_MS, 1, 4);
    report_of(made.json["appId"].as_str().unwrap(), &mut world, "b", NOW_MS / MINUTE_MS, 1, 5);
    let reply = world.send(admin(get("/metrics")));
    let text = String::from_utf8(reply.body.clone()).unwrap();
    assert_eq!(reply.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(text.contains("\ncourtside_requests_total{type=\"other\",outcome=\"succeeded\"} 9\n"), "{text}");
    assert!(text.contains("\ncourtside_apps 2\n") && text.contains("\ncourtside_apps_missing 0\n"), "{text}");
    let own = String::from_utf8(world.send(get("/metrics")).body).unwrap();
    assert!(own.contains("\ncourtside_requests_total{type=\"other\",outcome=\"succeeded\"} 4\n"), "{own}");
    assert!(own.contains("\ncourtside_apps 1\n"), "a key sees its own app: {own}");
    let requests = |page: &Value| page[0]["entries"]["apiRequests.all.succeeded"].as_u64();
    let all = world.send(admin(get("/stats"))).json;
    assert_eq!((requests(&all), &all[0]["appId"], all[0].get("appsMissing")), (Some(9), &json!("*"), None));
    assert_eq!(requests(&world.send(get("/stats")).json), Some(4));
    let apps = world.send(admin(get("/apps"))).json;
    let made_at_run_time: Vec<_> = apps.as_array().unwrap().iter().map(|app| &app["madeAtRunTime"]).collect();
    assert_eq!(made_at_run_time, [&json!(false), &json!(true)]);
}

const ADMIN: &str = "admin-token-of-this-deployment";

/// Of all apps: requests that succeeded, how many apps there are, and how many did not answer.
fn scrape(world: &mut World) -> [u64; 3] {
    let reply = world.send(get("/metrics").bearer(ADMIN));
    assert_eq!(reply.status, 200, "{}", reply.json);
    let text = String::from_utf8(reply.body).unwrap();
    let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap();
    let succeeded = "courtside_requests_total{type=\"other\",outcome=\"succeeded\"}";
    [of(succeeded), of("courtside_apps "), of("courtside_apps_missing ")]
}

fn make(world: &mut World) -> String {
    let made = world.send(post("/apps", "{}").bearer(ADMIN));
    made.json["appId"].as_str().unwrap().to_owned()
}

#[test]
fn no_counter_falls_when_an_app_does_not_answer_ends_or_is_no_longer_configured() {
    let mut world = World::new().with_admin_token(ADMIN);
    let minute = NOW_MS / MINUTE_MS;
    let made = make(&mut world);
    report(&mut world, "a", minute, 1, 4);
    report_of(&made, &mut world, "b", minute, 1, 5);
    assert_eq!(scrape(&mut world), [9, 2, 0]);
    world.silent = Some(AppId::parse(&made).unwrap());
    report(&mut world, "a", minute, 2, 14);
    assert_eq!(scrape(&mut world), [19, 2, 1]);
    world.silent = None;
    report_of(&made, &mut world, "b", minute, 2, 6);
    assert_eq!(scrape(&mut world), [20, 2, 0], "it answers again, and counts once");
    let path = format!("/apps/{made}");
    assert_eq!(world.send(delete(&path).bearer(ADMIN)).status, 204);
    assert_eq!(scrape(&mut world), [20, 1, 0]);
    let configured = std::mem::replace(&mut world.configured, Rc::new(Apps::parse(r#"{"apps":[]}"#, 1).unwrap()));
    assert_eq!(scrape(&mut world), [20, 0, 0]);
    world.configured = configured;
    report(&mut world, "a", minute, 3, 15);
    assert_eq!(scrape(&mut world), [21, 1, 0], "it is there again");
}

#[test]
fn where_there_are_more_apps_than_one_scrape_asks_each_asks_others() {
    let mut world = World::new().with_admin_token(ADMIN);
    let mut apps: Vec<String> = (0..=METRICS_APPS_MAX).map(|_| make(&mut world)).collect();
    apps.sort();
    apps.dedup();
    let count = apps.len() as u64;
    apps.iter().for_each(|app| report_of(app, &mut world, "a", NOW_MS / MINUTE_MS, 1, 1));
    let mut before = 0;
    for _ in 0..10 {
        let [counted, there, missing] = scrape(&mut world);
        assert_eq!((there, missing), (count + 1, 0));
        assert!(counted >= before, "{counted} after {before}");
        before = counted;
    }
    assert_eq!(before, count);
}
