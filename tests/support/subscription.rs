//! One client's attachment to one channel, and the judgement of what comes through it: a gapless run of the channel's
//! order from where it began, or from where a gap was announced.

mod changed;
mod options;
mod order;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use courtside::model::data::Data;
use courtside::model::flags::{HAS_OBJECTS, HAS_PRESENCE};
use courtside::model::serial::Position;
use serde_json::{Value, json};

use super::frames::{Frame, Message, action};
use super::ledger::Ledger;
use super::presence::View;
use super::replica::Replica;
use super::vcdiff;
use super::views::Views;
pub use options::Options;

/// How long a read of the log is under way, at most.
const READ_MAX_MS: u64 = 20_000;

/// The error of who is banned.
pub const FORBIDDEN: u32 = 40_300;

/// The action of a message that says what annotations come to.
const SUMMARY: u8 = 4;

const ALL_BUT_ANNOTATIONS: &str =
    "publish,subscribe,presence,presence_subscribe,annotation_publish,object_publish,object_subscribe";
const ALL: &str = "publish,subscribe,presence,presence_subscribe,annotation_publish,object_publish,object_subscribe,\
                   annotation_subscribe";

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    Detached,
    Attaching,
    Attached,
    Detaching,
}

#[derive(Debug)]
pub struct Subscription {
    pub name: String,
    pub channel: usize,
    pub wanted: bool,
    pub state: State,
    /// Its server knows that it goes on receiving while it attaches again, and gives it nothing twice.
    pub stays_attached: bool,
    /// Sent as a parameter with every ATTACH.
    pub rewind: Option<usize>,
    /// It is a view of the channel: of all that is said, only messages of this name.
    pub filter: Option<&'static str>,
    /// What the client keeps for its next ATTACH.
    serial: Option<String>,
    /// The last place that it was given, or told of.
    cursor: Position,
    asked: Option<Asked>,
    /// What it is given was read no earlier than this.
    reads_since_ms: u64,
    /// The serials of ATTACHs that crossed something that may have been their answer: they may yet be answered.
    crossed: Vec<Option<String>>,
    retry_at_ms: u64,
    pub received: usize,
    pub gaps: usize,
    /// Messages that it did not get, since later ones of their name came within the interval.
    pub conflated: usize,
    pub view: View,
    /// What is replayed by a rewind is messages alone, up to here at most; this ends with the first of what else comes.
    rewinds: Option<Position>,
    /// It begins with the last messages of a publish, as many as a rewind leaves of it.
    begins: bool,
    /// If it asks for deltas, it keeps the id and the data of the message that it got last, if that was since it
    /// attached.
    previous: Option<(String, Data)>,
    pub deltas: usize,
    /// What it was told last.
    pub told: Option<Value>,
    pub options: Options,
    /// What it has asked for, and is not told that it has.
    planned: Option<Options>,
    /// The modes that it asks for, if it asks for any.
    pub modes: Option<&'static str>,
    /// The channel's objects, if it wants them.
    pub replica: Option<Replica>,
    pub views: Views,
    /// Operations on messages, annotations and operations on objects that it got.
    pub changes: usize,
}

/// An ATTACH or DETACH that isn't answered.
#[derive(Debug)]
struct Asked {
    since_ms: u64,
    serial: Option<String>,
    /// What a rewind of enough messages begins with, at the latest.
    reaches_to: Option<Position>,
}

impl Subscription {
    pub fn new(name: String, channel: usize, wanted: bool) -> Subscription {
        Subscription {
            name,
            channel,
            wanted,
            state: State::Detached,
            stays_attached: false,
            rewind: None,
            filter: None,
            serial: None,
            cursor: Position::ZERO,
            asked: None,
            reads_since_ms: 0,
            crossed: Vec::new(),
            retry_at_ms: 0,
            received: 0,
            gaps: 0,
            conflated: 0,
            view: View::default(),
            rewinds: None,
            begins: false,
            previous: None,
            deltas: 0,
            told: None,
            options: Options::default(),
            planned: None,
            modes: None,
            replica: None,
            views: Views::default(),
            changes: 0,
        }
    }

    /// It asks for everything, objects included, and annotations where there are any.
    pub fn wants_all(&mut self, mutable: bool) {
        self.modes = Some(if mutable { ALL } else { ALL_BUT_ANNOTATIONS });
        self.replica = Some(Replica::default());
    }

    /// A view of a channel that has one name's messages alone.
    pub fn filtered(channel_name: &str, channel: usize, wanted: &'static str) -> Subscription {
        let expression = BASE64.encode(format!("name == '{wanted}'"));
        let name = format!("[filter={expression}]{channel_name}");
        Subscription { filter: Some(wanted), ..Subscription::new(name, channel, true) }
    }

    /// Whether it is told who is on a channel, and may be there: a view of the channel is not.
    pub fn has_presence_of(&self, channel: usize) -> bool {
        self.channel == channel && self.filter.is_none()
    }

    pub fn is_attached(&self) -> bool {
        self.wanted && self.state == State::Attached
    }

    pub fn waits_since(&self) -> Option<u64> {
        self.asked.as_ref().map(|asked| asked.since_ms)
    }

    pub fn due(&self, now_ms: u64) -> bool {
        self.wanted && self.state == State::Detached && self.asked.is_none() && self.retry_at_ms <= now_ms
    }

    /// ATTACH; also of what is attached, which goes on receiving until it is answered.
    pub fn attach(&mut self, now_ms: u64, ledger: &Ledger) -> Value {
        let serial = self.serial.clone();
        let reaches_to = ledger.oldest_fresh(self.channel);
        if self.state == State::Detached && self.asked.is_none() && self.crossed.is_empty() {
            self.reads_since_ms = now_ms.saturating_sub(READ_MAX_MS);
        }
        self.asked = Some(Asked { since_ms: now_ms, serial, reaches_to });
        if self.state != State::Attached {
            self.state = State::Attaching;
        }
        let params = self.params();
        if params.contains_key("occupancy") {
            // Told when it attaches, whatever it was told before.
            self.told = None;
        }
        let mut frame = json!({"action": action::ATTACH, "channel": self.name, "params": params});
        if let Some(serial) = &self.serial {
            frame["channelSerial"] = json!(serial);
        }
        frame
    }

    pub fn detach(&mut self, now_ms: u64) -> Value {
        (self.state, self.wanted) = (State::Detaching, false);
        self.asked = Some(Asked { since_ms: now_ms, serial: None, reaches_to: None });
        json!({"action": action::DETACH, "channel": self.name})
    }

    /// The transport is gone; what the client has stays.
    pub fn interrupted(&mut self) {
        if self.state == State::Detaching {
            self.forget();
        }
        self.take_planned();
        (self.state, self.asked) = (State::Detached, None);
        self.crossed.clear();
    }

    /// The attachment is over; the next one begins anew.
    pub fn forget(&mut self) {
        self.take_planned();
        (self.state, self.asked, self.serial) = (State::Detached, None, None);
        self.crossed.clear();
        self.view.forget();
    }

    pub fn detached(&mut self, code: Option<u32>, now_ms: u64) {
        match self.state {
            // An attachment that failed crossed with the DETACH, which is yet to be answered.
            State::Detaching if code.is_some() => {}
            State::Detaching => self.forget(),
            _ => {
                assert!(code.is_some(), "{} is detached without having asked for it, or a reason", self.name);
                self.state = State::Detached;
                self.crossed.extend(self.asked.take().map(|asked| asked.serial));
                self.retry_at_ms = now_ms + if code == Some(FORBIDDEN) { 3_000 } else { 1_000 };
            }
        }
    }

    pub fn attached(
        &mut self,
        frame: &Frame,
        (resumed, backlog): (bool, bool),
        silent: Option<&str>,
        ledger: &mut Ledger,
    ) {
        let serial = frame.channel_serial.as_deref().expect("ATTACHED has a serial");
        let position = ledger.parse(self.channel, serial);
        // One that asks for the same deltas again could not decode one, for all the server knows.
        let names = |serial| self.asked.as_ref().is_some_and(|asked| asked.serial.as_deref() == Some(serial));
        let may_recover = self.may_want_deltas() && (names(serial) || self.asked.is_none());
        let goes_on = resumed && self.stays_attached && self.state == State::Attached && !may_recover;
        if resumed
            && !goes_on
            && self.filter.is_some()
            && self.asked.as_ref().is_none_or(|asked| asked.serial.as_deref() != Some(serial))
            && (self.state == State::Attached || !self.crossed.iter().any(|sent| sent.as_deref() == Some(serial)))
        {
            return self.progressed(serial, position, silent, ledger);
        }
        if goes_on {
            let was_asked = self.filter.is_some() || self.asked.is_some() || !self.crossed.is_empty();
            assert!(was_asked && position >= self.cursor, "RESUMED goes on elsewhere");
            self.progressed(serial, position, silent, ledger);
        }
        self.takes_options(frame);
        let had = self.views_behind(position);
        match (self.asked.take(), self.state) {
            _ if goes_on => {}
            (asked, State::Detaching) => {
                (self.asked, self.views) = (asked, had);
                return;
            }
            (asked, _) if self.answers_crossed(asked.as_ref(), serial, resumed) => self.asked = asked,
            (Some(Asked { serial: Some(sent), .. }), _) if resumed => {
                assert_eq!(sent, serial, "RESUMED goes on elsewhere");
                let more = ledger.next(self.channel, position, None).is_some();
                assert!(more || !backlog, "HAS_BACKLOG, and nothing follows");
            }
            (Some(Asked { serial: Some(sent), .. }), _) => {
                let from = ledger.parse(self.channel, &sent);
                self.gap(frame, from, position, ledger);
                if self.state == State::Attached || !self.crossed.is_empty() {
                    // It may be news that nobody asked for, or another's answer: this one's is yet to come then.
                    self.crossed.push(Some(sent));
                }
            }
            (Some(asked), _) => self.began(&asked, position, resumed, backlog, ledger),
            (None, _) => {
                assert!(!resumed, "ATTACHED that nobody asked for");
                self.gap(frame, self.cursor, position, ledger);
            }
        }
        (self.state, self.cursor, self.serial) = (State::Attached, position, Some(serial.to_owned()));
        self.rewinds = self.rewind.filter(|_| !resumed).map(|_| ledger.durable_end(self.channel).0);
        self.begins = self.rewinds.is_some();
        if resumed {
            self.views = had;
        }
        let is_told_of_objects = frame.flags & HAS_OBJECTS != 0;
        assert_eq!(is_told_of_objects, self.replica.is_some(), "{} is told of objects", self.name);
        self.replica.iter_mut().for_each(Replica::attached);
        self.previous = None;
        assert!(self.filter.is_none() || frame.flags & HAS_PRESENCE == 0, "nobody is present behind a filter");
        self.view.attached(frame.flags & HAS_PRESENCE != 0);
    }

    /// Its client has another connection, and did not hear what the one before did itself.
    pub fn goes_on_without(&mut self, connection_id: &str) {
        self.views.goes_on_without(connection_id, self.cursor);
    }

    /// It begins anew at a place. Gives what it had before.
    fn views_behind(&mut self, position: Position) -> Views {
        std::mem::replace(&mut self.views, Views::since(position))
    }

    /// It is told how far it is, having been given all that passes its filter up to there.
    fn progressed(&mut self, serial: &str, position: Position, silent: Option<&str>, ledger: &Ledger) {
        if self.state != State::Attached {
            return;
        }
        let at = self.past(position, silent, ledger);
        let next = ledger.next(self.channel, at, silent).map(|next| next.position);
        assert!(next.is_none_or(|next| next > position), "{} is taken past {next:?}, to {position:?}", self.name);
        (self.cursor, self.serial) = (position, Some(serial.to_owned()));
    }

    /// Whether it goes on where an ATTACH said that was thought to be refused, and not the one that is open.
    fn answers_crossed(&mut self, asked: Option<&Asked>, serial: &str, resumed: bool) -> bool {
        let goes_on = |sent: &Option<String>| sent.as_deref() == Some(serial);
        if !resumed || asked.is_some_and(|asked| goes_on(&asked.serial)) {
            return false;
        }
        let answered = self.crossed.iter().position(goes_on);
        answered.map(|last| drop(self.crossed.drain(..=last))).is_some()
    }

    fn began(&self, asked: &Asked, position: Position, resumed: bool, backlog: bool, ledger: &Ledger) {
        assert!(!resumed, "a fresh attachment resumes nothing");
        let after = ledger.messages_after(self.channel, position);
        // Attachments that come together share a read of the log, which may have been under way for a while.
        let since = ledger.messages_since(self.channel, asked.since_ms.saturating_sub(READ_MAX_MS));
        match self.rewind {
            None => assert!(!backlog, "nothing was asked to be replayed"),
            Some(count) => {
                let all = asked.reaches_to.is_none_or(|first| position < first);
                assert!(after >= count || all, "a rewind of {count} gives {after}, not all of what there is");
                // The oldest publish may have more messages than were asked for, at most three.
                assert!(after <= count + since + 2, "a rewind of {count} gives {after}, {since} of them new");
            }
        }
    }

    fn gap(&mut self, frame: &Frame, from: Position, to: Position, ledger: &mut Ledger) {
        assert!(frame.error.is_some(), "a gap without an error");
        let crossed = self.crossed.iter().flatten().map(|serial| ledger.parse(self.channel, serial));
        let from = crossed.chain([from]).min().expect("one at least");
        assert!(to >= from, "a gap that goes back, from {from:?} to {to:?}");
        assert!(
            ledger.may_be_gone(self.channel, from),
            "continuity is lost at {from:?} though the log has what follows"
        );
        self.gaps += 1;
    }

    /// Whether what comes now is for it; not what crossed its own DETACH.
    fn hears(&self) -> bool {
        match self.state {
            State::Attached => true,
            State::Detaching | State::Detached => false,
            State::Attaching => panic!("{} is told something before ATTACHED", self.name),
        }
    }

    pub fn messages(&mut self, frame: &Frame, silent: Option<&str>, ledger: &mut Ledger) {
        if !self.hears() {
            return;
        }
        if let [Message { name, data: Data::Text(text), .. }] = &frame.messages[..]
            && name == "[meta]occupancy"
        {
            assert!(self.options.listens, "{} is told of its occupancy: {frame:?}", self.name);
            let serial = frame.channel_serial.as_deref().expect("clients keep the last serial");
            self.progressed(serial, ledger.parse(self.channel, serial), silent, ledger);
            self.told = Some(serde_json::from_str(text).expect("JSON"));
            // What came last, as clients see it, and no message of the channel's.
            self.previous = None;
            return;
        }
        let data = self.whole(frame);
        let mut messages = frame.messages.iter().zip(data).enumerate().peekable();
        assert!(!self.options.is_deaf, "{} hears what it did not ask for: {frame:?}", self.name);
        assert!(!frame.messages.is_empty(), "a MESSAGE without messages");
        while messages.peek().is_some() {
            self.entry(frame, &mut messages, silent, ledger);
        }
        if frame.messages.last().is_some_and(|message| message.action == SUMMARY) {
            self.summed_up(frame, silent, ledger);
        }
        self.moved(frame, ledger);
    }

    /// The data of a frame's messages, with deltas undone as clients do it.
    fn whole(&mut self, frame: &Frame) -> Vec<Data> {
        let mut whole = Vec::new();
        for Message { id, data, encoding, extras, .. } in &frame.messages {
            let data = match extras["delta"]["from"].as_str() {
                None => data.clone(),
                Some(from) => {
                    let (previous, base) = self.previous.as_ref().expect("a delta to what it got since it attached");
                    assert_eq!(previous, from, "{} gets a delta to another message than its last", self.name);
                    self.deltas += 1;
                    let delta = match (data, encoding.as_str()) {
                        (Data::Text(text), "utf-8/vcdiff/base64") => BASE64.decode(text).expect("base64"),
                        (Data::Binary(bytes), "utf-8/vcdiff") => bytes.clone(),
                        other => panic!("no delta: {other:?}"),
                    };
                    Data::Text(String::from_utf8(vcdiff::decode(base.bytes(), &delta)).expect("text"))
                }
            };
            if self.options.wants_deltas {
                self.previous = Some((id.clone(), data.clone()));
            }
            whole.push(data);
        }
        whole
    }

    fn moved(&mut self, frame: &Frame, ledger: &mut Ledger) {
        let serial = frame.channel_serial.clone().expect("what moves the order has a serial");
        assert_eq!(ledger.parse(self.channel, &serial), self.cursor, "a frame has the serial of its last entry");
        self.serial = Some(serial);
    }

    /// Presence events: those of the next entries in the channel's order.
    pub fn presence(&mut self, frame: &Frame, silent: Option<&str>, connection_id: Option<&str>, ledger: &mut Ledger) {
        if !self.hears() {
            return;
        }
        assert!(!frame.presence.is_empty(), "a PRESENCE without events");
        assert!(self.filter.is_none(), "{} is told who is present: {frame:?}", self.name);
        if self.options.is_deaf {
            return self.own_presence(frame, connection_id, ledger);
        }
        let mut events = frame.presence.iter();
        while events.len() > 0 {
            let first = &events.as_slice()[0].id;
            if self.rewinds.take().is_some() {
                self.cursor = ledger.before_event(self.channel, self.cursor, first, silent);
            }
            self.cursor = self.past(Position(u64::MAX), silent, ledger);
            let expected = ledger.next(self.channel, self.cursor, silent);
            let expected = expected.unwrap_or_else(|| panic!("{} gets what is not in the log: {frame:?}", self.name));
            let got: Vec<&String> = events.by_ref().take(expected.events.len().max(1)).map(|event| &event.id).collect();
            let wanted: Vec<&String> = expected.events.iter().collect();
            assert_eq!(got, wanted, "{} misses something, or gets it again, behind {:?}", self.name, self.cursor);
            assert!(ledger.is_durable(self.channel, expected.position), "an event is delivered before it is durable");
            self.cursor = expected.position;
        }
        frame.presence.iter().for_each(|event| self.view.take(event, connection_id));
        self.moved(frame, ledger);
    }

    pub fn sync(&mut self, frame: &Frame, connection_id: Option<&str>) {
        if self.hears() {
            let serial = frame.channel_serial.as_deref().expect("SYNC says how far it is");
            self.view.sync(serial, &frame.presence, connection_id);
        }
    }

    fn is_syncing(&self) -> bool {
        self.view.is_syncing() || self.wanted && self.replica.as_ref().is_some_and(|replica| !replica.is_synced())
    }

    /// Whether it isn't where it wants to be, or doesn't have everything.
    pub fn lacks(&self, silent: Option<&str>, ledger: &Ledger) -> bool {
        let settled = if self.wanted { State::Attached } else { State::Detached };
        let behind = || {
            let got = self.past(Position(u64::MAX), silent, ledger);
            self.wanted && ledger.next(self.channel, got, silent).is_some()
        };
        self.state != settled || self.asked.is_some() || behind() || self.is_syncing()
    }
}
