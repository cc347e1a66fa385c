//! The filters of a relay's attachments: each is kept once for all who have it, and asked once for each message.
//!
//! A client resumes from the last serial that it was given. When nothing passes for a while, that of its filtered
//! channel would fall out of the log, and its return would look like a gap: so it is told now and then how far it is.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::{Rc, Weak};

use serde_json::Value;

use super::Relay;
use super::attachment::State;
use crate::base::maps::HashMap;
use crate::error::{Code, ErrorInfo};
use crate::filter::{self, Filter};
use crate::limits::{FILTER_PROGRESS_MS, FILTERS_PER_CHANNEL_MAX, FILTERS_PER_RELAY_MAX};
use crate::model::message::{Entry, Kinds};
use crate::model::name::ChannelName;

/// The distinct filters of each channel, by their expressions. They last as long as an attachment has them.
#[derive(Debug, Default)]
pub struct Filters(HashMap<ChannelName, HashMap<Box<str>, Weak<Filter>>>);

impl Filters {
    /// The filter that others have too, if they do. Fails with 42910 when there would be too many.
    pub fn admit(&mut self, owner: &ChannelName, filter: Rc<Filter>) -> Result<Rc<Filter>, ErrorInfo> {
        if self.known(owner, &filter).is_none() {
            if self.is_full(owner) {
                self.prune();
            }
            if self.is_full(owner) {
                let bounds = format!("{FILTERS_PER_CHANNEL_MAX} on a channel and {FILTERS_PER_RELAY_MAX} in all");
                return Err(Code::RateLimited.because(format!("there are at most {bounds} filters here")));
            }
        }
        Ok(self.share(owner, filter))
    }

    /// The same of a filter that was admitted before.
    pub fn share(&mut self, owner: &ChannelName, filter: Rc<Filter>) -> Rc<Filter> {
        self.known(owner, &filter).unwrap_or_else(|| {
            let filters = self.0.entry(owner.clone()).or_default();
            filters.insert(filter.expression().into(), Rc::downgrade(&filter));
            filter
        })
    }

    fn known(&self, owner: &ChannelName, filter: &Filter) -> Option<Rc<Filter>> {
        self.0.get(owner)?.get(filter.expression())?.upgrade()
    }

    fn is_full(&self, owner: &ChannelName) -> bool {
        let all: usize = self.0.values().map(HashMap::len).sum();
        all >= FILTERS_PER_RELAY_MAX
            || self.0.get(owner).is_some_and(|filters| filters.len() >= FILTERS_PER_CHANNEL_MAX)
    }

    /// Forgets those that nobody has any more.
    fn prune(&mut self) {
        self.0.retain(|_, filters| {
            filters.retain(|_, filter| filter.strong_count() > 0);
            !filters.is_empty()
        });
    }
}

impl Relay {
    /// Tells those who are behind filters how far they are, if the channel went on since they were told.
    pub(super) fn tell_progress(&mut self) {
        if self.filters.0.is_empty() {
            return;
        }
        let mut due = Vec::new();
        for (socket, session) in &self.sessions {
            for (name, attachment) in session.attachments.iter() {
                let Some(view) = &attachment.view else { continue };
                let Some(feed) = self.feeds.get(&name.owner()) else { continue };
                let is_due = self.now_ms.abs_diff(view.told_at_ms) >= FILTER_PROGRESS_MS;
                if let (Some(position), State::Live { after }) = (feed.position(), &attachment.state)
                    && is_due
                    && position > view.told.max(*after)
                {
                    due.push((*socket, name.clone(), feed.epoch().to_owned(), position));
                }
            }
        }
        due.iter().for_each(|(socket, name, epoch, at)| self.announce_progress(*socket, name, epoch, *at));
    }
}

/// Entries, and what filters let through of them.
pub struct Sieve<'a> {
    entries: &'a [Entry],
    kinds: Kinds,
    /// What filters see of the messages of each entry, once one asks.
    seen: OnceCell<Vec<Vec<Value>>>,
    passed: HashMap<*const Filter, Vec<Option<Cow<'a, Entry>>>>,
}

impl<'a> Sieve<'a> {
    pub fn new(entries: &'a [Entry]) -> Sieve<'a> {
        Sieve { entries, kinds: Kinds::of(entries), seen: OnceCell::new(), passed: HashMap::default() }
    }

    /// Which kinds there are among them: asked for each reader, and looked for once.
    pub fn kinds(&self) -> Kinds {
        self.kinds
    }

    pub fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// What a filter leaves of each entry.
    fn passed(&mut self, filter: &Rc<Filter>) -> &[Option<Cow<'a, Entry>>] {
        let Sieve { entries, seen, passed, .. } = self;
        passed.entry(Rc::as_ptr(filter)).or_insert_with(|| {
            let seen = seen.get_or_init(|| {
                entries.iter().map(|entry| entry.messages().iter().map(filter::seen).collect()).collect()
            });
            entries.iter().zip(seen).map(|(entry, seen)| part(entry, seen, filter)).collect()
        })
    }

    /// Whether a filter leaves anything of those entries, or of all.
    pub fn passes_any(&mut self, filter: &Rc<Filter>, picked: Option<&[usize]>) -> bool {
        let passed = self.passed(filter);
        match picked {
            None => passed.iter().any(Option::is_some),
            Some(picked) => picked.iter().any(|index| passed[*index].is_some()),
        }
    }

    /// Those entries, or all, as a filter leaves them.
    pub fn pick(&mut self, filter: Option<&Rc<Filter>>, picked: Option<Vec<usize>>) -> Vec<&Entry> {
        let entries = self.entries;
        let picked = picked.unwrap_or_else(|| (0..entries.len()).collect());
        match filter {
            None => picked.into_iter().map(|index| &entries[index]).collect(),
            Some(filter) => {
                let passed = self.passed(filter);
                picked.into_iter().filter_map(|index| passed[index].as_deref()).collect()
            }
        }
    }
}

/// What passes of an entry. Of a part of a publish each message keeps the id and serial of its place in the whole.
fn part<'a>(entry: &'a Entry, seen: &[Value], filter: &Filter) -> Option<Cow<'a, Entry>> {
    let places: Vec<usize> = (0..seen.len()).filter(|index| filter.passes(&seen[*index])).collect();
    match places.len() {
        0 => None,
        all if all == seen.len() => Some(Cow::Borrowed(entry)),
        _ => Some(Cow::Owned(entry.only(&places))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::{Content, Message};
    use crate::model::serial::Position;

    fn filter(expression: &str) -> Rc<Filter> {
        Rc::new(Filter::parse(expression).unwrap())
    }

    #[test]
    fn a_filter_is_asked_once_for_all_who_have_it() {
        let name = |name: &str| Message { name: Some(name.to_owned()), ..Message::default() };
        let content = Content::Messages(vec![name("a"), name("b")]);
        let entries = [Entry { position: Position(1), id: "x:1".into(), connection_id: None, content }];
        let (mut sieve, mut filters) = (Sieve::new(&entries), Filters::default());
        let owner = ChannelName::parse("room").unwrap();
        let asked: Vec<*const Entry> = (0..3)
            .map(|_| filters.admit(&owner, filter("name == 'b'")).unwrap())
            .collect::<Vec<_>>()
            .iter()
            .map(|filter| std::ptr::from_ref(sieve.pick(Some(filter), None)[0]))
            .collect();
        assert!(asked.iter().all(|entry| *entry == asked[0]), "the same part of a publish, made once");
        assert_eq!(sieve.passed.len(), 1);
    }

    #[test]
    fn what_nobody_has_any_more_makes_room() {
        let (mut filters, owner) = (Filters::default(), ChannelName::parse("room").unwrap());
        let numbered = |number: usize| filter(&format!("name == `{number}`"));
        let mut held: Vec<_> =
            (0..FILTERS_PER_CHANNEL_MAX).map(|number| filters.admit(&owner, numbered(number)).unwrap()).collect();
        assert!(filters.admit(&owner, numbered(9_999)).unwrap_err().is(Code::RateLimited));
        let other = ChannelName::parse("other").unwrap();
        held.extend((0..FILTERS_PER_RELAY_MAX - held.len()).map(|n| filters.admit(&other, numbered(n)).unwrap()));
        let third = ChannelName::parse("third").unwrap();
        assert!(filters.admit(&third, numbered(1)).unwrap_err().is(Code::RateLimited));
        held.remove(0);
        assert!(filters.admit(&third, numbered(1)).is_ok());
    }
}
