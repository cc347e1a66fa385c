//! The shell: the only code that knows the platform. It performs and never decides.
//!
//! `router` is the Worker, which finds apps in its `directory`; `objects` are the Durable Object classes of channels and
//! relays, each a `host` that drives the cores and that `rebuild` wakes, and `app_object` is that of apps; `alarm`, `calls`,
//! `sockets`, `responses`, `config` and the storages are what they use, `sql` and `platform` what they all stand on.

mod alarm;
mod app_object;
mod app_storage;
mod calls;
mod config;
mod directory;
mod effects;
mod farewell;
mod host;
mod objects;
mod platform;
mod rebuild;
mod relay_storage;
mod responses;
mod router;
mod sockets;
mod sql;
mod storage;
mod watching;
