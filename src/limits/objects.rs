//! LiveObjects (docs/protocol.md § 19).

use super::{FRAME_MAX_BYTES, MESSAGE_MAX_BYTES, MESSAGE_OVERHEAD_BYTES, PUBLISH_MAX_MESSAGES};

/// Bytes of the values and keys of one channel's objects, as the size of an operation counts them. Keys of removed
/// entries count until they are forgotten.
pub const OBJECTS_MAX_BYTES: u64 = 6_500_000;

/// Objects and map entries of one channel, removed ones included until they are forgotten. Each is a row of about 150
/// bytes besides its key and value: 38 MB of storage. None of it stays in memory; a sweep, once a day, holds the ids of
/// all objects for a moment.
pub const OBJECT_PARTS_MAX: u64 = 250_000;

/// How long removed entries and deleted objects are remembered, which clients are told as `objectsGCGracePeriod`, and
/// how long an object may be out of reach from the root before it is deleted.
pub const OBJECTS_GRACE_MS: u64 = 24 * 60 * 60 * 1_000;

/// How long objects are kept after they were last changed, in a channel that nobody is on, unless its namespace says
/// otherwise.
pub const OBJECTS_KEPT_MS: u64 = 90 * 24 * 60 * 60 * 1_000;

/// The most that a namespace may say instead.
pub const OBJECTS_RETENTION_MAX_DAYS: u64 = 365;

/// How precisely the last change is stored: finer would be a row more for each increment.
pub const OBJECTS_USED_STEP_MS: u64 = 24 * 60 * 60 * 1_000;

/// Bytes of the parts in one page of a sync, with [`MESSAGE_OVERHEAD_BYTES`] for each.
pub const OBJECTS_PAGE_BYTES: usize = MESSAGE_MAX_BYTES;

/// Bytes that one REST request reads, with [`OBJECT_ROW_BYTES`] for each part. In memory the parts, their encoding and
/// the answer are there at the same time: about 30 MB.
pub const OBJECTS_READ_MAX_BYTES: usize = 8 * 1024 * 1024;

/// What a part is taken to need besides its key and value.
pub const OBJECT_ROW_BYTES: usize = 48;

/// Levels of maps within maps in an answer of REST; below, references are shown as ids. Rendering recurses.
pub const OBJECTS_DEPTH_MAX: usize = 64;

/// Keys and wildcards in a path.
pub const OBJECT_PATH_MAX_SEGMENTS: usize = 64;

/// Bytes that the paths of one publish may read, because wildcards multiply them, with [`OBJECT_PATH_READ_BYTES`] for
/// each object and entry: about ten thousand small ones, or all that a channel holds once. A thousand operations have
/// room for four keys each, and one for a thousand maps in each of three levels. They count in
/// [`CHANGES_FLOW`](super::CHANGES_FLOW): two publishes of the most may come at once, and then one a second.
pub const OBJECT_PATHS_MAX_BYTES: usize = 8 * 1024 * 1024;

/// A read counts so much besides its value: it takes about 10 µs.
pub const OBJECT_PATH_READ_BYTES: usize = 800;

/// Bytes in an object's id: its kind, a hash of 43 characters and a time.
pub const OBJECT_ID_MAX_BYTES: usize = 80;

/// Characters in the nonce of an id at least, bytes at most.
pub const OBJECT_NONCE_MIN_CHARS: usize = 16;
pub const OBJECT_NONCE_MAX_BYTES: usize = 255;

/// How far the time in a new object's id may be from ours: clients ask for the time once, and go by their own clock
/// from there.
pub const OBJECT_ID_SKEW_MAX_MS: u64 = 15 * 60 * 1_000;

/// Parts that an operation may write and counts as one message where messages are counted: a map that is created with
/// 10,000 entries is no single one. At 250 messages a second that is 2,500 rows, a tenth of a thread.
pub const OBJECT_PARTS_PER_MESSAGE: usize = 10;

/// Objects that the server deletes by one entry of the log.
pub const DELETES_PER_ENTRY: usize = 100;

/// Rows of parts that are read at a time at most.
pub const OBJECT_ROWS_MAX: usize = 256;

/// Increments of one counter in one delivery from which on readers get their sum, and fewer get each: of a few it says
/// who did which, while each of a crowd of 20,000 would get 5 MB, 100 GB in all, to know one number.
pub const INCREMENTS_SUMMED_FROM: usize = 8;

/// Bytes of the lists that those get who did some of what is summed, each its own. Where there is much else in a
/// delivery, and it has many of them, they get it as it is, which is one for all.
pub const SUMS_OWN_MAX_BYTES: usize = 8 * 1024 * 1024;

/// What a counter, and an increment, may be for that. A delivery has far less than a million increments, whose sum is
/// then at most 2⁵²; with a counter of that size it stays below 2⁵³, up to which doubles are exact in any order.
pub const OBJECT_WHOLE_MAX: f64 = (1_u64 << 52) as f64;
pub const OBJECT_STEP_MAX: f64 = (1_u64 << 32) as f64;

const _: () = assert!(PUBLISH_MAX_MESSAGES <= 1_000, "the index of an operation has three digits");
const _: () = assert!(DELETES_PER_ENTRY <= PUBLISH_MAX_MESSAGES, "a sweep deletes by usual entries");
const _: () = assert!(
    OBJECTS_MAX_BYTES as usize + 2 * PUBLISH_MAX_MESSAGES * OBJECT_PATH_READ_BYTES <= OBJECT_PATHS_MAX_BYTES,
    "a wildcard may stand for all that a channel holds"
);
const _: () = assert!(
    (OBJECTS_PAGE_BYTES + MESSAGE_MAX_BYTES) * 2 < FRAME_MAX_BYTES && MESSAGE_OVERHEAD_BYTES > OBJECT_ROW_BYTES,
    "a page of a sync fits a frame"
);
