//! The Worker: reads the URL, checks credentials, chooses the object. Keeps nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};
use worker::{Context, Env, Headers, Request, Response, Result, WebSocketPair, event};

use super::platform::{Socket, frame_value, now_ms};
use super::{calls, config};
use crate::auth::{Credentials, Presented, Surface};
use crate::call::{self, Address, Rules};
use crate::error::ErrorInfo;
use crate::name::ChannelName;
use crate::relay::session::Opening;
use crate::wire::outbound::Outbound;
use crate::wire::{Format, action};

/// Carries a [`Handover`] from the router to an object. Set by us on every upgrade, so a client's own is overwritten.
const HANDOVER: &str = "courtside-handover";

/// A connection on its way to the object that will hold it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    pub opening: Opening,
    /// The channel whose own object is to hold it.
    pub channel: Option<(Address, Rules)>,
}

impl Handover {
    pub fn read(headers: &Headers) -> Result<Option<Handover>> {
        let Some(text) = headers.get(HANDOVER)? else { return Ok(None) };
        let bytes = BASE64URL.decode(text).map_err(|error| worker::Error::RustError(error.to_string()))?;
        call::decode(&bytes).map(Some).map_err(|error| worker::Error::RustError(error.message))
    }

    /// The object's class and name.
    fn object(&self) -> (&'static str, String) {
        match &self.channel {
            Some((address, _)) => (calls::CHANNEL, address.object_name()),
            None => (calls::RELAY, format!("{}/0", self.opening.grant.app().as_str())),
        }
    }
}

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let upgrade = request.headers().get("upgrade")?;
    if upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
        return connect(request, &env).await;
    }
    if request.path() == "/" {
        return env.assets("ASSETS")?.fetch_request(request).await;
    }
    Response::error("Not here yet", 404)
}

/// A WebSocket. Whatever is wrong is said in the protocol: a refused upgrade tells a browser nothing (protocol.md § 2).
async fn connect(request: Request, env: &Env) -> Result<Response> {
    let query: Vec<(String, String)> = request.url()?.query_pairs().into_owned().collect();
    let format = if query.iter().any(|(name, value)| name == "format" && value == "msgpack") {
        Format::Msgpack
    } else {
        Format::Json
    };
    let authorization = request.headers().get("authorization")?;
    let handover = match hand_over(env, authorization.as_deref(), &query) {
        Ok(handover) => handover,
        Err(error) => return refuse(&error, format),
    };
    let (class, name) = handover.object();
    let headers = Headers::new();
    headers.set("upgrade", "websocket")?;
    headers.set(HANDOVER, &BASE64URL.encode(call::encode(&handover)))?;
    let mut init = worker::RequestInit::new();
    init.with_headers(headers);
    calls::stub(env, class, &name)?.fetch_with_request(Request::new_with_init("https://object/connect", &init)?).await
}

fn hand_over(
    env: &Env,
    authorization: Option<&str>,
    query: &[(String, String)],
) -> std::result::Result<Handover, ErrorInfo> {
    let apps = config::apps(env)?;
    let presented = Presented { authorization, client_id: None, query };
    let credentials = Credentials::parse(&presented, Surface::Realtime)?;
    let app = apps.get(credentials.app_id());
    let grant = credentials.verify(app.map(AsRef::as_ref), now_ms())?;
    let named =
        query.iter().find(|(name, _)| name == "channel").map(|(_, value)| ChannelName::parse(value)).transpose()?;
    let channel = named.zip(app).map(|(name, app)| {
        let rules = Rules::of(app.rules(&name));
        (Address { app: app.id().clone(), channel: name.owner() }, rules)
    });
    Ok(Handover { opening: Opening::from_query(grant, query), channel })
}

/// Accepts, says what is wrong, and closes. What may pass is told as DISCONNECTED, so that the client tries again.
pub fn refuse(error: &ErrorInfo, format: Format) -> Result<Response> {
    let pair = WebSocketPair::new()?;
    pair.server.accept()?;
    let action = if error.status_code >= 500 { action::DISCONNECTED } else { action::ERROR };
    let frame = Outbound { action, error: Some(error), ..Outbound::default() }.encode(format);
    let socket: Socket = wasm_bindgen::JsCast::unchecked_into(wasm_bindgen::JsValue::from(pair.server.as_ref()));
    let said = socket.send(&frame_value(&frame)).and_then(|()| socket.close(1000, ""));
    said.map_err(worker::Error::from)?;
    Response::from_websocket(pair.client)
}
