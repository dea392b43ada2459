// A way between browsers and the daemon that a test may break and mend, and
// whose bytes it may see. Both ends live on.
'use strict';

const { EventEmitter, once } = require('events');
const net = require('net');

// What one side of a WebSocket says: its head, and of each frame whether it is
// text, whether it is compressed (RSV1), and how many bytes it has.
class Reader {
  head = '';
  frames = [];
  #bytes = Buffer.alloc(0);
  #skip = 0;

  take(bytes) {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    if (!this.head && !this.#takeHead()) return;
    while (this.#takeFrame());
  }

  #takeHead() {
    const end = this.#bytes.indexOf('\r\n\r\n') + 4;
    if (end < 4) return false;
    this.head = this.#bytes.toString('latin1', 0, end);
    this.#bytes = this.#bytes.subarray(end);
    return true;
  }

  #takeFrame() {
    const skipped = Math.min(this.#skip, this.#bytes.length);
    this.#skip -= skipped;
    this.#bytes = this.#bytes.subarray(skipped);
    if (this.#bytes.length < 2) return false;
    const [first, second] = this.#bytes;
    const more = { 126: 2, 127: 8 }[second & 0x7f] ?? 0;
    const size = 2 + more + (second & 0x80 ? 4 : 0);
    if (this.#bytes.length < size) return false;
    const length = more ? this.#bytes.readUIntBE(more === 8 ? 4 : 2,
      Math.min(more, 6)) : second & 0x7f;
    this.frames.push({ text: (first & 0x0f) === 1,
      deflated: (first & 0x40) !== 0, length });
    this.#bytes = this.#bytes.subarray(size);
    this.#skip = length;
    return true;
  }
}

class Relay {
  links = [];          // all there were: {browser, daemon, asked, answered}
  #port;
  #broken = false;
  #holding = false;
  #events = new EventEmitter();

  static async before(daemon) {
    const relay = new Relay();
    relay.#port = daemon.port;
    relay.server = net.createServer((socket) => relay.#accept(socket));
    relay.server.listen(0, 'localhost');
    await once(relay.server, 'listening');
    return relay;
  }

  get url() {
    return `http://localhost:${this.server.address().port}/`;
  }

  // The WebSockets that were ever let in.
  get sockets() {
    return this.links.filter(({ answered }) =>
      answered.head.startsWith('HTTP/1.1 101 '));
  }

  // Resolves once that many were.
  async joined(count) {
    while (this.sockets.length < count) await once(this.#events, 'bytes');
  }

  // From now on what the daemon says gets lost, from the middle of a piece on.
  // Returns what resolves once so many frames of each WebSocket were.
  hold() {
    this.#holding = true;
    const held = this.#open().map(({ answered }) =>
      ({ answered, before: answered.frames.length }));
    return async (count) => {
      while (held.some(({ answered, before }) =>
        answered.frames.length < before + count))
        await once(this.#events, 'bytes');
    };
  }

  // Breaks what there is; nothing new comes through.
  cut() {
    this.#broken = true;
    for (const { browser, daemon } of this.#open()) {
      browser.resetAndDestroy();
      daemon.resetAndDestroy();
    }
  }

  // What comes from now on passes.
  mend() {
    this.#broken = this.#holding = false;
  }

  // What there is dies without a word to either side; what is new passes.
  // Returns what brings it back to life.
  freeze() {
    const frozen = this.#open();
    for (const { browser, daemon } of frozen) {
      browser.pause();
      daemon.pause();
    }
    return () => {
      for (const { browser, daemon } of frozen) {
        browser.resume();
        daemon.resume();
      }
    };
  }

  close() {
    this.cut();
    this.server.close();
  }

  #open() {
    return this.links.filter(({ browser }) => !browser.destroyed);
  }

  #accept(browser) {
    browser.on('error', () => {});
    if (this.#broken) {
      browser.resetAndDestroy();
      return;
    }
    const daemon = net.connect(this.#port, 'localhost');
    const link = { browser, daemon, asked: new Reader(),
      answered: new Reader(), torn: false };
    this.links.push(link);
    browser.on('data', (bytes) => {
      link.asked.take(bytes);
      daemon.write(bytes);
    });
    daemon.on('data', (bytes) => this.#answer(link, bytes));
    browser.on('close', () => daemon.destroy());
    daemon.on('error', () => {});
    daemon.on('end', () => browser.end());
    daemon.on('close', () => browser.destroySoon());
  }

  #answer(link, bytes) {
    link.answered.take(bytes);
    const passing = !this.#holding ? bytes.length :
      link.torn ? 0 : bytes.length / 2;
    link.browser.write(bytes.subarray(0, passing));
    link.torn ||= this.#holding;
    this.#events.emit('bytes');
  }
}

module.exports = { Relay };
