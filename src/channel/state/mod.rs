//! State that a channel keeps beside its log. It follows from what is stored, and every kind of it is alike to the
//! channel: it is restored when the object wakes, hears of what was written, is not believed after a write that failed
//! until it is read again, and may have something due.
//!
//! Another kind is a file with a [`State`], and a line in [`States`]. What publishes do to it is placed in the same
//! batch as their row of the log (`commit.rs`), so that neither is stored without the other.

pub mod annotations;
pub(in crate::channel) mod endings;
mod holders;
mod leaves;
mod objects;
mod occupancy;
pub mod presence;
pub mod pushes;
pub(in crate::channel) mod shown;
pub(in crate::channel) mod told;
mod untold;
pub mod versions;

use holders::Holders;
use objects::Objects;
use occupancy::Occupants;
use pushes::Pushes;
use untold::Untold;

use super::hooks::Hooks;
use super::store::{StoreError, Stored};
use crate::model::objects::parts::Summary;

/// What a commit made of the state that is summed up in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    pub objects: Option<Summary>,
}

pub trait State: Sized {
    /// Of an object that has lost its memory.
    fn restore(stored: &Stored, now_ms: u64) -> Result<Self, StoreError>;

    fn wrote(&mut self, _written: &Written) {}

    /// A write failed: nothing is believed that may not be stored.
    fn forget(&mut self, _now_ms: u64) {}

    /// What is stored after all.
    fn reload(&mut self, _stored: &Stored) -> Result<(), StoreError> {
        Ok(())
    }

    fn deadline(&self) -> Option<u64> {
        None
    }
}

/// All kinds of state are one to the channel.
macro_rules! states {
    ($($name:ident: $kind:ty,)*) => {
        #[derive(Debug)]
        pub struct States {
            $(pub $name: $kind,)*
        }

        impl State for States {
            fn restore(stored: &Stored, now_ms: u64) -> Result<States, StoreError> {
                Ok(States { $($name: State::restore(stored, now_ms)?,)* })
            }

            fn wrote(&mut self, written: &Written) {
                $(State::wrote(&mut self.$name, written);)*
            }

            fn forget(&mut self, now_ms: u64) {
                $(State::forget(&mut self.$name, now_ms);)*
            }

            fn reload(&mut self, stored: &Stored) -> Result<(), StoreError> {
                $(State::reload(&mut self.$name, stored)?;)*
                Ok(())
            }

            fn deadline(&self) -> Option<u64> {
                [$(State::deadline(&self.$name),)*].into_iter().flatten().min()
            }
        }
    };
}

states! {
    holders: Holders,
    occupants: Occupants,
    objects: Objects,
    pushes: Pushes,
    untold: Untold,
    hooks: Hooks,
}
