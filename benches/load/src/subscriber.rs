//! A subscriber: counts every message that it gets. Some also check each stamp: every publisher's messages in order,
//! none missing, none twice. The first of them, the probe, lets the publishers go on.

use std::rc::Rc;

use tokio_tungstenite::tungstenite::Message;

use crate::dialect::Control;
use crate::payload::Stamp;
use crate::run::{Run, add};
use crate::socket::{self, Socket};

/// The subscriber whose deliveries define how many messages are in flight. By that one rule all dialects compare,
/// whether or not they acknowledge.
pub const PROBE: usize = 0;

/// How often a subscriber says that it reads.
const ALIVE_EVERY_BYTES: usize = 16 * 1024 * 1024;

/// Reads until the run is dropped; a closed socket is a violation.
pub async fn listen(run: Rc<Run>, index: usize, mut order: Option<Order>, mut socket: Socket) {
    let mut unanswered = 0;
    loop {
        if let Err(why) = hear(&run, index, &mut order, &mut socket, &mut unanswered).await {
            return run.violation(format!("subscriber {index}: {why}"));
        }
    }
}

async fn hear(
    run: &Run,
    index: usize,
    order: &mut Option<Order>,
    socket: &mut Socket,
    unanswered: &mut usize,
) -> Result<(), String> {
    let frame = socket::next(socket).await?;
    *unanswered += bytes(&frame).len();
    if *unanswered > ALIVE_EVERY_BYTES
        && let Some(alive) = run.dialect.alive()
    {
        *unanswered = 0;
        socket::send(socket, alive).await?;
    }
    match take(run, index, order, &frame)? {
        Control::Answer(answer) => socket::send(socket, answer).await,
        _ => Ok(()),
    }
}

fn take(run: &Run, index: usize, order: &mut Option<Order>, frame: &Message) -> Result<Control, String> {
    let bytes = bytes(frame);
    let messages = match order {
        Some(order) => inspect(run, index, order, bytes)?,
        None => run.scanner.count(bytes),
    };
    if messages == 0 {
        return run.dialect.control(frame);
    }
    add(&run.received[index], messages);
    add(&run.frames, 1);
    add(&run.frame_bytes, bytes.len() as u64);
    Ok(run.dialect.answer(frame).map_or(Control::Nothing, Control::Answer))
}

fn inspect(run: &Run, index: usize, order: &mut Order, frame: &[u8]) -> Result<u64, String> {
    let mut messages = 0;
    for stamp in run.scanner.stamps(frame) {
        let stamp = stamp.ok_or("a torn message")?;
        let gained = order.check(stamp)?;
        run.arrived(stamp);
        if index == PROBE {
            run.windows[stamp.publisher as usize].add_permits(gained as usize);
        }
        messages += gained;
    }
    Ok(messages)
}

pub fn bytes(frame: &Message) -> &[u8] {
    match frame {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => bytes,
        _ => &[],
    }
}

/// The next sequence number expected of each publisher.
pub struct Order {
    next: Vec<u64>,
    /// Some are left out, since a later one came in their place.
    conflated: bool,
}

impl Order {
    pub fn new(publishers: usize, conflated: bool) -> Order {
        Order { next: vec![0; publishers], conflated }
    }

    /// One publisher, whose earlier messages are known.
    pub fn from(sequence: u64) -> Order {
        Order { next: vec![sequence], conflated: false }
    }

    /// How many messages came with this one, itself included. Fails on a gap, a repeat and an unknown publisher.
    pub fn check(&mut self, Stamp { publisher, sequence, .. }: Stamp) -> Result<u64, String> {
        let expected = self.next.get_mut(publisher as usize).ok_or(format!("unknown publisher {publisher}"))?;
        if sequence < *expected || sequence > *expected && !self.conflated {
            return Err(format!("message {sequence} of publisher {publisher} came where {expected} was due"));
        }
        let gained = sequence + 1 - *expected;
        *expected = sequence + 1;
        Ok(gained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_repeats_and_strangers_are_seen() {
        let stamp = |publisher, sequence| Stamp { publisher, sequence, sent_ns: 0 };
        let mut order = Order::new(2, false);
        for stamp in [stamp(0, 0), stamp(1, 0), stamp(1, 1), stamp(0, 1)] {
            order.check(stamp).unwrap();
        }
        assert_eq!(order.check(stamp(0, 1)), Err("message 1 of publisher 0 came where 2 was due".into()));
        assert!(order.check(stamp(0, 3)).is_err());
        assert!(order.check(stamp(2, 0)).is_err());
    }

    #[test]
    fn what_a_later_one_replaced_came_with_it() {
        let stamp = |sequence| Stamp { publisher: 0, sequence, sent_ns: 0 };
        let mut order = Order::new(1, true);
        assert_eq!([0, 3, 4].map(|sequence| order.check(stamp(sequence))), [Ok(1), Ok(3), Ok(1)]);
        assert!(order.check(stamp(4)).is_err() && order.check(stamp(2)).is_err());
    }
}
