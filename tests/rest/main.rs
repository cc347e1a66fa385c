//! REST against real channels: requests as values, channels on a store in memory.

mod apps;
mod batches;
mod conventions;
mod history;
#[path = "../support/memory_store.rs"]
mod memory_store;
mod properties;
mod presence;
mod publishing;
mod status;
mod tokens;
mod unenveloped;
mod revocations;
mod waiting;
mod world;
