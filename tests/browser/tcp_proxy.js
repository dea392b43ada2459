// A TCP proxy between browsers and the daemon. A test can break, freeze and
// repair its connections, and read which frames passed.
'use strict';

const { EventEmitter, once } = require('events');
const net = require('net');

// Parses the bytes of one direction of a WebSocket: the head of the HTTP
// request or response, and of each frame whether it is text, whether it is
// compressed (RSV1), and how many bytes its payload has.
class FrameReader {
  head = '';
  frames = [];
  #bytes = Buffer.alloc(0);
  #skip = 0;  // bytes of payload that are still to come

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
    const lengthBytes = { 126: 2, 127: 8 }[second & 0x7f] ?? 0;
    const headerSize = 2 + lengthBytes + (second & 0x80 ? 4 : 0);
    if (this.#bytes.length < headerSize) return false;
    const length = lengthBytes ?
      this.#bytes.readUIntBE(lengthBytes === 8 ? 4 : 2,
        Math.min(lengthBytes, 6)) :
      second & 0x7f;
    this.frames.push({ text: (first & 0x0f) === 1,
      deflated: (first & 0x40) !== 0, length });
    this.#bytes = this.#bytes.subarray(headerSize);
    this.#skip = length;
    return true;
  }
}

class TcpProxy {
  // All connections, also those that have ended. request and response are the
  // FrameReaders of the two directions.
  connections = [];    // {browser, daemon, request, response, truncated}
  #port;
  #refusing = false;
  #discarding = false;
  #events = new EventEmitter();

  static async start(daemon) {
    const proxy = new TcpProxy();
    proxy.#port = daemon.port;
    proxy.server = net.createServer((socket) => proxy.#accept(socket));
    proxy.server.listen(0, 'localhost');
    await once(proxy.server, 'listening');
    return proxy;
  }

  get url() {
    return `http://localhost:${this.server.address().port}/`;
  }

  // The connections on which the daemon accepted a WebSocket.
  get webSockets() {
    return this.connections.filter(({ response }) =>
      response.head.startsWith('HTTP/1.1 101 '));
  }

  // Resolves once the daemon has accepted this many WebSockets.
  async waitForWebSockets(count) {
    while (this.webSockets.length < count) await once(this.#events, 'bytes');
  }

  // Discards what the daemon sends from now on, beginning in the middle of the
  // next piece of each connection. Returns a function that resolves once the
  // given number of frames was discarded on each open connection.
  discardResponses() {
    this.#discarding = true;
    const open = this.#open().map(({ response }) =>
      ({ response, before: response.frames.length }));
    return async (count) => {
      while (open.some(({ response, before }) =>
        response.frames.length < before + count))
        await once(this.#events, 'bytes');
    };
  }

  // Resets all connections, and new ones as soon as they are made.
  breakConnections() {
    this.#refusing = true;
    for (const { browser, daemon } of this.#open()) {
      browser.resetAndDestroy();
      daemon.resetAndDestroy();
    }
  }

  // Forwards everything again, on new connections.
  repair() {
    this.#refusing = this.#discarding = false;
  }

  // Stops forwarding on the open connections, without closing them. New
  // connections work. Returns a function that forwards on the old ones again.
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
    this.breakConnections();
    this.server.close();
  }

  #open() {
    return this.connections.filter(({ browser }) => !browser.destroyed);
  }

  #accept(browser) {
    browser.on('error', () => {});
    if (this.#refusing) {
      browser.resetAndDestroy();
      return;
    }
    const daemon = net.connect(this.#port, 'localhost');
    const connection = { browser, daemon, request: new FrameReader(),
      response: new FrameReader(), truncated: false };
    this.connections.push(connection);
    browser.on('data', (bytes) => {
      connection.request.take(bytes);
      daemon.write(bytes);
    });
    daemon.on('data', (bytes) => this.#forward(connection, bytes));
    browser.on('close', () => daemon.destroy());
    daemon.on('error', () => {});
    daemon.on('end', () => browser.end());
    daemon.on('close', () => browser.destroySoon());
  }

  // Forwards bytes of the daemon. While it discards, half of the first piece
  // passes, so that the browser has an incomplete frame.
  #forward(connection, bytes) {
    connection.response.take(bytes);
    const passing = !this.#discarding ? bytes.length :
      connection.truncated ? 0 : bytes.length / 2;
    connection.browser.write(bytes.subarray(0, passing));
    connection.truncated ||= this.#discarding;
    this.#events.emit('bytes');
  }
}

module.exports = { TcpProxy };
