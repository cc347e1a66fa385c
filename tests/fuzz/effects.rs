//! What a relay does because of bytes that were damaged.

use courtside::base::pinned;
use courtside::protocol::Encoded;
use courtside::relay::Effect;
use courtside::relay::record::Record;

/// What it keeps and what it calls is read back as it was; of what it sends, `is_sound` judges.
pub fn check(effects: &[Effect], is_sound: impl Fn(&Encoded)) {
    for effect in effects {
        match effect {
            Effect::Send { frame, .. } => is_sound(frame),
            Effect::Save { record, .. } => {
                assert_eq!(&Record::decode(record).expect("a record is read back").encode(), record);
            }
            Effect::Call { call, .. } => assert_eq!(pinned::decode(&pinned::encode(call)).as_ref(), Ok(call)),
            _ => {}
        }
    }
}
