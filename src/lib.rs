//! Courtside: a realtime pub/sub relay at the edge.
//!
//! The core is pure: no clock, no randomness, no async, no platform. It takes `now` and an input and returns effects. The
//! shell (`wasm32` only) performs them. In reading order:

pub mod error;
pub mod limits;
pub mod name;

#[cfg(target_arch = "wasm32")]
mod shell;
