//! Annotations, and what they come to.

use super::{CLIENT_ID_MAX_BYTES, FRAME_MAX_BYTES, MESSAGE_MAX_BYTES};

/// Bytes in the type of an annotation and in its name. Each stands in a summary, beside its counts.
pub const ANNOTATION_TEXT_MAX_BYTES: usize = 128;

/// Types and names that are counted of one message. A summary has an object of 100 bytes and its texts for each.
pub const SUMMARY_COUNTS_MAX: usize = 64;

/// Clients that a summary lists, over all of its types and names; each has at least one. A client learns of itself by
/// `client-summary`.
pub const SUMMARY_CLIENTS_MAX: usize = 200;

/// Bytes of the clients that a summary lists: it goes to every reader whenever a message is annotated.
pub const SUMMARY_CLIENTS_MAX_BYTES: usize = 8 * 1024;

/// What one annotation may count: so that no sum, of as many as a log holds, is beyond 2^53.
pub const ANNOTATION_COUNT_MAX: u64 = 1_000_000;

/// Bytes of summaries in one page of history or replay: each of its messages gets its part.
pub const PAGE_SUMMARIES_MAX_BYTES: usize = 256 * 1024;

/// Entries of annotations that a page reads at a time: at 64 KiB each, half of what a page may have.
pub const ANNOTATIONS_PER_READ: usize = 8;

const SUMMARY_MAX_BYTES: usize =
    SUMMARY_COUNTS_MAX * (100 + 2 * ANNOTATION_TEXT_MAX_BYTES + CLIENT_ID_MAX_BYTES) + SUMMARY_CLIENTS_MAX_BYTES;
const _: () = assert!(SUMMARY_MAX_BYTES < MESSAGE_MAX_BYTES, "a summary is no larger than a message");
const _: () = assert!(PAGE_SUMMARIES_MAX_BYTES < FRAME_MAX_BYTES);
