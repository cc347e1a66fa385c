//! The shell: the only code that knows the platform. It performs and never decides.
//!
//! `router` is the Worker; `objects` are the Durable Object classes, each a `host` that drives the cores; `calls`,
//! `sockets`, `storage` and `config` are what the hosts use; `platform` is what they all stand on.

mod calls;
mod config;
mod host;
mod objects;
mod platform;
mod router;
mod sockets;
mod storage;
