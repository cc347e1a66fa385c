//! The sessions: what a client sends, what it is sent, and what it must have got.

use crate::*;

impl World {
    pub fn open(&mut self, session: usize) {
        self.last_call += 1;
        let (object, link) = (self.sessions[session].relay, LinkId(self.last_call));
        self.sessions[session].link = Some(link);
        self.links.insert(link, session);
        let fresh_id = format!("connection{}", self.last_event);
        self.turn(object, Input::Open { link, mode: None, opening: opening(), fresh_id });
    }

    /// With the serial of the last message that it has, if it has any.
    pub fn attach(&mut self, session: usize, link: LinkId) {
        if self.sessions[session].link != Some(link) {
            return;
        }
        let params = json!({"modes": "subscribe,object_subscribe"});
        let mut frame = json!({"action": 10, "channel": self.address.channel.as_str(), "params": params});
        if let Some(serial) = &self.sessions[session].serial {
            frame["channelSerial"] = json!(serial);
        }
        let bytes = frame.to_string().into_bytes();
        self.turn(self.sessions[session].relay, Input::Frame { link, bytes, format: Format::Json });
    }

    pub fn closed(&mut self, link: LinkId) {
        let Some(session) = self.links.remove(&link) else { return };
        self.sessions[session].link = None;
        self.sessions[session].connected = false;
        self.sessions[session].attached = false;
        self.after(100, Event::Open { session });
    }

    pub fn hear(&mut self, link: LinkId, frame: &Encoded) {
        let Encoded::Text(text) = frame else { panic!("all speak JSON") };
        let frame: Value = serde_json::from_str(text).expect("JSON");
        let Some(index) = self.links.get(&link).copied() else { return };
        let session = &mut self.sessions[index];
        if let Some(serial) = frame["channelSerial"].as_str().filter(|_| frame["action"] == 19) {
            session.serial = Some(serial.to_owned());
        }
        match frame["action"].as_u64() {
            Some(4) => {
                session.connected = true;
                self.attach(index, link);
            }
            Some(11) => session.attached(&frame),
            Some(13) => self.after(200, Event::Attach { session: index, link }),
            Some(15) => session.message(&frame, &self.order, &self.deleted),
            Some(19) => session.objects.operate(&frame),
            Some(20) => session.objects.page(&frame),
            _ => {}
        }
    }
}

impl Session {
    pub fn attached(&mut self, frame: &Value) {
        let resumed = frame["flags"].as_u64().unwrap_or_default() & u64::from(RESUMED) != 0;
        assert!(resumed || self.serial.is_none(), "what the log still has is not lost: {frame}");
        self.serial = frame["channelSerial"].as_str().map(str::to_owned);
        self.attached = true;
        self.objects.attached();
    }

    /// The next in order, and nothing else; or what became of one, or was said of the first. What is deleted before it
    /// is read again is left out.
    pub fn message(&mut self, frame: &Value, order: &[String], deleted: &BTreeSet<String>) {
        for message in frame["messages"].as_array().expect("messages") {
            let data = message["data"].as_str().unwrap_or_default();
            let serial = message["serial"].as_str().expect("a message has a serial").to_owned();
            match message["action"].as_u64() {
                Some(0) => {
                    let left_out = order[self.reached..].iter().take_while(|said| *said != data);
                    let left_out: Vec<_> = left_out.collect();
                    assert!(left_out.iter().all(|said| deleted.contains(*said)), "{left_out:?} before {frame}");
                    self.reached += left_out.len() + 1;
                    assert!(self.reached <= order.len(), "it comes again: {frame}");
                    self.shown.insert(serial, data.to_owned());
                }
                Some(1 | 2) => drop(self.shown.insert(serial, data.to_owned())),
                Some(5) => self.shown.get_mut(&serial).expect("it has what is appended to").push_str(data),
                Some(4) => self.summary = message["annotations"]["summary"].as_object().cloned().expect("a summary"),
                _ => panic!("nothing else is done: {frame}"),
            }
        }
        self.serial = frame["channelSerial"].as_str().map(str::to_owned);
    }
}

fn opening() -> Opening {
    Opening::from_query(support::grant::grant(), &[], true)
}
