//! The shell: the only code that knows the platform. It performs and never decides.
//!
//! `router` is the Worker, which lets clients in by each `way`, finds apps in its `directory` and serves the `event`
//! page; `objects` are the Durable Object classes of channels and relays, each a `host` of a driver, and `app_object`
//! is that of apps; `alarm`, `callers`, `calls`, `replies`, `responses`, `sockets`, `push`, `measures`, `config` and
//! the storages are what they use, `sql` and `platform` what they all stand on.

mod alarm;
mod app_object;
mod app_storage;
mod asking;
mod callers;
mod calls;
mod config;
mod directory;
#[cfg(feature = "socketio")]
mod engine;
mod event;
mod hooks;
mod host;
mod measures;
#[cfg(feature = "mqtt")]
mod mqtt;
mod objects;
mod platform;
mod push;
mod push_storage;
mod relay_storage;
mod registry;
mod replies;
mod responses;
mod router;
mod said;
mod sockets;
mod sql;
mod storage;
mod versions;
mod way;
