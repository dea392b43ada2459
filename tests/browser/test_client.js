// Tests wschat.js alone, in node, with fake WebSockets and a fake clock.
'use strict';

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { FakeBrowser } = require('./fake_browser');

const source = (name) =>
  fs.readFileSync(path.join(__dirname, '..', '..', 'src', name), 'utf8');

const assertNear = (value, wanted) =>
  assert.ok(Math.abs(value - wanted) < 0.01, `${value}, wanted ${wanted}`);
const details = (chat, type) =>
  chat.events.filter(([name]) => name === type).map(([, detail]) => detail);
const ping = '{"type":"ping"}';
const message = (n) => ({ type: 'message', n });

// Returns a hello message, by default that of an empty room.
const hello = (fields) => ({ type: 'hello', room: '/', epoch: 'e', first: 1,
  last: 0, clients: 1, recovered: false, ...fields });

// Breaks the connection if there is one, waits for the retry, and opens the new
// connection. The server then sends `first`, if given.
function reconnect(browser, first) {
  if (browser.socket.readyState < 3) browser.socket.disconnect();
  browser.clock.advance(browser.nextTimer);
  browser.socket.open();
  if (first) browser.socket.receive(first);
}

// Returns a WSChat that has received a hello and messages 1 to `number`.
function connectAndReceive(browser, number, url) {
  const chat = browser.connect(url);
  browser.socket.open();
  browser.socket.receive(hello());
  for (let n = 1; n <= number; n++) browser.socket.receive(message(n));
  return chat;
}

const query = ({ url }) => new URL(url).search;

// Lets attempts fail, and returns how long the client waited before each retry.
function retryWaits(browser, count) {
  const result = [];
  for (let i = 0; i < count; i++) {
    browser.socket.disconnect();
    result.push(browser.nextTimer);
    browser.clock.advance(browser.nextTimer);
  }
  return result;
}

module.exports = {
  'its version is that of the daemon'() {
    const [, version] = source('options.cpp').match(/kVersion\[\] = "(.*)"/);
    assert.strictEqual(new FakeBrowser().WSChat.version, version);
  },

  'its text may stand in a script element'() {
    assert.doesNotMatch(source('page/wschat.js'), /<\/script|<!--/i);
  },

  'it connects with the class of the option WebSocket'() {
    const browser = new FakeBrowser();
    const opened = [];
    class Other extends browser.WebSocket {
      constructor(...args) {
        super(...args);
        opened.push(this);
      }
    }
    const chat = browser.connect('ws://a.example/x', { WebSocket: Other });
    assert.deepStrictEqual(opened, [browser.socket]);
    browser.socket.disconnect();
    browser.clock.advance(browser.nextTimer);
    assert.strictEqual(opened.length, 2);
    assert.strictEqual(chat.state, 'connecting');
  },

  'without a url it connects to the page, without query and fragment'() {
    const browser = new FakeBrowser('https://example.com/some/chat?x=1#y');
    browser.connect();
    assert.strictEqual(browser.socket.url, 'wss://example.com/some/chat');
  },

  'a url may be relative, and http: and https: become ws: and wss:'() {
    const browser = new FakeBrowser('http://example.com/some/page');
    for (const [url, wanted] of [
      ['chat', 'ws://example.com/some/chat'],
      ['/chat?room=1#top', 'ws://example.com/chat?room=1'],
      ['https://other.example/', 'wss://other.example/'],
      ['wss://other.example:8443/x', 'wss://other.example:8443/x'],
    ]) {
      browser.connect(url);
      assert.strictEqual(browser.socket.url, wanted);
    }
  },

  'it offers wschat.v1, another subprotocol, or none'() {
    const browser = new FakeBrowser();
    const asked = (options) => {
      browser.connect('/', options);
      return browser.socket.protocols;
    };
    assert.deepStrictEqual(asked(), ['wschat.v1']);
    assert.deepStrictEqual(asked({ protocol: 'other' }), ['other']);
    assert.deepStrictEqual(asked({ protocol: null }), []);
  },

  'states and events are emitted in order'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    assert.strictEqual(chat.state, 'connecting');
    browser.socket.open();
    assert.strictEqual(chat.state, 'open');
    browser.clock.advance(5000);
    browser.socket.disconnect(1001, 'bye');
    assert.strictEqual(chat.state, 'waiting');
    browser.clock.advance(1000);
    assert.deepStrictEqual(chat.events, [
      ['state', 'open'],
      ['open', undefined],
      ['state', 'waiting'],
      ['close', { code: 1001, reason: 'bye', opened: true, retryIn: 500 }],
      ['state', 'connecting'],
    ]);
  },

  'a failed attempt emits close, with opened false'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    browser.socket.disconnect();
    assert.deepStrictEqual(details(chat, 'close'),
      [{ code: 1006, reason: '', opened: false, retryIn: 500 }]);
  },

  'system and error have events of their type, all other JSON is a message'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    browser.socket.open();
    chat.events.length = 0;
    const values = [
      ['message', { type: 'message', username: 'Ada', message: 'Hi' }],
      ['message', { type: 'usermsg', name: 'Ada', message: 'Hi' }],
      ['system', { type: 'system', message: '::1 connected' }],
      ['error', { type: 'error', message: 'not relayed: why' }],
      ['message', { type: 7 }],
      ['message', [1, 2]],
      ['message', 'text'],
      ['message', 5],
      ['message', null],
    ];
    for (const [, value] of values) browser.socket.receive(value);
    assert.deepStrictEqual(chat.events, values);
  },

  'data that is not JSON is ignored'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    browser.socket.open();
    chat.events.length = 0;
    for (const data of ['', '{', 'hello', new Blob(['{}'])])
      browser.socket.receiveText(data);
    assert.deepStrictEqual(chat.events, []);
  },

  'a listener that throws does not stop the other listeners'() {
    const browser = new FakeBrowser();
    const chat = new browser.WSChat();
    const received = [];
    const thrown = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => {
      thrown.push(error.message);
      for (const listener of listeners)
        process.on('uncaughtException', listener);
    });
    chat.on('message', () => { throw new Error('mine'); })
      .on('message', (value) => received.push(value));
    browser.socket.open();
    browser.socket.receive(1);
    assert.deepStrictEqual(received, [1]);
    return new Promise((resolve) => setImmediate(resolve))
      .then(() => assert.deepStrictEqual(thrown, ['mine']));
  },

  'addEventListener receives the same details'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    const received = [];
    chat.addEventListener('message', ({ detail }) => received.push(detail));
    browser.socket.open();
    browser.socket.receive('x');
    assert.deepStrictEqual(received, ['x']);
  },

  'off() and removeEventListener() remove what on() and once() added'() {
    for (const add of ['on', 'once']) {
      for (const remove of ['off', 'removeEventListener']) {
        const chat = new FakeBrowser().connect();
        const received = [];
        const listener = (detail) => received.push(detail);
        const other = () => received.push('other');
        chat[add]('sent', listener)[add]('sent', other);
        chat[remove]('open', other);
        chat[remove]('sent', listener);
        chat.dispatchEvent(new Event('sent'));
        assert.deepStrictEqual(received, ['other'], `${add}, ${remove}`);
      }
    }
  },

  'removeEventListener() removes what addEventListener() added'() {
    const chat = new FakeBrowser().connect();
    let count = 0;
    const listener = () => count++;
    chat.addEventListener('sent', listener);
    chat.dispatchEvent(new Event('sent'));
    chat.removeEventListener('sent', listener);
    chat.dispatchEvent(new Event('sent'));
    assert.strictEqual(count, 1);
  },

  'once() calls a listener once, and leaves those of on()'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    const received = [];
    const listener = ({ n }) => {
      received.push(n);
      if (n === 1) browser.socket.receive(message(2));
    };
    chat.once('message', listener);
    browser.socket.open();
    browser.socket.receive(hello());
    browser.socket.receive(message(1));
    assert.deepStrictEqual(received, [1]);
    chat.on('message', listener).once('message', listener);
    browser.socket.receive(message(3));
    browser.socket.receive(message(4));
    assert.deepStrictEqual(received, [1, 3, 3, 4]);
  },

  'messages that are sent before the connection is open go out in order'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    assert.strictEqual(chat.send({ n: 1 }), true);
    assert.strictEqual(chat.send({ n: 2 }), true);
    assert.deepStrictEqual(browser.socket.sent, []);
    browser.socket.open();
    assert.strictEqual(chat.send({ n: 3 }), true);
    assert.deepStrictEqual(browser.socket.sent,
      ['{"n":1}', '{"n":2}', '{"n":3}']);
    assert.deepStrictEqual(details(chat, 'sent'),
      [{ n: 1 }, { n: 2 }, { n: 3 }]);
  },

  'messages that a listener sends do not overtake the queue'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    chat.on('state', (state) => state === 'open' && chat.send('state'));
    chat.on('sent', (value) => value === 1 && chat.send('sent'));
    chat.on('open', () => chat.send('open'));
    chat.send(1);
    chat.send(2);
    browser.socket.open();
    assert.deepStrictEqual(browser.socket.sent.map((text) => JSON.parse(text)),
      [1, 2, 'state', 'sent', 'open']);
  },

  'send() returns false when the queue is full'() {
    const browser = new FakeBrowser();
    const chat = browser.connect('/', { queue: 2 });
    assert.deepStrictEqual([1, 2, 3].map((n) => chat.send(n)),
      [true, true, false]);
    browser.socket.open();
    assert.deepStrictEqual(browser.socket.sent, ['1', '2']);
    assert.strictEqual(chat.send(4), true);
  },

  'the queue holds 1,000 messages by default'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    for (let i = 0; i < 1000; i++) assert.strictEqual(chat.send(i), true);
    assert.strictEqual(chat.send('one more'), false);
  },

  'a message that was sent before the connection broke is not sent again'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    browser.socket.open();
    chat.send('once');
    browser.socket.disconnect();
    chat.send('later');
    browser.clock.advance(1000);
    browser.socket.open();
    assert.deepStrictEqual(browser.sockets.map(({ sent }) => sent),
      [['"once"'], ['"later"']]);
  },

  'no message is sent on a connection that is closing'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    browser.socket.open();
    browser.socket.readyState = 2;
    chat.send('kept');
    assert.deepStrictEqual(browser.socket.sent, []);
    browser.socket.disconnect();
    browser.clock.advance(1000);
    browser.socket.open();
    assert.deepStrictEqual(browser.socket.sent, ['"kept"']);
  },

  'send() throws if a value can not be JSON, and does not queue it'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    const loop = {};
    loop.loop = loop;
    for (const value of [loop, undefined, () => {}, Symbol('x')])
      assert.throws(() => chat.send(value), { name: 'TypeError' });
    browser.socket.open();
    assert.deepStrictEqual(browser.socket.sent, []);
  },

  'the first retry comes after a random wait of up to 1 s'() {
    for (const random of [0, 0.25, 0.999999]) {
      const browser = new FakeBrowser();
      browser.random = random;
      browser.connect();
      browser.socket.open();
      browser.clock.advance(60000 - 30000);
      browser.socket.disconnect();
      assertNear(browser.nextTimer, random * 1000);
      browser.clock.advance(1000);
      assert.strictEqual(browser.sockets.length, 2);
    }
  },

  'the longest wait grows exponentially, up to 30 s'() {
    const browser = new FakeBrowser();
    browser.random = 1;
    browser.connect();
    const got = retryWaits(browser, 12);
    got.forEach((wait, i) =>
      assertNear(wait, Math.min(30000, 1000 * 1.5 ** i)));
    assertNear(got[11], 30000);
  },

  'each wait is random between 0 and the longest wait'() {
    const browser = new FakeBrowser();
    browser.connect();
    retryWaits(browser, 20);
    for (const random of [0, 0.01, 0.5, 0.99]) {
      browser.random = random;
      browser.socket.disconnect();
      assertNear(browser.nextTimer, random * 30000);
      browser.clock.advance(browser.nextTimer);
    }
  },

  'the options retry and retryMax set the first and the longest wait'() {
    const browser = new FakeBrowser();
    browser.random = 1;
    browser.connect('/', { retry: 100, retryMax: 200 });
    retryWaits(browser, 4).forEach((wait, i) =>
      assertNear(wait, [100, 150, 200, 200][i]));
  },

  'a connection that lasted resets the wait'() {
    const browser = new FakeBrowser();
    browser.random = 1;
    browser.connect();
    retryWaits(browser, 6);
    browser.socket.open();
    browser.clock.advance(20000);
    browser.socket.disconnect();
    assertNear(browser.nextTimer, 1000);
  },

  'the wait grows when the server accepts and closes at once'() {
    const browser = new FakeBrowser();
    browser.random = 1;
    browser.connect();
    for (let i = 0; i < 6; i++) {
      browser.socket.open();
      browser.clock.advance(10);
      browser.socket.disconnect();
      assertNear(browser.nextTimer, 1000 * 1.5 ** i);
      browser.clock.advance(browser.nextTimer);
    }
  },

  'it retries at once when the browser is online again'() {
    const browser = new FakeBrowser();
    browser.random = 1;
    const chat = browser.connect();
    retryWaits(browser, 8);
    browser.socket.disconnect();
    browser.goOnline();
    assert.strictEqual(chat.state, 'connecting');
    assert.strictEqual(browser.sockets.length, 10);
    browser.socket.disconnect();
    assertNear(browser.nextTimer, 1000);
  },

  'it abandons an attempt that began before the browser was online'() {
    const browser = new FakeBrowser();
    browser.connect();
    const before = browser.socket;
    browser.goOnline();
    assert.ok(before.closeArgs);
    assert.strictEqual(browser.sockets.length, 2);
    before.disconnect();
    browser.socket.open();
    assert.strictEqual(browser.sockets.length, 2);
  },

  'it retries at once when the page becomes visible'() {
    const browser = new FakeBrowser();
    browser.random = 1;
    const chat = browser.connect();
    retryWaits(browser, 8);
    browser.socket.disconnect();
    browser.setVisible(false);
    assert.strictEqual(chat.state, 'waiting');
    browser.setVisible(true);
    assert.strictEqual(chat.state, 'connecting');
    // Becoming visible again does not start another attempt.
    browser.setVisible(false);
    browser.setVisible(true);
    assert.strictEqual(browser.sockets.length, 10);
  },

  'online and visibilitychange do not affect an open connection'() {
    const browser = new FakeBrowser();
    browser.connect();
    browser.socket.open();
    browser.clock.advance(29000);
    browser.goOnline();
    browser.setVisible(true);
    assert.strictEqual(browser.sockets.length, 1);
    assert.deepStrictEqual(browser.socket.sent, []);
  },

  'it does not retry after the close codes 1008 and 4500 to 4999'() {
    for (const code of [1008, 4500, 4501, 4999]) {
      const browser = new FakeBrowser();
      const chat = browser.connect();
      browser.socket.open();
      browser.socket.disconnect(code, 'go away');
      assert.strictEqual(chat.state, 'closed');
      assert.deepStrictEqual(details(chat, 'close'),
        [{ code, reason: 'go away', opened: true, retryIn: null }]);
      browser.goOnline();
      browser.setVisible(true);
      browser.clock.advance(1e6);
      assert.strictEqual(browser.sockets.length, 1);
      assert.strictEqual(chat.send('kept'), true);
      chat.open();
      browser.socket.open();
      assert.deepStrictEqual(browser.socket.sent, ['"kept"']);
    }
  },

  'it retries after any other close code'() {
    for (const code of
      [1000, 1001, 1002, 1005, 1006, 1007, 1009, 1011, 1012, 1013, 1014,
        3000, 4000, 4499]) {
      const browser = new FakeBrowser();
      const chat = browser.connect();
      browser.socket.open();
      browser.socket.disconnect(code);
      assert.strictEqual(chat.state, 'waiting');
      browser.clock.advance(1000);
      assert.strictEqual(browser.sockets.length, 2);
    }
  },

  'open() connects without waiting for the retry'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    browser.socket.disconnect();
    chat.open();
    assert.strictEqual(browser.sockets.length, 2);
    browser.socket.open();
    chat.open();
    browser.clock.advance(10000);
    assert.strictEqual(browser.sockets.length, 2);
  },

  'after close() it does not reconnect until open()'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    browser.socket.open();
    chat.close(4000, 'bye');
    assert.deepStrictEqual(browser.socket.closeArgs, [4000, 'bye']);
    assert.strictEqual(chat.state, 'closed');
    assert.deepStrictEqual(details(chat, 'close'),
      [{ code: 4000, reason: 'bye', opened: true, retryIn: null }]);
    browser.socket.disconnect(4000, 'bye');
    browser.goOnline();
    assert.strictEqual(browser.nextTimer, null);
    assert.strictEqual(details(chat, 'close').length, 1);
    chat.open();
    assert.strictEqual(chat.state, 'connecting');
  },

  'close() also ends waiting and connecting'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    chat.close();
    assert.deepStrictEqual(browser.socket.closeArgs, [1000, '']);
    assert.strictEqual(browser.nextTimer, null);
    chat.open();
    browser.socket.disconnect();
    chat.close();
    assert.strictEqual(browser.nextTimer, null);
    assert.strictEqual(chat.state, 'closed');
    assert.strictEqual(browser.sockets.length, 2);
  },

  'it pings after 30 s without a message, and any message is an answer'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    browser.socket.open();
    browser.clock.advance(29999);
    assert.deepStrictEqual(browser.socket.sent, []);
    browser.clock.advance(1);
    assert.deepStrictEqual(browser.socket.sent, [ping]);
    for (const answer of [{ type: 'pong' }, { type: 'message' }]) {
      browser.clock.advance(9999);
      browser.socket.receive(answer);
      browser.clock.advance(29999);
      assert.strictEqual(browser.socket.sent.length, 1);
      browser.clock.advance(1);
      assert.deepStrictEqual(browser.socket.sent.splice(1), [ping]);
    }
    assert.strictEqual(chat.state, 'open');
    assert.deepStrictEqual(details(chat, 'message'), [{ type: 'message' }]);
    assert.deepStrictEqual(details(chat, 'sent'), []);
  },

  'it does not ping while messages arrive'() {
    const browser = new FakeBrowser();
    browser.connect();
    browser.socket.open();
    for (let i = 0; i < 20; i++) {
      browser.clock.advance(29000);
      browser.socket.receive({ type: 'system', message: '' });
    }
    assert.deepStrictEqual(browser.socket.sent, []);
  },

  'it reconnects if a ping is not answered within 10 s'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    const abandoned = browser.socket;
    abandoned.open();
    browser.clock.advance(30000);
    browser.clock.advance(9999);
    assert.strictEqual(chat.state, 'open');
    browser.clock.advance(1);
    assert.ok(abandoned.closeArgs);
    assert.deepStrictEqual(details(chat, 'close'), [{
      code: 1006, reason: 'no answer to a ping', opened: true, retryIn: 500,
    }]);
    browser.clock.advance(500);
    browser.socket.open();
    assert.strictEqual(chat.state, 'open');
    // It ignores later events of the abandoned connection.
    const events = chat.events.length;
    abandoned.receive('late');
    abandoned.disconnect();
    assert.strictEqual(chat.events.length, events);
    assert.strictEqual(chat.state, 'open');
  },

  'it does not ping a server that accepted no subprotocol'() {
    for (const options of [{}, { protocol: null }]) {
      const browser = new FakeBrowser();
      browser.connect('/', options);
      browser.socket.open('');
      browser.clock.advance(1e6);
      browser.setVisible(true);
      assert.deepStrictEqual(browser.socket.sent, []);
      assert.strictEqual(browser.sockets.length, 1);
    }
  },

  'after the machine was suspended it pings when the page becomes visible'() {
    const browser = new FakeBrowser();
    browser.connect();
    browser.socket.open();
    browser.clock.advance(1000);
    browser.clock.suspend(3600000);
    assert.deepStrictEqual(browser.socket.sent, []);
    browser.setVisible(true);
    assert.deepStrictEqual(browser.socket.sent, [ping]);
    browser.setVisible(true);
    browser.goOnline();
    assert.deepStrictEqual(browser.socket.sent, [ping]);
    browser.clock.advance(10000);
    assert.ok(browser.socket.closeArgs);
  },

  'it also pings after the clock was set back'() {
    const browser = new FakeBrowser();
    browser.connect();
    browser.socket.open();
    browser.clock.advance(1000);
    browser.clock.now -= 3600000;
    for (const timer of browser.clock.timers.values()) timer.at -= 3600000;
    browser.clock.advance(60000);
    assert.deepStrictEqual(browser.socket.sent.slice(0, 1), [ping]);
  },

  'it abandons a handshake that is not answered within 20 s'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    browser.clock.advance(19999);
    assert.strictEqual(chat.state, 'connecting');
    browser.clock.advance(1);
    assert.ok(browser.socket.closeArgs);
    assert.strictEqual(chat.state, 'waiting');
    assert.strictEqual(details(chat, 'close')[0].opened, false);
  },

  'the options silence, answer and handshake set the timeouts'() {
    const browser = new FakeBrowser();
    const chat =
      browser.connect('/', { silence: 100, answer: 10, handshake: 50 });
    browser.clock.advance(50);
    assert.strictEqual(chat.state, 'waiting');
    browser.clock.advance(500);
    browser.socket.open();
    browser.clock.advance(100);
    assert.deepStrictEqual(browser.socket.sent, [ping]);
    browser.clock.advance(10);
    assert.strictEqual(chat.state, 'waiting');
  },

  'hello sets room, clients and number'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    assert.deepStrictEqual([chat.room, chat.clients, chat.number],
      [undefined, undefined, null]);
    browser.socket.open();
    const first = hello({ room: '/x', first: 42, last: 41, clients: 3 });
    browser.socket.receive(first);
    assert.deepStrictEqual([chat.room, chat.clients, chat.number],
      ['/x', 3, 41]);
    assert.deepStrictEqual(chat.events,
      [['state', 'open'], ['open', undefined], ['hello', first]]);
  },

  'it counts all messages but those that are for this client alone'() {
    const browser = new FakeBrowser();
    const chat = connectAndReceive(browser, 0);
    const counts = [message(1), { type: 'system', message: '' }, 'text', 5,
      null, false, [], ['error'], {}, { type: ['pong'] }, { type: 'Error' }];
    counts.forEach((value, i) => {
      for (const type of ['error', 'pong', 'hello'])
        browser.socket.receive({ type });
      assert.strictEqual(chat.number, i);
      browser.socket.receive(value);
      assert.strictEqual(chat.number, i + 1);
    });
    browser.socket.receiveText('no JSON');
    assert.strictEqual(chat.number, counts.length + 1);
    assert.strictEqual(details(chat, 'hello').length, 1);
  },

  'in a message listener, number is the number of that message'() {
    const browser = new FakeBrowser();
    const chat = connectAndReceive(browser, 0);
    const received = [];
    chat.on('message', ({ n }) => received.push([n, chat.number]));
    for (const n of [1, 2]) browser.socket.receive(message(n));
    assert.deepStrictEqual(received, [[1, 1], [2, 2]]);
  },

  'it resumes after the last message, and receives each once, in order'() {
    const browser = new FakeBrowser();
    const chat = connectAndReceive(browser, 3);
    assert.strictEqual(query(browser.sockets[0]), '');
    reconnect(browser, hello({ first: 4, last: 5, recovered: true }));
    assert.strictEqual(query(browser.socket), '?epoch=e&since=3');
    // The connection breaks again while the missed messages arrive.
    browser.socket.receive(message(4));
    reconnect(browser, hello({ first: 5, last: 5, recovered: true }));
    assert.strictEqual(query(browser.socket), '?epoch=e&since=4');
    browser.socket.receive(message(5));
    browser.socket.receive(message(6));
    assert.deepStrictEqual(details(chat, 'message').map(({ n }) => n),
      [1, 2, 3, 4, 5, 6]);
    assert.deepStrictEqual(details(chat, 'gap'), []);
    assert.deepStrictEqual(
      details(chat, 'hello').map(({ recovered }) => recovered),
      [false, true, true]);
  },

  'a connection that fails before hello does not change epoch and number'() {
    const browser = new FakeBrowser();
    const chat = connectAndReceive(browser, 2);
    browser.socket.disconnect();
    browser.clock.advance(browser.nextTimer);
    browser.socket.disconnect();
    reconnect(browser);
    assert.strictEqual(query(browser.socket), '?epoch=e&since=2');
    reconnect(browser);
    assert.strictEqual(query(browser.socket), '?epoch=e&since=2');
    chat.close();
    chat.open();
    assert.strictEqual(query(browser.socket), '?epoch=e&since=2');
  },

  'resuming does not change the rest of the query'() {
    for (const [url, wanted] of [
      ['/?token=a%20b+c&x', '?token=a%20b+c&x&epoch=e&since=1'],
      ['/?', '?epoch=e&since=1'],
      ['/?since=7&a=1&epoch=old&sincere=1&a=2',
        '?a=1&sincere=1&a=2&epoch=e&since=1'],
    ]) {
      const browser = new FakeBrowser();
      connectAndReceive(browser, 1, url);
      assert.strictEqual(browser.socket.url, `ws://chat.example${url}`);
      reconnect(browser);
      assert.strictEqual(query(browser.socket), wanted);
    }
  },

  'a new WSChat resumes where another one was'() {
    const before = new FakeBrowser();
    const { epoch, number } = connectAndReceive(before, 3);
    assert.deepStrictEqual({ epoch, number }, { epoch: 'e', number: 3 });
    const browser = new FakeBrowser();
    const chat = browser.connect('/', { resume: { epoch, number } });
    assert.strictEqual(query(browser.socket), '?epoch=e&since=3');
    browser.socket.open();
    browser.socket.receive(hello({ first: 4, last: 4, recovered: true }));
    browser.socket.receive(message(4));
    assert.strictEqual(details(chat, 'hello')[0].recovered, true);
    assert.deepStrictEqual(details(chat, 'gap'), []);
    assert.strictEqual(chat.number, 4);
  },

  'resume works from before the first message on'() {
    const browser = new FakeBrowser();
    browser.connect('/', { resume: { epoch: 'e', number: 0 } });
    assert.strictEqual(query(browser.socket), '?epoch=e&since=0');
  },

  'a resume that the server can not recover emits gap, once'() {
    const browser = new FakeBrowser();
    const chat =
      browser.connect('/', { resume: { epoch: 'old', number: 3 } });
    browser.socket.open();
    browser.socket.receive(hello());
    assert.strictEqual(details(chat, 'gap').length, 1);
    assert.strictEqual(chat.epoch, 'e');
    reconnect(browser, hello({ recovered: true }));
    assert.strictEqual(details(chat, 'gap').length, 1);
  },

  'a resume without a position starts afresh'() {
    for (const resume of [null, {}, 'e', { epoch: null, number: null },
      { epoch: '', number: 1 }, { epoch: 'e', number: -1 },
      { epoch: 'e', number: '1' }, { epoch: 'e', number: 1.5 }]) {
      const browser = new FakeBrowser();
      const chat = browser.connect('/', { resume });
      assert.strictEqual(query(browser.socket), '');
      assert.strictEqual(chat.epoch, null);
      browser.socket.open();
      browser.socket.receive(hello());
      assert.deepStrictEqual(details(chat, 'gap'), []);
    }
  },

  'an epoch may contain any character'() {
    const browser = new FakeBrowser();
    browser.connect();
    browser.socket.open();
    browser.socket.receive(hello({ epoch: 'a&b=c#d é' }));
    reconnect(browser);
    const { searchParams, hash } = new URL(browser.socket.url);
    assert.deepStrictEqual([...searchParams, hash],
      [['epoch', 'a&b=c#d é'], ['since', '0'], '']);
  },

  'it emits gap after it reconnected and missed messages'() {
    const browser = new FakeBrowser();
    const chat = connectAndReceive(browser, 3);
    reconnect(browser, hello({ first: 90, last: 91 }));
    assert.deepStrictEqual(chat.events.slice(-2).map(([type]) => type),
      ['hello', 'gap']);
    // It counts from the number in the new hello.
    for (const n of [90, 91, 92]) browser.socket.receive(message(n));
    reconnect(browser, hello({ first: 93, last: 92, recovered: true }));
    assert.strictEqual(query(browser.socket), '?epoch=e&since=92');
    assert.strictEqual(details(chat, 'gap').length, 1);
  },

  'it is recovered only if epoch, number and the server agree'() {
    for (const fields of [{ epoch: 'f' }, { first: 5 }, { first: 3 },
      { recovered: false }, { recovered: 'yes' }, { recovered: undefined }]) {
      const browser = new FakeBrowser();
      const chat = connectAndReceive(browser, 3);
      reconnect(browser,
        hello({ first: 4, last: 9, recovered: true, ...fields }));
      assert.strictEqual(details(chat, 'gap').length, 1);
      assert.strictEqual(details(chat, 'hello')[1].recovered, false);
      reconnect(browser);
      const { epoch, first } = { epoch: 'e', first: 4, ...fields };
      assert.strictEqual(query(browser.socket),
        `?epoch=${epoch}&since=${first - 1}`);
    }
  },

  'the first connection emits no gap'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    browser.socket.disconnect();
    reconnect(browser, hello({ first: 42, last: 41 }));
    assert.deepStrictEqual(details(chat, 'gap'), []);
  },

  'it does not count after an invalid hello'() {
    for (const fields of [{ epoch: undefined }, { epoch: '' }, { epoch: 7 },
      { first: undefined }, { first: 0 }, { first: '4' }, { first: 1.5 },
      { first: 1e300, last: 1e300 }, { last: undefined }, { last: 2 },
      { last: null }, { last: '9' }, { last: 9.5 }]) {
      const browser = new FakeBrowser();
      const chat = connectAndReceive(browser, 3);
      reconnect(browser,
        hello({ first: 4, last: 3, recovered: true, ...fields }));
      assert.strictEqual(details(chat, 'gap').length, 1);
      browser.socket.receive(message(4));
      assert.strictEqual(chat.number, null);
      reconnect(browser, hello({ first: 5, last: 4, recovered: true }));
      assert.strictEqual(query(browser.socket), '');
      assert.strictEqual(details(chat, 'gap').length, 2);
    }
  },

  'without a hello it neither counts nor resumes'() {
    for (const options of [{}, { protocol: null }]) {
      for (const agreed of ['wschat.v1', '']) {
        const browser = new FakeBrowser();
        const chat = browser.connect('/?x', options);
        browser.socket.open(options.protocol === null ? '' : agreed);
        browser.socket.receive(message(1));
        browser.socket.receive(message(2));
        reconnect(browser);
        browser.socket.receive(message(3));
        assert.strictEqual(browser.socket.url, 'ws://chat.example/?x');
        assert.strictEqual(chat.number, null);
        assert.strictEqual(details(chat, 'message').length, 3);
        assert.deepStrictEqual(details(chat, 'gap'), []);
      }
    }
  },

  'only the first message can be a hello, and only with the subprotocol'() {
    const browser = new FakeBrowser();
    const late = browser.connect();
    browser.socket.open();
    browser.socket.receive(message(1));
    browser.socket.receive(hello());
    assert.strictEqual(late.number, null);
    assert.deepStrictEqual(details(late, 'hello'), []);
    const other = browser.connect();
    browser.socket.open('');
    browser.socket.receive(hello());
    assert.strictEqual(other.number, null);
    assert.deepStrictEqual(details(other, 'hello'), []);
    assert.deepStrictEqual(details(other, 'message'), [hello()]);
  },

  'it emits gap if the server no longer sends a hello'() {
    for (const protocol of ['wschat.v1', '']) {
      const browser = new FakeBrowser();
      const chat = connectAndReceive(browser, 3);
      browser.socket.disconnect();
      browser.clock.advance(browser.nextTimer);
      browser.socket.open(protocol);
      browser.socket.receive(message(1));
      assert.strictEqual(details(chat, 'gap').length, 1);
      assert.strictEqual(chat.number, null);
      reconnect(browser);
      assert.strictEqual(query(browser.socket), '');
    }
  },

  'a listener may call close() on hello'() {
    const browser = new FakeBrowser();
    const chat = browser.connect();
    chat.on('hello', () => chat.close());
    browser.socket.open();
    browser.socket.receive(hello());
    assert.strictEqual(chat.state, 'closed');
  },

  'the constructor throws for an invalid url'() {
    const browser = new FakeBrowser();
    assert.throws(() => browser.connect('http://'),
      { code: 'ERR_INVALID_URL' });
  },
};
