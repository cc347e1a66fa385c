//! LiveObjects: maps and counters that the clients of a channel share (protocol.md § 19).
//!
//! The rules alone: what an operation is ([`operation`]), which ids are good ([`id`]), what an object consists of
//! ([`parts`]), what an operation does to it ([`pool`]), what a path leads to ([`path`]), and what nobody can reach
//! any more ([`sweep`]). Where parts are stored, and who is told, is the channel's affair.
//!
//! Why every replica is equal: the channel gives each operation a [`Stamp`](parts::Stamp), later than all before it,
//! and every part of the state has the stamp of what it was last changed by. A reader applies an operation only where
//! its stamp is later. So a reader may be given the state piece by piece while operations go on.

pub mod id;
pub mod operation;
pub mod parts;
pub mod path;
pub mod pool;
pub mod sweep;
