//! `GET /stats`: the statistics of an app, or with the admin token of all together, and `POST /stats`, by which test
//! suites make some up (protocol.md § 21).

use std::collections::BTreeMap;

use super::apps::{self, Admin};
use super::caller::Caller;
use super::history::{forwards, limit};
use super::page::Links;
use super::step::{Begin, another_answer};
use super::{Context, Step, body, metrics};
use crate::base::whole_number;
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::limits::{STATS_LAST_MINUTE, STATS_PAGE_MAX};
use crate::model::name::AppId;
use crate::rpc::{Answer, AppCall, AppRequest, AppResponse, StatsQuery};
use crate::stats::interval::{MINUTE_MS, minute_of};
use crate::stats::{Tally, Unit, fixtures, item};

const CARRIED: [&str; 5] = ["start", "end", "direction", "unit", "by"];

/// Fails with 40160 for who may not see them, and with 40003 for a parameter that is not what it must be.
pub fn begin(request: &Request, caller: &Caller, form: Form, now_ms: u64) -> Result<Step, ErrorInfo> {
    caller.require_stats()?;
    let now = now_ms / MINUTE_MS;
    let query = query(request, now)?;
    let app = caller.app().id().clone();
    let page = StatsPage::new(app.clone(), query, now, request);
    Ok(form.ask(AppCall { app, request: AppRequest::Stats(query) }, move |response| match response {
        AppResponse::Stats(intervals) => Ok(Step::Reply(page.answered(form, &intervals, 0))),
        _ => Err(another_answer()),
    }))
}

/// The sum over all apps: what they do side by side. Fails as [`apps::require_maker`] does, and as [`begin`].
pub fn admit(request: &Request, form: Form, context: &mut Context<'_>) -> Result<Box<Begin>, ErrorInfo> {
    apps::require_maker(request, context)?;
    Ok(Box::new(move |request, context| of_deployment(request, form, context)))
}

fn of_deployment(request: &Request, form: Form, context: &Context<'_>) -> Result<Step, ErrorInfo> {
    let now = context.now_ms / MINUTE_MS;
    let query = query(request, now)?;
    let page = StatsPage::new(AppId::deployment(), query, now, request);
    Ok(metrics::survey(form, context, move |configured, made| {
        metrics::ask_all(configured, made, &AppRequest::Stats(query), form, move |missing, answers| {
            let (intervals, missing) = summed(&query, missing, answers);
            page.answered(form, &intervals, missing)
        })
    }))
}

/// One more than fit the page when others follow, as each app gives them; and how many apps are missing.
fn summed(query: &StatsQuery, missing: usize, answers: Vec<Answer<AppResponse>>) -> (Vec<(u64, Tally)>, usize) {
    let (mut sums, mut missing) = (BTreeMap::<u64, Tally>::new(), missing);
    for answer in answers {
        match answer {
            Ok(AppResponse::Stats(intervals)) => {
                intervals.iter().for_each(|(minute, tally)| sums.entry(*minute).or_default().add_beside(tally));
            }
            _ => missing += 1,
        }
    }
    let mut sums: Vec<(u64, Tally)> = sums.into_iter().collect();
    if !query.forwards {
        sums.reverse();
    }
    sums.truncate(query.limit + 1);
    (sums, missing)
}

/// Both ends are rounded down to the unit, and the last interval is whole.
fn query(request: &Request, now: u64) -> Result<StatsQuery, ErrorInfo> {
    let unit = request.parameter("unit").or_else(|| request.parameter("by")).map_or(Ok(Unit::Minute), Unit::parse)?;
    let (start, end) = (minute(request, "start")?.unwrap_or(0), minute(request, "end")?.unwrap_or(now));
    if start > end {
        return Err(Code::BadParameter.because("start must not be after end"));
    }
    let forwards = forwards(request)?.unwrap_or(false);
    let (mut from, mut to) = (unit.floor(start), unit.last(end).min(STATS_LAST_MINUTE));
    if let Some(text) = request.parameter("cursor") {
        let minute = whole_number(text).filter(|minute| unit.floor(*minute) == *minute && *minute <= STATS_LAST_MINUTE);
        let minute = minute.ok_or_else(|| Code::BadParameter.because("the cursor is not one that a page had"))?;
        if forwards { from = from.max(minute) } else { to = to.min(unit.last(minute)) }
    }
    Ok(StatsQuery { unit, from, to, forwards, limit: limit(request)?.min(STATS_PAGE_MAX) })
}

fn minute(request: &Request, name: &str) -> Result<Option<u64>, ErrorInfo> {
    let Some(text) = request.parameter(name) else { return Ok(None) };
    let wrong = || Code::BadParameter.because(format!("{name} must be a time in milliseconds, or yyyy-mm-dd:hh:mm"));
    minute_of(text).map(Some).ok_or_else(wrong)
}

/// A page that the app has not given.
struct StatsPage {
    app: AppId,
    query: StatsQuery,
    /// The present minute.
    now: u64,
    links: Links,
    /// Whether the client speaks a version whose items are trees.
    is_nested: bool,
}

impl StatsPage {
    fn new(app: AppId, query: StatsQuery, now: u64, request: &Request) -> StatsPage {
        let links = Links::of(request, "stats", &CARRIED);
        StatsPage { app, query, now, links, is_nested: request.version() <= 2 }
    }

    /// Items say how many apps are missing in them, if any are.
    fn answered(self, form: Form, intervals: &[(u64, Tally)], missing: usize) -> Reply {
        let StatsQuery { unit, limit, .. } = self.query;
        let next = intervals.get(limit).map(|(minute, _)| minute.to_string());
        let item = |(minute, tally): &(u64, Tally)| {
            let mut item = item::item(&self.app, unit, *minute, tally, self.now);
            if missing > 0 {
                item["appsMissing"] = missing.into();
            }
            if self.is_nested { item::nested(item) } else { item }
        };
        form.page(&intervals.iter().take(limit).map(item).collect::<Vec<_>>(), self.links.header(next))
    }
}

/// Fails with 40300 where statistics are of what happened, and as [`fixtures::minutes`] does.
pub fn make_up(request: &Request, caller: &Caller, form: Form, context: &Context<'_>) -> Result<Step, ErrorInfo> {
    caller.require_stats()?;
    if !matches!(context.admin, Admin::Open) {
        return Err(
            Code::Forbidden.because("statistics are made up on a server that runs with SANDBOX=true, for tests")
        );
    }
    let minutes = fixtures::minutes(&body::value(request)?)?;
    let call = AppCall { app: caller.app().id().clone(), request: AppRequest::Fixtures(minutes) };
    Ok(form.ask(call, move |response| match response {
        AppResponse::Done => Ok(Step::Reply(form.created(&serde_json::Map::new()))),
        _ => Err(another_answer()),
    }))
}
