//! What each address asked for in this second. While all ask for less than an isolate can do, nobody waits; when they
//! ask for more, none gets more than its part, so a flood from one address leaves room for all others.
//!
//! Requests and connects are counted as they come: a flood that is turned away costs little. What comes without an
//! address is the server's own, or behind a proxy that hides its clients' addresses, and is never turned away.

use std::net::{IpAddr, Ipv6Addr};

use crate::base::maps::HashMap;
use crate::error::{Code, ErrorInfo};
use crate::limits::{ADDRESS_MAX_BYTES, ADDRESSES_MAX, REQUESTS_PER_SECOND};

/// Who is behind an address, as far as it tells: of IPv6 the first 64 bits, because whoever has those chooses the
/// others. What is no address is a proxy's own word for one.
pub fn origin(address: &str) -> String {
    let plain = address.split('%').next().unwrap_or_default();
    match plain.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Err(_) => address[..address.floor_char_boundary(ADDRESS_MAX_BYTES)].to_owned(),
    }
}

#[derive(Debug, Default)]
pub struct Addresses {
    second: u64,
    all: u64,
    by_address: HashMap<Box<str>, u64>,
}

impl Addresses {
    /// Fails with 42910 when there is more to do than can be done, and this address has had its part.
    pub fn take(&mut self, address: &str, now_ms: u64) -> Result<(), ErrorInfo> {
        if address.is_empty() {
            return Ok(());
        }
        self.turn(now_ms);
        let used = self.by_address.get(self.part_of(address)).copied().unwrap_or_default();
        let others = self.by_address.len() as u64 - u64::from(used > 0);
        let part = REQUESTS_PER_SECOND / (others + 1);
        if others > 0 && self.all >= REQUESTS_PER_SECOND && used >= part {
            return Err(Code::RateLimited.because("too many requests come from this address; try again"));
        }
        self.add(address, 1, now_ms);
        Ok(())
    }

    /// Counts what a request asked for besides: it was let in.
    pub fn add(&mut self, address: &str, count: u64, now_ms: u64) {
        if address.is_empty() || count == 0 {
            return;
        }
        self.turn(now_ms);
        let address = self.part_of(address);
        self.all += count;
        match self.by_address.get_mut(address) {
            Some(used) => *used += count,
            None => drop(self.by_address.insert(address.into(), count)),
        }
    }

    fn turn(&mut self, now_ms: u64) {
        if now_ms / 1_000 != self.second {
            *self = Addresses { second: now_ms / 1_000, ..Addresses::default() };
        }
    }

    /// Beyond so many the rest are one, and share one part.
    fn part_of<'a>(&self, address: &'a str) -> &'a str {
        let is_known = self.by_address.contains_key(address) || self.by_address.len() < ADDRESSES_MAX;
        if is_known { address } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_an_address_of_ipv6_has_all_that_begin_alike() {
        for (address, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
            ("2001:DB8:1:2:ffff:0:0:9", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("::1", "::/64"),
            ("", ""),
            ("unknown", "unknown"),
        ] {
            assert_eq!(origin(address), expected, "{address}");
        }
        assert_eq!(origin(&"ü".repeat(1_000)).len(), ADDRESS_MAX_BYTES - 1);
    }

    /// How many requests of each are taken, when they come in turns.
    fn taken(asked: &[(&str, u64)]) -> Vec<u64> {
        let mut addresses = Addresses::default();
        let mut taken = vec![0; asked.len()];
        for turn in 0..asked.iter().map(|(_, count)| *count).max().unwrap_or_default() {
            for (index, (address, count)) in asked.iter().enumerate() {
                if turn < *count && addresses.take(address, 5_000).is_ok() {
                    taken[index] += 1;
                }
            }
        }
        taken
    }

    #[test]
    fn one_address_alone_has_all() {
        assert_eq!(taken(&[("a", REQUESTS_PER_SECOND * 3)]), [REQUESTS_PER_SECOND * 3]);
    }

    #[test]
    fn what_has_no_address_is_nobody_who_shares() {
        let all = taken(&[("", REQUESTS_PER_SECOND * 3), ("a", REQUESTS_PER_SECOND * 3)]);
        assert_eq!(all, [REQUESTS_PER_SECOND * 3; 2]);
    }

    #[test]
    fn a_flood_leaves_others_what_they_ask_for() {
        let few = REQUESTS_PER_SECOND / 4;
        let all = taken(&[("flood", REQUESTS_PER_SECOND * 3), ("a", few), ("b", few)]);
        assert_eq!(all[1..], [few, few]);
        assert!(all[0] <= REQUESTS_PER_SECOND, "{all:?}");
        let late = taken(&[("flood", REQUESTS_PER_SECOND), ("a", 1)]);
        assert_eq!(late[1], 1);
    }

    #[test]
    fn a_request_counts_as_the_channels_that_it_names() {
        let mut addresses = Addresses::default();
        addresses.take("a", 5_000).unwrap();
        for _ in 0..REQUESTS_PER_SECOND / 100 {
            addresses.take("flood", 5_000).unwrap();
            addresses.add("flood", 99, 5_000);
        }
        assert!(addresses.take("flood", 5_000).is_err());
        assert!(addresses.take("a", 5_000).is_ok() && addresses.take("flood", 6_000).is_ok());
    }

    #[test]
    fn floods_share_alike() {
        let all = taken(&[("a", REQUESTS_PER_SECOND * 2), ("b", REQUESTS_PER_SECOND * 2)]);
        assert_eq!(all, [REQUESTS_PER_SECOND / 2; 2]);
    }

    #[test]
    fn each_second_begins_anew_and_addresses_are_bounded() {
        let mut addresses = Addresses::default();
        for number in 0..REQUESTS_PER_SECOND * 20 {
            drop(addresses.take(&number.to_string(), 1_000));
            assert!(addresses.by_address.len() <= ADDRESSES_MAX + 1);
        }
        assert!(addresses.take("late", 1_999).is_err());
        assert!(addresses.take("late", 2_000).is_ok());
    }
}
