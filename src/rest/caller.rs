//! Who asks, and what they may: credentials checked once, before anything is read of what they want.

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use super::Context;
use super::page::bad_cursor;
#[cfg(feature = "pusher")]
use crate::auth::KeyName;
use crate::auth::{App, Credentials, Grant, Identity, Key, Operations, Presented, Reach, Surface};
use crate::error::{Code, ErrorInfo};
use crate::http::Request;
use crate::intake::publish::check_rules;
use crate::limits::MESSAGE_MAX_BYTES;
use crate::model::name::ChannelName;
use crate::model::trace::Trace;
use crate::rpc::{self, Address, AppCall, AppRequest, ChannelCall, Publish, Rules, Submission};

pub struct Caller {
    grant: Grant,
    /// The key of an operator's token, which no app has.
    operators: Option<Key>,
    app: Rc<App>,
    is_secure: bool,
    /// The trace that the request is part of.
    trace: Option<String>,
}

impl Caller {
    /// Fails as [`Credentials::parse`] and [`Attempts::verify`](crate::auth::Attempts::verify) do.
    pub fn authenticate(request: &Request, context: &mut Context<'_>) -> Result<Caller, ErrorInfo> {
        let credentials = credentials(request)?;
        let is_of_console = credentials.reach() == Some(Reach::Channels);
        let operators = if is_of_console { context.admin.operators() } else { None };
        let credentials = credentials.or_of(operators.as_ref());
        let app = context.apps.get(credentials.app_id());
        let grant = context.attempts.verify(&credentials, app.map(Rc::as_ref), &request.address, context.now_ms)?;
        let app = app.cloned().ok_or(Code::BadCredentials)?;
        let operators = credentials.into_operators();
        Ok(Caller { grant, operators, app, is_secure: request.is_secure, trace: traced(request) })
    }

    /// Who proved by a signature to have the secret of a key.
    #[cfg(feature = "pusher")]
    pub fn of_key(app: Rc<App>, name: &KeyName, request: &Request) -> Option<Caller> {
        let grant = Grant::of_key(name.clone(), app.key(name)?.capability.clone());
        Some(Caller { grant, operators: None, app, is_secure: request.is_secure, trace: traced(request) })
    }

    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    pub fn into_grant(self) -> Grant {
        self.grant
    }

    /// The key that it has, or that signed its token. `None` for one that is no more.
    fn key(&self) -> Option<&Key> {
        self.operators.as_ref().or_else(|| self.app.key(&self.grant.key_name))
    }

    /// The cursor of the next page, which names an entry that the caller may not be allowed to see. So only those who
    /// have this key, or its tokens, can bring it back, and they cannot read it. `None` for a key that is no more.
    pub fn cursor(&self, purpose: &str, text: &str) -> Option<String> {
        let key = self.key()?;
        Some(BASE64URL.encode(key.secret.seal(&format!("{purpose} {}", key.name), text)))
    }

    /// The text of a request's cursor, if it has one. Fails with 40003 for what [`Caller::cursor`] did not give for the
    /// same purpose and key.
    pub fn after(&self, purpose: &str, request: &Request) -> Result<Option<String>, ErrorInfo> {
        let Some(cursor) = request.parameter("cursor") else { return Ok(None) };
        let open = || {
            let key = self.key()?;
            key.secret.open(&format!("{purpose} {}", key.name), &BASE64URL.decode(cursor).ok()?)
        };
        open().map(Some).ok_or_else(bad_cursor)
    }

    /// The client that a summary is asked for: the one that the request names, or the caller. Fails with 40012 for
    /// none.
    pub fn client_asked_for<'a>(&'a self, request: &'a Request) -> Result<&'a str, ErrorInfo> {
        let client_id = request.parameter("forClientId").or_else(|| self.identity().name());
        let client_id = client_id.filter(|client_id| *client_id != "*");
        client_id.ok_or_else(|| Code::BadClientId.because("forClientId must name one client"))
    }

    pub fn app(&self) -> &App {
        &self.app
    }

    pub fn shared_app(&self) -> Rc<App> {
        self.app.clone()
    }

    pub fn identity(&self) -> &Identity {
        &self.grant.client_id
    }

    /// What to ask the app before anything is done for this caller: whether the token was revoked. Only of tokens that
    /// can be: all others cost no call. It is asked each time, so that a revocation holds at once.
    pub fn check(&self) -> Option<AppCall> {
        let call = || AppCall { app: self.app.id().clone(), request: AppRequest::Check(self.grant.clone()) };
        self.app.is_revocable(&self.grant).then(call)
    }

    /// Fails with 40160 when the capability does not allow to publish there, and as
    /// [`admit`](crate::auth::Rules::admit) does.
    pub fn require_publish(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        self.require(channel, Operations::PUBLISH, "publish on this channel")
    }

    /// What the capability allows on a channel. Fails as [`admit`](crate::auth::Rules::admit) does.
    pub fn operations(&self, channel: &ChannelName) -> Result<Operations, ErrorInfo> {
        self.admit(channel).map(|()| self.grant.capability.operations(channel))
    }

    pub fn require_history(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        self.require(channel, Operations::HISTORY, "read this channel's history")
    }

    pub fn require_annotate(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        self.require(channel, Operations::ANNOTATION_PUBLISH, "annotate on this channel")
    }

    pub fn require_annotations(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        self.require(channel, Operations::ANNOTATION_SUBSCRIBE, "read annotations on this channel")
    }

    pub fn require_subscribe(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        self.require(channel, Operations::SUBSCRIBE, "subscribe to this channel")
    }

    pub fn require_metadata(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        self.require(channel, Operations::CHANNEL_METADATA, "see this channel's status")
    }

    /// Somewhere at least.
    pub fn require_any_metadata(&self) -> Result<(), ErrorInfo> {
        match self.grant.capability.allows_anywhere(Operations::CHANNEL_METADATA) {
            true => Ok(()),
            false => Err(Code::NotPermitted.because("the capability does not allow to see any channel's status")),
        }
    }

    /// Fails with 40160 when the capability does not allow it on `*`: statistics are of the whole app.
    pub fn require_stats(&self) -> Result<(), ErrorInfo> {
        match self.grant.capability.on_everything().contains(Operations::STATS) {
            true => Ok(()),
            false => Err(Code::NotPermitted.because("the capability does not allow to see statistics")),
        }
    }

    fn require(&self, channel: &ChannelName, operations: Operations, what: &str) -> Result<(), ErrorInfo> {
        if !self.grant.permits(channel, operations) {
            if !Operations::READING.contains(operations) {
                channel.owner().refuse_view()?;
            }
            return Err(Code::NotPermitted.because(format!("the capability does not allow to {what}")));
        }
        self.admit(channel)
    }

    /// Fails with 40160 when the capability has none of these, and as [`admit`](crate::auth::Rules::admit) does.
    pub fn require_any_of(&self, channel: &ChannelName, any: &[Operations], what: &str) -> Result<(), ErrorInfo> {
        match any.iter().any(|operations| self.grant.permits(channel, *operations)) {
            true => self.admit(channel),
            false => Err(Code::NotPermitted.because(format!("the capability does not allow to {what}"))),
        }
    }

    fn admit(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        channel.refuse_filter()?;
        // Who may take any name, for each message, is not an anonymous client.
        self.app.rules(channel).admit(self.grant.client_id != Identity::Anonymous, self.is_secure)
    }

    /// Who may be told of members, or be one, may ask who is there.
    pub fn require_presence(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        let operations = self.grant.capability.operations(channel);
        match operations.contains(Operations::PRESENCE) || operations.contains(Operations::SUBSCRIBE) {
            true => channel.refuse_view().and_then(|()| self.admit(channel)),
            false => Err(Code::NotPermitted.because("the capability does not allow to read who is present here")),
        }
    }

    pub fn rules(&self, channel: &ChannelName) -> Rules {
        Rules::on(&self.app, channel)
    }

    /// Fails with 40009 where the namespace allows less than this.
    pub fn require_room(&self, channel: &ChannelName, content: &Submission) -> Result<(), ErrorInfo> {
        check_rules(content, self.app.rules(channel))
    }

    /// What is published is part of the trace of its request, where a namespace says so (docs/webhooks.md).
    fn trace(&self, publish: &mut Publish) {
        let trace = self.trace.as_deref().and_then(Trace::read);
        if let (Submission::Messages(messages), Some(trace)) = (&mut publish.content, trace) {
            trace.put_in(messages, MESSAGE_MAX_BYTES);
        }
    }

    /// A call to the channel that owns a name.
    pub fn call(&self, channel: &ChannelName, mut request: rpc::Request) -> ChannelCall {
        if let (rpc::Request::Publish(publishes), true) = (&mut request, self.app.rules(channel).traced) {
            publishes.iter_mut().for_each(|publish| self.trace(publish));
        }
        let to = Address { app: self.app.id().clone(), channel: channel.owner() };
        ChannelCall { to, rules: self.rules(channel), request }
    }
}

fn traced(request: &Request) -> Option<String> {
    request.trace().map(|trace| trace.as_str().to_owned())
}

/// Whether a request that was let in comes of who has the secret of a key: shown with it, or signed by it.
pub fn has_secret(request: &Request) -> bool {
    match credentials(request) {
        Ok(credentials) => credentials.are_a_secret(),
        Err(_) => request.parameter("auth_signature").is_some(),
    }
}

/// Fails as [`Credentials::parse`] does.
pub fn credentials(request: &Request) -> Result<Credentials, ErrorInfo> {
    let presented = Presented {
        authorization: request.headers.authorization.as_deref(),
        client_id: request.headers.x_ably_clientid.as_deref(),
        query: &request.query,
    };
    Credentials::parse(&presented, Surface::Rest)
}
