//! How much a publish counts (protocol.md § 8.4). Of whom something comes, and what a token says of them, SDKs do not
//! count where they leave it to the server: it has room of its own.

use std::iter::Sum;

use crate::error::{Code, ErrorInfo};
use crate::limits::{MESSAGE_MAX_BYTES, SPEAKERS_MAX_BYTES};
use crate::model::message::{Extras, USER_CLAIM, characters};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Size {
    /// Names, data and extras.
    pub said: usize,
    /// ClientIds and userClaims.
    pub speaker: usize,
}

impl Size {
    /// The size of something that counts so much in all.
    pub fn of(all: usize, client_id: Option<&str>, extras: Option<&Extras>) -> Size {
        let claim = extras.and_then(|extras| Some((extras.get(USER_CLAIM)?, extras.len() == 1)));
        let claim = claim.map_or(0, |(claim, is_alone)| {
            let around = if is_alone { r#"{"userClaim":}"# } else { r#","userClaim":"# };
            around.len() + characters(&claim.to_string())
        });
        let speaker = client_id.map_or(0, characters) + claim;
        Size { said: all.saturating_sub(speaker), speaker }
    }

    /// Fails with 40009 for more than one publish may have.
    pub fn check(self) -> Result<(), ErrorInfo> {
        let over = |what: &str, bytes: usize, max: usize| {
            let why = format!("{what} at most {max} bytes, this one has {bytes}");
            if bytes > max { Err(Code::TooLarge.because(why)) } else { Ok(()) }
        };
        over("a publish has", self.said, MESSAGE_MAX_BYTES)?;
        over("the clientIds and userClaims of a publish have", self.speaker, SPEAKERS_MAX_BYTES)
    }
}

impl Sum for Size {
    fn sum<I: Iterator<Item = Size>>(sizes: I) -> Size {
        sizes.fold(Size::default(), |all, one| Size { said: all.said + one.said, speaker: all.speaker + one.speaker })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::data::Data;
    use crate::model::message::Message;

    #[test]
    fn who_said_it_is_counted_apart() {
        let size = |client_id: Option<&str>, extras: serde_json::Value| {
            let extras = extras.as_object().cloned();
            let data = Data::Text("12345".to_owned());
            let message = Message { data, client_id: client_id.map(str::to_owned), extras, ..Message::default() };
            let Size { said, speaker } = message.measured();
            (said, speaker)
        };
        assert_eq!(size(None, json!(null)), (5, 0));
        assert_eq!(size(Some("ann"), json!({})), (7, 3));
        assert_eq!(size(None, json!({"userClaim": "host"})), (5, 20));
        assert_eq!(size(Some("ann"), json!({"a": 1, "userClaim": {"b": "ü"}})), (12, 25));
    }
}
