//! Annotations come in as messages do, and by the same way (protocol.md § 18).

use super::publisher::Item;
use super::publishing::Admitted;
use super::{Relay, SocketId};
use crate::annotation;
use crate::auth::Operations;
use crate::call::{Publish, PublishKey, Submission};
use crate::error::{Code, ErrorInfo};
use crate::limits::{PUBLISH_QUEUE_MAX_BYTES, UNACKNOWLEDGED_MAX};
use crate::name::ChannelName;
use crate::wire::flags::Modes;
use crate::wire::inbound::PublishFrame;

impl Relay {
    pub(super) fn annotate(&mut self, socket: SocketId, frame: PublishFrame, now_ms: u64) {
        self.take_in(socket, frame, now_ms, Relay::admit_annotation);
    }

    /// Fails with 40010 (name), 40160 (capability), 40165 (mode), 93002 (where there are none), and as
    /// [`annotation::check`] does.
    fn admit_annotation(&mut self, socket: SocketId, frame: PublishFrame) -> Admitted {
        let name = ChannelName::parse(&frame.channel)?;
        let Some(session) = self.sessions.get(&socket) else { return Err(Code::Disconnected.into()) };
        if !session.grant.permits(&name, Operations::ANNOTATION_PUBLISH) {
            return Err(Code::NotPermitted.because("the capability does not allow to annotate on this channel"));
        }
        self.admit_to(socket, &name)?;
        self.require_mutable(&name)?;
        let modes = session.attachments.get(&name).map(|attachment| attachment.requested);
        if modes.is_some_and(|modes| !modes.contains(Modes::ANNOTATION_PUBLISH)) {
            return Err(Code::ModeNotGranted.because("the channel was attached without the mode to annotate"));
        }
        let claim = session.grant.user_claim(&name);
        let checked = annotation::check(frame.annotations, None, &session.grant.client_id, claim.as_ref())?;
        let connection_id = session.connection_id().to_owned();
        let key = checked.id.map_or(PublishKey::Serial(frame.msg_serial), PublishKey::Id);
        let content = Submission::Annotations { message: checked.message, annotations: checked.annotations };
        let publish = Publish { key, connection_id: Some(connection_id.clone()), content };
        let bytes = publish.weight();
        if session.outbox.len() >= UNACKNOWLEDGED_MAX || self.queued_bytes + bytes > PUBLISH_QUEUE_MAX_BYTES {
            return Err(Code::RateLimited.because("too many publishes wait for their acknowledgement"));
        }
        Ok((name.owner(), Item { socket, connection_id, place: None, publish, bytes }))
    }

    /// Who asked for annotations where there are none would wait for ever.
    pub(super) fn admit_annotations(&self, name: &ChannelName, modes: Modes) -> Result<(), ErrorInfo> {
        match modes.contains(Modes::ANNOTATION_SUBSCRIBE) {
            true => self.require_mutable(name),
            false => Ok(()),
        }
    }

    fn require_mutable(&self, name: &ChannelName) -> Result<(), ErrorInfo> {
        match self.app.rules(name).mutable_messages {
            true => Ok(()),
            false => Err(Code::UpdatesNotEnabled.because("annotations need a namespace with mutableMessages")),
        }
    }
}
