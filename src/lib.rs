//! Courtside: a realtime pub/sub relay at the edge.
//!
//! The core is pure: no clock, no randomness, no async, no platform. It takes `now` and an input and returns effects.
//! In `router` and `object` are the drivers of the Worker and the objects, whose outputs the shell (`wasm32` only)
//! performs. Where a comment cites `protocol.md § N`, it means docs/protocol.md. In reading order, each module imports
//! only those above it:

pub mod base;
pub mod limits;
pub mod error;
pub mod model;
pub mod filter;
pub mod auth;
pub mod stats;
pub mod push;
pub mod rpc;
pub mod protocol;
pub mod intake;
pub mod http;
pub mod channel;
pub mod relay;
pub mod transport;
pub mod app;
pub mod event;
pub mod rest;
pub mod router;
pub mod object;
#[cfg(target_arch = "wasm32")]
mod shell;
