// wschat.js by itself, in a world of sockets and clocks that the test moves.
'use strict';

const assert = require('assert');
const { World } = require('./world');

const near = (value, wanted) =>
  assert.ok(Math.abs(value - wanted) < 0.01, `${value}, wanted ${wanted}`);
const ofType = (chat, type) =>
  chat.events.filter(([name]) => name === type).map(([, detail]) => detail);
const ping = '{"type":"ping"}';
const message = (n) => ({ type: 'message', n });

// A hello, of an empty room unless it says otherwise.
const hello = (says) => ({ type: 'hello', room: '/', epoch: 'e', first: 1,
  last: 0, clients: 1, recovered: false, ...says });

// Connects anew, after a break if there is a connection.
function reconnect(world, greeting) {
  if (world.socket.readyState < 3) world.socket.drop();
  world.clock.pass(world.wait);
  world.socket.open();
  if (greeting) world.socket.hear(greeting);
}

// A chat that has heard hello and messages up to that number.
function counting(world, number, url) {
  const chat = world.chat(url);
  world.socket.open();
  world.socket.hear(hello());
  for (let n = 1; n <= number; n++) world.socket.hear(message(n));
  return chat;
}

const query = ({ url }) => new URL(url).search;

// Fails every attempt, and returns how long each retry waited.
function waits(world, count) {
  const result = [];
  for (let i = 0; i < count; i++) {
    world.socket.drop();
    result.push(world.wait);
    world.clock.pass(world.wait);
  }
  return result;
}

module.exports = {
  'without a url it goes to where the page is, less query and fragment'() {
    const world = new World('https://example.com/some/chat?x=1#y');
    world.chat();
    assert.strictEqual(world.socket.url, 'wss://example.com/some/chat');
  },

  'urls may be relative, or of http'() {
    const world = new World('http://example.com/some/page');
    for (const [url, wanted] of [
      ['chat', 'ws://example.com/some/chat'],
      ['/chat?room=1#top', 'ws://example.com/chat?room=1'],
      ['https://other.example/', 'wss://other.example/'],
      ['wss://other.example:8443/x', 'wss://other.example:8443/x'],
    ]) {
      world.chat(url);
      assert.strictEqual(world.socket.url, wanted);
    }
  },

  'it asks for its subprotocol, for another, or for none'() {
    const world = new World();
    const asked = (options) => {
      world.chat('/', options);
      return world.socket.protocols;
    };
    assert.deepStrictEqual(asked(), ['wschat.v1']);
    assert.deepStrictEqual(asked({ protocol: 'other' }), ['other']);
    assert.deepStrictEqual(asked({ protocol: null }), []);
  },

  'states and events come in order'() {
    const world = new World();
    const chat = world.chat();
    assert.strictEqual(chat.state, 'connecting');
    world.socket.open();
    assert.strictEqual(chat.state, 'open');
    world.clock.pass(5000);
    world.socket.drop(1001, 'bye');
    assert.strictEqual(chat.state, 'waiting');
    world.clock.pass(1000);
    assert.deepStrictEqual(chat.events, [
      ['state', 'open'],
      ['open', undefined],
      ['state', 'waiting'],
      ['close', { code: 1001, reason: 'bye', opened: true, retryIn: 500 }],
      ['state', 'connecting'],
    ]);
  },

  'an attempt that fails is a close of what was never opened'() {
    const world = new World();
    const chat = world.chat();
    world.socket.drop();
    assert.deepStrictEqual(ofType(chat, 'close'),
      [{ code: 1006, reason: '', opened: false, retryIn: 500 }]);
  },

  'messages come by type, and whatever is JSON is a message'() {
    const world = new World();
    const chat = world.chat();
    world.socket.open();
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
    for (const [, value] of values) world.socket.hear(value);
    assert.deepStrictEqual(chat.events, values);
  },

  'what is not JSON is ignored'() {
    const world = new World();
    const chat = world.chat();
    world.socket.open();
    chat.events.length = 0;
    for (const data of ['', '{', 'hello', new Blob(['{}'])])
      world.socket.hearText(data);
    assert.deepStrictEqual(chat.events, []);
  },

  'a listener that throws harms nobody else'() {
    const world = new World();
    const chat = new world.WSChat();
    const heard = [];
    const thrown = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => {
      thrown.push(error.message);
      for (const listener of listeners)
        process.on('uncaughtException', listener);
    });
    chat.on('message', () => { throw new Error('mine'); })
      .on('message', (value) => heard.push(value));
    world.socket.open();
    world.socket.hear(1);
    assert.deepStrictEqual(heard, [1]);
    return new Promise((resolve) => setImmediate(resolve))
      .then(() => assert.deepStrictEqual(thrown, ['mine']));
  },

  'addEventListener has the same details'() {
    const world = new World();
    const chat = world.chat();
    const heard = [];
    chat.addEventListener('message', ({ detail }) => heard.push(detail));
    world.socket.open();
    world.socket.hear('x');
    assert.deepStrictEqual(heard, ['x']);
  },

  'what is sent before there is a connection goes out in order'() {
    const world = new World();
    const chat = world.chat();
    assert.strictEqual(chat.send({ n: 1 }), true);
    assert.strictEqual(chat.send({ n: 2 }), true);
    assert.deepStrictEqual(world.socket.sent, []);
    world.socket.open();
    assert.strictEqual(chat.send({ n: 3 }), true);
    assert.deepStrictEqual(world.socket.sent,
      ['{"n":1}', '{"n":2}', '{"n":3}']);
    assert.deepStrictEqual(ofType(chat, 'sent'),
      [{ n: 1 }, { n: 2 }, { n: 3 }]);
  },

  'what a listener sends does not overtake the queue'() {
    const world = new World();
    const chat = world.chat();
    chat.on('state', (state) => state === 'open' && chat.send('state'));
    chat.on('sent', (value) => value === 1 && chat.send('sent'));
    chat.on('open', () => chat.send('open'));
    chat.send(1);
    chat.send(2);
    world.socket.open();
    assert.deepStrictEqual(world.socket.sent.map((text) => JSON.parse(text)),
      [1, 2, 'state', 'sent', 'open']);
  },

  'the queue is bounded: what does not fit is refused'() {
    const world = new World();
    const chat = world.chat('/', { queue: 2 });
    assert.deepStrictEqual([1, 2, 3].map((n) => chat.send(n)),
      [true, true, false]);
    world.socket.open();
    assert.deepStrictEqual(world.socket.sent, ['1', '2']);
    assert.strictEqual(chat.send(4), true);
  },

  'without a bound of its own, 1,000 messages wait'() {
    const world = new World();
    const chat = world.chat();
    for (let i = 0; i < 1000; i++) assert.strictEqual(chat.send(i), true);
    assert.strictEqual(chat.send('one more'), false);
  },

  'what was handed to a connection that broke is not sent again'() {
    const world = new World();
    const chat = world.chat();
    world.socket.open();
    chat.send('once');
    world.socket.drop();
    chat.send('later');
    world.clock.pass(1000);
    world.socket.open();
    assert.deepStrictEqual(world.sockets.map(({ sent }) => sent),
      [['"once"'], ['"later"']]);
  },

  'nothing is handed to a connection that is closing'() {
    const world = new World();
    const chat = world.chat();
    world.socket.open();
    world.socket.readyState = 2;
    chat.send('kept');
    assert.deepStrictEqual(world.socket.sent, []);
    world.socket.drop();
    world.clock.pass(1000);
    world.socket.open();
    assert.deepStrictEqual(world.socket.sent, ['"kept"']);
  },

  'what can not be JSON throws, and is not queued'() {
    const world = new World();
    const chat = world.chat();
    const loop = {};
    loop.loop = loop;
    assert.throws(() => chat.send(loop), { name: 'TypeError' });
    world.socket.open();
    assert.deepStrictEqual(world.socket.sent, []);
  },

  'the first retry comes within 1 s, wherever chance puts it'() {
    for (const random of [0, 0.25, 0.999999]) {
      const world = new World();
      world.random = random;
      world.chat();
      world.socket.open();
      world.clock.pass(60000 - 30000);
      world.socket.drop();
      near(world.wait, random * 1000);
      world.clock.pass(1000);
      assert.strictEqual(world.sockets.length, 2);
    }
  },

  'waits grow exponentially, up to 30 s'() {
    const world = new World();
    world.random = 1;
    world.chat();
    const got = waits(world, 12);
    got.forEach((wait, i) => near(wait, Math.min(30000, 1000 * 1.5 ** i)));
    near(got[11], 30000);
  },

  'the whole of each wait is left to chance'() {
    const world = new World();
    world.chat();
    waits(world, 20);
    for (const random of [0, 0.01, 0.5, 0.99]) {
      world.random = random;
      world.socket.drop();
      near(world.wait, random * 30000);
      world.clock.pass(world.wait);
    }
  },

  'options set the first and the longest wait'() {
    const world = new World();
    world.random = 1;
    world.chat('/', { retry: 100, retryMax: 200 });
    waits(world, 4).forEach((wait, i) => near(wait, [100, 150, 200, 200][i]));
  },

  'a connection that held starts the waits anew'() {
    const world = new World();
    world.random = 1;
    world.chat();
    waits(world, 6);
    world.socket.open();
    world.clock.pass(20000);
    world.socket.drop();
    near(world.wait, 1000);
  },

  'a server that accepts and hangs up is not called without a pause'() {
    const world = new World();
    world.random = 1;
    world.chat();
    for (let i = 0; i < 6; i++) {
      world.socket.open();
      world.clock.pass(10);
      world.socket.drop();
      near(world.wait, 1000 * 1.5 ** i);
      world.clock.pass(world.wait);
    }
  },

  'it retries at once when the browser is online again'() {
    const world = new World();
    world.random = 1;
    const chat = world.chat();
    waits(world, 8);
    world.socket.drop();
    world.online();
    assert.strictEqual(chat.state, 'connecting');
    assert.strictEqual(world.sockets.length, 10);
    world.socket.drop();
    near(world.wait, 1000);
  },

  'it gives up an attempt from before the browser was online'() {
    const world = new World();
    world.chat();
    const before = world.socket;
    world.online();
    assert.ok(before.closed);
    assert.strictEqual(world.sockets.length, 2);
    before.drop();
    world.socket.open();
    assert.strictEqual(world.sockets.length, 2);
  },

  'it retries at once when the page becomes visible'() {
    const world = new World();
    world.random = 1;
    const chat = world.chat();
    waits(world, 8);
    world.socket.drop();
    world.show(false);
    assert.strictEqual(chat.state, 'waiting');
    world.show(true);
    assert.strictEqual(chat.state, 'connecting');
    // That one is under way; to look again doesn't hurry it.
    world.show(false);
    world.show(true);
    assert.strictEqual(world.sockets.length, 10);
  },

  'being online or visible changes nothing about a connection that is well'() {
    const world = new World();
    world.chat();
    world.socket.open();
    world.clock.pass(29000);
    world.online();
    world.show(true);
    assert.strictEqual(world.sockets.length, 1);
    assert.deepStrictEqual(world.socket.sent, []);
  },

  'it does not retry when the server says so'() {
    for (const code of [1008, 4500, 4501, 4999]) {
      const world = new World();
      const chat = world.chat();
      world.socket.open();
      world.socket.drop(code, 'go away');
      assert.strictEqual(chat.state, 'closed');
      assert.deepStrictEqual(ofType(chat, 'close'),
        [{ code, reason: 'go away', opened: true, retryIn: null }]);
      world.online();
      world.show(true);
      world.clock.pass(1e6);
      assert.strictEqual(world.sockets.length, 1);
      assert.strictEqual(chat.send('kept'), true);
      chat.open();
      world.socket.open();
      assert.deepStrictEqual(world.socket.sent, ['"kept"']);
    }
  },

  'after any other close it retries'() {
    for (const code of
      [1000, 1001, 1002, 1005, 1006, 1007, 1009, 1011, 1012, 1013, 1014,
        3000, 4000, 4499]) {
      const world = new World();
      const chat = world.chat();
      world.socket.open();
      world.socket.drop(code);
      assert.strictEqual(chat.state, 'waiting');
      world.clock.pass(1000);
      assert.strictEqual(world.sockets.length, 2);
    }
  },

  'open() does not wait for the retry'() {
    const world = new World();
    const chat = world.chat();
    world.socket.drop();
    chat.open();
    assert.strictEqual(world.sockets.length, 2);
    world.socket.open();
    chat.open();
    world.clock.pass(10000);
    assert.strictEqual(world.sockets.length, 2);
  },

  'close() is for good, until open()'() {
    const world = new World();
    const chat = world.chat();
    world.socket.open();
    chat.close(4000, 'bye');
    assert.deepStrictEqual(world.socket.closed, [4000, 'bye']);
    assert.strictEqual(chat.state, 'closed');
    assert.deepStrictEqual(ofType(chat, 'close'),
      [{ code: 4000, reason: 'bye', opened: true, retryIn: null }]);
    world.socket.drop(4000, 'bye');
    world.online();
    assert.strictEqual(world.wait, null);
    assert.strictEqual(ofType(chat, 'close').length, 1);
    chat.open();
    assert.strictEqual(chat.state, 'connecting');
  },

  'close() ends waiting and connecting too'() {
    const world = new World();
    const chat = world.chat();
    chat.close();
    assert.deepStrictEqual(world.socket.closed, [1000, '']);
    assert.strictEqual(world.wait, null);
    chat.open();
    world.socket.drop();
    chat.close();
    assert.strictEqual(world.wait, null);
    assert.strictEqual(chat.state, 'closed');
    assert.strictEqual(world.sockets.length, 2);
  },

  'after 30 s of silence it asks, and any word is an answer'() {
    const world = new World();
    const chat = world.chat();
    world.socket.open();
    world.clock.pass(29999);
    assert.deepStrictEqual(world.socket.sent, []);
    world.clock.pass(1);
    assert.deepStrictEqual(world.socket.sent, [ping]);
    for (const answer of [{ type: 'pong' }, { type: 'message' }]) {
      world.clock.pass(9999);
      world.socket.hear(answer);
      world.clock.pass(29999);
      assert.strictEqual(world.socket.sent.length, 1);
      world.clock.pass(1);
      assert.deepStrictEqual(world.socket.sent.splice(1), [ping]);
    }
    assert.strictEqual(chat.state, 'open');
    assert.deepStrictEqual(ofType(chat, 'message'), [{ type: 'message' }]);
    assert.deepStrictEqual(ofType(chat, 'sent'), []);
  },

  'as long as there are words it does not ask'() {
    const world = new World();
    world.chat();
    world.socket.open();
    for (let i = 0; i < 20; i++) {
      world.clock.pass(29000);
      world.socket.hear({ type: 'system', message: '' });
    }
    assert.deepStrictEqual(world.socket.sent, []);
  },

  'without an answer within 10 s it connects anew'() {
    const world = new World();
    const chat = world.chat();
    const dead = world.socket;
    dead.open();
    world.clock.pass(30000);
    world.clock.pass(9999);
    assert.strictEqual(chat.state, 'open');
    world.clock.pass(1);
    assert.ok(dead.closed);
    assert.deepStrictEqual(ofType(chat, 'close'), [{
      code: 1006, reason: 'no answer to a ping', opened: true, retryIn: 500,
    }]);
    world.clock.pass(500);
    world.socket.open();
    assert.strictEqual(chat.state, 'open');
    // What the dead one still says is no longer heard.
    const events = chat.events.length;
    dead.hear('late');
    dead.drop();
    assert.strictEqual(chat.events.length, events);
    assert.strictEqual(chat.state, 'open');
  },

  'a server that took no subprotocol is never pinged'() {
    for (const options of [{}, { protocol: null }]) {
      const world = new World();
      world.chat('/', options);
      world.socket.open('');
      world.clock.pass(1e6);
      world.show(true);
      assert.deepStrictEqual(world.socket.sent, []);
      assert.strictEqual(world.sockets.length, 1);
    }
  },

  'after the machine has slept it asks as soon as somebody looks'() {
    const world = new World();
    world.chat();
    world.socket.open();
    world.clock.pass(1000);
    world.clock.sleep(3600000);
    assert.deepStrictEqual(world.socket.sent, []);
    world.show(true);
    assert.deepStrictEqual(world.socket.sent, [ping]);
    world.show(true);
    world.online();
    assert.deepStrictEqual(world.socket.sent, [ping]);
    world.clock.pass(10000);
    assert.ok(world.socket.closed);
  },

  'a clock that is set back does not keep it from asking'() {
    const world = new World();
    world.chat();
    world.socket.open();
    world.clock.pass(1000);
    world.clock.now -= 3600000;
    for (const timer of world.clock.timers.values()) timer.at -= 3600000;
    world.clock.pass(60000);
    assert.deepStrictEqual(world.socket.sent.slice(0, 1), [ping]);
  },

  'a handshake that gets no answer within 20 s is given up'() {
    const world = new World();
    const chat = world.chat();
    world.clock.pass(19999);
    assert.strictEqual(chat.state, 'connecting');
    world.clock.pass(1);
    assert.ok(world.socket.closed);
    assert.strictEqual(chat.state, 'waiting');
    assert.strictEqual(ofType(chat, 'close')[0].opened, false);
  },

  'silence, answer and handshake are options'() {
    const world = new World();
    const chat = world.chat('/', { silence: 100, answer: 10, handshake: 50 });
    world.clock.pass(50);
    assert.strictEqual(chat.state, 'waiting');
    world.clock.pass(500);
    world.socket.open();
    world.clock.pass(100);
    assert.deepStrictEqual(world.socket.sent, [ping]);
    world.clock.pass(10);
    assert.strictEqual(chat.state, 'waiting');
  },

  'hello says where one is'() {
    const world = new World();
    const chat = world.chat();
    assert.deepStrictEqual([chat.room, chat.clients, chat.number],
      [undefined, undefined, null]);
    world.socket.open();
    const said = hello({ room: '/x', first: 42, last: 41, clients: 3 });
    world.socket.hear(said);
    assert.deepStrictEqual([chat.room, chat.clients, chat.number],
      ['/x', 3, 41]);
    assert.deepStrictEqual(chat.events,
      [['state', 'open'], ['open', undefined], ['hello', said]]);
  },

  'every message is counted but notices for this client alone'() {
    const world = new World();
    const chat = counting(world, 0);
    const counts = [message(1), { type: 'system', message: '' }, 'text', 5,
      null, false, [], ['error'], {}, { type: ['pong'] }, { type: 'Error' }];
    counts.forEach((value, i) => {
      for (const type of ['error', 'pong', 'hello'])
        world.socket.hear({ type });
      assert.strictEqual(chat.number, i);
      world.socket.hear(value);
      assert.strictEqual(chat.number, i + 1);
    });
    world.socket.hearText('no JSON');
    assert.strictEqual(chat.number, counts.length + 1);
    assert.strictEqual(ofType(chat, 'hello').length, 1);
  },

  'the number is that of the message, when a listener hears it'() {
    const world = new World();
    const chat = counting(world, 0);
    const heard = [];
    chat.on('message', ({ n }) => heard.push([n, chat.number]));
    for (const n of [1, 2]) world.socket.hear(message(n));
    assert.deepStrictEqual(heard, [[1, 1], [2, 2]]);
  },

  'it resumes after the last message, and hears each once, in order'() {
    const world = new World();
    const chat = counting(world, 3);
    assert.strictEqual(query(world.sockets[0]), '');
    reconnect(world, hello({ first: 4, last: 5, recovered: true }));
    assert.strictEqual(query(world.socket), '?epoch=e&since=3');
    // It breaks again while the missed ones arrive.
    world.socket.hear(message(4));
    reconnect(world, hello({ first: 5, last: 5, recovered: true }));
    assert.strictEqual(query(world.socket), '?epoch=e&since=4');
    world.socket.hear(message(5));
    world.socket.hear(message(6));
    assert.deepStrictEqual(ofType(chat, 'message').map(({ n }) => n),
      [1, 2, 3, 4, 5, 6]);
    assert.deepStrictEqual(ofType(chat, 'gap'), []);
    assert.deepStrictEqual(
      ofType(chat, 'hello').map(({ recovered }) => recovered),
      [false, true, true]);
  },

  'an attempt that fails, or breaks before hello, does not change the place'() {
    const world = new World();
    const chat = counting(world, 2);
    world.socket.drop();
    world.clock.pass(world.wait);
    world.socket.drop();
    reconnect(world);
    assert.strictEqual(query(world.socket), '?epoch=e&since=2');
    reconnect(world);
    assert.strictEqual(query(world.socket), '?epoch=e&since=2');
    chat.close();
    chat.open();
    assert.strictEqual(query(world.socket), '?epoch=e&since=2');
  },

  'when resuming it leaves the rest of the query as it is'() {
    for (const [url, wanted] of [
      ['/?token=a%20b+c&x', '?token=a%20b+c&x&epoch=e&since=1'],
      ['/?', '?epoch=e&since=1'],
      ['/?since=7&a=1&epoch=old&sincere=1&a=2',
        '?a=1&sincere=1&a=2&epoch=e&since=1'],
    ]) {
      const world = new World();
      counting(world, 1, url);
      assert.strictEqual(world.socket.url, `ws://chat.example${url}`);
      reconnect(world);
      assert.strictEqual(query(world.socket), wanted);
    }
  },

  'an epoch may hold any character'() {
    const world = new World();
    world.chat();
    world.socket.open();
    world.socket.hear(hello({ epoch: 'a&b=c#d é' }));
    reconnect(world);
    const { searchParams, hash } = new URL(world.socket.url);
    assert.deepStrictEqual([...searchParams, hash],
      [['epoch', 'a&b=c#d é'], ['since', '0'], '']);
  },

  'who comes back and has missed something is told'() {
    const world = new World();
    const chat = counting(world, 3);
    reconnect(world, hello({ first: 90, last: 91 }));
    assert.deepStrictEqual(chat.events.slice(-2).map(([type]) => type),
      ['hello', 'gap']);
    // From there on it counts anew.
    for (const n of [90, 91, 92]) world.socket.hear(message(n));
    reconnect(world, hello({ first: 93, last: 92, recovered: true }));
    assert.strictEqual(query(world.socket), '?epoch=e&since=92');
    assert.strictEqual(ofType(chat, 'gap').length, 1);
  },

  'it is recovered if the server says so, and the place is the same'() {
    for (const says of [{ epoch: 'f' }, { first: 5 }, { first: 3 },
      { recovered: false }, { recovered: 'yes' }, { recovered: undefined }]) {
      const world = new World();
      const chat = counting(world, 3);
      reconnect(world,
        hello({ first: 4, last: 9, recovered: true, ...says }));
      assert.strictEqual(ofType(chat, 'gap').length, 1);
      assert.strictEqual(ofType(chat, 'hello')[1].recovered, false);
      reconnect(world);
      const { epoch, first } = { epoch: 'e', first: 4, ...says };
      assert.strictEqual(query(world.socket),
        `?epoch=${epoch}&since=${first - 1}`);
    }
  },

  'the first connection misses nothing'() {
    const world = new World();
    const chat = world.chat();
    world.socket.drop();
    reconnect(world, hello({ first: 42, last: 41 }));
    assert.deepStrictEqual(ofType(chat, 'gap'), []);
  },

  'from a hello that makes no sense it can not count'() {
    for (const says of [{ epoch: undefined }, { epoch: '' }, { epoch: 7 },
      { first: undefined }, { first: 0 }, { first: '4' }, { first: 1.5 },
      { first: 1e300, last: 1e300 }, { last: undefined }, { last: 2 },
      { last: null }, { last: '9' }, { last: 9.5 }]) {
      const world = new World();
      const chat = counting(world, 3);
      reconnect(world, hello({ first: 4, last: 3, recovered: true, ...says }));
      assert.strictEqual(ofType(chat, 'gap').length, 1);
      world.socket.hear(message(4));
      assert.strictEqual(chat.number, null);
      reconnect(world, hello({ first: 5, last: 4, recovered: true }));
      assert.strictEqual(query(world.socket), '');
      assert.strictEqual(ofType(chat, 'gap').length, 2);
    }
  },

  'without a hello nothing is counted, and no place is asked for'() {
    for (const options of [{}, { protocol: null }]) {
      for (const agreed of ['wschat.v1', '']) {
        const world = new World();
        const chat = world.chat('/?x', options);
        world.socket.open(options.protocol === null ? '' : agreed);
        world.socket.hear(message(1));
        world.socket.hear(message(2));
        reconnect(world);
        world.socket.hear(message(3));
        assert.strictEqual(world.socket.url, 'ws://chat.example/?x');
        assert.strictEqual(chat.number, null);
        assert.strictEqual(ofType(chat, 'message').length, 3);
        assert.deepStrictEqual(ofType(chat, 'gap'), []);
      }
    }
  },

  'only the first message is a hello, and only with the subprotocol'() {
    const world = new World();
    const late = world.chat();
    world.socket.open();
    world.socket.hear(message(1));
    world.socket.hear(hello());
    assert.strictEqual(late.number, null);
    assert.deepStrictEqual(ofType(late, 'hello'), []);
    const other = world.chat();
    world.socket.open('');
    world.socket.hear(hello());
    assert.strictEqual(other.number, null);
    assert.deepStrictEqual(ofType(other, 'hello'), []);
    assert.deepStrictEqual(ofType(other, 'message'), [hello()]);
  },

  'a server that can no longer count has lost the place'() {
    for (const protocol of ['wschat.v1', '']) {
      const world = new World();
      const chat = counting(world, 3);
      world.socket.drop();
      world.clock.pass(world.wait);
      world.socket.open(protocol);
      world.socket.hear(message(1));
      assert.strictEqual(ofType(chat, 'gap').length, 1);
      assert.strictEqual(chat.number, null);
      reconnect(world);
      assert.strictEqual(query(world.socket), '');
    }
  },

  'a listener may close it on hello'() {
    const world = new World();
    const chat = world.chat();
    chat.on('hello', () => chat.close());
    world.socket.open();
    world.socket.hear(hello());
    assert.strictEqual(chat.state, 'closed');
  },

  'a url that is none throws'() {
    const world = new World();
    assert.throws(() => world.chat('http://'), { code: 'ERR_INVALID_URL' });
  },
};
