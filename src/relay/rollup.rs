//! Appends that come in one delivery go out as one (protocol.md § 18.2): where much is appended at once, readers get it
//! at once, and not a message for each piece. It is done behind the relay's own place in the order, so that a delivery
//! that comes twice, with more in it, gives nobody a piece twice.

use crate::base::maps::HashMap;
use crate::model::message::Entry;
use crate::model::revision::{Shape, Target, Version};

/// Appends in a row to one message, of one client and connection, become the last of them, which says all that they
/// appended. It stands in the place of the last, so that nothing goes out before what it follows. `None` when there is
/// nothing to join.
pub fn rolled_up(entries: &[Entry]) -> Option<Vec<Entry>> {
    let mut last: HashMap<Target, usize> = HashMap::default();
    let pairs: Vec<(usize, usize)> = (0..entries.len())
        .filter_map(|at| {
            let (target, ..) = entries[at].operation()?;
            let before = last.insert(target, at)?;
            may_join(&entries[before], &entries[at]).then_some((before, at))
        })
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let mut joined: Vec<Option<Entry>> = entries.iter().cloned().map(Some).collect();
    for (before, at) in pairs {
        let first = joined[before].take()?;
        let (.., first) = first.operation()?;
        let version = joined[at].as_mut()?.version_mut()?;
        (version.shape, version.prior) = (first.shape, first.prior);
    }
    Some(joined.into_iter().flatten().collect())
}

fn may_join(first: &Entry, second: &Entry) -> bool {
    let (Some((.., before)), Some((.., after))) = (first.operation(), second.operation()) else { return false };
    let is_append = |version: &Version| matches!(version.shape, Shape::Appended { .. });
    let is_alike = first.connection_id == second.connection_id
        && before.client_id == after.client_id
        && before.description == after.description
        && before.metadata == after.metadata;
    is_append(before) && is_append(after) && after.prior == before.position && is_alike
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::annotation::SummaryCounts;
    use crate::model::data::Data;
    use crate::model::message::{Content, Extras, Message};
    use crate::model::revision::Mark;
    use crate::model::serial::Position;

    const MESSAGE: Position = Position(10);

    /// An entry that leaves a text, of which `from` bytes were there before; without it, it replaces all.
    fn operation(position: u64, prior: u64, text: &str, from: Option<usize>, connection: &str) -> Entry {
        let version = Version {
            position: Position(position),
            shape: from.map_or(Shape::Updated, |from| Shape::Appended { from }),
            number: 1,
            prior: Position(prior),
            deleted_at: None,
            connection_id: None,
            client_id: None,
            description: None,
            metadata: None,
        };
        let target = Target { position: MESSAGE, place: 0 };
        let message = Message { data: Data::Text(text.into()), ..Message::default() };
        let content =
            Content::Revised { messages: vec![message], marks: vec![Mark { target, version: Some(version) }] };
        let connection_id = Some(connection.to_owned());
        Entry { position: Position(position), id: format!("p{position}"), connection_id, content }
    }

    fn published(position: u64) -> Entry {
        let content = Content::Messages(vec![Message { data: Data::Text("a".into()), ..Message::default() }]);
        Entry { position: Position(position), id: format!("p{position}"), connection_id: None, content }
    }

    /// What those get who have all that went before, by place.
    fn fragments(entries: &[Entry]) -> Vec<(u64, String)> {
        let rolled = rolled_up(entries).unwrap_or_else(|| entries.to_vec());
        let shown = |entry: &Entry| {
            let sent = entry.fragment().unwrap_or_else(|| entry.clone());
            (entry.position.0, String::from_utf8_lossy(sent.messages()[0].data.bytes()).into_owned())
        };
        rolled.iter().map(shown).collect()
    }

    fn expected(list: &[(u64, &str)]) -> Vec<(u64, String)> {
        list.iter().map(|(position, text)| (*position, (*text).to_owned())).collect()
    }

    #[test]
    fn appends_in_a_row_are_one() {
        let mut appends = [
            published(10),
            operation(11, 10, "ab", Some(1), "c"),
            published(12),
            operation(13, 11, "abc", Some(2), "c"),
            operation(14, 13, "abcd", Some(3), "c"),
        ];
        // Also of a message that is annotated.
        appends[4].annotate(vec![SummaryCounts { by_type: Some(Extras::new()) }]);
        assert_eq!(fragments(&appends), expected(&[(10, "a"), (12, "a"), (14, "bcd")]));
        let rolled = rolled_up(&appends).unwrap();
        assert_eq!(rolled[2].operation().map(|(.., version)| version.prior), Some(MESSAGE), "as the first of them");
    }

    #[test]
    fn what_is_not_alike_stays_apart() {
        let first = || operation(11, 10, "ab", Some(1), "c");
        let other = [first(), operation(12, 11, "abc", Some(2), "d")];
        assert_eq!(fragments(&other), expected(&[(11, "b"), (12, "c")]), "of another connection");
        let updated = [first(), operation(12, 11, "x", None, "c"), operation(13, 12, "xy", Some(1), "c")];
        assert_eq!(fragments(&updated), expected(&[(11, "b"), (12, "x"), (13, "y")]), "with an update between");
        assert_eq!(rolled_up(&[first(), published(12)]), None);
    }
}
