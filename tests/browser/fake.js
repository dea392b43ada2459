// A server that numbers its messages, as the protocol wschat.v1 has it, and
// that forgets, falls silent or hangs up when a test wants it to. Every path is
// a room, and has the page.
'use strict';

const { EventEmitter, once } = require('events');
const fs = require('fs');
const http = require('http');
const path = require('path');
const { WebSocketServer } = require('ws');

const kProtocol = 'wschat.v1';
const folder = path.join(__dirname, '..', '..', 'src', 'page');
const types = { '.html': 'text/html', '.css': 'text/css',
  '.js': 'text/javascript' };

class Fake {
  rooms = new Map();   // path -> {epoch, messages, clients}
  requests = [];       // what WebSockets asked for
  files = new Map();   // path -> content, of a site that is not the page's
  deaf = false;        // what it receives it does not relay
  holding = false;     // what it relays does not go out
  #texts = [];
  #epochs = 0;
  #events = new EventEmitter();

  static async start() {
    const fake = new Fake();
    await fake.#listen();
    return fake;
  }

  get url() {
    return `http://localhost:${this.server.address().port}/`;
  }

  // Resolves once it has received something with these words.
  async received(words) {
    while (!this.#texts.some((text) => text.includes(words)))
      await once(this.#events, 'text');
  }

  // Resolves once that many WebSockets have been greeted.
  async greeted(count) {
    while (this.requests.length < count) await once(this.#events, 'hello');
  }

  say(room, ...values) {
    for (const value of values)
      this.#room(room).messages.push(JSON.stringify(value));
    this.#flush();
  }

  release() {
    this.holding = false;
    this.#flush();
  }

  // As after a restart: the numbers begin anew.
  forget() {
    for (const room of this.rooms.values())
      Object.assign(room, { epoch: this.#newEpoch(), messages: [] });
  }

  drop() {
    for (const socket of this.sockets.clients) socket.terminate();
  }

  async end() {
    this.drop();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  #listen() {
    this.server = http.createServer((...ends) => this.#answer(...ends));
    this.sockets = new WebSocketServer({ server: this.server,
      handleProtocols: (asked) => asked.has(kProtocol) && kProtocol });
    this.sockets.on('connection', (...ends) => this.#welcome(...ends));
    return new Promise((resolve) => {
      this.server.listen(0, 'localhost', resolve);
    });
  }

  #answer({ url }, response) {
    const { pathname, searchParams } = new URL(url, this.url);
    const name = pathname === '/wschat.js' ? 'wschat.js' :
      searchParams.get('asset') ?? 'index.html';
    const type = types[path.extname(name)];
    response.setHeader('Content-Type', `${type}; charset=utf-8`);
    response.end(this.files.get(pathname) ??
      fs.readFileSync(path.join(folder, path.basename(name))));
  }

  #welcome(socket, { url }) {
    const { pathname, searchParams } = new URL(url, this.url);
    const room = this.#room(pathname);
    const last = room.messages.length;
    const since = Number(searchParams.get('since'));
    const recovered =
      searchParams.get('epoch') === room.epoch && since <= last;
    const client = { socket, position: recovered ? since : last };
    room.clients.add(client);
    socket.on('close', () => room.clients.delete(client));
    socket.on('message', (data) => this.#hear(pathname, `${data}`));
    if (socket.protocol === kProtocol)
      socket.send(JSON.stringify({ type: 'hello',
        room: decodeURIComponent(pathname), epoch: room.epoch,
        first: client.position + 1, last, clients: room.clients.size,
        recovered }));
    this.requests.push(url);
    this.#events.emit('hello');
    this.#flush();
  }

  #hear(room, text) {
    this.#texts.push(text);
    if (!this.deaf) this.#room(room).messages.push(text);
    this.#events.emit('text');
    this.#flush();
  }

  #flush() {
    if (this.holding) return;
    for (const { messages, clients } of this.rooms.values()) {
      for (const client of clients)
        while (client.position < messages.length)
          client.socket.send(messages[client.position++]);
    }
  }

  #newEpoch() {
    return `epoch ${++this.#epochs}`;
  }

  #room(pathname) {
    if (!this.rooms.has(pathname))
      this.rooms.set(pathname,
        { epoch: this.#newEpoch(), messages: [], clients: new Set() });
    return this.rooms.get(pathname);
  }
}

module.exports = { Fake };
