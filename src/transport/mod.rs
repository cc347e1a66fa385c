//! Connections over HTTP: what their sessions say waits here until a response takes it.
//!
//! A session knows no transport. What it says is an effect of its relay, by the number of the connection's way out; the
//! shell hands it to the WebSocket of that number, or to the [`Links`], which have one for each connection over HTTP. A
//! link owns what is queued, knows which response takes it, and decides when nobody comes for it any more. It refuses
//! to know what frames mean.
//!
//! ```text
//!          read            frame (poll: the response ends)
//! absent ────────▶ ready ─────────────────────────────────▶ absent ──▶ too long: lost
//!                   ▲  └─ frame (stream) ──▶ writing ──▶ too long: lost
//!                   └────────── written ────────┘
//! ```
//!
//! Nothing is lost unsaid: a response that took frames and could not give them, a queue that is full, and a second
//! reader beside a stream end the transport as a dropped socket does. The client resumes, and the log has it all.

pub mod comet;
pub mod events;
mod links;

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::error::{Code, ErrorInfo};
use crate::model::Format;
use crate::protocol::Encoded;
use crate::protocol::action;
use crate::protocol::dialect::Dialect;
use crate::protocol::events::{self as event, Place, Style};
use crate::protocol::outbound::Outbound;
use links::Frame;
pub use links::{Effect, Links, ResponseId};

/// How the responses of a connection go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Each ends with the first frames that it gives.
    Poll,
    /// One goes on for as long as the transport lives.
    Stream,
    /// The same, of events for who only listens.
    Events(Style),
}

impl Mode {
    /// What the sessions of such connections speak.
    pub fn dialect(self) -> Dialect {
        match self {
            Mode::Poll | Mode::Stream => Dialect::Frames(Format::Json),
            Mode::Events(style) => Dialect::Events(style),
        }
    }

    fn body(self, places: &mut [Place], frames: &[Rc<Frame>]) -> String {
        match self {
            Mode::Poll | Mode::Stream => comet::array(frames.iter().filter_map(|frame| match frame.encoded() {
                Encoded::Text(text) => Some(text.as_str()),
                _ => None,
            })),
            Mode::Events(style) => {
                let said = frames.iter().filter_map(|frame| match frame.encoded() {
                    Encoded::Events(said) => Some(said),
                    _ => None,
                });
                event::body(style, places, said)
            }
        }
    }

    /// A stream's is one that nobody on the way compresses, which would hold it back.
    fn content_type(self) -> &'static str {
        match self {
            Mode::Poll => "application/json",
            Mode::Stream => "application/x-ndjson",
            Mode::Events(style) => style.content_type(),
        }
    }

    /// Ends a response that has nothing to say.
    fn last_body(self) -> String {
        match self {
            Mode::Poll => self.body(&mut [], &[]),
            Mode::Stream | Mode::Events(_) => String::new(),
        }
    }
}

/// Whether what is wrong may pass, or is mended by a resume.
fn comes_back(error: &ErrorInfo) -> bool {
    error.status_code >= 500 || error.status_code == 429 || error.is(Code::Disconnected)
}

/// What a client is told that is not let in, or not any more. What may pass, or is mended by a resume, brings it back.
pub fn refusal(error: &ErrorInfo) -> Outbound<'_> {
    let action = if comes_back(error) { action::DISCONNECTED } else { action::ERROR };
    Outbound { action, error: Some(error), ..Outbound::default() }
}
