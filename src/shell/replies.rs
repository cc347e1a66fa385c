//! What objects answer to each other, as bytes.

use crate::base::pinned::encode;
use crate::object::Reply;

/// `None` when it is no answer, which the caller takes for a call that failed.
pub fn encoded(reply: &Reply) -> Option<Vec<u8>> {
    Some(match reply {
        Reply::Response(answer) => encode(answer),
        Reply::Delivered(answer) => encode(answer),
        Reply::Probed(answer) => encode(answer),
        Reply::Noticed(Ok(noticed)) => encode(noticed),
        Reply::Inspected(inspected) => encode(inspected),
        Reply::Noticed(Err(_)) | Reply::Refused(_) | Reply::Http(_) => return None,
    })
}
