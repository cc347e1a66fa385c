//! The judgement of what comes besides messages as they were published and presence events: operations on messages,
//! what is said of them and what that comes to, and objects.

use courtside::model::data::Data;
use courtside::model::revision::{APPENDED, DELETED, Shape, Target};
use courtside::model::serial::Position;
use serde_json::json;

use super::super::frames::{Frame, Message};
use super::super::ledger::Ledger;
use super::super::revisions::{Change, Revision};
use super::{ALL, Subscription};

impl Subscription {
    /// A summary has a place in the order, and does not say which unless it ends its frame.
    pub(super) fn summed_up(&mut self, frame: &Frame, silent: Option<&str>, ledger: &mut Ledger) {
        let serial = frame.channel_serial.as_deref().expect("what moves the order has a serial");
        let position = ledger.parse(self.channel, serial);
        self.advance(position, silent, ledger);
        let change = ledger.book(self.channel).at(position).and_then(|logged| logged.change.as_ref());
        let told = frame.messages.last().and_then(|message| Target::parse(&message.serial));
        let is_it = matches!((change, told), (Some(Change::Summary(target)), Some((told, _))) if *target == told);
        assert!(is_it, "no summary is at {position:?}: {change:?}");
        self.cursor = position;
    }

    /// The operation that a message is, and not a message as it is now.
    pub(super) fn operation_of(&self, message: &Message, ledger: &mut Ledger) -> Option<Position> {
        let version = ledger.parse(self.channel, &message.version.as_ref()?.serial);
        let revision = ledger.revision(self.channel, version)?;
        (message.id == format!("{}:0", revision.id)).then_some(version)
    }

    /// An operation: the next in the order.
    pub(super) fn revised(
        &mut self,
        (message, data): (&Message, &Data),
        position: Position,
        silent: Option<&str>,
        ledger: &Ledger,
    ) {
        self.advance(position, silent, ledger);
        let is_next = ledger.next(self.channel, self.cursor, silent).is_some_and(|next| next.position == position);
        assert!(is_next, "{} gets an operation that it should not: {message:?}", self.name);
        assert!(ledger.is_durable(self.channel, position), "an operation is delivered before it is durable");
        let revision = ledger.revision(self.channel, position).expect("found before");
        let Revision { target, text, name, shape, .. } = revision;
        assert_eq!(Target::parse(&message.serial).map(|(target, _)| target), Some(*target), "of another message");
        assert_eq!(message.name, name.as_deref().unwrap_or_default());
        assert!(self.passes(name.as_deref()), "{} gets what does not pass its filter: {message:?}", self.name);
        let publisher = ledger.book(self.channel).at(target.position).and_then(|logged| logged.connection_id.as_ref());
        assert_eq!(message.connection_id.as_ref(), publisher, "it keeps who published it");
        let Data::Text(said) = data else { panic!("clients publish text, not {data:?}") };
        let is_deletion = *shape == Shape::Deleted;
        assert_eq!(message.action == DELETED, is_deletion, "{message:?} is {shape:?}");
        let takes_fragments = silent.is_none() && !self.options.wants_deltas && self.filter.is_none();
        assert!(message.action != APPENDED || takes_fragments, "{} gets a part: {message:?}", self.name);
        let shown = match message.action {
            APPENDED => self.views.appended(*target, said).expect("a part of what it does not have"),
            _ => said.clone(),
        };
        assert_eq!(shown, *text, "{} sees {target:?} otherwise at {position:?}", self.name);
        self.views.show(*target, position, &shown);
        (self.cursor, self.received, self.changes) = (position, self.received + 1, self.changes + 1);
    }

    pub(super) fn take_summary(&mut self, message: &Message) {
        assert!(self.filter.is_none(), "{} is told what annotations come to", self.name);
        let (target, _) = Target::parse(&message.serial).expect("a summary is of a message");
        assert!(message.annotations.is_some(), "a summary says something: {message:?}");
        self.take_counts(message, target);
    }

    pub(super) fn take_counts(&mut self, message: &Message, target: Target) {
        if let Some(annotations) = &message.annotations {
            self.views.sum_up(target, annotations["summary"].as_object().expect("a summary").clone());
        }
    }

    /// ANNOTATION: all of the next publishes of annotations.
    pub fn annotations(&mut self, frame: &Frame, silent: Option<&str>, ledger: &mut Ledger) {
        if !self.hears() {
            return;
        }
        assert_eq!(self.modes, Some(ALL), "{} did not ask for annotations", self.name);
        for annotation in &frame.annotations {
            let serial = annotation["serial"].as_str().expect("an annotation has a serial");
            let index = self.part(serial, silent, ledger);
            let logged = ledger.book(self.channel).at(self.cursor);
            let Some(Change::Annotations(target, said)) = logged.and_then(|logged| logged.change.as_ref()) else {
                panic!("no annotations are at {serial}");
            };
            let of = annotation["messageSerial"].as_str().and_then(Target::parse).map(|(target, _)| target);
            assert_eq!((of, annotation["type"].as_str()), (Some(*target), Some(&*said[index].kind)));
            assert_eq!(annotation["clientId"].as_str(), said[index].client_id.as_deref());
            assert_eq!(annotation["action"], said[index].action.number());
            self.changes += 1;
        }
        self.moved(frame, ledger);
    }

    /// OBJECT: all of the next publishes of operations on objects.
    pub fn objects(&mut self, frame: &Frame, silent: Option<&str>, ledger: &mut Ledger) {
        if !self.hears() {
            return;
        }
        for message in &frame.state {
            let serial = message["serial"].as_str().expect("an operation has a serial");
            let index = self.part(serial, silent, ledger);
            let logged = ledger.book(self.channel).at(self.cursor);
            let Some(Change::Objects(done)) = logged.and_then(|logged| logged.change.as_ref()) else {
                panic!("no operations are at {serial}");
            };
            assert_eq!(message["operation"], done[index]["operation"], "at {serial}");
            self.changes += 1;
        }
        self.replica.as_mut().expect("it asked for objects").operate(&json!({"state": frame.state}));
        self.moved(frame, ledger);
    }

    pub fn sync_objects(&mut self, frame: &Frame) {
        if self.hears() {
            let page = json!({"state": frame.state, "channelSerial": frame.channel_serial});
            self.replica.as_mut().expect("it asked for objects").page(&page);
        }
    }

    /// One of several that have a place together: the first of them takes it there.
    fn part(&mut self, serial: &str, silent: Option<&str>, ledger: &mut Ledger) -> usize {
        let position = ledger.parse(self.channel, serial);
        let index = serial.rsplit_once(':').and_then(|(_, index)| index.parse().ok()).expect("an index");
        match index {
            0 => {
                // What a rewind leaves out may lie before it.
                self.advance(position, silent, ledger);
                self.rewinds = None;
            }
            _ => assert_eq!(position, self.cursor, "{} gets a part of {position:?}", self.name),
        }
        assert!(ledger.is_durable(self.channel, position), "something is delivered before it is durable");
        self.cursor = position;
        index
    }
}
