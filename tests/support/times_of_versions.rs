//! Versions of a message, by when they were made.

use super::*;

/// Gives the versions of each page, from the first to the last.
fn pages(channel: &mut Channel, store: &mut MemoryStore, mut query: VersionsQuery) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    loop {
        let page = channel.versions(store, &query, NOW_MS).expect("a page");
        pages.push(told(&page.entries));
        let Some((number, _)) = page.next else { return pages };
        query.after = Some(number.0 as u32);
    }
}

/// Updates a message a second later each time, from one second on.
fn update(channel: &mut Channel, store: &mut MemoryStore, serial: &str, texts: &[String]) {
    for (second, text) in (1..).zip(texts) {
        channel.publish(Ticket(0), vec![act(&format!("u{second}"), Act::Update, serial, text)]).unwrap();
        channel.commit(store, NOW_MS + second * 1_000);
    }
}

#[test]
fn versions_are_those_of_a_time() {
    let (mut store, mut channel, serial) = begun();
    update(&mut channel, &mut store, &serial, &["1", "2", "3", "4"].map(str::to_owned));
    let at = |seconds: u64| Some(NOW_MS + seconds * 1_000);
    let after = at(4).map(|ms| ms + 1);
    for (start_ms, end_ms, expected) in [
        (None, None, &["0:a secret", "1:1", "1:2", "1:3", "1:4"][..]),
        (at(1), at(3), &["1:1", "1:2", "1:3"]),
        (at(3), None, &["1:3", "1:4"]),
        (None, at(0), &["0:a secret"]),
        (after, None, &[]),
        (None, Some(0), &[]),
    ] {
        for (forwards, limit) in [(true, 10), (true, 1), (false, 10), (false, 1)] {
            let query = VersionsQuery { start_ms, end_ms, forwards, limit, ..all_versions(&serial) };
            let pages = pages(&mut channel, &mut store, query);
            assert_eq!(pages.len(), expected.len().div_ceil(limit).max(1), "{start_ms:?} to {end_ms:?}");
            let mut found = pages.concat();
            if !forwards {
                found.reverse();
            }
            assert_eq!(found, expected, "{start_ms:?} to {end_ms:?}");
        }
    }
}

/// What is before the time that is asked for is looked at a page's worth at a time.
#[test]
fn a_page_of_versions_looks_at_a_bounded_number() {
    let (mut store, mut channel, serial) = begun();
    let large = "x".repeat(MESSAGE_MAX_BYTES / 2);
    let texts: Vec<String> = (0..80).map(|number| if number < 79 { large.clone() } else { "last".into() }).collect();
    update(&mut channel, &mut store, &serial, &texts);
    let query = VersionsQuery { start_ms: Some(NOW_MS + 80_000), ..all_versions(&serial) };
    let pages = pages(&mut channel, &mut store, query);
    assert_eq!(pages.concat(), ["1:last"]);
    assert!(pages.len() > 1 && pages[0].is_empty(), "{pages:?}");
}
