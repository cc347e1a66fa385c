//! The REST API as plain values: a [`Request`] goes in, a [`Step`] comes out, and no socket, clock or storage is in
//! sight. The shell reads HTTP into a request, performs the calls that a step asks for, hands their answers back and
//! writes the [`Reply`] (protocol.md § 12).
//!
//! ```text
//! begin(request) ──▶ Reply
//!        ├─────────▶ Calls ── the channels answer ──▶ Exchange::answered ──▶ Reply
//!        └─────────▶ Nonce ── the app answers ──────▶ Issue::checked ──────▶ Reply
//! ```
//!
//! In reading order: `route` (path to what is asked), `caller` (who asks), `body` and `percent` (what was sent), then one
//! file for each thing that can be asked: `publish`, `batch`, `history` with `page`, `presence`, `token`; `form` and `reply` are how
//! all of them are answered.

mod batch;
mod body;
mod caller;
mod form;
mod history;
mod page;
pub mod percent;
mod presence;
mod publish;
mod reply;
mod route;
mod token;

pub use reply::Reply;
pub use token::Issue;

use crate::auth::{Apps, NonceUse};
use crate::call::{Answer, ChannelCall, Response};
use crate::error::{Code, ErrorInfo};
use caller::Caller;
use form::Form;
use route::Route;

/// An HTTP request: what of it the API looks at.
#[derive(Clone, Default)]
pub struct Request {
    /// In upper case.
    pub method: String,
    /// As it stands in the URL, percent-encoded.
    pub path: String,
    /// Decoded; of a repeated name the first value counts.
    pub query: Vec<(String, String)>,
    pub headers: Headers,
    /// At most [`BATCH_BODY_MAX_BYTES`](crate::limits::BATCH_BODY_MAX_BYTES) and one more: the shell need read no further,
    /// because that is refused.
    pub body: Vec<u8>,
}

/// The headers that matter, by their names in lower case.
#[derive(Clone, Default)]
pub struct Headers {
    pub authorization: Option<String>,
    pub content_type: Option<String>,
    pub accept: Option<String>,
    pub x_ably_clientid: Option<String>,
    pub x_ably_version: Option<String>,
}

impl Request {
    /// A query parameter that is there and not empty.
    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// The protocol version that the client speaks; the latest when it doesn't say.
    fn version(&self) -> u32 {
        let stated = self.headers.x_ably_version.as_deref().or_else(|| self.parameter("v"));
        stated.and_then(|version| version.trim().parse().ok()).unwrap_or(u32::MAX)
    }
}

/// What is to be done next for a request.
pub enum Step {
    /// Send it: the request is answered.
    Reply(Reply),
    /// Make these calls, all at once, and hand their answers in the same order to [`Exchange::answered`]. A call that
    /// could not be made may be repeated: the channel knows a publish that it has.
    Calls(Vec<ChannelCall>, Exchange),
    /// Ask the app's object whether this nonce is new, and tell [`Issue::checked`].
    Nonce(NonceUse, Issue),
}

/// Begins to answer a request. `random` must be new for every request: ids of messages and tokens come of it.
pub fn begin(request: &Request, apps: &Apps, now_ms: u64, random: [u8; 16]) -> Step {
    let form = Form::of(request);
    if request.method == "OPTIONS" {
        return Step::Reply(reply::preflight());
    }
    let route = match Route::find(&request.path) {
        Ok(route) => route,
        Err(error) => return Step::Reply(form.error(&error)),
    };
    if !route.allows(&request.method) {
        return Step::Reply(form.method_not_allowed(route.methods()));
    }
    dispatch(request, route, form, &Context { apps, now_ms, random })
        .unwrap_or_else(|error| Step::Reply(form.error(&error)))
}

/// Refuses a request that cannot even begin, in the form that it asked for.
pub fn refuse(request: &Request, error: &ErrorInfo) -> Reply {
    Form::of(request).error(error)
}

/// What the server brings to a request.
struct Context<'a> {
    apps: &'a Apps,
    now_ms: u64,
    random: [u8; 16],
}

fn dispatch(request: &Request, route: Route, form: Form, context: &Context<'_>) -> Result<Step, ErrorInfo> {
    if let Route::Time = route {
        return Ok(Step::Reply(form.ok(&[context.now_ms])));
    }
    if let Route::RequestToken(key_name) = &route {
        return token::begin(request, key_name, form, context);
    }
    let caller = Caller::authenticate(request, context.apps, context.now_ms)?;
    match route {
        Route::Messages(channel) if request.method == "POST" => {
            publish::begin(request, &channel, &caller, form, context.random)
        }
        Route::Messages(channel) | Route::History(channel) => {
            history::begin(request, &channel, &caller, form, history::Kind::Messages)
        }
        Route::Presence(channel) => presence::begin(request, &channel, &caller, form),
        Route::PresenceHistory(channel) => history::begin(request, &channel, &caller, form, history::Kind::Presence),
        Route::PresenceBatch => presence::begin_batch(request, &caller, form),
        Route::Batch => batch::begin(request, &caller, form, context.random),
        Route::Stats => caller.require_stats().map(|()| Step::Reply(form.ok(&NO_STATS))),
        Route::Time | Route::RequestToken(_) => unreachable!("answered above"),
    }
}

/// None are kept yet; SDKs take an empty page (protocol.md § 21).
const NO_STATS: [(); 0] = [];

/// A request whose answer waits for channels.
pub struct Exchange {
    form: Form,
    pending: Pending,
}

enum Pending {
    Publish(publish::Pending),
    Batch(batch::Pending),
    History(history::Pending),
    Presence(presence::Pending),
    PresenceBatch(presence::Batch),
}

impl Exchange {
    /// Goes on with one answer for each call, in the order of the calls.
    pub fn answered(self, answers: Vec<Answer<Response>>) -> Step {
        let form = self.form;
        let reply = match self.pending {
            Pending::Publish(pending) => pending.answered(form, only(answers)),
            Pending::Batch(pending) => Ok(pending.answered(form, answers)),
            Pending::History(pending) => pending.answered(form, only(answers)),
            Pending::Presence(pending) => pending.answered(form, only(answers)),
            Pending::PresenceBatch(pending) => Ok(pending.answered(form, answers)),
        };
        Step::Reply(reply.unwrap_or_else(|error| form.error(&error)))
    }
}

/// The answer to a single call.
fn only(answers: Vec<Answer<Response>>) -> Answer<Response> {
    answers.into_iter().next().unwrap_or_else(|| Err(unanswered()))
}

fn unanswered() -> ErrorInfo {
    Code::InternalChannel.because("the channel did not answer; try again")
}
