// What must work through a proxy.
'use strict';

const assert = require('assert');
const https = require('https');
const WebSocket = require('ws');

const kOrigin = 'https://example.com';

// A visitor who hears messages one by one.
class Visitor {
  constructor(site, { origin = kOrigin, headers = {}, from = '127.0.0.9' } = {}) {
    this.heard = [];
    this.waiting = [];
    this.pings = 0;
    this.socket = new WebSocket(`wss://127.0.0.1:${site.port}/chat`, {
      origin, headers: { Host: 'example.com', ...headers }, ca: site.ca,
      servername: 'example.com', localAddress: from });
    this.socket.on('message', (text) => this.#hear(JSON.parse(text)));
    this.opened = new Promise((resolve, reject) => {
      this.socket.on('open', () => resolve(this));
      this.socket.on('error', reject);
    });
    this.closed = new Promise((resolve) => this.socket.on('close', resolve));
  }

  next() {
    return new Promise((resolve) => {
      if (this.heard.length) resolve(this.heard.shift());
      else this.waiting.push(resolve);
    });
  }

  // The next message that is none of the system's.
  async nextSaid() {
    for (;;) {
      const value = await this.next();
      if (value.type !== 'system') return value;
    }
  }

  say(value) {
    this.socket.send(JSON.stringify(value));
  }

  pinged(times) {
    return new Promise((resolve) => this.socket.on('ping', () => {
      if (++this.pings === times) resolve();
    }));
  }

  leave() {
    this.socket.close();
    return this.closed;
  }

  #hear(value) {
    if (this.waiting.length) this.waiting.shift()(value);
    else this.heard.push(value);
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

module.exports = (site) => ({
  'two visitors chat over wss': async () => {
    const ann = await new Visitor(site).opened;
    const bob = await new Visitor(site).opened;
    ann.say({ type: 'message', username: 'Ann', message: 'Hi ☺' });
    for (const visitor of [ann, bob])
      assert.equal((await visitor.nextSaid()).message, 'Hi ☺');
    bob.say({ text: 'x'.repeat(200000) });
    assert.equal((await ann.nextSaid()).text.length, 200000);
    await ann.leave();
    await bob.leave();
  },

  'a visitor has its own address': async () => {
    const ann = await new Visitor(site).opened;
    assert.equal((await ann.next()).message, '127.0.0.9 connected');
    await ann.leave();
  },

  'a forged X-Forwarded-For is not believed': async () => {
    const headers = { 'X-Forwarded-For': '6.6.6.6, 127.0.0.1' };
    const ann = await new Visitor(site, { headers }).opened;
    assert.equal((await ann.next()).message, '127.0.0.9 connected');
    await ann.leave();
  },

  'a connection that says nothing outlives the timeout': async () => {
    const ann = await new Visitor(site).opened;
    await ann.pinged(7);
    ann.say({ still: 'here' });
    assert.deepEqual(await ann.nextSaid(), { still: 'here' });
    await ann.leave();
  },

  'the page and its parts are there': async () => {
    const page = await get(site, '/chat');
    assert.equal(page.status, 200);
    assert.match(page.body, /<title>wschat<\/title>/);
    for (const name of ['style.css', 'chat.js', 'wschat.js']) {
      assert.ok(page.body.includes(`"?asset=${name}"`));
      const part = await get(site, `/chat?asset=${name}`);
      assert.equal(part.status, 200);
      assert.ok(part.body.length > 1000);
    }
  },

  'a page of another site is refused': async () => {
    const stranger = new Visitor(site, { origin: 'https://evil.example' });
    await assert.rejects(stranger.opened, /403/);
  },

  'a close code comes through': async () => {
    const ann = await new Visitor(site).opened;
    const code = new Promise((resolve) => ann.socket.on('close', resolve));
    ann.socket.close(4321, 'bye');
    assert.equal(await code, 4321);
  },
});
