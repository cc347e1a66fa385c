//! What clients say, checked before any channel hears of it, whichever door it came through: messages, operations on
//! them, annotations, presence, objects, and the parameters of every request.

pub mod annotation;
#[cfg(feature = "mqtt")]
pub mod mqtt;
pub mod objects;
pub mod operation;
pub mod parameters;
pub mod presence;
pub mod publish;
