//! Apps without bans. A router remembers them for a while, in which requests in the name of a client cost no call.

use crate::base::cache::Cache;
use crate::limits::{UNBANNED_KEPT_MS, UNBANNED_MAX_APPS};
use crate::model::name::AppId;
use crate::rpc::{Act, AdminResponse, Answer, AppCall, AppRequest, AppResponse};

pub struct Unbanned(Cache<AppId, ()>);

impl Default for Unbanned {
    fn default() -> Unbanned {
        Unbanned(Cache::new(UNBANNED_MAX_APPS))
    }
}

impl Unbanned {
    /// The answer to a call, if it need not be made.
    pub fn answer(&self, call: &AppCall, now_ms: u64) -> Option<AppResponse> {
        let is_known = matches!(act(call)?, Act::Bar(_)) && self.0.get(&call.app, now_ms).is_some();
        is_known.then_some(AppResponse::Admin(AdminResponse::Barred(None, false)))
    }

    /// What a call that was made says of its app.
    pub fn learn(&mut self, call: &AppCall, answer: &Answer<AppResponse>, now_ms: u64) {
        match (act(call), answer) {
            // Also of one that failed: it may have been done.
            (Some(Act::Ban(_)), _) => self.0.remove(&call.app),
            (Some(Act::Bar(_)), Ok(AppResponse::Admin(AdminResponse::Barred(_, false)))) => {
                self.0.put(call.app.clone(), (), now_ms + UNBANNED_KEPT_MS, now_ms);
            }
            _ => {}
        }
    }
}

fn act(call: &AppCall) -> Option<&Act> {
    match &call.request {
        AppRequest::Admin(call) => Some(&call.act),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Ban;
    use crate::rpc::{AdminCall, Deeds};

    fn call(act: Act) -> AppCall {
        let request = AppRequest::Admin(Box::new(AdminCall { note: None, act }));
        AppCall { app: AppId::parse("demo").unwrap(), request }
    }

    #[test]
    fn an_app_is_asked_again_after_a_while_and_after_a_ban() {
        let mut unbanned = Unbanned::default();
        let bar = call(Act::Bar(Deeds::default()));
        let answer = |any| Ok(AppResponse::Admin(AdminResponse::Barred(None, any)));
        unbanned.learn(&bar, &answer(true), 0);
        assert_eq!(unbanned.answer(&bar, 0), None, "it has bans, though none of these clients");
        unbanned.learn(&bar, &answer(false), 0);
        assert!(unbanned.answer(&bar, UNBANNED_KEPT_MS - 1).is_some());
        assert_eq!(unbanned.answer(&bar, UNBANNED_KEPT_MS), None);
        unbanned.learn(&bar, &answer(false), 0);
        assert_eq!(unbanned.answer(&call(Act::Note), 0), None, "nothing else is known");
        unbanned.learn(&call(Act::Ban(Ban::lifted("ann", None))), &Ok(AppResponse::Done), 0);
        assert_eq!(unbanned.answer(&bar, 0), None);
    }
}
