/** All that the event page says, so that it can be translated in one file. Functions take what goes into a text. */

const number = new Intl.NumberFormat('en');
const clock = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

/** @param {number} ms */
export const timeOfDay = (ms) => clock.format(ms);

/** @param {number} count */
export const count = (count) => number.format(count);

/** @param {number} count @param {string} one @param {string} many */
const plural = (count, one, many) => `${number.format(count)} ${count === 1 ? one : many}`;

export const text = {
  brand: 'Courtside',
  title: 'Centre Court Live',
  skip: 'Skip to the event',
  stageBadge: 'Stage',
  anonymous: 'Nobody',
  guest: 'Guest',
  hostBadge: 'host',
  you: 'you',

  part: {
    score: 'Score', slides: 'Slides', polls: 'Polls', questions: 'Questions', chat: 'Chat', rooms: 'Rooms',
    network: 'Network', audience: 'Audience', crowd: 'Crowd',
  },

  embed: {
    score: 'The score by itself, to embed', slides: 'The slides by themselves, to embed',
    polls: 'The polls by themselves, to embed',
    questions: 'The questions by themselves, to embed', chat: 'The chat by itself, to embed',
  },

  tab: { score: 'Score', slides: 'Slides', polls: 'Polls', questions: 'Q&A', chat: 'Chat', rooms: 'Rooms',
  network: 'Network' },

  state: {
    initialized: 'Connecting…', connecting: 'Connecting…', connected: 'Live', disconnected: 'Reconnecting…',
    suspended: 'Offline', failed: 'Refused', closing: 'Closing…', closed: 'Closed',
  },
  stopped: {
    why: (/** @type {string} */ why) => `A part of the event has stopped: ${why}`, again: 'Try again',
  },
  cut: 'The connection is down. Stay: what you miss now comes when it is back, and what you write is sent then.',
  cutLong: 'The connection is down. It has been for a while: what you miss comes when it is back, and what you write '
    + 'can be sent then.',
  resumed: 'Back, and you missed nothing: everything since the cut has arrived.',
  reloaded: 'Back. The cut was too long to go on from, so the page was loaded anew from what the server keeps.',
  refused: (/** @type {string} */ why) => `The server refused the connection: ${why}`,
  /** What a button does, and to what of those that have one. */
  of: (/** @type {string} */ does, /** @type {string} */ row) => `${does}: ${row}`,
  dismiss: 'Dismiss',
  failedTo: (/** @type {string} */ why) => `That did not work: ${why}`,

  join: {
    ask: 'Join the event', title: 'Join the event', label: 'Your name',
    note: 'It stands beside what you say. There is no account, and nothing else is asked.', go: 'Join',
    later: 'Just watch', noName: 'A name needs a letter, a digit or a sign that can be seen.',
  },
  rename: {
    title: 'Change your name', go: 'Save', later: 'Cancel',
    note: 'It changes beside all that you said, too. Your votes stay yours.',
    from: (/** @type {string} */ name) => `${name}: change your name`,
  },
  host: {
    title: 'Open the stage', label: 'Host key', go: 'Open', name: 'Your name on stage',
    note: 'The key stays in this tab, and goes when it closes.', local: 'npm start prints a link with the demo key.',
    refused: /** @type {Record<number, string>} */ ({
      40101: 'This key’s secret is wrong.', 40400: 'This server has no such key, or it has ended.',
    }),
    notHost: 'This key is not a host’s: it may not say anything on stage.',
    noKey: 'This is not a key. One looks like app.name:secret.', venue: 'Open the venue',
  },

  outbox: {
    label: 'Not sent yet', waiting: 'Waiting to be sent', again: 'Send again', drop: 'Drop',
    left: 'This was not sent before the page was loaded anew, as far as is known.',
  },

  score: {
    match: 'Centre court', none: 'Play has not begun', player: 'Player', points: 'Points', won: 'Won',
    serving: 'serving',
    set: (/** @type {number} */ index) => `Set ${index}`,
    timeline: 'As it happened', earlier: 'Earlier',
    again: 'New match', umpire: 'A point to', over: 'The match is over.',
  },
  slides: {
    none: 'The presenter has not begun.', back: 'Back to the presenter', next: 'Next', previous: 'Previous',
    full: 'Full screen', deck: 'Slides', show: 'Present',
    now: (/** @type {number} */ at, /** @type {number} */ of) => `${at} of ${of}`,
    live: 'In step with the presenter',
    apart: (/** @type {number} */ at) => `The presenter is at ${at}`,
    help: 'One slide per paragraph. Its first line is the title.',
    starter: [
      'Welcome to Centre Court', 'Live scores, chat and polls for everyone who is here', '',
      'How to take part', 'Vote in the polls', 'Ask the players a question', 'Meet others in the rooms', '',
      'Thank you', 'The replay stays here for three days',
    ].join('\n'),
  },
  polls: {
    none: 'No poll yet. The host opens one, and it appears here.', ask: 'Question', options: 'Options, one per line',
    open: 'Open the poll', quiz: 'A quiz: one option is right', right: 'Right option (number)', reveal: 'Reveal',
    close: 'Close',
    votes: (/** @type {number} */ total) => plural(total, 'vote', 'votes'), final: 'Final result', quizBadge: 'Quiz',
    hidden: 'The answer comes with the reveal.', voted: 'Your vote is in. You can change it until the poll closes.',
    sending: 'Your vote is being sent…',
    correct: 'Right answer', leaders: 'Leaderboard',
    points: (/** @type {number} */ points) => plural(points, 'point', 'points'),
    two: 'A poll has two to six options.', long: 'An option has at most 80 letters.',
    pick: 'Say which option is right.',
    tooMany: 'the answer is out, but more than 50,000 votes were cast: nobody gets points.',
  },
  questions: {
    none: 'No questions yet. Ask the first one.', ask: 'Ask a question', send: 'Ask', upvote: 'Upvote',
    picked: 'On stage now', answered: 'Answered', pick: 'Take on stage', drop: 'Put back', answer: 'Mark answered',
    reopen: 'Reopen', remove: 'Remove',
  },
  chat: {
    none: 'It is quiet. Say hello.', say: 'Write a message', send: 'Send', edit: 'Edit', remove: 'Delete', mute: 'Mute',
    unmute: 'Unmute', edited: 'edited', deleted: 'This message was deleted', save: 'Save', cancel: 'Cancel',
    latest: 'Latest messages', react: (/** @type {string} */ kind, /** @type {number} */ total) => `${kind} (${total})`,
    reactions: { like: 'Like', ball: 'Great shot', heart: 'Love' },
    editing: 'You are editing a message', slow: 'Slow mode', off: 'Off',
    slowOf: (/** @type {number} */ seconds) => `One message each ${seconds} s`,
    slowIs: (/** @type {number} */ seconds) => `Slow mode: ${seconds > 0 ? `one message each ${seconds} s` : 'off'}`,
    wait: (/** @type {number} */ seconds) => `Slow mode: ${seconds} s to go`, muted: 'The host has muted you.', isMuted: 'muted',
    typing: (/** @type {string[]} */ names) => {
      if (names.length > 2) return 'Several people are typing…';
      return `${names.join(' and ')} ${names.length > 1 ? 'are' : 'is'} typing…`;
    },
  },
  rooms: {
    names: { baseline: 'Baseline', net: 'Net play', clubhouse: 'Clubhouse' },
    intro: 'Small rooms for small groups. Step in, talk, and come back.', enter: 'Step in', leave: 'Leave the room',
    inside: (/** @type {number} */ people) => plural(people, 'person', 'people'), recall: 'Call everyone back',
    recalled: 'The host has called everyone back to the main stage.', empty: 'Empty',
  },
  audience: {
    now: (/** @type {number} */ people) => `${plural(people, 'person', 'people')} here`, growth: 'Over time',
    peak: (/** @type {number} */ people) => `Peak ${number.format(people)}`,
    since: (/** @type {string} */ time) => `since ${time}`, untilNow: 'now',
    lately: (/** @type {number} */ more) => (more === 0 ? ''
      : `${more > 0 ? '+' : '−'}${number.format(Math.abs(more))} in five minutes`),
  },
  network: {
    transport: 'Transport', latency: 'Round trip', continuity: 'Continuity', id: 'Connection',
    ms: (/** @type {number} */ ms) => `${ms} ms`,
    web_socket: 'WebSocket', xhr_polling: 'HTTP polling', none: '–', unbroken: 'Unbroken',
    resumedOf: (/** @type {number} */ cuts) => `Resumed after ${plural(cuts, 'cut', 'cuts')}`,
    broken: 'Loaded anew after a long cut', shake: 'Shake the network', shaking: 'Shaking…',
    intro: 'Cuts this page’s socket, blocks WebSocket, publishes twelve messages over HTTP meanwhile, and waits until '
      + 'the SDK has found another way. Then it compares what came with what the server keeps, and goes back.',
    serial: 'Serial', message: 'Message', came: 'Came', live: 'live', late: 'after the cut',
    proof: (/** @type {number} */ got, /** @type {number} */ sent) => `${got} of ${sent} arrived`,
    whole: (/** @type {string} */ proof, /** @type {string} */ by) =>
      `${proof}: none missing, none twice, in order; ${by}.`,
    wrong: 'Something is missing or came twice.', by: (/** @type {string} */ transport) => `caught up by ${transport}`,
  },
  crowd: {
    intro: 'Two hundred simulated attendees join, chat, vote and leave within a minute. Local runs only.',
    go: 'Bring a crowd', running: (/** @type {number} */ people) => `${number.format(people)} of the crowd are here`,
  },
};
