//! What a deployment allows one relay, by the numbers of `limits` and by variables of its own.

use crate::base::rate::Flow;
use crate::base::whole_number;
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    ANSWERS_MAX_BYTES, CONNECTION_FLOW, CONNECTION_STATE_TTL_MIN_MS, CONNECTION_STATE_TTL_MS, MEMBERS_PAGE_MAX,
    MESSAGE_FLOW, RELAY_ATTACHMENTS, RELAY_CONNECTIONS, RELAY_CONNECTIONS_MAX, RELAY_CONNECTS_PER_SECOND, RELAY_FLOW,
    ROWS_MAX_BYTES, SYNC_TURN_BYTES, UNHEARD_MAX_BYTES,
};

/// What the deployment allows one relay.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub connections: usize,
    /// See [`RELAY_ATTACHMENTS`].
    pub attachments: usize,
    pub connects_per_second: u32,
    /// How long a connection without a transport may be resumed.
    pub resume_ms: u64,
    /// Members in a page of a sync, and bytes of pages that go out in one turn.
    pub sync_members: usize,
    pub sync_turn_bytes: usize,
    /// Messages that one connection may say.
    pub messages: Flow,
    /// What one connection may be sent, and all.
    pub connection: Flow,
    pub relay: Flow,
    /// See [`UNHEARD_MAX_BYTES`].
    pub unheard_bytes: u32,
    pub answers_bytes: u32,
    /// See [`ROWS_MAX_BYTES`].
    pub rows_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            connections: RELAY_CONNECTIONS,
            attachments: RELAY_ATTACHMENTS,
            connects_per_second: RELAY_CONNECTS_PER_SECOND,
            resume_ms: CONNECTION_STATE_TTL_MS,
            sync_members: MEMBERS_PAGE_MAX,
            sync_turn_bytes: SYNC_TURN_BYTES,
            messages: MESSAGE_FLOW,
            connection: CONNECTION_FLOW,
            relay: RELAY_FLOW,
            unheard_bytes: UNHEARD_MAX_BYTES,
            answers_bytes: ANSWERS_MAX_BYTES,
            rows_bytes: ROWS_MAX_BYTES,
        }
    }
}

impl Bounds {
    /// What the deployment's variables say, and what is usual where they say nothing. Fails with 50320 for one that
    /// can't be so: what was meant is not known.
    pub fn read(variable: impl Fn(&str) -> String) -> Result<Bounds, ErrorInfo> {
        let number = |name: &str, least: u32, most: u32| match variable(name).as_str() {
            "" => Ok(None),
            text => match whole_number(text) {
                Some(number) if (least.into()..=most.into()).contains(&number) => Ok(Some(number as u32)),
                _ => Err(Code::Unavailable.because(format!(
                    "this deployment's {name} can't be {text:.40}: it must be a whole number from {least} to {most}"
                ))),
            },
        };
        let usual = Bounds::default();
        let connections = number("RELAY_CONNECTIONS", 1, RELAY_CONNECTIONS_MAX as u32)?;
        let messages = number("CONNECTION_MESSAGES_PER_SECOND", 1, u32::MAX)?;
        let bytes = number("CONNECTION_BYTES_PER_SECOND", 1, u32::MAX)?;
        let resume_ms = number("RESUME_SECONDS", RESUME_SECONDS_MIN, RESUME_SECONDS_MAX)?;
        Ok(Bounds {
            connections: connections.map_or(usual.connections, |count| count as usize),
            connects_per_second: number("RELAY_CONNECTS_PER_SECOND", 1, u32::MAX)?.unwrap_or(usual.connects_per_second),
            messages: messages.map_or(usual.messages, |rate| usual.messages.at(rate.into())),
            connection: bytes.map_or(usual.connection, |bytes| Flow::of(bytes.into())),
            resume_ms: resume_ms.map_or(usual.resume_ms, |seconds| u64::from(seconds) * 1_000),
            ..usual
        })
    }
}

const RESUME_SECONDS_MIN: u32 = (CONNECTION_STATE_TTL_MIN_MS / 1_000) as u32;
const RESUME_SECONDS_MAX: u32 = (CONNECTION_STATE_TTL_MS / 1_000) as u32;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &[(&str, &str)]) -> Result<Bounds, ErrorInfo> {
        let said = |name: &str| said.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        Bounds::read(|name| said(name).to_owned())
    }

    #[test]
    fn what_a_deployment_says_of_its_relays_holds() {
        let usual = read(&[]).unwrap();
        assert_eq!((usual.connections, usual.resume_ms), (RELAY_CONNECTIONS, CONNECTION_STATE_TTL_MS));
        let said = read(&[("RELAY_CONNECTIONS", "3"), ("RELAY_CONNECTS_PER_SECOND", "4"), ("RESUME_SECONDS", "10")]);
        let said = said.unwrap();
        assert_eq!((said.connections, said.connects_per_second, said.resume_ms), (3, 4, 10_000));
    }

    #[test]
    fn what_cannot_be_so_is_refused_and_not_passed_over() {
        let most = (RELAY_CONNECTIONS_MAX + 1).to_string();
        for (name, value) in [
            ("RESUME_SECONDS", "a minute"),
            ("RESUME_SECONDS", "9"),
            ("RESUME_SECONDS", "121"),
            ("RESUME_SECONDS", "60s"),
            ("RELAY_CONNECTIONS", "0"),
            ("RELAY_CONNECTIONS", &most),
            ("RELAY_CONNECTS_PER_SECOND", "-1"),
            ("CONNECTION_MESSAGES_PER_SECOND", "1e3"),
            ("CONNECTION_BYTES_PER_SECOND", "4294967296"),
        ] {
            let refused = read(&[(name, value)]).unwrap_err();
            assert!(refused.is(Code::Unavailable), "{name}={value}");
            assert!(refused.message.contains(name) && refused.message.contains(value), "{}", refused.message);
        }
    }
}
