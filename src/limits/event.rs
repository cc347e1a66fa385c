//! What an attendee of the event page may send to get a token.

/// Of a name, as others see it: it must fit on one line of a phone.
pub const EVENT_NAME_MAX_CHARS: usize = 40;

/// Of a seat, the secret that a browser keeps: 16 characters of base64 hold 96 bits, which nobody guesses.
pub const EVENT_SEAT_MIN_BYTES: usize = 16;
pub const EVENT_SEAT_MAX_BYTES: usize = 64;

/// Of the MAC that tells attendees of one name apart. Among a million attendees, a chance of one in 10^10 that any two
/// have the same; a multiple of three, so that base64 adds nothing.
pub const EVENT_MARK_BYTES: usize = 9;

/// Of a request for a token: a name and a seat, each byte of them escaped as `\u0000`, and the braces.
pub const EVENT_BODY_MAX_BYTES: usize = (EVENT_NAME_MAX_CHARS * 4 + EVENT_SEAT_MAX_BYTES) * 6 + 64;
