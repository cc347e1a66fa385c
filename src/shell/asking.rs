//! What a router asks an app, and what becomes known by it.

use std::cell::RefCell;

use worker::{Env, console_log};

use super::platform::now_ms;
use super::{calls, router};
use crate::app::Unbanned;
use crate::model::trace::Trace;
use crate::rpc::{Answer, AppCall, AppResponse};

thread_local! {
    static UNBANNED: RefCell<Unbanned> = RefCell::default();
}

/// Asks an app for a request of this trace, and has the deployment take note of what it should know.
pub async fn ask(env: &Env, call: &AppCall, trace: Option<Trace<'_>>) -> Answer<AppResponse> {
    if let Some(answer) = UNBANNED.with_borrow(|unbanned| unbanned.answer(call, now_ms())) {
        return Ok(answer);
    }
    let answer = calls::ask_app(env, call).await;
    UNBANNED.with_borrow_mut(|unbanned| unbanned.learn(call, &answer, now_ms()));
    if call.request.changes_app() {
        router::with(|router| router.directory.forget(&call.app));
    }
    if answer.is_ok() {
        if let Some(note) = call.note() {
            console_log!("{}", note.line(trace));
        }
        // An app that the list lacks works all the same, and an app's own audit has all that was done to it.
        for other in [call.listing(), call.copy()].into_iter().flatten() {
            let _ = calls::ask_app(env, &other).await;
        }
    }
    answer
}
