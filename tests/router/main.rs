//! The router: who is let in, by which object, how others are told, and what is reported.

mod placing;
mod refusing;
mod reporting;
mod routes;
mod ways;
mod world;
