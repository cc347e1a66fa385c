//! A client that lost its connection sends again all that it has no acknowledgement for: ten thousand publishes at most.
//! What it costs to know them grows as their number does, and not as its square. Counted in allocations, of which each
//! entry that is decoded makes some.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use courtside::call::{Publish, PublishKey};
use courtside::channel::Channel;

use support::bench::*;
use support::memory_store::MemoryStore;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: it allocates as the system does, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Publishes of a connection, and such as have ids of their own.
fn by_serial(number: u64) -> Publish {
    numbered("a", number)
}

fn by_id(number: u64) -> Publish {
    let mut publish = numbered("a", number);
    publish.key = PublishKey::Id(format!("id{number}"));
    if let courtside::call::Submission::Messages(messages) = &mut publish.content {
        messages[0].id = Some(format!("id{number}"));
    }
    publish
}

/// How many allocations it takes to know so many repeats among those of others.
fn cost(count: u64, of: fn(u64) -> Publish, wakes: bool, backwards: bool) -> usize {
    let mut store = MemoryStore::default();
    let mut channel: Channel = wake(&mut store);
    let all = || (0..count).map(of).collect::<Vec<_>>();
    let others = (0..count).map(|number| numbered("b", number));
    let mixed: Vec<Publish> = all().into_iter().zip(others).flat_map(|(one, other)| [one, other]).collect();
    let (places, _) = publish(&mut channel, &mut store, mixed);
    if wakes {
        channel = wake(&mut store);
        // It reads what it must know of its window.
        publish(&mut channel, &mut store, vec![numbered("c", 0)]);
    }
    let (mut again, mut expected) = (all(), places.into_iter().step_by(2).collect::<Vec<_>>());
    if backwards {
        again.reverse();
        expected.reverse();
    }
    let before = ALLOCATIONS.get();
    let (found, deliveries) = publish(&mut channel, &mut store, again);
    let cost = ALLOCATIONS.get() - before;
    assert_eq!((found, deliveries), (expected, Vec::new()));
    cost
}

#[test]
fn what_repeats_cost_grows_as_their_number_does() {
    for of in [by_serial, by_id] {
        for (wakes, backwards) in [(false, false), (false, true), (true, false), (true, true)] {
            let [some, more] = [100, 400].map(|count| cost(count, of, wakes, backwards));
            assert!(more < some * 5, "four times as many cost {more} instead of {some} ({wakes}, {backwards})");
        }
    }
}

/// What was read to find one is not all there is once more is published.
#[test]
fn what_comes_between_repeats_is_known_when_it_comes_again() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    publish(&mut channel, &mut store, vec![by_serial(0)]);
    publish(&mut channel, &mut store, vec![by_serial(0)]);
    let (first, _) = publish(&mut channel, &mut store, vec![by_serial(1)]);
    let (again, deliveries) = publish(&mut channel, &mut store, vec![by_serial(1)]);
    assert_eq!((again, deliveries), (first, Vec::new()));
}
