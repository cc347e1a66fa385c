//! Presence, told as stories: what members do and who is told, bad input, who is left when things die, and the set as a
//! late joiner gets it.

#[allow(dead_code, reason = "shared with the simulation")]
#[path = "../support"]
mod support {
    pub mod app_store;
    pub mod disk;
    pub mod host;
    pub mod memory_store;
    pub mod objects;
    pub mod random;
}
#[allow(dead_code, reason = "the tests of objects use more of it")]
mod world;

mod ahead;
mod clocks;
mod events;
mod ghosts;
mod occupancy;
mod refusals;
mod returning;
mod rights;
mod sync;
mod users;
