//! Opening a connection: TCP, the WebSocket upgrade, then the dialect's greeting, all under one deadline.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::args::Target;
use crate::dialect::{Dialect, Opening, Role};

pub type Socket = WebSocketStream<TcpStream>;

/// Bytes read at a time. Each socket keeps a buffer of this size, so thousands of them must stay small; a frame larger
/// than this still arrives whole.
const READ_BYTES: usize = 16 * 1024;

/// A connection on which the dialect says that it is ready.
pub async fn open(dialect: &dyn Dialect, target: &Target, role: Role) -> Result<Socket, String> {
    let deadline = Duration::from_secs(target.deadline_seconds);
    timeout(deadline, greet(dialect, target, role)).await.map_err(|_| format!("not ready within {deadline:?}"))?
}

async fn greet(dialect: &dyn Dialect, target: &Target, role: Role) -> Result<Socket, String> {
    let mut socket = upgrade(&dialect.url(target, role)).await?;
    let mut step = dialect.opening(target, role, None)?;
    loop {
        match step {
            Opening::Ready => return Ok(socket),
            Opening::Send(frame) => send(&mut socket, frame).await?,
            Opening::Wait => {}
        }
        step = dialect.opening(target, role, Some(&next(&mut socket).await?))?;
    }
}

/// A bare WebSocket.
pub async fn upgrade(url: &str) -> Result<Socket, String> {
    let request = url.into_client_request().map_err(|error| format!("{url}: {error}"))?;
    let stream = TcpStream::connect(loopback(request.uri())?).await.map_err(|error| format!("connect: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
    let (socket, _) =
        client_async_with_config(request, stream, Some(config)).await.map_err(|error| format!("upgrade: {error}"))?;
    Ok(socket)
}

/// The next frame that carries data. Fails when the server closes.
pub async fn next(socket: &mut Socket) -> Result<Message, String> {
    loop {
        match socket.next().await {
            Some(Ok(frame @ (Message::Text(_) | Message::Binary(_)))) => return Ok(frame),
            Some(Ok(Message::Close(why))) => return Err(closed(why.map(|why| why.to_string()))),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err(closed(None)),
        }
    }
}

pub async fn send(socket: &mut Socket, frame: Message) -> Result<(), String> {
    socket.send(frame).await.map_err(|error| error.to_string())
}

/// Load is for machines that asked for it: only this one.
pub fn loopback(uri: &Uri) -> Result<(String, u16), String> {
    let host = uri.host().unwrap_or_default();
    if !["127.0.0.1", "localhost", "[::1]"].contains(&host) {
        return Err(format!("{host:?} is not this machine"));
    }
    Ok((host.trim_matches(['[', ']']).into(), uri.port_u16().unwrap_or(80)))
}

fn closed(why: Option<String>) -> String {
    format!("the server closed the connection {}", why.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loaded() {
        assert_eq!(loopback(&"ws://127.0.0.1:8787/?x=1".parse().unwrap()), Ok(("127.0.0.1".into(), 8787)));
        assert_eq!(loopback(&"ws://[::1]:8787/".parse().unwrap()), Ok(("::1".into(), 8787)));
        assert!(loopback(&"ws://example.com:80/".parse().unwrap()).is_err());
    }
}
