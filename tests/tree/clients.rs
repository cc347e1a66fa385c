//! The sessions: what a client sends, what it is sent, and what it must have got.

use crate::*;

impl World {
    pub fn open(&mut self, session: usize) {
        let object = self.sessions[session].relay;
        self.wake_relay(object);
        let node = &mut self.nodes[object];
        node.last_socket += 1;
        let socket = SocketId(node.last_socket);
        node.sockets.insert(socket, (Vec::new(), session));
        self.sessions[session].socket = Some(socket);
        let fresh_id = format!("connection{}", self.last_event);
        self.relay_does(object, |relay, now_ms| relay.open(socket, opening(), fresh_id, now_ms));
        self.attach(session, socket);
    }

    /// With the serial of the last message that it has, if it has any.
    pub fn attach(&mut self, session: usize, socket: SocketId) {
        if self.sessions[session].socket != Some(socket) {
            return;
        }
        let mut frame = json!({"action": 10, "channel": self.address.channel.as_str()});
        if let Some(serial) = &self.sessions[session].serial {
            frame["channelSerial"] = json!(serial);
        }
        let (object, frame) = (self.sessions[session].relay, frame.to_string());
        self.wake_relay(object);
        self.relay_does(object, |relay, now_ms| relay.frame(socket, frame.as_bytes(), Format::Json, now_ms));
    }

    pub fn closed(&mut self, object: Object, socket: SocketId) {
        let Some((_, session)) = self.nodes[object].sockets.remove(&socket) else { return };
        self.sessions[session].socket = None;
        self.sessions[session].attached = false;
        self.after(100, Event::Open { session });
    }

    pub fn hear(&mut self, object: Object, sockets: &[SocketId], frame: &Encoded) {
        let Encoded::Text(text) = frame else { panic!("all speak JSON") };
        let frame: Value = serde_json::from_str(text).expect("JSON");
        for socket in sockets {
            let Some((_, index)) = self.nodes[object].sockets.get(socket) else { continue };
            let index = *index;
            let session = &mut self.sessions[index];
            match frame["action"].as_u64() {
                Some(11) => session.attached(&frame),
                Some(13) => self.after(200, Event::Attach { session: index, socket: *socket }),
                Some(15) => session.message(&frame, &self.order),
                _ => {}
            }
        }
    }
}

impl Session {
    pub fn attached(&mut self, frame: &Value) {
        let resumed = frame["flags"].as_u64().unwrap_or_default() & u64::from(RESUMED) != 0;
        assert!(resumed || self.serial.is_none(), "what the log still has is not lost: {frame}");
        self.serial = frame["channelSerial"].as_str().map(str::to_owned);
        self.attached = true;
    }

    /// The next in order, and nothing else.
    pub fn message(&mut self, frame: &Value, order: &[String]) {
        for message in frame["messages"].as_array().expect("messages") {
            assert_eq!(message["data"].as_str(), order.get(self.received).map(String::as_str), "{frame}");
            self.received += 1;
        }
        self.serial = frame["channelSerial"].as_str().map(str::to_owned);
    }
}

fn opening() -> Opening {
    Opening::from_query(grant::grant(), &[], true)
}
