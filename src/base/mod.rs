//! Tools of every room: base64, stored formats with a version per type, small collections, budgets, rates and pauses,
//! and addresses that this server calls.

pub mod base64;
pub mod cache;
pub mod counted;
pub mod digest;
pub mod endpoint;
pub mod maps;
pub mod pause;
pub mod pinned;
pub mod rate;
pub mod storage;

/// A number in digits alone: no sign, no space.
pub fn whole_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}
