//! MQTT at the edge: who comes is only known from the first packet, so the router takes the WebSocket, reads that, and
//! then passes on what comes, by what the [`Gate`] says.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, FutureExt, select};
use js_sys::{ArrayBuffer, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use worker::worker_sys::web_sys::{MessageEvent, Request as RawRequest, Response as RawResponse};
use worker::{Delay, Env, EventStream, Response, Result, WebSocket, WebSocketPair, WebsocketEvent};

use super::platform::{self, Socket, now_ms, random_id};
use super::router::{
    ATTEMPTS, Arrival, COUNTED, Entrance, hand_over, take, tells_by_socket, told_by_socket, write_reply,
};
use super::{config, directory};
use crate::auth::{Credentials, Presented, Surface};
use crate::error::Code;
use crate::http;
use crate::intake::mqtt;
use crate::limits::{MQTT_EARLY_MAX_BYTES, MQTT_PACKET_MAX_BYTES};
use crate::protocol::door::Door;
use crate::protocol::mqtt::connect::Connect;
use crate::protocol::mqtt::gate::{self, Gate, Step};
use crate::protocol::mqtt::reason;
use crate::relay::session::Opening;
use crate::rpc::placement::Region;
use crate::rpc::{Answer, homes};

const PROTOCOL: &str = "sec-websocket-protocol";

/// A client that wants to speak MQTT, by what its request says.
pub struct Knocker {
    address: String,
    is_secure: bool,
    region: Region,
    /// The subprotocol that it is told, if it asked for one.
    protocol: Option<&'static str>,
}

/// Whether a request for a WebSocket is one for MQTT.
pub fn at(head: &http::Request) -> Option<Knocker> {
    let protocol = gate::subprotocol(head.headers.sec_websocket_protocol.as_deref().unwrap_or_default());
    gate::is_at(&head.path, protocol.is_some()).then(|| {
        let http::Request { address, is_secure, region, .. } = head;
        Knocker { address: address.clone(), is_secure: *is_secure, region: *region, protocol }
    })
}

pub fn connect(knocker: Knocker, Arrival { raw, head }: &Arrival, env: &Env) -> Result<RawResponse> {
    if !tells_by_socket(env, &knocker.address) {
        let error = Code::Unavailable.because("no more clients can be told why they are not let in; try again");
        return write_reply(http::refuse(head, &error)).map(RawResponse::from);
    }
    platform::mark_told(raw);
    let pair = WebSocketPair::new()?;
    pair.server.accept()?;
    let (server, env, protocol) = (pair.server, env.clone(), knocker.protocol);
    // Another name of the same: a method of its own makes it anew.
    let raw: RawRequest = Clone::clone(raw);
    spawn_local(async move { serve(server, &raw, knocker, &env).await });
    let response = Response::from_websocket(pair.client)?;
    if let Some(protocol) = protocol {
        response.headers().set(PROTOCOL, protocol)?;
    }
    Ok(response.into())
}

/// A WebSocket: what it sends, and its end.
struct Line<'a> {
    socket: &'a WebSocket,
    events: EventStream<'a>,
}

/// What came over one.
enum Came {
    Bytes(JsValue),
    Text,
    End,
}

impl<'a> Line<'a> {
    fn of(socket: &'a WebSocket) -> Result<Line<'a>> {
        let raw: &JsValue = socket.as_ref();
        let _ = Reflect::set(raw, &"binaryType".into(), &"arraybuffer".into());
        Ok(Line { socket, events: socket.events()? })
    }

    async fn next(&mut self) -> Came {
        match self.events.next().await {
            Some(Ok(WebsocketEvent::Message(message))) => {
                let event: &MessageEvent = message.as_ref();
                let data = event.data();
                if data.is_instance_of::<ArrayBuffer>() { Came::Bytes(data) } else { Came::Text }
            }
            _ => Came::End,
        }
    }

    fn raw(&self) -> &Socket {
        let raw: &JsValue = self.socket.as_ref();
        raw.unchecked_ref()
    }

    /// One that is closing refuses, and says so by its end.
    fn send(&self, data: &JsValue) {
        let _ = self.raw().send(data);
    }

    fn send_bytes(&self, bytes: &[u8]) {
        self.send(&Uint8Array::from(bytes).into());
    }

    fn close(&self) {
        let _ = self.raw().close(1000, "");
    }
}

async fn serve(server: WebSocket, raw: &RawRequest, knocker: Knocker, env: &Env) {
    let Ok(mut client) = Line::of(&server) else { return };
    let mut gate = Gate::new(now_ms());
    let Knocker { address, is_secure, region, .. } = knocker;
    if let Some(connect) = knock(&mut client, &mut gate).await {
        let entering = enter(env, connect.clone(), (address.clone(), is_secure, region));
        match wait(&mut client, &mut gate, entering.boxed_local()).await {
            Some(Ok(response)) => {
                pass(&mut client, &mut gate, &connect, response).await;
                return client.close();
            }
            Some(Err(error)) => {
                let refusal = gate::refusal(&connect, reason::of_connect(&error), &error.message);
                refusal.iter().for_each(|packet| client.send_bytes(packet));
            }
            None => {}
        }
    }
    told_by_socket(&address);
    platform::end(raw, client.raw());
}

/// A client of MQTT whose first packet is read: the response with its object's socket.
async fn enter(
    env: &Env,
    connect: Connect,
    (address, is_secure, region): (String, bool, Region),
) -> Answer<RawResponse> {
    let query = mqtt::presented(&connect);
    let presented = Presented { authorization: None, client_id: None, query: &query };
    let mut app = None;
    let entered = async {
        config::serving(env)?;
        take(&address)?;
        let credentials = Credentials::parse(&presented, Surface::Realtime)?;
        app = directory::is_known(env, credentials.app_id()).then(|| credentials.app_id().clone());
        let found = directory::find(env, credentials.app_id(), &address).await?;
        let known = found.as_ref().map(|found| &*found.app);
        let verified = ATTEMPTS.with_borrow_mut(|attempts| attempts.verify(&credentials, known, &address, now_ms()));
        let (mut grant, found) = (verified?, found.ok_or(Code::BadCredentials)?);
        let client = mqtt::admit(connect, &mut grant, &found.app, (&random_id(), is_secure))?;
        let mut opening = Opening::from_query(grant, &[], is_secure);
        let home = (homes::of_client(&client.client_id), client.is_kept());
        opening.enter_by(Door::Mqtt(client.into()));
        hand_over(env, Entrance { opening, channel: None, mode: None, home: Some(home) }, region).await
    };
    let entered = entered.await;
    if let Err(error) = &entered {
        COUNTED.with_borrow_mut(|counted| counted.refused_connection(app.as_ref(), error.code, now_ms()));
    }
    entered
}

/// Waits for the first packet. `None` when there is none that lets anyone in.
async fn knock(client: &mut Line<'_>, gate: &mut Gate) -> Option<Connect> {
    loop {
        let due = Delay::from(Duration::from_millis(gate.due_ms()?.saturating_sub(now_ms())));
        let step = match select(client.next().boxed_local(), due).await {
            Either::Left((Came::Bytes(data), _)) => gate.knock(&early(&data)),
            Either::Left((Came::Text | Came::End, _)) | Either::Right(_) => return None,
        };
        match step {
            None => {}
            Some(Step::Enter(connect)) => return Some(*connect),
            Some(Step::End(said)) => {
                said.iter().for_each(|packet| client.send_bytes(packet));
                return None;
            }
            Some(Step::Pass(_) | Step::Tell(_)) => return None,
        }
    }
}

/// Keeps what the client says until it is known whether it comes in. `None` when it is gone, or says too much.
async fn wait<T>(client: &mut Line<'_>, gate: &mut Gate, mut entering: impl Future<Output = T> + Unpin) -> Option<T> {
    loop {
        match select(client.next().boxed_local(), &mut entering).await {
            Either::Left((Came::Bytes(data), _)) if gate.keep(&early(&data)) => {}
            Either::Left(_) => return None,
            Either::Right((entered, _)) => return Some(entered),
        }
    }
}

/// From now on what one side says reaches the other.
async fn pass(client: &mut Line<'_>, gate: &mut Gate, connect: &Connect, response: RawResponse) {
    let Some(inner) = Response::from(response).websocket().filter(|socket| socket.accept().is_ok()) else { return };
    let Ok(mut object) = Line::of(&inner) else { return };
    let mut goes_on = perform(client, &object, gate.enter(connect, now_ms()));
    while goes_on {
        let steps = match hear(client, &mut object, gate.due_ms()).await {
            Heard::Client(Came::Bytes(data)) => {
                goes_on = pieces(&data).all(|piece| perform(client, &object, gate.take(&piece, now_ms())));
                continue;
            }
            Heard::Client(Came::Text) => vec![gate.text()],
            Heard::Client(Came::End) | Heard::Object(Came::End) => break,
            Heard::Object(Came::Bytes(data)) => {
                gate.sent();
                client.send(&data);
                continue;
            }
            Heard::Object(Came::Text) => continue,
            Heard::Nothing => gate.tick(now_ms()).into_iter().collect(),
        };
        goes_on = perform(client, &object, steps);
    }
    object.close();
}

enum Heard {
    Client(Came),
    Object(Came),
    /// Until something was due.
    Nothing,
}

async fn hear(client: &mut Line<'_>, object: &mut Line<'_>, due_ms: Option<u64>) -> Heard {
    let silence = async {
        match due_ms.map(|due_ms| due_ms.saturating_sub(now_ms())) {
            Some(left_ms) => Delay::from(Duration::from_millis(left_ms)).await,
            None => std::future::pending().await,
        }
    };
    let came = select(client.next().boxed_local(), object.next().boxed_local());
    match select(came, silence.boxed_local()).await {
        Either::Left((Either::Left((came, _)), _)) => Heard::Client(came),
        Either::Left((Either::Right((came, _)), _)) => Heard::Object(came),
        Either::Right(_) => Heard::Nothing,
    }
}

/// Gives whether the connection goes on.
fn perform(client: &Line<'_>, object: &Line<'_>, steps: Vec<Step>) -> bool {
    for step in steps {
        match step {
            Step::Pass(packets) => object.send_bytes(&packets),
            Step::Tell(packet) => client.send_bytes(&packet),
            Step::End(said) => {
                said.iter().for_each(|packet| client.send_bytes(packet));
                return false;
            }
            Step::Enter(_) => {}
        }
    }
    true
}

/// What came of a client that is not in yet: no more than shows that it is too much.
fn early(data: &JsValue) -> Vec<u8> {
    Uint8Array::new(data).subarray(0, MQTT_EARLY_MAX_BYTES as u32 + 1).to_vec()
}

/// What came, piece by piece: a frame may have all that the platform takes, and memory that was needed once stays
/// taken.
fn pieces(data: &JsValue) -> impl Iterator<Item = Vec<u8>> {
    let (frame, most) = (Uint8Array::new(data), MQTT_PACKET_MAX_BYTES as u32);
    (0..frame.length()).step_by(MQTT_PACKET_MAX_BYTES).map(move |at| frame.subarray(at, at + most).to_vec())
}
