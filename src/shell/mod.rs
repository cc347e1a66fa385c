//! The shell: the only code that knows the platform. It performs and never decides.
//!
//! - `router` is the Worker: it does what the core's router says, and serves the `event` page; `mqtt` stands between a
//!   client of that and its relay. `config` is what the deployment says.
//! - `objects` are the Durable Object classes of channels and relays, each a `host` of a driver; `app_object` is that
//!   of apps. `registry` has their state, `callers`, `calls` and `replies` are how they talk to each other.
//! - `sockets` and `responses` are the clients' transports, `alarm` the runtime's clock; `hooks`, `push` and
//!   `measures` tell others.
//! - `storage`, with `versions` and `said`, is a channel's, `relay_storage`, `app_storage` and `push_storage` are the
//!   others'.
//! - `sql` and `platform` are what they all stand on.

mod alarm;
mod app_object;
mod app_storage;
mod callers;
mod calls;
mod config;
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
