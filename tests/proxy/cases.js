// The cases that run through each proxy: those for one room, and those for a
// daemon with --rooms.
'use strict';

const assert = require('assert');
const https = require('https');
const WebSocket = require('ws');

const kOrigin = 'https://example.com';

// A WebSocket client, from the loopback address `from`. next() returns its
// messages one by one.
class Client {
  constructor(site, { origin = kOrigin, headers = {}, from = '127.0.0.9',
    path = '/chat', protocols = [] } = {}) {
    this.received = [];
    this.waiting = [];
    this.pings = 0;
    const url = `wss://127.0.0.1:${site.port}${path}`;
    this.socket = new WebSocket(url, protocols, {
      origin, headers: { Host: 'example.com', ...headers }, ca: site.ca,
      servername: 'example.com', localAddress: from });
    this.socket.on('message', (text) => this.#receive(JSON.parse(text)));
    this.opened = new Promise((resolve, reject) => {
      this.socket.on('open', () => resolve(this));
      this.socket.on('error', reject);
    });
    this.closed = new Promise((resolve) => this.socket.on('close', resolve));
  }

  next() {
    return new Promise((resolve) => {
      if (this.received.length) resolve(this.received.shift());
      else this.waiting.push(resolve);
    });
  }

  // Returns the next message that is not a system message.
  async nextMessage() {
    for (;;) {
      const value = await this.next();
      if (value.type !== 'system') return value;
    }
  }

  send(value) {
    this.socket.send(JSON.stringify(value));
  }

  waitForPings(times) {
    return new Promise((resolve) => this.socket.on('ping', () => {
      if (++this.pings === times) resolve();
    }));
  }

  close() {
    this.socket.close();
    return this.closed;
  }

  #receive(value) {
    if (this.waiting.length) this.waiting.shift()(value);
    else this.received.push(value);
  }
}

function get(site, target) {
  return new Promise((resolve, reject) => {
    https.get({ host: '127.0.0.1', port: site.port, path: target, ca: site.ca,
      servername: 'example.com', headers: { Host: 'example.com' } },
    (response) => {
      let body = '';
      response.on('data', (text) => { body += text; });
      response.on('end', () => resolve({ status: response.statusCode, body }));
    }).on('error', reject);
  });
}

// Returns the room that a client joins at this path.
async function roomAt(site, path) {
  const client = new Client(site, { path, protocols: ['wschat.v1'] });
  await client.opened;
  const { type, room } = await client.next();
  assert.equal(type, 'hello');
  await client.close();
  return room;
}

// Checks that the handshake at this path gets one of these statuses.
async function assertRefused(site, path, statuses) {
  const client = new Client(site, { path });
  await assert.rejects(client.opened, ({ message }) => {
    assert.match(message, new RegExp(`: (${statuses.join('|')})$`), path);
    return true;
  }, path);
}

const cases = (site) => ({
  'two clients exchange messages over wss': async () => {
    const ann = await new Client(site).opened;
    const bob = await new Client(site).opened;
    ann.send({ type: 'message', username: 'Ann', message: 'Hi ☺' });
    for (const client of [ann, bob])
      assert.equal((await client.nextMessage()).message, 'Hi ☺');
    bob.send({ text: 'x'.repeat(200000) });
    assert.equal((await ann.nextMessage()).text.length, 200000);
    await ann.close();
    await bob.close();
  },

  'a client is announced with its own address': async () => {
    const ann = await new Client(site).opened;
    assert.equal((await ann.next()).message, '127.0.0.9 connected');
    await ann.close();
  },

  'a forged X-Forwarded-For has no effect': async () => {
    const headers = { 'X-Forwarded-For': '6.6.6.6, 127.0.0.1' };
    const ann = await new Client(site, { headers }).opened;
    assert.equal((await ann.next()).message, '127.0.0.9 connected');
    await ann.close();
  },

  'pings keep a silent connection open beyond the timeout': async () => {
    const ann = await new Client(site).opened;
    await ann.waitForPings(7);
    ann.send({ still: 'here' });
    assert.deepEqual(await ann.nextMessage(), { still: 'here' });
    await ann.close();
  },

  'the proxy serves the page and its files': async () => {
    const page = await get(site, '/chat');
    assert.equal(page.status, 200);
    assert.match(page.body, /<title>wschat<\/title>/);
    for (const name of ['style.css', 'chat.js', 'wschat.js']) {
      assert.ok(page.body.includes(`"?asset=${name}"`));
      const file = await get(site, `/chat?asset=${name}`);
      assert.equal(file.status, 200);
      assert.ok(file.body.length > 1000);
    }
  },

  'a page of another site is refused': async () => {
    const client = new Client(site, { origin: 'https://evil.example' });
    await assert.rejects(client.opened, /403/);
  },

  'the close code of a client is echoed': async () => {
    const ann = await new Client(site).opened;
    const code = new Promise((resolve) => ann.socket.on('close', resolve));
    ann.socket.close(4321, 'bye');
    assert.equal(await code, 4321);
  },
});

const roomCases = (site) => ({
  'the path behind the prefix is the room': async () => {
    for (const [path, room] of [['/chat/garden', '/garden'],
      ['/chat/%67arden', '/garden'], ['/chat/caf%C3%A9/x', '/café/x'],
      ['/chat/100%25', '/100%'], ['/chat/%2570lain', '/%70lain'],
      ['/chat/a?since=1&epoch=x', '/a']])
      assert.equal(await roomAt(site, path), room, path);
  },

  'an encoded slash does not lead to another room': async () => {
    // Apache itself gives it a 404. For HAProxy the last one does not begin with
    // /chat/: it belongs to the rest of the site, which does not run: 503.
    for (const path of ['/chat/a%2fb', '/chat/a%2Fb', '/chat%2fa/b'])
      await assertRefused(site, path, [400, 404, 503]);
  },

  'a rule for a room applies however its name is encoded': async () => {
    for (const path of ['/chat/private', '/chat/%70rivate', '/chat/private/x',
      '/chat/%70%72ivate/x', '/chat/privat%65?x=/chat/garden'])
      await assertRefused(site, path, [403]);
    for (const room of ['/privately', '/x/private'])
      assert.equal(await roomAt(site, `/chat${room}`), room);
  },
});

module.exports = { cases, roomCases };
