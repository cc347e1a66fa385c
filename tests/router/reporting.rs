//! What a router counted is reported while it has requests to answer.

use courtside::error::Code;
use courtside::limits::{STATS_LOOK_MS, STATS_QUIET_MS, STATS_ROUTER_MS};
use courtside::rpc::{Answer, AppCall, AppRequest, AppResponse};
use courtside::stats::{Counter, Report};

use crate::world::{World, get};

/// A client is not let in, which counts.
fn refuse(world: &mut World) {
    world.come(&get("/comet/connect?key=demo.full:wrong-secret"));
}

/// One request sees to the reports, which are answered so, until it need not. Gives what was reported.
fn see_to_it(world: &mut World, answer: &Answer<AppResponse>) -> Vec<Report> {
    let mut reported = Vec::new();
    loop {
        world.now_ms += STATS_LOOK_MS;
        for call in world.router.reports.due(world.now_ms) {
            world.router.reports.told(&call, answer);
            let AppCall { request: AppRequest::Report { report, reporter }, .. } = call else { panic!("a report") };
            assert_eq!(reporter, "life");
            reported.push(*report);
        }
        if !world.router.reports.goes_on(world.now_ms) {
            return reported;
        }
    }
}

#[test]
fn one_request_at_a_time_sees_to_the_reports() {
    let mut world = World::new();
    assert!(!world.router.reports.begin(world.now_ms), "there is nothing to report");
    refuse(&mut world);
    assert!(world.router.reports.begin(world.now_ms));
    assert!(!world.router.reports.begin(world.now_ms), "the other one does");
    let reported = see_to_it(&mut world, &Ok(AppResponse::Done));
    assert_eq!(reported.len(), 1);
    assert_eq!(reported[0].tally.get(Counter::ConnectionsRefused), 1);
    assert!(!world.router.reports.begin(world.now_ms), "all is told");
    refuse(&mut world);
    assert!(world.router.reports.begin(world.now_ms));
}

#[test]
fn a_report_that_no_app_took_goes_with_the_next() {
    let mut world = World::new();
    refuse(&mut world);
    assert!(world.router.reports.begin(world.now_ms));
    assert_eq!(see_to_it(&mut world, &Err(Code::TimedOut.into())).len(), 1);
    assert!(!world.router.reports.begin(world.now_ms), "an app that cannot be reached keeps no request open");
    refuse(&mut world);
    world.now_ms += STATS_QUIET_MS;
    assert!(world.router.reports.begin(world.now_ms));
    let reported = see_to_it(&mut world, &Ok(AppResponse::Done));
    assert_eq!(reported.iter().map(|report| report.tally.get(Counter::ConnectionsRefused)).max(), Some(2));
}

/// A request may go on for so long only, so that another takes over where clients keep coming.
#[test]
fn no_request_sees_to_it_for_longer_than_the_platform_lets_it() {
    let mut world = World::new();
    refuse(&mut world);
    let begun_ms = world.now_ms;
    assert!(world.router.reports.begin(begun_ms));
    loop {
        world.now_ms += STATS_LOOK_MS;
        for call in world.router.reports.due(world.now_ms) {
            world.router.reports.told(&call, &Ok(AppResponse::Done));
        }
        refuse(&mut world);
        if !world.router.reports.goes_on(world.now_ms) {
            break;
        }
    }
    assert_eq!(world.now_ms - begun_ms, STATS_ROUTER_MS);
    assert!(world.router.reports.begin(world.now_ms));
}

#[test]
fn a_request_that_was_cut_off_leaves_it_to_another() {
    let mut world = World::new();
    refuse(&mut world);
    assert!(world.router.reports.begin(world.now_ms));
    assert!(!world.router.reports.begin(world.now_ms + STATS_ROUTER_MS));
    assert!(world.router.reports.begin(world.now_ms + STATS_ROUTER_MS + STATS_LOOK_MS));
    assert!(world.router.reports.begin(0), "also when the clock was set back");
}
