//! What happened last, for a failing run to show.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;

/// Lines that a failure shows; `TRACE=n` asks for more.
const LINES: usize = 60;

thread_local! {
    static LAST: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
    static KEPT: usize = std::env::var("TRACE").ok().and_then(|lines| lines.parse().ok()).unwrap_or(LINES);
}

/// Notes a line. It is only put into words by a run that is to be explained.
pub fn note(now_ms: u64, line: fmt::Arguments<'_>) {
    if is_on() {
        LAST.with_borrow_mut(|last| {
            last.push_back(format!("{:>8}.{:03}  {line}", now_ms / 1_000, now_ms % 1_000));
            if last.len() > KEPT.with(|kept| *kept) {
                last.pop_front();
            }
        });
    }
}

thread_local! {
    static ON: RefCell<bool> = const { RefCell::new(false) };
}

pub fn is_on() -> bool {
    ON.with_borrow(|on| *on)
}

/// Begins a trace, or goes on without one.
pub fn start(on: bool) {
    ON.set(on);
    LAST.with_borrow_mut(VecDeque::clear);
}

pub fn text() -> String {
    LAST.with_borrow(|last| last.iter().map(|line| format!("{line}\n")).collect())
}
