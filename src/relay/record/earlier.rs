//! The records of earlier builds: what each version lacks, and what stands for it.

use super::{Ask, AttachmentRecord, Checkpoint, Record, Wanted};

/// Version 7: who goes on receiving while it attaches again got what was on its way twice.
pub mod seventh {
    use serde::Deserialize;

    use super::sixth;

    #[derive(Deserialize)]
    pub struct Record {
        before: sixth::Record,
        earlier_objects: bool,
    }

    impl From<Record> for super::Record {
        fn from(earlier: Record) -> super::Record {
            super::Record { earlier_objects: earlier.earlier_objects, ..earlier.before.into() }
        }
    }
}

/// Version 6: all were told of objects by the names of today.
pub mod sixth {
    use serde::Deserialize;

    use super::fifth;

    #[derive(Deserialize)]
    pub struct Record {
        before: fifth::Record,
        packet_ids: u16,
    }

    impl From<Record> for super::Record {
        fn from(earlier: Record) -> super::Record {
            super::Record { packet_ids: earlier.packet_ids, ..earlier.before.into() }
        }
    }
}

/// Version 5: which packet ids were used went with the memory.
pub mod fifth {
    use std::num::NonZeroU64;

    use serde::Deserialize;

    use super::fourth;

    #[derive(Deserialize)]
    pub struct Record {
        before: fourth::Record,
        pinged_ms: Option<NonZeroU64>,
    }

    impl From<Record> for super::Record {
        fn from(earlier: Record) -> super::Record {
            super::Record { pinged_ms: earlier.pinged_ms, ..earlier.before.into() }
        }
    }
}

/// Version 4: whether a heartbeat was answered went with the memory.
pub mod fourth {
    use std::num::NonZeroU64;

    use serde::Deserialize;

    use super::third;

    #[derive(Deserialize)]
    pub struct Record {
        before: third::Record,
        since_ms: Option<NonZeroU64>,
    }

    impl From<Record> for super::Record {
        fn from(earlier: Record) -> super::Record {
            super::Record { since_ms: earlier.since_ms, ..earlier.before.into() }
        }
    }
}

/// Version 3: nobody remembered since when.
pub mod third {
    use std::rc::Rc;

    use serde::Deserialize;

    use super::second;
    use crate::protocol::door::Door;

    #[derive(Deserialize)]
    pub struct Record {
        before: second::Record,
        door: Option<Door>,
    }

    impl From<Record> for super::Record {
        fn from(earlier: Record) -> super::Record {
            super::Record { door: earlier.door.map(Rc::new), ..earlier.before.into() }
        }
    }
}

/// Version 2: no client came in by another door.
pub mod second {
    use serde::Deserialize;

    use super::AttachmentRecord;
    use crate::auth::Grant;
    use crate::model::Format;
    use crate::rpc::connection_key::Generations;

    #[derive(Deserialize)]
    pub struct Record {
        connection_id: String,
        shard: u16,
        generations: Generations,
        grant: Grant,
        format: Format,
        echo: bool,
        heartbeat_interval_ms: u32,
        bounces: bool,
        grace_ms: u32,
        prompted: bool,
        busy: bool,
        attachments: Vec<AttachmentRecord>,
        is_secure: bool,
    }

    impl From<Record> for super::Record {
        fn from(earlier: Record) -> super::Record {
            super::Record {
                connection_id: earlier.connection_id,
                shard: earlier.shard,
                generations: earlier.generations,
                grant: earlier.grant,
                format: earlier.format,
                echo: earlier.echo,
                heartbeat_interval_ms: earlier.heartbeat_interval_ms,
                bounces: earlier.bounces,
                grace_ms: earlier.grace_ms,
                prompted: earlier.prompted,
                busy: earlier.busy,
                attachments: earlier.attachments,
                is_secure: earlier.is_secure,
                door: None,
                since_ms: None,
                pinged_ms: None,
                packet_ids: 0,
                earlier_objects: false,
                stays_attached: false,
            }
        }
    }
}

/// Version 1: no attachment had a row, and a token's revocation key stood alone in its grant.
pub mod first {
    use std::rc::Rc;

    use serde::Deserialize;

    use super::{Ask, AttachmentRecord, Checkpoint, Wanted};
    use crate::auth::{Capability, Grant, Identity, KeyName, Target};
    use crate::model::Format;
    use crate::model::flags::Modes;
    use crate::model::name::ChannelName;
    use crate::model::serial::Position;
    use crate::relay::attachment::AttachParams;
    use crate::rpc::connection_key::{Generations, TakeoverKind};

    #[derive(Deserialize)]
    pub struct Record {
        connection_id: String,
        shard: u16,
        generation: u32,
        grant: EarlierGrant,
        format: Format,
        echo: bool,
        heartbeat_interval_ms: u64,
        grace_ms: u64,
        prompted: bool,
        busy: bool,
        attachments: Vec<EarlierAttachment>,
        resumed: Option<u32>,
        is_secure: bool,
    }

    #[derive(Deserialize)]
    struct EarlierGrant {
        key_name: KeyName,
        capability: Capability,
        client_id: Identity,
        basic: bool,
        issued_at_ms: Option<u64>,
        expires_at_ms: Option<u64>,
        revocation_key: Option<Rc<str>>,
        user_claims: Option<Rc<str>>,
    }

    #[derive(Deserialize)]
    struct EarlierAttachment {
        name: ChannelName,
        requested: Modes,
        params: AttachParams,
        present: bool,
        checkpoint: Option<Checkpoint>,
        ahead: Position,
    }

    impl From<Record> for super::Record {
        fn from(earlier: Record) -> super::Record {
            let before = earlier.resumed.map(|generation| (generation, TakeoverKind::Resume));
            super::Record {
                connection_id: earlier.connection_id,
                shard: earlier.shard,
                generations: Generations { current: earlier.generation, before, last: earlier.generation },
                grant: earlier.grant.into(),
                format: earlier.format,
                echo: earlier.echo,
                heartbeat_interval_ms: earlier.heartbeat_interval_ms as u32,
                bounces: false,
                grace_ms: earlier.grace_ms as u32,
                prompted: earlier.prompted,
                busy: earlier.busy,
                attachments: earlier.attachments.into_iter().map(AttachmentRecord::from).collect(),
                is_secure: earlier.is_secure,
                door: None,
                since_ms: None,
                pinged_ms: None,
                packet_ids: 0,
                earlier_objects: false,
                stays_attached: false,
            }
        }
    }

    impl From<EarlierGrant> for Grant {
        fn from(earlier: EarlierGrant) -> Grant {
            let target = |key: Rc<str>| Rc::from([Target::RevocationKey(key.to_string())]);
            Grant {
                key_name: earlier.key_name,
                capability: earlier.capability,
                client_id: earlier.client_id,
                basic: earlier.basic,
                issued_at_ms: earlier.issued_at_ms,
                expires_at_ms: earlier.expires_at_ms,
                also_revoked_by: earlier.revocation_key.map(target),
                user_claims: earlier.user_claims,
            }
        }
    }

    impl From<EarlierAttachment> for AttachmentRecord {
        fn from(earlier: EarlierAttachment) -> AttachmentRecord {
            let ask = Ask { name: earlier.name, modes: earlier.requested, params: earlier.params };
            let (present, checkpoint, ahead) = (earlier.present, earlier.checkpoint, earlier.ahead);
            AttachmentRecord { wanted: Wanted::Here(ask), present, checkpoint, ahead }
        }
    }
}
