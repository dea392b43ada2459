// Connects many clients by wschat.js and breaks their connections again and
// again, while another client sends messages: node jitter.js PORT. All clients
// must receive every message once and in order. Prints "ok" or "not ok", and
// the figures. The environment sets the load, [by default]:
//
//   JITTER_CLIENTS  number of clients [50]
//   JITTER_SECONDS  how long messages are sent [5]
//   JITTER_RATE     messages per second [20]
//   JITTER_EVERY    seconds between two breaks of a client, on average [1.5]
//   JITTER_BREAK    seconds that a break lasts [0.2]
'use strict';

const net = require('net');
const path = require('path');
const { setTimeout: sleep } = require('timers/promises');
const WebSocket = require('ws');

const kTimeout = 120000;  // ms until all clients have the last message

const port = Number(process.argv[2]);
const setting = (name, byDefault) =>
  Number(process.env[`JITTER_${name}`] ?? byDefault);
const clientCount = setting('CLIENTS', 50);
const seconds = setting('SECONDS', 5);
const rate = setting('RATE', 20);
const breakInterval = setting('EVERY', 1.5);
const breakSeconds = setting('BREAK', 0.2);

// The network of one client. A break resets its connection and all new ones:
// bytes in flight are lost, and no close frame is sent.
class Network {
  breaks = 0;
  #socket = null;
  #broken = false;

  connect = () => {
    const socket = net.connect(port, '127.0.0.1');
    // The caller adds its listeners after this returns.
    if (this.#broken) setImmediate(() => socket.resetAndDestroy());
    return this.#socket = socket;
  };

  // Breaks the network after a random time, and again until repair().
  startBreaking() {
    const wait = -Math.log(1 - Math.random()) * breakInterval * 1000;
    this.timer = setTimeout(() => this.#break(), wait);
  }

  repair() {
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
    }, breakSeconds * 1000);
  }
}

const networks = Array.from({ length: clientCount }, () => new Network());

// The WebSocket class that wschat.js uses instead of a browser's. The url has
// the number of the client. Every tenth client offers compression.
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    const number = Number(new URL(url).searchParams.get('client'));
    super(url, protocols, { createConnection: networks[number].connect,
      perMessageDeflate: number % 10 === 0 });
    this.on('error', () => {});  // a close event follows
  }
};

require(path.resolve('src/page/wschat.js'));

// A client, and counts of what it has received.
class Client {
  newest = 0;        // the highest number of a message
  delivered = 0;     // messages that were received for the first time
  duplicates = 0;
  outOfOrder = 0;
  recovered = 0;     // reconnects with all missed messages
  notRecovered = 0;  // reconnects after which some were missing
  #hellos = 0;

  constructor(number) {
    this.chat = new WSChat(`ws://127.0.0.1:${port}/?client=${number}`)
      .on('message', ({ n }) => this.#receive(n))
      .on('hello', ({ recovered }) => this.#countHello(recovered));
  }

  get ready() {
    return this.#hellos > 0;
  }

  #receive(n) {
    if (n > this.newest) this.delivered++;
    else this.duplicates++;
    if (n !== this.newest + 1) this.outOfOrder++;
    this.newest = Math.max(n, this.newest);
    changed();
  }

  #countHello(recovered) {
    if (this.#hellos++ > 0) {
      this.recovered += recovered;
      this.notRecovered += !recovered;
    }
    changed();
  }
}

let changed = () => {};  // called whenever a client has received something

// Resolves once the predicate holds for all clients, or after kTimeout.
async function waitForAll(clients, predicate) {
  let timer;
  await new Promise((resolve) => {
    timer = setTimeout(resolve, kTimeout);
    changed = () => clients.every(predicate) && resolve();
    changed();
  });
  clearTimeout(timer);
  changed = () => {};
}

// The text is long enough for the daemon to compress it.
const message = (n) =>
  JSON.stringify({ type: 'message', n, text: 'all of these '.repeat(12) });

const messages = Math.round(seconds * rate);

// Sends all messages, numbered from 1, at the given rate. Its own connection
// does not break.
async function sendMessages() {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
  await new Promise((resolve) => { socket.on('open', resolve); });
  const start = Date.now();
  for (let n = 1; n <= messages; n++) {
    const wait = start + n * 1000 / rate - Date.now();
    if (wait > 0) await sleep(wait);
    socket.send(message(n));
  }
}

const sum = (objects, field) =>
  objects.reduce((total, object) => total + object[field], 0);

function report(clients) {
  const expected = messages * clientCount;
  const [delivered, duplicates, outOfOrder, recovered, notRecovered] =
    ['delivered', 'duplicates', 'outOfOrder', 'recovered', 'notRecovered']
      .map((field) => sum(clients, field));
  const good = delivered === expected && !duplicates && !outOfOrder &&
    !notRecovered;
  const percent = Math.floor(delivered / expected * 1e4) / 100;
  console.log(`${good ? 'ok' : 'not ok'} jitter: each of ${clientCount} ` +
    'clients receives every message once, in order');
  console.log(`   ${messages} messages, ${delivered} of ${expected} ` +
    `deliveries (${percent} %), ${duplicates} duplicates, ` +
    `${outOfOrder} out of order`);
  console.log(`   ${sum(networks, 'breaks')} breaks, ${recovered} recovered, ` +
    `${notRecovered} not recovered`);
}

(async () => {
  const clients = networks.map((_, number) => new Client(number));
  await waitForAll(clients, ({ ready }) => ready);
  for (const network of networks) network.startBreaking();
  await sendMessages();
  for (const network of networks) network.repair();
  await waitForAll(clients, ({ newest }) => newest === messages);
  report(clients);
  process.exit();
})();
