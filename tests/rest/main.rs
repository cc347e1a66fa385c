//! REST against real channels: requests as values, channels and apps on stores in memory.

mod apps;
mod asking;
mod bans;
mod batches;
mod chat;
mod conventions;
mod history;
mod ids;
mod objects;
mod operators;
mod properties;
mod presence;
mod publishing;
#[cfg(feature = "pusher")]
mod pusher;
mod push;
mod push_key;
mod push_of_messages;
mod sizes;
mod stats;
mod status;
#[allow(dead_code, reason = "shared with the simulation")]
#[path = "../support"]
mod support {
    pub mod app_store;
    pub mod disk;
    pub mod host;
    pub mod memory_store;
    pub mod random;
}
mod tokens;
mod traces;
mod unenveloped;
mod revocations;
mod waiting;
mod webhooks;
mod world;
