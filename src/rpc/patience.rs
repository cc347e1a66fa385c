//! How long a router waits for an object's answer. An object that is reset while a request is on its way to it may
//! leave that request without an answer for ever; its client must learn of it all the same.

use super::{AppCall, AppRequest, ChannelCall, PushRequest, Request};
use crate::limits::{CALL_PATIENCE_MS, PUSH_FULL_WAIT_MS};

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
