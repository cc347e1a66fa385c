/** Every bound of the commands that work with a server, each with its reason. */

/** How long a token lasts unless it is told otherwise, and at most, as src/limits has it. */
export const TOKEN_SECONDS = 3_600;
export const TOKEN_SECONDS_MAX = 24 * 3_600;

/** Bounds of what a token names, as in src/limits. */
export const CLIENT_ID_MAX_BYTES = 255;
export const REVOCATION_KEY_MAX_BYTES = 255;
export const CHANNEL_NAME_MAX_BYTES = 2_048;
export const CAPABILITY_MAX_BYTES = 4 * 1024;
export const CAPABILITY_MAX_RESOURCES = 100;

/** One request of a command, whose answer is a page at most: the slowest asks each app of a deployment. */
export const REQUEST_MS = 30_000;
export const ANSWER_MAX_BYTES = 64 * 1024 * 1024;

/** A request that may be made twice is made again after these times, for half a minute in all. */
export const RETRIES = 6;
export const RETRY_MIN_MS = 500;
export const RETRY_MAX_MS = 10_000;

/** Messages, and bytes of them, that go out in one publish: src/limits allows 1,000 and 65,536, names included. */
export const PUBLISH_MESSAGES = 100;
export const PUBLISH_BYTES = 48 * 1024;

/** Of one line of standard input: no message is longer. */
export const LINE_MAX_BYTES = 65_536;

/** A stream says something every fifteen seconds, or is cut off: three times that, with some time on the way. */
export const STREAM_QUIET_MS = 50_000;

/** Of one line of a stream, in characters: a message of 64 KB, each escaped sixfold, and as much again. */
export const LINE_OF_STREAM_MAX = 1024 * 1024;

/** Channels of one event stream, as src/limits has it. */
export const CHANNELS_OF_STREAM = 20;

/** The largest number that an option takes. It catches slips of a finger. */
export const COUNT_MAX = 1_000_000_000;

/** How often `top` asks, how many channels it shows, and among how many it looks, by pages as long as a server has. */
export const TOP_EVERY_SECONDS = 5;
export const TOP_CHANNELS = 20;
export const TOP_CHANNELS_ASKED = 1_000;
export const TOP_PAGE = 100;

/** From the beginning of a connection until it is a WebSocket. */
export const CONNECT_MS = 20_000;

/** Of a frame to us: the server sends 512 KB at most, and something else that answers may send anything. */
export const FRAME_MAX_BYTES = 8 * 1024 * 1024;

/** A client of `load` waits this long before it comes back, as SDKs do, and not all at once. */
export const COMES_BACK_MS = 500;
export const COMES_BACK_MAX_MS = 15_000;

/** After so much a viewer says that it reads; the server asks for a word in 256 MB. */
export const SIGN_OF_LIFE_BYTES = 32 * 1024 * 1024;

/** Messages of a publisher of `load` that may be on the way. */
export const UNACKNOWLEDGED_MAX = 1_000;

/** What `load` does at most: a crowd that one process and its ports can hold, an hour, and what a message may hold. */
export const LOAD_VIEWERS_MAX = 20_000;
export const LOAD_RATE_MAX = 1_000;
export const LOAD_SECONDS_MAX = 3_600;
export const LOAD_BYTES_MAX = 60_000;
export const LOAD_CONNECTS_MAX = 2_000;

/** Messages a second of one connection; src/limits lets in 250, and sends on what comes together. */
export const RATE_PER_PUBLISHER = 200;

/** How often `load` looks what is due. */
export const PACE_MS = 5;

/** Connections that are not in yet, and for how long beyond their pace. */
export const CONNECTING_AT_ONCE = 200;
export const ARRIVE_MS = 120_000;

/** Without any delivery for this long, what is missing does not come; while some are away, for the second time. */
export const SETTLE_MS = 10_000;
export const SETTLE_AWAY_MS = 30_000;

/** Of a plot in a terminal. */
export const PLOT_COLUMNS = 60;

/** What `cost` computes with: beyond it there is no measurement that could be extrapolated. */
export const COST_VIEWERS_MAX = 10_000_000;
export const COST_HOURS_MAX = 10_000;
export const COST_RATE_MAX = 10_000;
export const COST_CHANNELS_MAX = 1_000_000;
export const COST_CONNECTS_MAX = 100;

/** Of batches and conflation, as src/limits has it. */
export const INTERVAL_MIN_MS = 20;
export const INTERVAL_MAX_MS = 1_000;

/** Of a ban that has an end: ten years. */
export const BAN_SECONDS_MAX = 10 * 365 * 24 * 3_600;

/** For which a key that is replaced goes on, as src/limits has it: 90 days. */
export const OVERLAP_SECONDS_MAX = 90 * 24 * 3_600;
