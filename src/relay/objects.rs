//! What clients do to objects comes in (protocol.md § 19).

use super::publishing::{Admitted, Uttered};
use super::{Relay, SocketId};
use crate::auth::Operations;
use crate::error::Code;
use crate::intake::objects::check;
use crate::intake::publish::chosen_id;
use crate::model::flags::Modes;
use crate::model::name::ChannelName;
use crate::protocol::inbound::ObjectFrame;
use crate::rpc::{PublishKey, Submission};

impl Relay {
    pub(super) fn operate(&mut self, socket: SocketId, frame: ObjectFrame) {
        let messages = frame.operations.iter().map(|proposal| proposal.message.messages()).sum();
        let first = frame.operations.first().and_then(|proposal| proposal.message.id.as_deref());
        let said = Uttered::of(&frame.channel, frame.msg_serial, first, messages);
        self.take_in(socket, said, |relay| {
            let (channel, item) = relay.admit_operations(socket, frame)?;
            relay.admit_client(socket, &channel, said.messages)?;
            Ok((channel, item))
        });
    }

    /// Fails with 40010 (name), 40160 (capability), 40165 (mode), 40031 (ids), and as [`check`] does.
    fn admit_operations(&mut self, socket: SocketId, mut frame: ObjectFrame) -> Admitted {
        let name = ChannelName::parse(&frame.channel)?;
        name.refuse_view()?;
        let Some(session) = self.sessions.get(&socket) else { return Err(Code::Disconnected.into()) };
        if !session.grant.permits(&name, Operations::OBJECT_PUBLISH) {
            return Err(Code::NotPermitted.because("the capability does not allow to change objects on this channel"));
        }
        self.admit_to(socket, &name)?;
        let modes = session.attachments.get(&name).map(|attachment| attachment.requested);
        if modes.is_some_and(|modes| !modes.contains(Modes::OBJECT_PUBLISH)) {
            return Err(Code::ModeNotGranted.because("the channel was attached without the mode to change objects"));
        }
        check(&mut frame.operations, &session.grant.client_id, session.grant.user_claim(&name).as_ref())?;
        let ids: Vec<Option<&str>> = frame.operations.iter().map(|one| one.message.id.as_deref()).collect();
        let id = chosen_id(&ids)?;
        let key = id.map_or(PublishKey::Serial(frame.msg_serial), PublishKey::Id);
        self.item(socket, &name, key, Submission::Objects(frame.operations))
    }
}
