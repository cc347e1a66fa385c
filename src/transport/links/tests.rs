//! Links: which response takes what waits, and when a transport counts as lost.

use super::*;
use crate::limits::FRAME_MAX_BYTES;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ONE: SocketId = SocketId(1);

/// Links, and what they did since it was last asked.
#[derive(Default)]
struct Bench {
    links: Links,
    now_ms: u64,
    effects: Vec<Effect>,
}

impl Bench {
    fn of(mode: Mode) -> Bench {
        let mut bench = Bench { now_ms: 1_000, ..Bench::default() };
        bench.links.open(ONE, mode, "key".to_owned(), 1_000);
        bench
    }

    fn read(&mut self) -> ResponseId {
        let (response, effects) = self.links.read(ONE, self.now_ms);
        self.effects.extend(effects);
        response.expect("the link is there")
    }

    fn send(&mut self, text: &str) {
        self.effects.extend(self.links.send(&[SocketId(7), ONE], Encoded::Text(text.to_owned()), self.now_ms));
    }

    fn written(&mut self, response: ResponseId, went_well: bool) {
        self.effects.extend(self.links.written(response, went_well, self.now_ms));
    }

    fn close(&mut self) {
        self.effects.extend(self.links.close(ONE, self.now_ms));
    }

    /// Goes on until something is done that was due, or the link is no more.
    fn pass(&mut self) {
        while self.effects.is_empty() && self.links.count() > 0 {
            self.now_ms = self.links.deadline().expect("something is due");
            self.effects.extend(self.links.tick(self.now_ms));
        }
    }

    /// What was done: `1: [..]` is written into the first response, `1: [..] end` ends it.
    fn done(&mut self) -> Vec<String> {
        let text = |effect| match effect {
            Effect::Write { response, body, last } => {
                format!("{}: {}{}", response.number, body.trim_end(), if last { " end" } else { "" })
            }
            Effect::Cut { response } => format!("{}: cut", response.number),
            Effect::Lost { socket } => format!("lost {}", socket.0),
        };
        self.effects.drain(..).map(text).collect()
    }
}

fn farewell(code: Code, message: &str) -> String {
    let (number, status) = (code.number(), code.status());
    format!(
        r#"{{"action":6,"error":{{"code":{number},"statusCode":{status},"message":"{message}","href":"https://help.ably.io/error/{number}"}}}}"#
    )
}

#[test]
fn a_poll_ends_with_what_waits() {
    let mut bench = Bench::of(Mode::Poll);
    bench.send("1");
    bench.send("2");
    assert_eq!(bench.done(), [] as [String; 0]);
    let first = bench.read();
    assert_eq!(bench.done(), ["1: [1,2] end"]);
    bench.written(first, true);
    let second = bench.read();
    bench.send("3");
    assert_eq!(bench.done(), ["2: [3] end"]);
    assert_eq!(bench.links.waiting_bytes(), 4);
    bench.written(second, true);
    assert_eq!(bench.links.waiting_bytes(), 0);
}

#[test]
fn a_stream_takes_one_write_at_a_time() {
    let mut bench = Bench::of(Mode::Stream);
    let response = bench.read();
    bench.send("1");
    bench.send("2");
    bench.send("3");
    assert_eq!(bench.done(), ["1: [1]"]);
    bench.written(response, true);
    assert_eq!(bench.done(), ["1: [2,3]"]);
    bench.written(response, true);
    bench.close();
    assert_eq!(bench.done(), ["1:  end"]);
    bench.written(response, true);
    assert_eq!((bench.links.count(), bench.links.ended("key")), (0, None));
}

#[test]
fn who_reads_is_asked_now_and_then() {
    for mode in [Mode::Poll, Mode::Stream] {
        let mut bench = Bench::of(mode);
        bench.read();
        bench.pass();
        assert_eq!(bench.now_ms, 1_000 + LINK_PROBE_MS);
        assert_eq!(bench.done(), [if mode == Mode::Poll { "1: [] end" } else { "1: []" }]);
    }
}

#[test]
fn who_comes_no_more_is_lost() {
    let mut bench = Bench::of(Mode::Poll);
    bench.send("1");
    bench.pass();
    assert_eq!(bench.now_ms, 1_000 + LINK_ABSENT_MS);
    assert_eq!(bench.done(), ["lost 1"]);
    assert_eq!((bench.links.count(), bench.links.waiting_bytes(), bench.links.deadline()), (0, 0, None));
}

#[test]
fn a_poll_has_no_more_than_a_slow_link_brings() {
    let mut bench = Bench::of(Mode::Poll);
    let frame = "1".repeat(POLL_MAX_BYTES / 2);
    (0..3).for_each(|_| bench.send(&frame));
    for frames in [2, 1] {
        let response = bench.read();
        let Some(Effect::Write { body, last: true, .. }) = bench.effects.pop() else { panic!("a body") };
        assert_eq!(body.matches(&frame).count(), frames);
        bench.written(response, true);
    }
}

#[test]
fn who_is_given_much_has_longer_to_come_again() {
    for (bytes, taking_ms) in [(16, 1), (POLL_MAX_BYTES, 4_096), (FRAME_MAX_BYTES, LINK_TAKING_MAX_MS)] {
        for mode in [Mode::Poll, Mode::Stream] {
            let mut bench = Bench::of(mode);
            let response = bench.read();
            bench.send(&"1".repeat(bytes));
            bench.effects.clear();
            bench.pass();
            let patience_ms = if mode == Mode::Poll { LINK_ABSENT_MS } else { LINK_STALL_MS };
            assert_eq!(bench.now_ms, 1_000 + patience_ms + taking_ms, "{bytes} {mode:?}");
            assert_eq!(bench.done()[0], "lost 1");
            bench.written(response, false);
        }
    }
}

#[test]
fn who_takes_nothing_is_lost() {
    for mode in [Mode::Poll, Mode::Stream] {
        let mut bench = Bench::of(mode);
        let response = bench.read();
        bench.send("1");
        bench.done();
        bench.pass();
        assert_eq!(bench.done(), ["lost 1", "1: cut"], "{mode:?}");
        bench.written(response, false);
        assert_eq!((bench.done().len(), bench.links.count(), bench.links.deadline()), (0, 0, None));
    }
}

#[test]
fn what_could_not_be_given_is_not_skipped() {
    let mut bench = Bench::of(Mode::Poll);
    let first = bench.read();
    bench.send("1");
    let _second = bench.read();
    bench.written(first, false);
    let interrupted = farewell(Code::Disconnected, "disconnected");
    assert_eq!(bench.done(), ["1: [1] end".to_owned(), "lost 1".to_owned(), format!("2: [{interrupted}] end")]);
    let mut bench = Bench::of(Mode::Stream);
    let only = bench.read();
    bench.send("1");
    bench.written(only, false);
    assert_eq!(bench.done(), ["1: [1]", "lost 1"]);
    assert_eq!(bench.links.count(), 0);
}

#[test]
fn of_two_polls_the_later_goes_on() {
    let mut bench = Bench::of(Mode::Poll);
    let first = bench.read();
    bench.read();
    let superseded = farewell(Code::Superseded, "the connection continues on another transport");
    assert_eq!(bench.done(), [format!("1: [{superseded}] end")]);
    // Whether the first is told or not: nothing of the connection was in it.
    bench.written(first, false);
    bench.send("1");
    assert_eq!(bench.done(), ["2: [1] end"]);
}

#[test]
fn two_streams_end_each_other() {
    let mut bench = Bench::of(Mode::Stream);
    let first = bench.read();
    let second = bench.read();
    let superseded = farewell(Code::Superseded, "the connection continues on another transport");
    let expected = [format!("1: [{superseded}] end"), "lost 1".to_owned(), format!("2: [{superseded}] end")];
    assert_eq!(bench.done(), expected);
    bench.written(first, true);
    bench.written(second, true);
    assert_eq!((bench.links.count(), bench.links.waiting_bytes()), (0, 0));
}

#[test]
fn a_poll_waits_until_the_one_before_is_known_to_have_arrived() {
    let mut bench = Bench::of(Mode::Poll);
    let first = bench.read();
    bench.send("1");
    let second = bench.read();
    bench.send("2");
    assert_eq!(bench.done(), ["1: [1] end"]);
    bench.written(first, true);
    assert_eq!(bench.done(), ["2: [2] end"]);
    // If that is never known, what comes behind is not given either.
    bench.read();
    bench.send("3");
    bench.pass();
    let interrupted = farewell(Code::Disconnected, "disconnected");
    assert_eq!(bench.done(), ["lost 1".to_owned(), "2: cut".to_owned(), format!("3: [{interrupted}] end")]);
    bench.written(second, false);
    assert_eq!(bench.done(), [] as [String; 0]);
}

#[test]
fn readers_that_give_way_are_not_kept() {
    let mut bench = Bench::of(Mode::Poll);
    for _ in 0..3 {
        bench.read();
    }
    assert_eq!(bench.done().iter().filter(|done| done.ends_with("cut")).count(), 1);
}

#[test]
fn last_words_can_be_fetched() {
    let mut bench = Bench::of(Mode::Poll);
    bench.send("1");
    bench.close();
    bench.send("2");
    assert_eq!(bench.links.ended("key"), Some(ONE));
    let response = bench.read();
    assert_eq!(bench.done(), ["1: [1] end"]);
    bench.written(response, true);
    assert_eq!((bench.links.count(), bench.links.ended("key")), (0, None));
}

#[test]
fn last_words_are_not_kept_for_ever() {
    let mut bench = Bench::of(Mode::Poll);
    bench.send("1");
    bench.close();
    bench.pass();
    // The relay knows that the session is over.
    assert_eq!(bench.done(), [] as [String; 0]);
    assert_eq!((bench.links.count(), bench.links.ended("key"), bench.links.waiting_bytes()), (0, None, 0));
}

#[test]
fn what_does_not_fit_ends_the_transport_behind_what_did() {
    let big = "1".repeat(FRAME_MAX_BYTES - LINK_FRAME_BYTES);
    for (elsewhere, fit) in [(0, LINK_ROOMY_MAX_BYTES / FRAME_MAX_BYTES), (LINKS_ROOMY_BYTES, 2)] {
        let mut bench = Bench::of(Mode::Poll);
        // What waits for others leaves less room for each.
        for number in 0..elsewhere.div_ceil(big.len()) as u32 {
            bench.links.open(SocketId(100 + number), Mode::Poll, format!("key {number}"), 1_000);
            bench.links.send(&[SocketId(100 + number)], Encoded::Text(big.clone()), 1_000);
        }
        assert!(bench.links.waiting_bytes() >= elsewhere);
        (0..fit).for_each(|_| bench.send(&big));
        assert_eq!(bench.done(), Vec::<String>::new());
        bench.send(&big);
        assert_eq!(bench.done(), ["lost 1"]);
        bench.send("2");
        for number in 1..=fit {
            let response = bench.read();
            bench.written(response, true);
            assert_eq!(bench.done(), [format!("{}: [{big}] end", number)]);
        }
        bench.read();
        let last = bench.done().concat();
        assert!(last.contains(r#": [{"action":6,"error":{"code":80003,"#), "{last}");
    }
}

#[test]
fn a_frame_for_many_counts_once() {
    let mut links = Links::default();
    let sockets: Vec<SocketId> = (0..1_000).map(SocketId).collect();
    for socket in &sockets {
        links.open(*socket, Mode::Poll, format!("key {}", socket.0), 0);
    }
    let text = "x".repeat(100_000);
    assert_eq!(links.send(&sockets, Encoded::Text(text.clone()), 0), []);
    assert_eq!(links.waiting_bytes(), 100_000);
    for socket in &sockets[1..] {
        links.close(*socket, 0);
        let (Some(response), _) = links.read(*socket, 0) else { panic!("its last words wait") };
        links.written(response, true, 0);
    }
    assert_eq!((links.count(), links.waiting_bytes()), (1, 100_000));
    // All readers together have a bound too.
    for socket in &sockets[1..] {
        links.open(*socket, Mode::Poll, String::new(), 0);
    }
    let lost = (1..1_000).find(|number| !links.send(&[SocketId(*number)], Encoded::Text(text.clone()), 0).is_empty());
    assert_eq!(lost, Some((LINKS_QUEUE_MAX_BYTES / 100_000) as u32));
}

#[test]
fn what_is_given_and_not_taken_counts_for_each() {
    let mut links = Links::default();
    let sockets: Vec<SocketId> = (0..1_000).map(SocketId).collect();
    let mut responses = Vec::new();
    for socket in &sockets {
        links.open(*socket, Mode::Poll, format!("key {}", socket.0), 0);
        responses.extend(links.read(*socket, 0).0);
    }
    let effects = links.send(&sockets, Encoded::Text("x".repeat(100_000)), 0);
    let whole = effects.iter().filter(|effect| matches!(effect, Effect::Write { body, .. } if body.len() > 100_000));
    let lost = effects.iter().filter(|effect| matches!(effect, Effect::Lost { .. })).count();
    assert_eq!((whole.count(), lost), (LINKS_QUEUE_MAX_BYTES / 100_000, 1_000 - LINKS_QUEUE_MAX_BYTES / 100_000));
    assert!(links.waiting_bytes() > LINKS_QUEUE_MAX_BYTES - 100_000);
    for response in responses {
        links.written(response, true, 0);
    }
    assert_eq!(links.waiting_bytes(), 0);
}

/// What happens to a link, over and over.
#[derive(Clone, Copy, Debug)]
enum Event {
    Send,
    Read,
    /// The oldest write that is under way is done, or has failed.
    Written(bool),
    /// This long after, something is looked after.
    Pass(u64),
    Close,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Send),
        6 => Just(Event::Read),
        6 => Just(Event::Written(true)),
        1 => Just(Event::Written(false)),
        2 => (0..LINK_PROBE_MS).prop_map(Event::Pass),
        1 => Just(Event::Close),
    ]
}

proptest! {
    /// However its readers behave: they get a beginning of what was said, in order, once and without a gap, and the
    /// shell is left with nothing when they are gone.
    #[test]
    fn what_readers_get_has_no_gap(poll in any::<bool>(), events in proptest::collection::vec(event(), 1..60)) {
        let mut bench = Bench::of(if poll { Mode::Poll } else { Mode::Stream });
        let (mut sent, mut got, mut lost, mut closed) = (0, Vec::new(), 0, false);
        let mut open: BTreeMap<u32, ResponseId> = BTreeMap::new();
        let mut writes: VecDeque<(ResponseId, String, bool)> = VecDeque::new();
        let departure = [Event::Pass(LINK_ABSENT_MS), Event::Pass(LINK_PROBE_MS), Event::Pass(LINK_PROBE_MS)].repeat(3);
        for event in events.into_iter().chain(departure) {
            match event {
                Event::Send => {
                    sent += 1;
                    bench.send(&sent.to_string());
                }
                Event::Read => {
                    let (response, effects) = bench.links.read(ONE, bench.now_ms);
                    open.extend(response.map(|response| (response.number, response)));
                    bench.effects.extend(effects);
                }
                Event::Written(went_well) => {
                    if let Some((response, body, last)) = writes.pop_front() {
                        if went_well {
                            let frames: Vec<serde_json::Value> = if body.is_empty() { vec![] } else { serde_json::from_str(&body).unwrap() };
                            got.extend(frames.iter().filter_map(serde_json::Value::as_u64));
                        }
                        if last || !went_well {
                            open.remove(&response.number);
                        }
                        bench.written(response, went_well);
                    }
                }
                Event::Pass(ms) => {
                    bench.now_ms += ms;
                    bench.effects.extend(bench.links.tick(bench.now_ms));
                }
                Event::Close if lost == 0 && !closed => {
                    closed = true;
                    bench.close();
                }
                Event::Close => {}
            }
            for effect in std::mem::take(&mut bench.effects) {
                match effect {
                    Effect::Write { response, body, last } if open.contains_key(&response.number) => writes.push_back((response, body, last)),
                    Effect::Write { .. } => prop_assert!(false, "written into a response that is over"),
                    Effect::Cut { response } => {
                        open.remove(&response.number);
                        writes.retain(|(write, ..)| *write != response);
                    }
                    Effect::Lost { .. } => lost += 1,
                }
            }
        }
        let beginning: Vec<u64> = (1..=got.len() as u64).collect();
        prop_assert_eq!(got, beginning);
        prop_assert_eq!(lost + usize::from(closed), 1, "the session ends once");
        prop_assert_eq!((bench.links.count(), bench.links.waiting_bytes(), open.len()), (0, 0, 0));
        prop_assert!(bench.links.ended.is_empty());
    }
}

#[cfg(feature = "socketio")]
mod engine {
    use super::*;

    #[test]
    fn polls_of_engine_io_hold_packets_and_never_nothing() {
        let mut bench = Bench::of(Mode::Engine);
        bench.read();
        bench.send("42[\"a\"]");
        assert_eq!(bench.done(), ["1: 42[\"a\"] end"]);
        bench.written(ResponseId { socket: ONE, number: 1 }, true);
        bench.send("2");
        bench.send("42[\"b\"]");
        let second = bench.read();
        assert_eq!(bench.done(), ["2: 2\u{1e}42[\"b\"] end"]);
        bench.written(second, true);
        let third = bench.read();
        bench.pass();
        assert_eq!(bench.done(), ["3: 6 end"], "there is nothing, and somebody reads");
        bench.written(third, true);
        bench.read();
        bench.close();
        assert_eq!(bench.done(), ["4: 1 end"], "it is over");
    }

    #[test]
    fn a_client_that_found_its_socket_to_work_waits_for_no_poll() {
        let mut bench = Bench::of(Mode::Engine);
        let first = bench.read();
        assert!(bench.links.try_socket(ONE) && !bench.links.try_socket(ONE), "one at a time");
        assert_eq!(bench.done(), [] as [&str; 0], "it may not work");
        let effects = bench.links.pause(ONE, bench.now_ms);
        bench.effects.extend(effects);
        assert_eq!(bench.done(), ["1: 6 end"]);
        bench.written(first, true);
        bench.read();
        assert_eq!(bench.done(), ["2: 6 end"]);
        bench.send("42[\"a\"]");
        let (waiting, effects) = bench.links.replace(ONE);
        bench.effects.extend(effects);
        assert_eq!(waiting, [Encoded::Text("42[\"a\"]".to_owned())]);
        assert_eq!((bench.links.count(), bench.links.waiting_bytes()), (0, 0));
    }

    #[test]
    fn a_socket_that_does_not_work_leaves_the_polls() {
        let mut bench = Bench::of(Mode::Engine);
        bench.read();
        assert!(bench.links.try_socket(ONE));
        bench.links.forget_socket(ONE);
        bench.send("42[\"a\"]");
        assert_eq!(bench.done(), ["1: 42[\"a\"] end"]);
        assert!(bench.links.try_socket(ONE), "it may be tried again");
    }

    #[test]
    fn a_second_poll_ends_both() {
        let mut bench = Bench::of(Mode::Engine);
        bench.read();
        assert!(bench.links.is_read(ONE));
        let effects = bench.links.give_up(ONE, bench.now_ms);
        bench.effects.extend(effects);
        assert_eq!(bench.done(), ["lost 1", "1: 1 end"]);
    }
}
