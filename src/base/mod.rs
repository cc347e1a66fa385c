//! What any room needs: stored formats with a version per type, small collections, budgets and rates.

pub mod cache;
pub mod counted;
pub mod maps;
pub mod pinned;
pub mod rate;
