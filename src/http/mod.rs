//! HTTP as plain values: what of a request is looked at, the form in which its sender wants an answer, and the answer.
//! Also how much work an address may ask for, and how much of bodies is kept, either way.

pub mod addresses;
pub mod answers;
mod form;
mod head;
pub mod percent;
mod reply;
mod request;
pub mod uploads;
pub mod url;

pub use form::{Form, of_media_type};
pub use reply::{Browser, Reply};
pub use request::{Headers, Request};

use crate::error::ErrorInfo;

/// Refuses a request that cannot even begin, in the form that it asked for.
pub fn refuse(request: &Request, error: &ErrorInfo) -> Reply {
    Form::of(request).error(error)
}
