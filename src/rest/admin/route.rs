//! The paths of what an operator does, and by which methods each is asked.

use crate::auth::KeyName;
use crate::error::{Code, ErrorInfo};
use crate::http::percent;
use crate::intake::parameters::QueryOf;
use crate::model::name::{AppId, ChannelName};

#[derive(Debug, PartialEq)]
pub struct AdminRoute {
    /// None for the whole deployment.
    pub app: Option<AppId>,
    pub matter: Matter,
}

#[derive(Debug, PartialEq)]
pub enum Matter {
    /// `/apps/{app}`
    App,
    /// `/apps/{app}/connections`
    Connections,
    /// `/apps/{app}/connections/{id}/disconnect`; without an id, `/apps/{app}/disconnect`
    Disconnect(Option<String>),
    /// `/apps/{app}/bans`
    Bans,
    /// `/apps/{app}/audit`, `/audit`
    Audit,
    /// `/apps/{app}/tokens`, `/tokens`
    Tokens,
    /// `/apps/{app}/keys`
    Keys,
    /// `/apps/{app}/keys/{key}`
    Key(KeyName),
    /// `/apps/{app}/keys/{key}/rotate`
    Rotation(KeyName),
    /// `/apps/{app}/namespaces`
    Namespaces,
    /// `/apps/{app}/namespaces/{id}`
    Namespace(String),
    /// `/apps/{app}/channels/{channel}/messages`
    Messages(ChannelName),
}

impl AdminRoute {
    /// Fails with 40400 for no app's id.
    pub fn of_app(app: &str, matter: Matter) -> Result<AdminRoute, ErrorInfo> {
        Ok(AdminRoute { app: Some(app_id(app)?), matter })
    }

    /// From the segments behind `apps` and the app's id. Fails with 40400 for other paths.
    pub fn find(app: &str, segments: &[&str]) -> Result<AdminRoute, ErrorInfo> {
        let app = app_id(app)?;
        let key = |id: &str| KeyName::new(app.clone(), id).map_err(|_| Code::NotFound.because("no such key"));
        let matter = match segments {
            ["connections"] => Matter::Connections,
            ["connections", id, "disconnect"] if !id.is_empty() => Matter::Disconnect(Some(decoded(id)?)),
            ["disconnect"] => Matter::Disconnect(None),
            ["bans"] => Matter::Bans,
            ["audit"] => Matter::Audit,
            ["tokens"] => Matter::Tokens,
            ["keys"] => Matter::Keys,
            ["keys", id] => Matter::Key(key(id)?),
            ["keys", id, "rotate"] => Matter::Rotation(key(id)?),
            ["namespaces"] => Matter::Namespaces,
            ["namespaces", id] if !id.is_empty() => Matter::Namespace(decoded(id)?),
            ["channels", channel, "messages"] => Matter::Messages(ChannelName::parse(&decoded(channel)?)?),
            _ => {
                let what = "an app has connections, disconnect, bans, audit, tokens, keys, namespaces and channels/{name}/messages";
                return Err(Code::NotFound.because(format!("there is no such path here: {what}")));
            }
        };
        Ok(AdminRoute { app: Some(app), matter })
    }

    pub fn methods(&self) -> &'static str {
        match self.matter {
            Matter::App => "GET, PATCH, DELETE, OPTIONS",
            Matter::Connections | Matter::Audit => "GET, OPTIONS",
            Matter::Disconnect(_) | Matter::Rotation(_) | Matter::Tokens => "POST, OPTIONS",
            Matter::Bans => "GET, POST, DELETE, OPTIONS",
            Matter::Keys | Matter::Namespaces => "GET, POST, OPTIONS",
            Matter::Key(_) => "PATCH, DELETE, OPTIONS",
            Matter::Namespace(_) => "PUT, DELETE, OPTIONS",
            Matter::Messages(_) => "DELETE, OPTIONS",
        }
    }

    pub fn query_of(&self, method: &str) -> QueryOf {
        match self.matter {
            Matter::Connections => QueryOf::Connections,
            Matter::Bans if method == "DELETE" => QueryOf::Unban,
            Matter::Bans if method != "POST" => QueryOf::Pages,
            Matter::Audit => QueryOf::Pages,
            _ => QueryOf::Plain,
        }
    }
}

fn decoded(segment: &str) -> Result<String, ErrorInfo> {
    percent::decode(segment).ok_or_else(|| Code::NotFound.because("the path is not percent-encoded UTF-8"))
}

fn app_id(text: &str) -> Result<AppId, ErrorInfo> {
    AppId::parse(text).map_err(|_| Code::NotFound.because("no such app"))
}
