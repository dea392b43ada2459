// A server that speaks wschat.v1 and numbers its messages. A test can make it
// start a new epoch, hold or discard messages, and drop connections. Each path
// is a room and serves the chat page.
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

class FakeServer {
  rooms = new Map();   // path -> {epoch, messages, clients}
  requests = [];       // request targets of the WebSockets
  files = new Map();   // path -> content to serve instead of the chat page
  discarding = false;  // received messages are not relayed
  holding = false;     // messages are numbered, but not sent to clients yet
  #texts = [];         // all received messages
  #epochs = 0;
  #events = new EventEmitter();

  static async start() {
    const server = new FakeServer();
    await server.#listen();
    return server;
  }

  get url() {
    return `http://localhost:${this.server.address().port}/`;
  }

  // Resolves once it has received a message that contains this text.
  async waitForText(part) {
    while (!this.#texts.some((text) => text.includes(part)))
      await once(this.#events, 'text');
  }

  // Resolves once it has accepted this many WebSockets.
  async waitForWebSockets(count) {
    while (this.requests.length < count) await once(this.#events, 'accept');
  }

  // Sends values to all clients of a room.
  publish(room, ...values) {
    for (const value of values)
      this.#room(room).messages.push(JSON.stringify(value));
    this.#flush();
  }

  // Sends the held messages, and holds no more.
  release() {
    this.holding = false;
    this.#flush();
  }

  // Forgets all messages and starts a new epoch in each room, as a restart
  // does.
  startNewEpochs() {
    for (const room of this.rooms.values())
      Object.assign(room, { epoch: this.#newEpoch(), messages: [] });
  }

  dropConnections() {
    for (const socket of this.sockets.clients) socket.terminate();
  }

  async end() {
    this.dropConnections();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  #listen() {
    this.server = http.createServer((...args) => this.#respond(...args));
    this.sockets = new WebSocketServer({ server: this.server,
      handleProtocols: (offered) => offered.has(kProtocol) && kProtocol });
    this.sockets.on('connection', (...args) => this.#accept(...args));
    return new Promise((resolve) => {
      this.server.listen(0, 'localhost', resolve);
    });
  }

  // Serves a file of a test, or the chat page and its assets.
  #respond({ url }, response) {
    const { pathname, searchParams } = new URL(url, this.url);
    const name = pathname === '/wschat.js' ? 'wschat.js' :
      searchParams.get('asset') ?? 'index.html';
    const type = types[path.extname(name)];
    response.setHeader('Content-Type', `${type}; charset=utf-8`);
    response.end(this.files.get(pathname) ??
      fs.readFileSync(path.join(folder, path.basename(name))));
  }

  // Adds a client to its room, and sends the hello and the missed messages.
  #accept(socket, { url }) {
    const { pathname, searchParams } = new URL(url, this.url);
    const room = this.#room(pathname);
    const last = room.messages.length;
    const since = Number(searchParams.get('since'));
    const recovered =
      searchParams.get('epoch') === room.epoch && since <= last;
    const client = { socket, position: recovered ? since : last };
    room.clients.add(client);
    socket.on('close', () => room.clients.delete(client));
    socket.on('message', (data) => this.#receive(pathname, `${data}`));
    if (socket.protocol === kProtocol)
      socket.send(JSON.stringify({ type: 'hello',
        room: decodeURIComponent(pathname), epoch: room.epoch,
        first: client.position + 1, last, clients: room.clients.size,
        recovered }));
    this.requests.push(url);
    this.#events.emit('accept');
    this.#flush();
  }

  #receive(room, text) {
    this.#texts.push(text);
    if (!this.discarding) this.#room(room).messages.push(text);
    this.#events.emit('text');
    this.#flush();
  }

  // Sends each client the messages after its position, unless they are held.
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

  // Returns the room of a path, and creates it if there is none.
  #room(pathname) {
    if (!this.rooms.has(pathname))
      this.rooms.set(pathname,
        { epoch: this.#newEpoch(), messages: [], clients: new Set() });
    return this.rooms.get(pathname);
  }
}

module.exports = { FakeServer };
