//! MQTT at the edge: who comes is only known from the first packet, so the router takes the WebSocket, reads that, and
//! then passes on what comes, by what the [`Gate`] says.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, FutureExt, select};
use js_sys::{ArrayBuffer, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use worker::worker_sys::web_sys::{MessageEvent, Response as RawResponse};
use worker::{Delay, Env, EventStream, Response, Result, WebSocket, WebSocketPair, WebsocketEvent};

use super::platform::{self, Socket, now_ms, random_bytes, random_id};
use super::router::{self, Arrival, decide, with, write_reply};
use crate::limits::{MQTT_EARLY_MAX_BYTES, MQTT_PACKET_MAX_BYTES};
use crate::protocol::mqtt::connect::Connect;
use crate::protocol::mqtt::gate::{Gate, Step};
use crate::protocol::mqtt::partials::Partials;
use crate::router::{Client, Refusal, Way};

const PROTOCOL: &str = "sec-websocket-protocol";

thread_local! {
    static PARTIALS: Partials = Partials::default();
}

pub fn connect(protocol: Option<&str>, arrival: Arrival, env: &Env) -> Result<RawResponse> {
    if let Some(reply) = decide(env, |router, moment| router.refuse_unopened(&arrival.head, moment)) {
        return write_reply(reply).map(RawResponse::from);
    }
    platform::mark_told(&arrival.raw);
    let pair = WebSocketPair::new()?;
    pair.server.accept()?;
    let (server, env) = (pair.server, env.clone());
    spawn_local(async move { serve(server, arrival, &env).await });
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

async fn serve(server: WebSocket, arrival: Arrival, env: &Env) {
    let Ok(mut client) = Line::of(&server) else { return };
    let room = router::unproven(&arrival.head.address);
    let mut gate = PARTIALS.with(|partials| Gate::new(now_ms()).among(partials, room));
    // Another name of the same: a method of its own makes it anew.
    let (raw, address) = (Clone::clone(&arrival.raw), arrival.head.address.clone());
    if let Some(connect) = knock(&mut client, &mut gate).await {
        let entering = enter(arrival, env, connect.clone());
        match wait(&mut client, &mut gate, entering.boxed_local()).await {
            Some(Ok(response)) => {
                with(|router| router.let_in(&address));
                pass(&mut client, &mut gate, &connect, response).await;
                return client.close();
            }
            Some(Err(Refusal::Socket(packet))) => platform::send(&[client.raw()], &packet),
            Some(Err(Refusal::Reply(_))) | None => {}
        }
    }
    platform::end(&raw, client.raw());
}

/// A client whose first packet is read: the response with its object's socket.
async fn enter(
    Arrival { raw, head }: Arrival,
    env: &Env,
    connect: Connect,
) -> std::result::Result<RawResponse, Refusal> {
    let way = Way::Mqtt { connect: connect.into(), fresh_id: random_id() };
    let client = Client::new(&head, &way, u64::from_le_bytes(random_bytes()));
    router::enter(&raw, env, client).await
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
