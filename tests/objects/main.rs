//! LiveObjects: replicas that converge, the rules one by one, and what is kept.

#[allow(dead_code, reason = "other tests need more of the stage and the bench")]
#[path = "../support"]
mod support {
    pub mod app_store;
    pub mod bench;
    pub mod changes;
    pub mod client;
    pub mod describe;
    pub mod disk;
    pub mod frames;
    pub mod grant;
    pub mod host;
    pub mod ledger;
    pub mod memory_store;
    pub mod object_operations;
    pub mod objects;
    pub mod presence;
    pub mod publish;
    pub mod random;
    pub mod replica;
    pub mod revisions;
    pub mod stage;
    pub mod subscription;
    pub mod vcdiff;
    pub mod views;
}

#[allow(dead_code, reason = "shared with the tests of presence")]
#[path = "../presence/world.rs"]
mod world;

mod bench;
mod converge;
mod crowd;
mod earlier_names;
mod forgetting;
mod keeping;
mod pacing;
mod refusals;
mod streams;
mod wire;
