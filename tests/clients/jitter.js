// Many clients with wschat.js, each of which loses its connection again and
// again while messages flow: node jitter.js PORT. All must hear every message
// once and in order. Prints "ok" or "not ok", and the figures. The environment
// says how much of it, [by default]:
//
//   JITTER_CLIENTS  how many there are [50]
//   JITTER_SECONDS  how long messages flow [5]
//   JITTER_RATE     messages a second [20]
//   JITTER_EVERY    seconds from one break of a client's line to its next, on
//                   average [1.5]
//   JITTER_BREAK    seconds that a break lasts [0.2]
'use strict';

const net = require('net');
const path = require('path');
const { setTimeout: sleep } = require('timers/promises');
const WebSocket = require('ws');

const kPatience = 120000;  // ms for the last message to reach everyone

const port = Number(process.argv[2]);
const given = (name, otherwise) =>
  Number(process.env[`JITTER_${name}`] ?? otherwise);
const clients = given('CLIENTS', 50);
const seconds = given('SECONDS', 5);
const rate = given('RATE', 20);
const every = given('EVERY', 1.5);
const lasts = given('BREAK', 0.2);

// What a client's connections run over. A break is sudden: what is on its way
// is lost, and neither side is told in words.
class Line {
  breaks = 0;
  #socket = null;
  #broken = false;

  connect = () => {
    const socket = net.connect(port, '127.0.0.1');
    // Whoever asked for it listens to it only after this.
    if (this.#broken) setImmediate(() => socket.resetAndDestroy());
    return this.#socket = socket;
  };

  // From now on, until mend().
  startBreaking() {
    const wait = -Math.log(1 - Math.random()) * every * 1000;
    this.timer = setTimeout(() => this.#break(), wait);
  }

  mend() {
    clearTimeout(this.timer);
    this.#broken = false;
  }

  #break() {
    this.breaks++;
    this.#broken = true;
    this.#socket?.resetAndDestroy();
    this.timer = setTimeout(() => {
      this.#broken = false;
      this.startBreaking();
    }, lasts * 1000);
  }
}

const lines = Array.from({ length: clients }, () => new Line());

// What wschat.js takes for a browser's: the url says whose line it goes over.
// Every tenth takes what is compressed.
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    const line = Number(new URL(url).searchParams.get('line'));
    super(url, protocols, { createConnection: lines[line].connect,
      perMessageDeflate: line % 10 === 0 });
    this.on('error', () => {});  // a browser's is followed by a close as well
  }
};

require(path.resolve('src/page/wschat.js'));

// A client, and what it has heard.
class Listener {
  heard = 0;       // the newest message
  delivered = 0;   // of these, for the first time
  twice = 0;
  disordered = 0;
  resumed = 0;
  forgotten = 0;   // it came back, and not all that it missed was kept
  #hellos = 0;

  constructor(number) {
    this.chat = new WSChat(`ws://127.0.0.1:${port}/?line=${number}`)
      .on('message', ({ n }) => this.#hear(n))
      .on('hello', ({ recovered }) => this.#greet(recovered));
  }

  get ready() {
    return this.#hellos > 0;
  }

  #hear(n) {
    if (n > this.heard) this.delivered++;
    else this.twice++;
    if (n !== this.heard + 1) this.disordered++;
    this.heard = Math.max(n, this.heard);
    changed();
  }

  #greet(recovered) {
    if (this.#hellos++ > 0) {
      this.resumed += recovered;
      this.forgotten += !recovered;
    }
    changed();
  }
}

let changed = () => {};  // called whenever a listener has heard something

// Resolves when all listeners are as they should be, or never will.
async function settled(listeners, good) {
  let late;
  await new Promise((resolve) => {
    late = setTimeout(resolve, kPatience);
    changed = () => listeners.every(good) && resolve();
    changed();
  });
  clearTimeout(late);
  changed = () => {};
}

// Long enough to be compressed for those who take it so.
const message = (n) =>
  JSON.stringify({ type: 'message', n, words: 'all of these '.repeat(12) });

const messages = Math.round(seconds * rate);

// Says the numbers from 1 on, each in its time, over a connection that never
// breaks.
async function speak() {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
  await new Promise((resolve) => { socket.on('open', resolve); });
  const start = Date.now();
  for (let n = 1; n <= messages; n++) {
    const early = start + n * 1000 / rate - Date.now();
    if (early > 0) await sleep(early);
    socket.send(message(n));
  }
}

const sum = (listeners, what) =>
  listeners.reduce((total, listener) => total + listener[what], 0);

function report(listeners) {
  const wanted = messages * clients;
  const [delivered, twice, disordered, resumed, forgotten] =
    ['delivered', 'twice', 'disordered', 'resumed', 'forgotten']
      .map((what) => sum(listeners, what));
  const good = delivered === wanted && !twice && !disordered && !forgotten;
  const percent = Math.floor(delivered / wanted * 1e4) / 100;
  console.log(`${good ? 'ok' : 'not ok'} jitter: each of ${clients} clients ` +
    'hears every message once, in order');
  console.log(`   ${messages} messages, ${delivered} of ${wanted} deliveries ` +
    `(${percent} %), ${twice} twice, ${disordered} out of order`);
  console.log(`   ${sum(lines, 'breaks')} breaks, ${resumed} resumed, ` +
    `${forgotten} not recovered`);
}

(async () => {
  const listeners = lines.map((_, number) => new Listener(number));
  await settled(listeners, ({ ready }) => ready);
  for (const line of lines) line.startBreaking();
  await speak();
  for (const line of lines) line.mend();
  await settled(listeners, ({ heard }) => heard === messages);
  report(listeners);
  process.exit();
})();
