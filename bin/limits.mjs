/** Every bound of the command and its supervisor, each with its reason. */

/** One variable of an environment holds 128 KB on Linux, its name included; the apps reach the runtime in one. */
export const APPS_MAX_BYTES = 120_000;

/** A stop tells connections to come back in so many steps, so that they do not all come back at once. */
export const LEAVE_STEPS = 20;

/** The default of `--drain`: short enough for the ten seconds that `docker stop` allows. */
export const DRAIN_SECONDS = 5;
export const DRAIN_SECONDS_MAX = 60;

/** A signal so soon after the first is the same one: npm hands on what its child got from the terminal, too. */
export const SIGNAL_TWICE_MS = 500;

/** After the drain, objects have this long to report what they counted: one write of each that did something. */
export const REPORT_MS = 1_000;

/** After the drain the runtime has this long for requests in flight. What is acknowledged is on disk before that. */
export const EXIT_MS = 3_000;

/**
 * On sockets that outlive the process: for requests in flight, between the last connection that is taken and when all
 * are sent away. Whoever comes meanwhile waits for the next process, and the `ably` SDK does so for four seconds.
 */
export const HAND_ON_MS = 500;

/**
 * From the start of the process until it listens. Half a second is usual; a machine that is busy or swaps takes
 * longer.
 */
export const START_MS = 60_000;

/** A request on the control socket, until it is answered: the slowest calls every object that holds clients. */
export const CONTROL_MS = 30_000;

/** Of a request over HTTP/2 for the runtime: how long it takes, shorter than the worker waits; bytes of a body. */
export const HTTP2_MS = 15_000;
export const HTTP2_BODY_MAX = 64 * 1024;

/** Connections that stay open, one for each service, and for how long without a request: Apple wants few of them. */
export const HTTP2_SESSIONS_MAX = 20;
export const HTTP2_IDLE_MS = 30 * 60 * 1_000;

/** How many may wait for a runtime; the system allows 4,096 on Linux (net.core.somaxconn), and others try again. */
export const BACKLOG = 65_535;

/** Between two starts of a runtime that ends by itself: twice as long each time, from the first to the last. */
export const RESTART_MIN_MS = 100;
export const RESTART_MAX_MS = 10_000;

/** A runtime that was up for this long did not fail because of how it was started. */
export const STEADY_MS = 30_000;

/** A process that takes over waits this long for the runtime that its predecessor leaves behind. */
export const LOCK_MS = 3_000;
export const LOCK_RETRY_MS = 50;

/** So long after it was made, a temporary directory whose lock nobody holds is one that was left. */
export const TEMPORARY_YOUNG_MS = 60_000;

/** Of one line that the runtime prints. */
export const LOG_LINE_MAX = 4_000;

/**
 * How many of its lines of each level are logged in a second: each request to a channel whose file is damaged causes
 * one, and must not fill the disk with them. At a hundred, an hour of the longest errors is 1.4 GB at most; usual ones
 * have 200 bytes.
 */
export const LOG_LINES_PER_SECOND = 100;

/** Files of the page that are shorter are sent as they are: they fit one packet. */
export const COMPRESSED_MIN_BYTES = 1_000;

/**
 * Room that is taken for the runtime's configuration before anything else is written: three times what it has. So the
 * runtime starts again on a disk that has filled up meanwhile.
 */
export const CONFIG_BYTES = 65_536;

/** Of the path of a socket, in bytes: macOS allows 103, Linux 107. */
export const SOCKET_PATH_MAX = 103;

/**
 * The default of `--memory`, as a share of what the machine or the container has: the system caches files in the rest,
 * which commits need. At twice the speed that was measured, half a gigabyte comes between two looks.
 */
export const MEMORY_SHARE = 0.75;
export const LOOK_MS = 1_000;

/** The least that `--memory` may be: the runtime takes 60 MB itself. */
export const MEMORY_MIN_MB = 128;

/**
 * Descriptors that are left to objects, three for each, and to those who come without a word: no connections are let in
 * when there are no more. A fiftieth; of few a tenth.
 * @param {number} allowed
 */
export const spareDescriptors = (allowed) => Math.max(allowed / 50, Math.min(allowed / 10, 400));

/** With room for fewer connections the worker is told, which counts them: more than come between two looks. */
export const ROOM_TOLD = 5_000;

/** With fewer, for 5,000 connections, a server says so at its start. */
export const DESCRIPTORS_FEW = 10_000;
