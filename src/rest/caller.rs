//! Who asks, and what they may: credentials checked once, before anything is read of what they want.

use std::rc::Rc;

use super::Context;
use crate::auth::{App, Credentials, Grant, Identity, Operations, Presented, Surface};
use crate::error::{Code, ErrorInfo};
use crate::http::Request;
use crate::model::name::ChannelName;
use crate::rpc::{self, Address, AppCall, AppRequest, ChannelCall, Rules};

pub struct Caller {
    grant: Grant,
    app: Rc<App>,
    is_secure: bool,
}

impl Caller {
    /// Fails as [`Credentials::parse`] and [`Attempts::verify`](crate::auth::Attempts::verify) do.
    pub fn authenticate(request: &Request, context: &mut Context<'_>) -> Result<Caller, ErrorInfo> {
        let credentials = credentials(request)?;
        let app = context.apps.get(credentials.app_id());
        let grant = context.attempts.verify(&credentials, app.map(Rc::as_ref), &request.address, context.now_ms)?;
        let app = app.cloned().ok_or(Code::BadCredentials)?;
        Ok(Caller { grant, app, is_secure: request.is_secure })
    }

    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// A text that those who have this key, or its tokens, can bring back and not read. `None` for a key that is no
    /// more.
    pub fn seal(&self, purpose: &str, text: &str) -> Option<Vec<u8>> {
        let key = self.app.key(&self.grant.key_name)?;
        Some(key.secret.seal(&format!("{purpose} {}", key.name), text))
    }

    /// What was sealed for the same purpose and key.
    pub fn unseal(&self, purpose: &str, sealed: &[u8]) -> Option<String> {
        let key = self.app.key(&self.grant.key_name)?;
        key.secret.open(&format!("{purpose} {}", key.name), sealed)
    }

    pub fn app(&self) -> &App {
        &self.app
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
            true => self.admit(channel),
            false => Err(Code::NotPermitted.because("the capability does not allow to read who is present here")),
        }
    }

    pub fn rules(&self, channel: &ChannelName) -> Rules {
        Rules::on(&self.app, channel)
    }

    /// A call to the channel that owns a name.
    pub fn call(&self, channel: &ChannelName, request: rpc::Request) -> ChannelCall {
        let to = Address { app: self.app.id().clone(), channel: channel.owner() };
        ChannelCall { to, rules: self.rules(channel), request }
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
