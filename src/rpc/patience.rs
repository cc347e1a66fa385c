//! How long whoever calls an object waits, for its answer and behind a call that failed.
//!
//! A router waits so long for an object's answer. An object that is reset while a request is on its way to it may
//! leave that request without an answer for ever; its client must learn of it all the same.

use super::{AppCall, AppRequest, ChannelCall, PushRequest, Request};
use crate::limits::{CALL_PATIENCE_MS, OVERLOADED_PAUSE_MS, PUSH_FULL_WAIT_MS};

/// Why a call had no answer, as the platform says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The callee may or may not have done it.
    Lost,
    /// The callee has more calls than it can do. To make this one again at once would keep it so.
    Overloaded,
}

impl Failure {
    /// How long it is before the caller learns of the failure, which then does as after any other. `random` of the
    /// whole range spreads those that failed together.
    pub fn pause_ms(self, random: u64) -> u64 {
        match self {
            Failure::Lost => 0,
            Failure::Overloaded => OVERLOADED_PAUSE_MS - random % (OVERLOADED_PAUSE_MS / 2 + 1),
        }
    }
}

impl ChannelCall {
    pub fn patience_ms(&self) -> u64 {
        match &self.request {
            Request::History(query) => CALL_PATIENCE_MS + query.wait_ms.unwrap_or(0),
            _ => CALL_PATIENCE_MS,
        }
    }
}

impl AppCall {
    pub fn patience_ms(&self) -> u64 {
        let waits = match &self.request {
            AppRequest::Push(request) => matches!(**request, PushRequest::Publish { wait: true, .. }),
            _ => false,
        };
        CALL_PATIENCE_MS + if waits { PUSH_FULL_WAIT_MS } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::App;
    use crate::model::name::ChannelName;
    use crate::rpc::{Address, HistoryQuery, Rules};

    #[test]
    fn a_call_to_one_that_has_too_much_to_do_is_not_made_again_at_once_nor_with_all_others() {
        assert_eq!(Failure::Lost.pause_ms(u64::MAX), 0);
        let pauses: Vec<u64> = (0..10_000).map(|random| Failure::Overloaded.pause_ms(random)).collect();
        let (shortest, longest) = (pauses.iter().min().copied(), pauses.iter().max().copied());
        assert_eq!((shortest, longest), (Some(OVERLOADED_PAUSE_MS / 2), Some(OVERLOADED_PAUSE_MS)));
    }

    #[test]
    fn what_may_wait_at_its_object_is_waited_for() {
        let app: App = serde_json::from_str(r#"{"id": "demo", "keys": []}"#).unwrap();
        let channel = ChannelName::parse("c").unwrap();
        let (to, rules) = (Address { app: app.id().clone(), channel: channel.clone() }, Rules::on(&app, &channel));
        let asked = |request| ChannelCall { to: to.clone(), rules: rules.clone(), request }.patience_ms();
        assert_eq!(asked(Request::Count), CALL_PATIENCE_MS);
        assert_eq!(asked(Request::History(HistoryQuery::default())), CALL_PATIENCE_MS);
        let waits = HistoryQuery { wait_ms: Some(30_000), ..HistoryQuery::default() };
        assert_eq!(asked(Request::History(waits)), CALL_PATIENCE_MS + 30_000);
        let asked = |wait| {
            let request = PushRequest::Publish { pushes: Vec::new(), wait };
            AppCall { app: app.id().clone(), request: AppRequest::Push(Box::new(request)) }.patience_ms()
        };
        assert_eq!([asked(false), asked(true)], [CALL_PATIENCE_MS, CALL_PATIENCE_MS + PUSH_FULL_WAIT_MS]);
    }
}
