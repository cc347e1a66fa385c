//! What was counted is reported to the apps. A router has no object of its own whose alarm rings: it reports as long as
//! it has requests to answer, and one request at a time sees to it.

use crate::base::pause;
use crate::limits::{STATS_LOOK_MS, STATS_ROUTER_MS};
use crate::rpc::{Answer, AppCall, AppRequest, AppResponse, taken};
use crate::stats::requests::Requests;

pub struct Reports {
    pub counted: Requests,
    /// Names this memory to the apps.
    life: String,
    /// A request sees to it until then.
    until_ms: u64,
}

impl Reports {
    pub fn of(life: String) -> Reports {
        Reports { counted: Requests::default(), life, until_ms: 0 }
    }

    /// Whether the request that was just answered is to see to it: to have [`Reports::due`] made every
    /// [`STATS_LOOK_MS`], until it need not [go on](Reports::goes_on).
    pub fn begin(&mut self, now_ms: u64) -> bool {
        let longest_ms = STATS_ROUTER_MS + STATS_LOOK_MS;
        let begins = pause::is_over(self.until_ms, longest_ms, now_ms) && self.counted.has_news();
        if begins {
            self.until_ms = now_ms + longest_ms;
        }
        begins
    }

    pub fn due(&mut self, now_ms: u64) -> Vec<AppCall> {
        let reports = self.counted.look(now_ms).into_iter();
        reports
            .map(|(app, report)| {
                let request = AppRequest::Report { reporter: self.life.clone(), report: report.into() };
                AppCall { app, request }
            })
            .collect()
    }

    /// How one of them was answered.
    pub fn told(&mut self, call: &AppCall, answer: &Answer<AppResponse>) {
        if let AppRequest::Report { report, .. } = &call.request {
            self.counted.told(&call.app, report.minute, taken(answer));
        }
    }

    /// Whether to look again. Else the next request that is answered sees to it.
    pub fn goes_on(&mut self, now_ms: u64) -> bool {
        let goes_on = self.counted.has_news() && now_ms + STATS_LOOK_MS < self.until_ms;
        if !goes_on {
            self.until_ms = 0;
        }
        goes_on
    }
}
