//! One connection's attachment to one channel: what it asked for, and how far it is.
//!
//! ```text
//!  ATTACH ──▶ Waiting ──▶ Reading ⟲ ──▶ Live      Waiting: the relay isn't fed yet
//!                │        ▲ │ (a page each) │ ▲    Reading: what was missed comes from the log
//!                │        │ ▼               │ │    Live: takes part in fan-out
//!                │       Behind ◀───────────┘ │    Behind: its connection was sent so much that it has to wait
//!                └────────────────────────────┘
//! ```

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::deltas::Deltas;
use super::sync::Each;
use crate::auth::Operations;
use crate::base::whole_number;
use crate::error::{Code, ErrorInfo};
use crate::filter::Filter;
use crate::limits::{ATTACH_PARAMS_MAX_BYTES, HISTORY_MAX_LIMIT, PARAMS_MAX, REWIND_MAX_MESSAGES};
use crate::model::flags::{ATTACH_RESUME, Modes};
use crate::model::message::Params;
use crate::model::name::ChannelName;
use crate::model::serial::{ChannelSerial, Position};
use crate::protocol::door::ASKED;
use crate::rpc::Ticket;
use crate::rpc::{ReadFrom, Wanted};

#[derive(Clone, Debug)]
pub struct Attachment {
    /// The modes asked for; those granted are what the capability leaves of them, at any time.
    pub requested: Modes,
    pub params: AttachParams,
    pub state: State,
    /// The connection may have members in the channel.
    pub present: bool,
    /// Its connection is from before the relay's memory, and what was to be told of its members may be lost with that.
    pub is_recalled: bool,
    /// The syncs that it is being given.
    pub syncs: Each<Option<u64>>,
    /// It was told that there is something, and waits to learn what.
    pub awaits_sync: Each<bool>,
    /// It was live and is brought up to date: it knows who was there, and what it gets was not asked for.
    pub fell_behind: bool,
    pub deltas: Deltas,
    /// What its name says of a filter. Few have one.
    pub view: Option<Box<View>>,
    /// The row that says what it asked for, if the socket doesn't.
    pub row: Option<u16>,
    /// Where it goes on behind what its rewind gives: it was there before.
    pub goes_on: Option<Box<ReadFrom>>,
}

/// A channel through a filter.
#[derive(Clone, Debug)]
pub struct View {
    /// The relay's own, for all who have the same.
    pub filter: Rc<Filter>,
    /// The place that the last ATTACHED said, and when.
    pub told: Position,
    pub told_at_ms: u64,
}

impl View {
    /// Fails as [`Filter::decode`] does.
    pub fn of(name: &ChannelName) -> Result<Option<Box<View>>, ErrorInfo> {
        let view = |filter| Box::new(View { filter: Rc::new(filter), told: Position::ZERO, told_at_ms: 0 });
        Ok(name.filter().map(Filter::decode).transpose()?.map(view))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Waiting(Start),
    Reading {
        read: Ticket,
        replay: Replay,
    },
    /// Until its connection may be sent more.
    Behind {
        from: ReadFrom,
        replay: Replay,
    },
    /// Ahead of the relay until its deliveries pass `after`.
    Live {
        after: Position,
    },
}

/// An attachment that is given what the log has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replay {
    /// It goes on from where it was, and gets all that happened since.
    pub resumes: bool,
    /// It was told that it is attached.
    pub announced: bool,
    /// Behind this it gets all that happened, and before it messages alone.
    pub whole_after: Position,
}

impl Replay {
    pub const RESUMES: Replay = Replay { resumes: true, announced: false, whole_after: Position::ZERO };

    /// It begins. Where it is attached from is known once it is told that it is.
    pub const BEGINS: Replay = Replay { resumes: false, announced: false, whole_after: Position::LAST };

    pub fn announced(self) -> Replay {
        Replay { announced: true, ..self }
    }
}

/// Where an attachment begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// With what comes next.
    Now,
    /// Behind a serial that the client had.
    After(ChannelSerial),
    /// The client named a serial that no channel here ever gave.
    Unknown,
    Rewind(Rewind),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rewind {
    Messages(usize),
    Time { ms: u64, messages: usize },
}

/// Parameters of an ATTACH (protocol.md § 7.1).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AttachParams {
    /// Those that this server knows, as the client wrote them: echoed in ATTACHED.
    pub accepted: Params,
    /// `echo=false`: not the connection's own messages.
    pub no_echo: bool,
}

impl AttachParams {
    /// What it wants to be told of the channel's occupancy.
    pub fn occupancy(&self) -> Option<Wanted> {
        self.accepted.get("occupancy").and_then(|text| Wanted::parse(text))
    }
}

impl Attachment {
    /// What an ATTACH asks for. Fails with 40003 for a parameter that is known and wrong, and as [`Filter::decode`]
    /// does.
    pub fn parse(
        name: &ChannelName,
        serial: Option<&str>,
        flags: u32,
        params: Params,
    ) -> Result<Attachment, ErrorInfo> {
        let params = with_qualifier(name, params)?;
        let view = View::of(name)?;
        let accepted = accepted(params, view.is_some());
        let requested = requested_modes(&accepted, flags)?;
        let requested = if view.is_some() { filtered_modes(requested)? } else { requested };
        let rewind =
            accepted.get("rewind").map(|text| parse_rewind(text, accepted.get("rewindLimit"))).transpose()?.flatten();
        if accepted.contains_key("rewindLimit") && !accepted.contains_key("rewind") {
            return Err(Code::BadParameter.because("the channel parameter 'rewindLimit' needs 'rewind'"));
        }
        let start = match (serial.filter(|serial| !serial.is_empty()), rewind) {
            (Some(serial), _) => ChannelSerial::parse(serial).map_or(Start::Unknown, Start::After),
            (None, Some(rewind)) if flags & ATTACH_RESUME == 0 => Start::Rewind(rewind),
            (None, _) => Start::Now,
        };
        if accepted.get("delta").is_some_and(|text| text != "vcdiff") {
            return Err(bad_parameter("delta", "'vcdiff'"));
        }
        if accepted.get("appendMode").is_some_and(|text| !APPEND_MODES.contains(&text.as_str())) {
            return Err(bad_parameter("appendMode", "'full' or 'incremental'"));
        }
        if accepted.get("occupancy").is_some_and(|text| Wanted::parse(text).is_none()) {
            return Err(bad_parameter("occupancy", "'metrics', or 'metrics.' and one of them"));
        }
        if accepted.get("echo").is_some_and(|text| !["true", "false"].contains(&text.as_str())) {
            return Err(bad_parameter("echo", "'true' or 'false'"));
        }
        let no_echo = accepted.get("echo").is_some_and(|echo| echo == "false");
        let attachment = Attachment::new(requested, AttachParams { accepted, no_echo }, State::Waiting(start));
        Ok(Attachment { view, ..attachment })
    }

    pub fn new(requested: Modes, params: AttachParams, state: State) -> Attachment {
        let deltas = if params.accepted.contains_key("delta") { Deltas::Whole } else { Deltas::None };
        Attachment {
            requested,
            params,
            state,
            present: false,
            is_recalled: false,
            syncs: Each::default(),
            awaits_sync: Each::default(),
            fell_behind: false,
            deltas,
            view: None,
            row: None,
            goes_on: None,
        }
    }

    pub fn filter(&self) -> Option<&Rc<Filter>> {
        self.view.as_ref().map(|view| &view.filter)
    }

    pub fn asks_the_same_as(&self, other: &Attachment) -> bool {
        (self.requested, &self.params) == (other.requested, &other.params)
    }

    /// What its name and parameters count.
    pub fn bytes(&self, name: &ChannelName) -> usize {
        let params = self.params.accepted.iter().map(|(name, value)| name.len() + value.len());
        name.as_str().len() + params.sum::<usize>()
    }

    pub fn granted(&self, operations: Operations) -> Modes {
        self.requested.intersection(modes_of(operations))
    }

    /// Whether something was begun with it that a rebuilt relay would not know of.
    pub fn is_busy(&self) -> bool {
        !self.is_live() || self.syncs != Each::default()
    }

    /// Whether it was told that it is attached.
    pub fn is_announced(&self) -> bool {
        match &self.state {
            State::Waiting(_) => false,
            State::Reading { replay, .. } | State::Behind { replay, .. } => replay.announced,
            State::Live { .. } => true,
        }
    }

    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Live { .. })
    }
}

/// The modes that a capability makes possible.
pub fn modes_of(operations: Operations) -> Modes {
    let told = Modes::SUBSCRIBE.union(Modes::PRESENCE_SUBSCRIBE).union(Modes::OBJECT_SUBSCRIBE);
    let pairs = [
        (Operations::PUBLISH, Modes::PUBLISH),
        (Operations::SUBSCRIBE, told),
        (Operations::OBJECT_SUBSCRIBE, Modes::OBJECT_SUBSCRIBE),
        (Operations::OBJECT_PUBLISH, Modes::OBJECT_PUBLISH),
        (Operations::PRESENCE, Modes::PRESENCE),
        (Operations::ANNOTATION_PUBLISH, Modes::ANNOTATION_PUBLISH),
        (Operations::ANNOTATION_SUBSCRIBE, Modes::ANNOTATION_SUBSCRIBE),
    ];
    let allowed = pairs.iter().filter(|(operation, _)| operations.contains(*operation));
    allowed.fold(Modes::NONE, |all, (_, mode)| all.union(*mode))
}

fn requested_modes(params: &Params, flags: u32) -> Result<Modes, ErrorInfo> {
    if let Some(names) = params.get("modes") {
        let modes = Modes::from_names(names);
        return modes.ok_or_else(|| bad_parameter("modes", "a list of modes, such as 'publish,subscribe'"));
    }
    if Modes::has_unknown(flags) {
        return Err(Code::BadParameter.because("the flags ask for a mode that there is not"));
    }
    let modes = Modes::from_flags(flags);
    Ok(if modes.is_empty() { Modes::DEFAULT } else { modes })
}

/// Parameters may stand in the name, as in `[?rewind=1]scores`; those of the frame win.
fn with_qualifier(name: &ChannelName, params: Params) -> Result<Params, ErrorInfo> {
    let pairs = name.params().into_iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let all: Params = pairs.chain(params).collect();
    if all.len() > PARAMS_MAX {
        return Err(Code::BadParameter.because(format!("a channel has at most {PARAMS_MAX} parameters")));
    }
    let bytes: usize = all.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > ATTACH_PARAMS_MAX_BYTES {
        return Err(
            Code::BadParameter.because(format!("a channel's parameters have at most {ATTACH_PARAMS_MAX_BYTES} bytes"))
        );
    }
    Ok(all)
}

/// Those that have an effect, of which a filtered channel knows two.
fn accepted(params: Params, is_filtered: bool) -> Params {
    const KNOWN: [&str; 8] = ["echo", "modes", "appendMode", "delta", "occupancy", "rewind", "rewindLimit", ASKED];
    let known = if is_filtered { &KNOWN[..2] } else { &KNOWN };
    params.into_iter().filter(|(name, _)| known.contains(&name.as_str())).collect()
}

/// A filtered channel can only be subscribed to. Fails with 40003 for a client that asks for other modes alone.
fn filtered_modes(requested: Modes) -> Result<Modes, ErrorInfo> {
    match requested.contains(Modes::SUBSCRIBE) {
        true => Ok(Modes::SUBSCRIBE),
        false => Err(Code::BadParameter.because("a filtered channel has no mode but 'subscribe'")),
    }
}

/// Whether of an append only what was appended is delivered, or the whole message.
const APPEND_MODES: [&str; 2] = ["full", "incremental"];

/// `N` messages, or `Ns` or `Nm` of time, with at most `limit` messages. None for nothing.
fn parse_rewind(text: &str, limit: Option<&String>) -> Result<Option<Rewind>, ErrorInfo> {
    let wrong = || bad_parameter("rewind", "a number, of messages or with 's' or 'm'");
    let limit = limit.map(|limit| parse_rewind_limit(limit)).transpose()?;
    let time = |ms| Rewind::Time { ms, messages: limit.unwrap_or(REWIND_MAX_MESSAGES) };
    let rewind = match text.as_bytes().last() {
        Some(b's') => time(whole_number(&text[..text.len() - 1]).ok_or_else(wrong)?.saturating_mul(1_000)),
        Some(b'm') => time(whole_number(&text[..text.len() - 1]).ok_or_else(wrong)?.saturating_mul(60_000)),
        _ => {
            let messages = whole_number(text).ok_or_else(wrong)?.min(REWIND_MAX_MESSAGES as u64) as usize;
            Rewind::Messages(limit.map_or(messages, |limit| messages.min(limit)))
        }
    };
    Ok((rewind != Rewind::Messages(0)).then_some(rewind))
}

fn parse_rewind_limit(text: &str) -> Result<usize, ErrorInfo> {
    let limit = whole_number(text).filter(|limit| (1..=HISTORY_MAX_LIMIT as u64).contains(limit));
    let wanted = || bad_parameter("rewindLimit", &format!("a number from 1 to {HISTORY_MAX_LIMIT}"));
    limit.map(|limit| limit as usize).ok_or_else(wanted)
}

fn bad_parameter(name: &str, wanted: &str) -> ErrorInfo {
    Code::BadParameter.because(format!("the channel parameter '{name}' must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, serial: Option<&str>, flags: u32, params: &[(&str, &str)]) -> Result<Attachment, ErrorInfo> {
        let params = params.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Attachment::parse(&ChannelName::parse(name).unwrap(), serial, flags, params)
    }

    fn start(name: &str, flags: u32, params: &[(&str, &str)]) -> Start {
        match parse(name, None, flags, params).unwrap().state {
            State::Waiting(start) => start,
            state => panic!("{state:?}"),
        }
    }

    #[test]
    fn modes_come_from_the_parameter_then_the_flags_then_the_default() {
        let requested = |flags, params: &[(&str, &str)]| parse("c", None, flags, params).unwrap().requested;
        assert_eq!(requested(0, &[]), Modes::DEFAULT);
        assert_eq!(requested(Modes::PUBLISH.bits(), &[]), Modes::PUBLISH);
        assert_eq!(requested(Modes::PUBLISH.bits(), &[("modes", "subscribe")]), Modes::SUBSCRIBE);
        assert!(parse("c", None, 0, &[("modes", "fly")]).unwrap_err().is(Code::BadParameter));
    }

    #[test]
    fn only_known_parameters_are_echoed() {
        let attachment = parse("c", None, 0, &[("rewind", "1"), ("what", "ever"), ("agent", "x")]).unwrap();
        assert_eq!(attachment.params.accepted, Params::from([("rewind".into(), "1".into())]));
    }

    #[test]
    fn parameters_are_bounded_in_number_and_bytes() {
        let number = |count: usize| (0..count).map(|at| format!("{at}=")).collect::<Vec<_>>().join("&");
        let of = |count| parse(&format!("[?{}]c", number(count)), None, 0, &[]);
        assert!(of(PARAMS_MAX).is_ok() && of(PARAMS_MAX + 1).unwrap_err().is(Code::BadParameter));
        let long = "x".repeat(ATTACH_PARAMS_MAX_BYTES);
        assert!(parse("c", None, 0, &[("a", &long)]).unwrap_err().is(Code::BadParameter));
    }

    #[test]
    fn rewind_is_by_count_or_time() {
        assert_eq!(start("c", 0, &[("rewind", "5")]), Start::Rewind(Rewind::Messages(5)));
        assert_eq!(start("c", 0, &[("rewind", "500")]), Start::Rewind(Rewind::Messages(100)));
        assert_eq!(start("c", 0, &[("rewind", "15s")]), Start::Rewind(Rewind::Time { ms: 15_000, messages: 100 }));
        let limited = start("[?rewind=2m&rewindLimit=7]c", 0, &[]);
        assert_eq!(limited, Start::Rewind(Rewind::Time { ms: 120_000, messages: 7 }));
        assert_eq!(start("c", 0, &[("rewind", "0")]), Start::Now);
        let few = start("c", 0, &[("rewind", "5"), ("rewindLimit", "2")]);
        assert_eq!(few, Start::Rewind(Rewind::Messages(2)));
        assert_eq!(start("c", ATTACH_RESUME, &[("rewind", "5")]), Start::Now);
        for bad in ["", "x", "-1", "1h", "s", "1.5", "+1"] {
            assert!(parse("c", None, 0, &[("rewind", bad)]).unwrap_err().is(Code::BadParameter), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_by_name() {
        for (name, value) in
            [("echo", "maybe"), ("delta", "xdelta"), ("occupancy", "all"), ("rewindLimit", "5"), ("modes", "fly")]
        {
            let error = parse("c", None, 0, &[(name, value)]).unwrap_err();
            assert!(error.is(Code::BadParameter) && error.message.contains(name), "{error}");
        }
        for limit in ["0", "1001", "+5", "x", ""] {
            let error = parse("c", None, 0, &[("rewind", "2m"), ("rewindLimit", limit)]).unwrap_err();
            assert!(error.is(Code::BadParameter) && error.message.contains("rewindLimit"), "{error}");
        }
    }

    #[test]
    fn a_serial_wins_over_rewind() {
        let attachment = parse("c", Some("00000000000005-001@s"), 0, &[("rewind", "5")]).unwrap();
        assert!(matches!(attachment.state, State::Waiting(Start::After(_))));
        assert_eq!(parse("c", Some("nonsense"), 0, &[]).unwrap().state, State::Waiting(Start::Unknown));
    }
}
