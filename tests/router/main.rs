//! The router: who is let in, by which object, and how others are told.

mod placing;
mod refusing;
mod routes;
mod ways;
mod world;
