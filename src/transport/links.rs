//! The connections over HTTP of one object: what waits for each, and which response takes it.

mod trial;

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::Mode;
use crate::base::counted::Counted;
use crate::base::maps::HashMap;
use crate::base::pause;
use crate::error::{Code, ErrorInfo};
use crate::http::Reply;
use crate::limits::{
    BODY_MIN_BYTES_PER_MS, LINK_ABSENT_MS, LINK_FRAME_BYTES, LINK_PROBE_MS, LINK_QUEUE_MAX_BYTES, LINK_ROOMY_MAX_BYTES,
    LINK_STALL_MS, LINK_TAKING_MAX_MS, LINKS_QUEUE_MAX_BYTES, LINKS_ROOMY_BYTES, POLL_MAX_BYTES, RESPONSE_MAX_BYTES,
};
use crate::protocol::events::{Place, Said};
use crate::protocol::outbound::Outbound;
use crate::protocol::{Encoded, action};
use crate::relay::SocketId;
use trial::Trial;

/// Names a response to the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseId {
    pub socket: SocketId,
    /// No other response of any connection has this one.
    pub number: u32,
}

/// What the shell is to do, in this order.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Write into a response, end it if that is the last, and tell [`Links::written`] how it went.
    Write { response: ResponseId, body: String, last: bool },
    /// Nobody waits for this response any more.
    Cut { response: ResponseId },
    /// Tell the relay that the connection has lost its transport.
    Lost { socket: SocketId },
}

/// All connections over HTTP of one object.
#[derive(Default)]
pub struct Links {
    /// In the order of their numbers, which only grow.
    links: Vec<(SocketId, Box<Link>)>,
    /// Links whose session has ended, by their connection's key.
    ended: HashMap<String, SocketId>,
    /// Of all frames that wait, each of which counts once, however many links it waits for; and of what was given to
    /// readers that have not taken it yet.
    waiting_bytes: Rc<Cell<usize>>,
    last_number: u32,
    due_ms: Option<u64>,
    effects: Vec<Effect>,
}

/// A frame, as all links share it.
pub(super) struct Frame {
    encoded: Encoded,
    waiting_bytes: Rc<Cell<usize>>,
}

struct Link {
    mode: Mode,
    /// How far the reader of a stream of events is.
    places: Vec<Place>,
    key: String,
    queue: VecDeque<Rc<Frame>>,
    queued_bytes: usize,
    reader: Reader,
    since_ms: u64,
    /// How long its reader may take, beyond what all have, for what was given last.
    taking_ms: u64,
    /// The poll that took frames last, until it is known to have given them.
    unconfirmed: Option<u32>,
    /// What was given and not taken yet.
    given: Option<Counted>,
    /// The response that was told that another took its place, until it has said so.
    superseded: Option<u32>,
    /// The session is no more; the queue holds its last words.
    ended: bool,
    /// Its client tries a WebSocket beside its polls.
    trial: Trial,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reader {
    Absent,
    Ready(u32),
    Writing(u32),
}

impl Links {
    fn find(&self, socket: SocketId) -> Option<usize> {
        self.links.binary_search_by_key(&socket, |(socket, _)| *socket).ok()
    }

    fn get(&self, socket: SocketId) -> Option<&Link> {
        self.find(socket).map(|at| &*self.links[at].1)
    }

    fn get_mut(&mut self, socket: SocketId) -> Option<&mut Link> {
        self.find(socket).map(|at| &mut *self.links[at].1)
    }

    /// Those that have ended but not said everything yet count too.
    pub fn count(&self) -> usize {
        self.links.len()
    }

    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.get()
    }

    pub fn contains(&self, socket: SocketId) -> bool {
        self.find(socket).is_some()
    }

    /// How a connection is read, if it is over HTTP.
    pub fn mode(&self, socket: SocketId) -> Option<Mode> {
        self.get(socket).map(|link| link.mode)
    }

    /// The way out of a new connection, whose key this is.
    pub fn open(&mut self, socket: SocketId, mode: Mode, key: String, now_ms: u64) {
        let link = Link {
            mode,
            places: Vec::new(),
            key,
            queue: VecDeque::new(),
            queued_bytes: 0,
            reader: Reader::Absent,
            since_ms: now_ms,
            taking_ms: 0,
            unconfirmed: None,
            given: None,
            superseded: None,
            ended: false,
            trial: Trial::None,
        };
        self.links.push((socket, Box::new(link)));
        self.touch(socket, now_ms);
    }

    /// How far the reader of a stream of events is, before it begins.
    pub fn follow(&mut self, socket: SocketId, places: Vec<Place>) {
        if let Some(link) = self.get_mut(socket) {
            link.places = places;
        }
    }

    /// The link that has the last words for whoever holds this key.
    pub fn ended(&self, key: &str) -> Option<SocketId> {
        self.ended.get(key).copied()
    }

    /// The response that takes frames from now on, or `None` when the link is gone. One that is there already ends. The
    /// connection goes on with the new one, unless the old one was a stream: nobody knows what of it arrived.
    pub fn read(&mut self, socket: SocketId, now_ms: u64) -> (Option<ResponseId>, Vec<Effect>) {
        let response = self.take_reader(socket, now_ms);
        (response, std::mem::take(&mut self.effects))
    }

    fn take_reader(&mut self, socket: SocketId, now_ms: u64) -> Option<ResponseId> {
        let mode = self.get(socket)?.mode;
        let superseded = self.farewell(mode, &Code::Superseded.into());
        let number = self.last_number.wrapping_add(1);
        let link = self.get_mut(socket)?;
        let previous = std::mem::replace(&mut link.reader, Reader::Ready(number));
        match previous {
            Reader::Absent => {}
            Reader::Ready(old) => {
                let forgotten = link.superseded.replace(old);
                self.write(socket, old, mode.body(&mut [], &[superseded]), true);
                forgotten.into_iter().for_each(|number| self.cut(socket, number));
            }
            Reader::Writing(old) => {
                link.given = None;
                self.cut(socket, old);
            }
        }
        if previous != Reader::Absent && mode == Mode::Stream {
            self.forget_queue(socket);
            self.interrupt(socket, &Code::Superseded.into(), now_ms);
        }
        self.last_number = number;
        self.touch(socket, now_ms);
        self.flush(socket, now_ms);
        Some(ResponseId { socket, number })
    }

    /// All of a response but its body.
    pub fn head(&self, response: ResponseId) -> Reply {
        let mode = self.get(response.socket).map_or(Mode::Poll, |link| link.mode);
        let head = Reply::of(200, mode.content_type(), String::new());
        if mode.polls() { head } else { head.streamed() }
    }

    /// A frame for those of these connections that are here.
    pub fn send(&mut self, sockets: &[SocketId], frame: Encoded, now_ms: u64) -> Vec<Effect> {
        if sockets.iter().any(|socket| self.find(*socket).is_some()) {
            let frame = self.frame(frame);
            sockets.iter().for_each(|socket| self.push(*socket, &frame, now_ms));
        }
        std::mem::take(&mut self.effects)
    }

    fn push(&mut self, socket: SocketId, frame: &Rc<Frame>, now_ms: u64) {
        let allowed_bytes = match self.waiting_bytes.get() {
            ..LINKS_ROOMY_BYTES => LINK_ROOMY_MAX_BYTES,
            LINKS_ROOMY_BYTES..=LINKS_QUEUE_MAX_BYTES => LINK_QUEUE_MAX_BYTES,
            _ => 0,
        };
        let Some(link) = self.get_mut(socket).filter(|link| !link.ended) else { return };
        if link.queued_bytes + frame.len() + LINK_FRAME_BYTES > allowed_bytes {
            let error = Code::Disconnected.because("more waits to be read than is kept; reconnect and resume");
            return self.interrupt(socket, &error, now_ms);
        }
        link.push(frame.clone());
        if matches!(frame.encoded, Encoded::Events(Said::End { is_last: true, .. })) {
            self.effects.push(Effect::Lost { socket });
            return self.end(socket, now_ms);
        }
        self.flush(socket, now_ms);
    }

    /// The session is no more. What it said last can still be fetched.
    pub fn close(&mut self, socket: SocketId, now_ms: u64) -> Vec<Effect> {
        self.end(socket, now_ms);
        std::mem::take(&mut self.effects)
    }

    /// How a write went, or that a response was cancelled.
    pub fn written(&mut self, response: ResponseId, went_well: bool, now_ms: u64) -> Vec<Effect> {
        let ResponseId { socket, number } = response;
        if let Some(link) = self.get_mut(socket) {
            let is_current = [Reader::Ready(number), Reader::Writing(number)].contains(&link.reader);
            let is_last_poll = link.unconfirmed == Some(number);
            if is_current || is_last_poll {
                link.given = None;
            }
            let settled = |waiting: &mut Option<u32>| waiting.take_if(|waiting| *waiting == number);
            settled(&mut link.unconfirmed);
            settled(&mut link.superseded);
            if is_current {
                link.reader = if went_well { Reader::Ready(number) } else { Reader::Absent };
            }
            match went_well {
                true if is_current => {
                    self.touch(socket, now_ms);
                    self.flush(socket, now_ms);
                }
                true => {
                    self.flush(socket, now_ms);
                    self.settle(socket);
                }
                false if is_current || is_last_poll => self.lose(socket, now_ms),
                false => {}
            }
        }
        std::mem::take(&mut self.effects)
    }

    /// Looks whether readers are still there, and gives up those that are not.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Effect> {
        if self.due_ms.is_some_and(|due_ms| pause::is_over(due_ms, LINK_PROBE_MS, now_ms)) {
            // Nobody is given up because the clock was set back.
            self.links.iter_mut().for_each(|(_, link)| link.since_ms = now_ms.min(link.since_ms));
            let due = |(socket, link): &(SocketId, Box<Link>)| (link.due_ms() <= now_ms).then_some(*socket);
            let sockets: Vec<SocketId> = self.links.iter().filter_map(due).collect();
            for socket in sockets {
                match self.get(socket).map(|link| (link.reader, link.unconfirmed, link.mode)) {
                    Some((Reader::Ready(number), None, mode)) => {
                        self.give(socket, number, mode.body(&mut [], &[]), now_ms)
                    }
                    _ => self.lose(socket, now_ms),
                }
            }
            self.due_ms = self.links.iter().map(|(_, link)| link.due_ms()).min();
        }
        std::mem::take(&mut self.effects)
    }

    /// When [`Links::tick`] is next needed.
    pub fn deadline(&self) -> Option<u64> {
        self.due_ms
    }

    /// Gives what waits to a response that is ready, once it is known that nothing before it was lost.
    fn flush(&mut self, socket: SocketId, now_ms: u64) {
        let Some(link) = self.get_mut(socket).filter(|link| link.unconfirmed.is_none()) else { return };
        let Reader::Ready(number) = link.reader else { return };
        if !link.queue.is_empty() {
            let frames = link.take();
            let body = link.mode.body(&mut link.places, &frames);
            self.give(socket, number, body, now_ms);
        } else if link.ended {
            let body = link.mode.last_body();
            self.give(socket, number, body, now_ms);
        } else if link.trial == Trial::Paused {
            let body = link.mode.body(&mut [], &[]);
            self.give(socket, number, body, now_ms);
        }
    }

    fn give(&mut self, socket: SocketId, number: u32, body: String, now_ms: u64) {
        let given = Counted::of(body.len(), &self.waiting_bytes);
        let Some(link) = self.get_mut(socket) else { return };
        link.taking_ms = (body.len() as u64 / BODY_MIN_BYTES_PER_MS).min(LINK_TAKING_MAX_MS);
        link.given = Some(given);
        let last = link.mode.polls() || (link.ended && link.queue.is_empty());
        link.reader = if last { Reader::Absent } else { Reader::Writing(number) };
        link.unconfirmed = last.then_some(number);
        self.write(socket, number, body, last);
        self.touch(socket, now_ms);
    }

    /// The transport ends here: the client is told to come back.
    fn interrupt(&mut self, socket: SocketId, error: &ErrorInfo, now_ms: u64) {
        let Some(mode) = self.get(socket).map(|link| link.mode) else { return };
        let farewell = self.farewell(mode, error);
        if let Some(link) = self.get_mut(socket).filter(|link| !link.ended) {
            link.push(farewell);
            self.effects.push(Effect::Lost { socket });
            self.end(socket, now_ms);
        }
    }

    fn end(&mut self, socket: SocketId, now_ms: u64) {
        let Some(link) = self.get_mut(socket).filter(|link| !link.ended) else { return };
        link.ended = true;
        let key = link.key.clone();
        self.ended.insert(key, socket);
        self.flush(socket, now_ms);
        self.settle(socket);
    }

    /// Forgets a link that has ended and said everything.
    fn settle(&mut self, socket: SocketId) {
        let is_done = |link: &Link| {
            let says_something = link.unconfirmed.or(link.superseded).is_some();
            link.ended && link.queue.is_empty() && link.reader == Reader::Absent && !says_something
        };
        if self.get(socket).is_some_and(is_done) {
            self.remove(socket);
        }
    }

    /// Something that was said is lost, or nobody comes to read. Whoever reads now is told, and gets nothing behind the
    /// gap.
    fn lose(&mut self, socket: SocketId, now_ms: u64) {
        let Some(link) = self.get_mut(socket) else { return };
        let (mode, reader, ended, unconfirmed) = (link.mode, link.reader, link.ended, link.unconfirmed.take());
        link.given = None;
        if !ended {
            self.effects.push(Effect::Lost { socket });
        }
        unconfirmed.into_iter().for_each(|number| self.cut(socket, number));
        if !matches!(reader, Reader::Ready(_)) {
            return self.remove(socket);
        }
        self.forget_queue(socket);
        let farewell = self.farewell(mode, &Code::Disconnected.into());
        if let Some(link) = self.get_mut(socket) {
            link.push(farewell);
        }
        self.end(socket, now_ms);
        self.flush(socket, now_ms);
    }

    fn forget_queue(&mut self, socket: SocketId) {
        if let Some(link) = self.get_mut(socket) {
            link.queue.clear();
            link.queued_bytes = 0;
        }
    }

    fn remove(&mut self, socket: SocketId) {
        let Some(at) = self.find(socket) else { return };
        let (_, link) = self.links.remove(at);
        if self.ended.get(&link.key) == Some(&socket) {
            self.ended.remove(&link.key);
        }
        let writing = match link.reader {
            Reader::Writing(number) => Some(number),
            Reader::Absent | Reader::Ready(_) => None,
        };
        let open = [writing, link.unconfirmed, link.superseded];
        open.into_iter().flatten().for_each(|number| self.cut(socket, number));
    }

    /// Something happened: until the next, as much time may pass as its state allows.
    fn touch(&mut self, socket: SocketId, now_ms: u64) {
        if let Some(link) = self.get_mut(socket) {
            link.since_ms = now_ms;
            let due_ms = link.due_ms();
            self.due_ms = Some(self.due_ms.map_or(due_ms, |known| known.min(due_ms)));
        }
    }

    fn write(&mut self, socket: SocketId, number: u32, body: String, last: bool) {
        self.effects.push(Effect::Write { response: ResponseId { socket, number }, body, last });
    }

    fn cut(&mut self, socket: SocketId, number: u32) {
        self.effects.push(Effect::Cut { response: ResponseId { socket, number } });
    }

    fn farewell(&self, mode: Mode, error: &ErrorInfo) -> Rc<Frame> {
        let frame = Outbound { action: action::DISCONNECTED, error: Some(error), ..Outbound::default() };
        self.frame(mode.dialect().encode(&frame))
    }

    fn frame(&self, encoded: Encoded) -> Rc<Frame> {
        self.waiting_bytes.set(self.waiting_bytes.get() + encoded.len());
        Rc::new(Frame { encoded, waiting_bytes: self.waiting_bytes.clone() })
    }
}

impl Frame {
    pub(super) fn encoded(&self) -> &Encoded {
        &self.encoded
    }

    fn len(&self) -> usize {
        self.encoded.len()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.waiting_bytes.set(self.waiting_bytes.get() - self.len());
    }
}

impl Link {
    fn push(&mut self, frame: Rc<Frame>) {
        self.queued_bytes += frame.len() + LINK_FRAME_BYTES;
        self.queue.push_back(frame);
    }

    /// What the next response, or the next piece of it, is to give.
    fn take(&mut self) -> Vec<Rc<Frame>> {
        let max_bytes = if self.mode.polls() { POLL_MAX_BYTES } else { RESPONSE_MAX_BYTES };
        let (mut frames, mut bytes) = (Vec::new(), 0);
        while let Some(frame) = self.queue.front()
            && (frames.is_empty() || bytes + frame.len() <= max_bytes)
        {
            bytes += frame.len();
            frames.extend(self.queue.pop_front());
        }
        self.queued_bytes -= bytes + frames.len() * LINK_FRAME_BYTES;
        frames
    }

    fn due_ms(&self) -> u64 {
        let patience_ms = match self.reader {
            Reader::Absent => LINK_ABSENT_MS + self.taking_ms,
            Reader::Ready(_) => LINK_PROBE_MS,
            Reader::Writing(_) => LINK_STALL_MS + self.taking_ms,
        };
        self.since_ms + patience_ms
    }
}

#[cfg(test)]
mod tests;
