//! Courtside: a realtime pub/sub relay at the edge.
//!
//! The core is pure: no clock, no randomness, no async, no platform. It takes `now` and an input and returns effects.
//! In `object` are the drivers of the objects, whose outputs the shell (`wasm32` only) performs. Where a comment cites
//! `protocol.md § N`, it means docs/protocol.md. In reading order:

pub mod limits;
pub mod error;
pub mod name;
pub mod serial;
pub mod pinned;
pub mod rate;
pub mod counted;
pub mod addresses;
pub mod uploads;
pub mod cache;
pub mod maps;
pub mod wire;
pub mod parameters;
pub mod conflation;
pub mod filter;
pub mod auth;
pub mod publish;
pub mod operation;
pub mod annotation;
pub mod presence;
pub mod objects;
pub mod call;
pub mod connection_key;
pub mod placement;
pub mod feeds;
pub mod channel;
pub mod relay;
pub mod transport;
pub mod app;
pub mod rest;
pub mod object;
#[cfg(target_arch = "wasm32")]
mod shell;
