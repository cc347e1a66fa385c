//! Annotations come in as messages do, and by the same way (protocol.md § 18).

use super::publishing::{Admitted, Uttered};
use super::{Relay, SocketId};
use crate::auth::Operations;
use crate::error::{Code, ErrorInfo};
use crate::intake::annotation;
use crate::model::flags::Modes;
use crate::model::name::ChannelName;
use crate::protocol::inbound::AnnotationFrame;
use crate::rpc::{PublishKey, Submission};

impl Relay {
    pub(super) fn annotate(&mut self, socket: SocketId, frame: AnnotationFrame) {
        let first = frame.annotations.first().and_then(|annotation| annotation.id.as_deref());
        let said = Uttered::of(&frame.channel, frame.msg_serial, first, frame.annotations.len());
        self.take_in(socket, said, |relay| {
            let (channel, item) = relay.admit_annotation(socket, frame)?;
            relay.admit_client(socket, &channel, said.messages)?;
            relay.admit_speech(socket, &channel, &item.publish.content)?;
            Ok((channel, item))
        });
    }

    /// Fails with 40010 (name), 40160 (capability), 40165 (mode), 93002 (where there are none), and as
    /// [`annotation::check`] does.
    fn admit_annotation(&mut self, socket: SocketId, frame: AnnotationFrame) -> Admitted {
        let name = ChannelName::parse(&frame.channel)?;
        name.refuse_view()?;
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
        let key = checked.id.map_or(PublishKey::Serial(frame.msg_serial), PublishKey::Id);
        let content = Submission::Annotations { message: checked.message, annotations: checked.annotations };
        self.item(socket, &name, key, content)
    }

    /// Who asked for annotations where there are none would wait for ever.
    pub(super) fn admit_annotations(&self, name: &ChannelName, modes: Modes) -> Result<(), ErrorInfo> {
        match modes.contains(Modes::ANNOTATION_SUBSCRIBE) {
            true => self.require_mutable(name),
            false => Ok(()),
        }
    }

    fn require_mutable(&self, name: &ChannelName) -> Result<(), ErrorInfo> {
        match self.rules(name).mutable {
            true => Ok(()),
            false => Err(Code::UpdatesNotEnabled.because("annotations need a namespace with mutableMessages")),
        }
    }
}
