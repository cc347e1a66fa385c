//! How bad it is in one run: each seed has faults of its own choosing, since what hides behind one fault another
//! uncovers.

use std::num::NonZeroU32;

use courtside::base::rate::Flow;
use courtside::relay::bounds::Bounds;

use super::random::Random;

/// Rates are of a thousand: calls between objects, accesses to a disk, moments of a client, or faults of their kind.
#[derive(Clone, Debug)]
pub struct Weather {
    pub lose_call: u64,
    pub lose_answer: u64,
    /// Calls of which the caller never hears again.
    pub never_answer: u64,
    pub slow_call: u64,
    pub repeat_delivery: u64,
    pub fail_disk: u64,
    pub evict: u64,
    pub reset: u64,
    pub crash: u64,
    pub step_clock: u64,
    pub sever: u64,
    pub half_open: u64,
    pub stall: u64,
    /// Long times in which one object's deliveries don't reach another.
    pub cut: u64,
    /// How many connect over HTTP.
    pub over_http: u64,
    pub lose_body: u64,
    pub ask_twice: u64,
    /// What a connection may be sent in a second, and a relay's connections four times: little, or 0 for the usual.
    pub bytes_per_second: u64,
    /// How long a call, or a disk, takes at most when nothing is wrong with it.
    pub latency_ms: u64,
    /// How long it takes at most until an object knows when its alarm rings; 0 if it knows that at once.
    pub ask_alarm_ms: u64,
}

impl Weather {
    pub fn of(random: &mut Random) -> Weather {
        let mut rate = |worst: u64| match random.below(3) {
            0 => 0,
            1 => random.below(worst / 4 + 1),
            _ => random.below(worst + 1),
        };
        Weather {
            lose_call: rate(200),
            lose_answer: rate(200),
            slow_call: rate(150),
            repeat_delivery: rate(200),
            fail_disk: rate(60),
            evict: rate(1_000),
            reset: rate(300),
            crash: rate(200),
            step_clock: rate(200),
            sever: rate(300),
            half_open: rate(500),
            stall: rate(100),
            cut: rate(600),
            over_http: rate(1_000),
            lose_body: rate(60),
            ask_twice: rate(60),
            latency_ms: 1 + rate(60),
            bytes_per_second: rate(4_000),
            never_answer: rate(20),
            ask_alarm_ms: rate(400),
        }
    }

    /// What a relay gives out: little, and yet all of a run within the calm at its end.
    pub fn bounds(&self) -> Bounds {
        // So little that a set takes several pages, and a page several turns.
        let usual = Bounds { sync_members: 2, sync_turn_bytes: 1, ..Bounds::default() };
        let Some(bytes) = NonZeroU32::new(self.bytes_per_second as u32).map(|bytes| bytes.get() + 3_000) else {
            return usual;
        };
        let (connection, relay) = (Flow::of(bytes.into()), Flow::of(u64::from(bytes) * 4));
        Bounds { connection, relay, unheard_bytes: bytes * 10, answers_bytes: bytes * 100, ..usual }
    }

    /// Nothing fails any more; objects still sleep.
    pub fn calm() -> Weather {
        Weather {
            lose_call: 0,
            lose_answer: 0,
            never_answer: 0,
            slow_call: 0,
            repeat_delivery: 0,
            fail_disk: 0,
            evict: 500,
            reset: 0,
            crash: 0,
            step_clock: 0,
            sever: 0,
            half_open: 0,
            stall: 0,
            cut: 0,
            over_http: 300,
            lose_body: 0,
            ask_twice: 0,
            latency_ms: 10,
            ask_alarm_ms: 0,
            bytes_per_second: 0,
        }
    }
}
