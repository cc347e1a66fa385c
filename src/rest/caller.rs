//! Who asks, and what they may: credentials checked once, before anything is read of what they want.

use std::rc::Rc;

use super::Request;
use crate::auth::{App, Apps, Credentials, Grant, Identity, Operations, Presented, Surface};
use crate::call::{self, Address, ChannelCall, Rules};
use crate::error::{Code, ErrorInfo};
use crate::name::{ChannelName, Qualifier};

pub struct Caller {
    grant: Grant,
    app: Rc<App>,
}

impl Caller {
    /// Fails as [`Credentials::parse`] and [`Credentials::verify`] do.
    pub fn authenticate(request: &Request, apps: &Apps, now_ms: u64) -> Result<Caller, ErrorInfo> {
        let credentials = credentials(request)?;
        let app = apps.get(credentials.app_id());
        let grant = credentials.verify(app.map(Rc::as_ref), now_ms)?;
        let app = app.cloned().ok_or(Code::BadCredentials)?;
        Ok(Caller { grant, app })
    }

    pub fn identity(&self) -> &Identity {
        &self.grant.client_id
    }

    /// Fails with 40160 when the capability does not allow to publish there. Nobody publishes on metachannels.
    pub fn require_publish(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        if channel.qualifier() == Qualifier::Meta || !self.grant.permits(channel, Operations::PUBLISH) {
            return Err(Code::NotPermitted.because("the capability does not allow to publish on this channel"));
        }
        Ok(())
    }

    pub fn require_history(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        match self.grant.permits(channel, Operations::HISTORY) {
            true => Ok(()),
            false => Err(Code::NotPermitted.because("the capability does not allow to read this channel's history")),
        }
    }

    /// Who may be told of members, or be one, may ask who is there.
    pub fn require_presence(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        let operations = self.grant.capability.operations(channel);
        match operations.contains(Operations::PRESENCE) || operations.contains(Operations::SUBSCRIBE) {
            true => Ok(()),
            false => Err(Code::NotPermitted.because("the capability does not allow to read who is present here")),
        }
    }

    pub fn require_stats(&self) -> Result<(), ErrorInfo> {
        match self.grant.capability.app_operations().contains(Operations::STATS) {
            true => Ok(()),
            false => Err(Code::NotPermitted.because("the capability does not allow to read statistics")),
        }
    }

    /// A call to the channel that owns a name.
    pub fn call(&self, channel: &ChannelName, request: call::Request) -> ChannelCall {
        let to = Address { app: self.app.id().clone(), channel: channel.owner() };
        ChannelCall { to, rules: Rules::of(self.app.rules(channel)), request }
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
