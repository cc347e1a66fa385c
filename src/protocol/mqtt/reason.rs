//! Reason codes of MQTT 5, return codes of 3.1.1, and which of them tells what of our own codes.

use crate::error::{Code, ErrorInfo};

pub const SUCCESS: u8 = 0x00;
pub const NO_SUBSCRIPTION: u8 = 0x11;
pub const UNSPECIFIED: u8 = 0x80;
pub const MALFORMED: u8 = 0x81;
pub const PROTOCOL_ERROR: u8 = 0x82;
pub const IMPLEMENTATION: u8 = 0x83;
pub const BAD_VERSION: u8 = 0x84;
pub const BAD_CLIENT_ID: u8 = 0x85;
pub const BAD_CREDENTIALS: u8 = 0x86;
pub const NOT_AUTHORIZED: u8 = 0x87;
pub const UNAVAILABLE: u8 = 0x88;
pub const BUSY: u8 = 0x89;
pub const SHUTTING_DOWN: u8 = 0x8b;
pub const BAD_AUTH_METHOD: u8 = 0x8c;
pub const KEEP_ALIVE: u8 = 0x8d;
pub const TAKEN_OVER: u8 = 0x8e;
pub const BAD_FILTER: u8 = 0x8f;
pub const BAD_TOPIC: u8 = 0x90;
pub const RECEIVE_MAXIMUM: u8 = 0x93;
pub const BAD_ALIAS: u8 = 0x94;
pub const TOO_LARGE: u8 = 0x95;
pub const RATE: u8 = 0x96;
pub const QUOTA: u8 = 0x97;
pub const BAD_PAYLOAD: u8 = 0x99;
pub const NO_QOS: u8 = 0x9b;
pub const NO_SHARED: u8 = 0x9e;
pub const CONNECTION_RATE: u8 = 0x9f;
pub const NO_WILDCARD: u8 = 0xa2;

/// Of a CONNACK that refuses.
pub fn of_connect(error: &ErrorInfo) -> u8 {
    match error.code {
        code if code == Code::BadClientId.number() => BAD_CLIENT_ID,
        code if code == Code::RateLimited.number() => CONNECTION_RATE,
        code if is_forbidden(code) => NOT_AUTHORIZED,
        40_005 | 40_100..40_200 => BAD_CREDENTIALS,
        40_000..42_900 => UNSPECIFIED,
        42_900..43_000 => QUOTA,
        _ if error.status_code == 503 => BUSY,
        _ => UNAVAILABLE,
    }
}

/// Of a PUBACK.
pub fn of_publish(error: &ErrorInfo) -> u8 {
    match error.code {
        code if code == Code::BadChannelName.number() => BAD_TOPIC,
        code if code == Code::BadData.number() => BAD_PAYLOAD,
        code if code == Code::TooLarge.number() => QUOTA,
        42_900..43_000 => QUOTA,
        code if is_forbidden(code) || (40_100..40_200).contains(&code) => NOT_AUTHORIZED,
        40_000..50_000 => IMPLEMENTATION,
        _ => UNSPECIFIED,
    }
}

/// Of a SUBACK.
pub fn of_subscribe(error: &ErrorInfo) -> u8 {
    match error.code {
        code if code == Code::BadChannelName.number() => BAD_FILTER,
        code if code == Code::TooManyChannels.number() => QUOTA,
        _ => of_publish(error),
    }
}

/// Of a DISCONNECT.
pub fn of_disconnect(error: &ErrorInfo) -> u8 {
    match error.code {
        code if code == Code::Superseded.number() => TAKEN_OVER,
        code if code == Code::TooLarge.number() => TOO_LARGE,
        code if code == Code::BadBody.number() => MALFORMED,
        42_900..43_000 => RATE,
        code if is_forbidden(code) || (40_100..40_200).contains(&code) => NOT_AUTHORIZED,
        code if code == Code::Disconnected.number() => SHUTTING_DOWN,
        90_000..90_010 => IMPLEMENTATION,
        _ if error.status_code == 503 => BUSY,
        _ => UNSPECIFIED,
    }
}

fn is_forbidden(code: u32) -> bool {
    (40_160..40_170).contains(&code) || (40_300..40_400).contains(&code)
}

/// What a client of 3.1.1 is told instead by CONNACK. `None`: it is cut off without a word.
pub fn return_code(reason: u8) -> Option<u8> {
    match reason {
        SUCCESS => Some(0),
        BAD_VERSION => Some(1),
        BAD_CLIENT_ID => Some(2),
        BAD_CREDENTIALS | BAD_AUTH_METHOD => Some(4),
        NOT_AUTHORIZED => Some(5),
        MALFORMED | PROTOCOL_ERROR => None,
        _ => Some(3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_ours_has_a_reason_that_its_packet_may_have() {
        const CONNACK: [u8; 8] =
            [UNSPECIFIED, BAD_CLIENT_ID, BAD_CREDENTIALS, NOT_AUTHORIZED, UNAVAILABLE, BUSY, QUOTA, CONNECTION_RATE];
        const PUBACK: [u8; 6] = [UNSPECIFIED, IMPLEMENTATION, NOT_AUTHORIZED, BAD_TOPIC, QUOTA, BAD_PAYLOAD];
        const SUBACK: [u8; 5] = [UNSPECIFIED, IMPLEMENTATION, NOT_AUTHORIZED, BAD_FILTER, QUOTA];
        for code in Code::ALL.iter().copied().map(ErrorInfo::from) {
            assert!(CONNACK.contains(&of_connect(&code)), "{code}");
            assert!(PUBACK.contains(&of_publish(&code)), "{code}");
            let of_subscribe = of_subscribe(&code);
            assert!(SUBACK.contains(&of_subscribe) || code.is(Code::BadData), "{code}: {of_subscribe:#x}");
            assert!(of_disconnect(&code) >= 0x80, "{code}");
        }
    }

    #[test]
    fn the_reasons_of_usual_refusals_are_pinned() {
        let of = |reason: fn(&ErrorInfo) -> u8, code: Code| reason(&code.into());
        assert_eq!(of(of_connect, Code::BadCredentials), BAD_CREDENTIALS);
        assert_eq!(of(of_connect, Code::TokenExpired), BAD_CREDENTIALS);
        assert_eq!(of(of_connect, Code::NotPermitted), NOT_AUTHORIZED);
        assert_eq!(of(of_connect, Code::BadClientId), BAD_CLIENT_ID);
        assert_eq!(of(of_connect, Code::Unavailable), BUSY);
        assert_eq!(of(of_publish, Code::NotPermitted), NOT_AUTHORIZED);
        assert_eq!(of(of_publish, Code::PublishRateLimited), QUOTA);
        assert_eq!(of(of_publish, Code::TooLarge), QUOTA);
        assert_eq!(of(of_subscribe, Code::TooManyChannels), QUOTA);
        assert_eq!(of(of_disconnect, Code::Superseded), TAKEN_OVER);
        assert_eq!(of(of_disconnect, Code::TokenRevoked), NOT_AUTHORIZED);
        assert_eq!(of(of_disconnect, Code::ContinuityUnknown), IMPLEMENTATION);
    }

    #[test]
    fn version_three_has_fewer_words() {
        let codes = [SUCCESS, BAD_VERSION, BAD_CLIENT_ID, BUSY, BAD_CREDENTIALS, NOT_AUTHORIZED];
        assert_eq!(codes.map(|reason| return_code(reason).unwrap()), [0, 1, 2, 3, 4, 5]);
        assert_eq!(return_code(MALFORMED), None);
    }
}
