//! Presence, told as stories: what members do and who is told, bad input, who is left when things die, and the set as a
//! late joiner gets it.

#[path = "../support/memory_store.rs"]
mod memory_store;
mod world;

mod events;
mod ghosts;
mod occupancy;
mod refusals;
mod rights;
mod sync;
