//! A request, and the headers of it that matter.

use serde_json::{Value, json};

use super::reply::{Browser, Reply};
use crate::model::trace::Trace;
use crate::protocol::agent;
use crate::rpc::placement::Region;

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
    /// Where it came to: host and port as the URL has them.
    pub host: String,
    /// Whether it came over TLS.
    pub is_secure: bool,
    /// Where it came from, as [`origin`](super::addresses::origin) has it; empty when that is not known.
    pub address: String,
    pub region: Region,
    /// At most as many bytes as [`crate::rest::admit`] gives, and one more: the shell need read no further,
    /// because that is refused.
    pub body: Vec<u8>,
}

/// The headers that matter, by their names in lower case.
#[derive(Clone, Default)]
pub struct Headers {
    pub authorization: Option<String>,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub accept: Option<String>,
    pub access_control_request_headers: Option<String>,
    /// The last event that a stream's reader has had.
    pub last_event_id: Option<String>,
    pub sec_websocket_protocol: Option<String>,
    pub upgrade: Option<String>,
    pub x_ably_clientid: Option<String>,
    pub x_ably_connectionkey: Option<String>,
    /// What the SDK for .NET calls `X-Ably-DeviceToken`.
    pub x_ably_deviceidentitytoken: Option<String>,
    pub x_ably_devicesecret: Option<String>,
    pub x_ably_devicetoken: Option<String>,
    pub x_ably_encoding: Option<String>,
    pub x_ably_messageid: Option<String>,
    pub x_ably_name: Option<String>,
    pub x_ably_version: Option<String>,
    pub ably_agent: Option<String>,
    /// The site of the page that sends the request, as browsers say.
    pub origin: Option<String>,
    pub traceparent: Option<String>,
}

impl Headers {
    pub fn name_an_sdk(&self) -> bool {
        self.ably_agent.is_some() || self.x_ably_version.is_some()
    }

    /// A push device's token, by either name of its header.
    pub fn device_token(&self) -> Option<&str> {
        self.x_ably_devicetoken.as_deref().or(self.x_ably_deviceidentitytoken.as_deref())
    }

    pub fn browser(&self) -> Browser {
        Browser { origin: self.origin.clone(), wanted_headers: self.access_control_request_headers.clone() }
    }

    /// Whether a WebSocket is asked for.
    pub fn ask_for_a_socket(&self) -> bool {
        self.upgrade.as_deref().is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
    }
}

/// SDKs that write the spaces of a path as a form has them. They write no plus of a name as it is.
const WRITE_SPACES_AS_PLUS: [&str; 3] = ["python", "ruby", "php"];

/// SDKs that wait only where the upgrade itself is refused. Told on a WebSocket to come back, that for Go does so at
/// once, again and again, and that for Python waits until it takes the connection for dead.
const WAIT_BY_STATUS: [&str; 2] = ["go", "python"];

/// SDKs that find a link only behind the name of its header, so not one that is behind another link.
const FIND_LINKS_BY_NAME: [&str; 1] = ["php"];

impl Request {
    /// A query parameter that is there and not empty.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// The trace that it is part of.
    pub fn trace(&self) -> Option<Trace<'_>> {
        Trace::read(self.headers.traceparent.as_deref()?)
    }

    /// What the log says of a request of a trace that this server failed to answer: its path may name what is nobody
    /// else's.
    pub fn failure(&self, reply: &Reply) -> Option<Value> {
        let trace = self.trace().filter(|_| reply.status >= 500)?;
        Some(
            json!({ "event": "request failed", "method": self.method, "status": reply.status, "code": reply.code().map(|code| code.to_string()),
                     "traceId": trace.id() }),
        )
    }

    /// Of the body, without parameters; empty when the client does not say.
    pub fn media_type(&self) -> &str {
        let content_type = self.headers.content_type.as_deref().unwrap_or_default();
        content_type.split(';').next().unwrap_or_default().trim()
    }

    /// The path, with its spaces as they should be.
    pub fn plain_path(&self) -> String {
        match self.is_by(&WRITE_SPACES_AS_PLUS) {
            true => self.path.replace('+', "%20"),
            false => self.path.clone(),
        }
    }

    /// Whether this WebSocket is better not opened when its client is to come back later.
    pub fn waits_by_status(&self) -> bool {
        self.is_by(&WAIT_BY_STATUS)
    }

    /// Stands between two links of an answer.
    pub fn between_links(&self) -> &'static str {
        if self.is_by(&FIND_LINKS_BY_NAME) { ", Link: " } else { ", " }
    }

    fn is_by(&self, languages: &[&str]) -> bool {
        self.headers.ably_agent.as_deref().is_some_and(|agent| agent::is_for(agent, languages))
    }

    /// Where SDKs find this server, in the fields that they read it from (protocol.md § 12.4).
    pub fn place(&self) -> [(String, Value); 3] {
        let (name, port) = match self.host.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
            Some((name, Ok(port))) => (name, port),
            _ => (self.host.as_str(), if self.is_secure { 443 } else { 80 }),
        };
        let port_field = if self.is_secure { "tlsPort" } else { "port" };
        [("endpoint", name.into()), (port_field, port.into()), ("tls", self.is_secure.into())]
            .map(|(field, value)| (field.to_owned(), value))
    }

    /// The protocol version that the client speaks; the latest when it doesn't say. The oldest have a fraction.
    pub fn version(&self) -> u32 {
        let stated = self.headers.x_ably_version.as_deref().or_else(|| self.parameter("v"));
        let whole = stated.and_then(|version| version.split('.').next()?.trim().parse().ok());
        whole.unwrap_or(u32::MAX)
    }
}
