//! What happened, in numbers: for `GET /stats` (protocol.md § 21) and for `/metrics`.
//!
//! Channels and relays count in memory what they do anyway: a [`Tally`] is integers in their own structs. Their object
//! sends the tally of a minute to the app's object ([`reporter`]), which keeps a row for each minute and object, and
//! later one for each hour. A report replaces the one before of the same object and minute, so one that is sent again
//! counts once.
//!
//! A channel counts what is published, when it has its place: a repeated publish counts once. Whoever delivers counts
//! what is delivered: a relay each message to each connection, a channel what history it gives. The router counts
//! requests.

pub mod fixtures;
pub mod interval;
pub mod item;
pub mod metrics;
pub mod points;
pub mod reporter;
pub mod requests;
pub mod tally;

pub use interval::Unit;
pub use reporter::{Report, Reporter, Taken};
pub use tally::{Counter, HookCount, Load, Metric, PushOutcome, Tally, Traffic};
