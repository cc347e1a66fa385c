//! What objects answer, as responses.

use worker::{Response, Result};

use super::calls::REFUSED;
use super::router::write_reply;
use crate::base::pinned::{self, Versioned};
use crate::object::Reply;

pub fn write(reply: Reply) -> Result<Response> {
    match reply {
        Reply::Response(answer) => bytes(&answer),
        Reply::Delivered(answer) => bytes(&answer),
        Reply::Probed(answer) => bytes(&answer),
        Reply::Noticed(Ok(noticed)) => bytes(&noticed),
        Reply::Noticed(Err(error)) => Response::error(error.message, 500),
        Reply::Inspected(inspected) => bytes(&inspected),
        Reply::Refused(refusal) => Ok(bytes(&refusal)?.with_status(REFUSED)),
        Reply::Http(reply) => write_reply(reply),
    }
}

pub fn bytes(value: &impl Versioned) -> Result<Response> {
    Response::from_bytes(pinned::encode(value))
}
