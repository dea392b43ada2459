// Tests the node package ws as a client: node ws.js PORT PID. The last case
// stops the daemon, PID. Prints "ok" or "not ok" for each case.
'use strict';

const assert = require('assert');
const net = require('net');
const path = require('path');
const WebSocket = require('ws');

require(path.resolve('src/page/wschat.js'));

const [port, pid] = process.argv.slice(2).map(Number);
const timeout = 30000;  // ms; no case takes nearly as long

// Resolves with a connected client that records its events. next() returns the
// next event that matches, and discards those before it. perMessageDeflate is
// the option of ws: true for its default offer.
function join(perMessageDeflate = true) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/chat?x=1`,
    { perMessageDeflate });
  const events = [];
  let wake = () => {};
  const record = (event) => { events.push(event); wake(); };
  socket.on('upgrade', (response) => {
    socket.responseExtensions = response.headers['sec-websocket-extensions'];
  });
  socket.on('message', (data, binary) =>
    record({ text: data.toString(), binary }));
  socket.on('pong', (data) => record({ pong: data.toString() }));
  socket.on('close', (code, reason) =>
    record({ code, reason: reason.toString() }));
  socket.next = async (matches) => {
    for (;;) {
      while (events.length) {
        const event = events.shift();
        if (matches(event)) return event;
      }
      await new Promise((resolve) => { wake = resolve; });
    }
  };
  return new Promise((resolve, reject) => {
    socket.on('open', () => resolve(socket));
    socket.on('error', reject);
  });
}

const ofType = (type) => (event) =>
  event.text !== undefined && JSON.parse(event.text).type === type;
// Resolves with the detail of the next event of a WSChat.
const next = (chat, type) =>
  new Promise((resolve) => { chat.once(type, resolve); });

const isClose = (event) => event.code !== undefined;
const chat = (message) =>
  JSON.stringify({ type: 'message', username: 'ws', message });

// Returns a chat message that is long enough for both sides to deflate it.
const longChat = (message) => chat(message + ' and so on'.repeat(1000));

// Checks that a client with this offer and one without compression receive each
// other's messages, and that the daemon accepts matching extensions.
async function exchangeMessages(offer, extensions) {
  const [a, b] = [await join({ threshold: 0, ...offer }), await join(false)];
  assert.match(a.responseExtensions, extensions);
  assert.strictEqual(b.responseExtensions, undefined);
  for (let i = 0; i < 3; i++) {
    for (const sender of [a, b]) {
      for (const text of [longChat(i), chat(i)]) {
        sender.send(text);
        for (const client of [a, b]) {
          const event = await client.next(ofType('message'));
          assert.strictEqual(event.text, text);
        }
      }
    }
  }
  a.terminate();
  b.terminate();
}

const cases = {
  async 'a client receives the system message that it connected'() {
    const a = await join();
    const event = await a.next(ofType('system'));
    assert.deepStrictEqual(event, {
      text: '{"type":"system","message":"127.0.0.1 connected"}',
      binary: false,
    });
    a.terminate();
  },

  async 'all clients receive a message, its sender too'() {
    const [a, b] = [await join(), await join()];
    a.send(chat('hello, wörld 🙂'));
    for (const client of [a, b]) {
      const event = await client.next(ofType('message'));
      assert.strictEqual(event.text, chat('hello, wörld 🙂'));
      client.terminate();
    }
  },

  async 'a binary message is relayed as text'() {
    const a = await join();
    a.send(Buffer.from(chat('bytes')));
    assert.deepStrictEqual(await a.next(ofType('message')),
      { text: chat('bytes'), binary: false });
    a.terminate();
  },

  async '100 sends in a loop all arrive, in order'() {
    const [a, b] = [await join(), await join()];
    for (let i = 0; i < 100; i++) a.send(chat(i));
    for (const client of [a, b]) {
      for (let i = 0; i < 100; i++) {
        const event = await client.next(ofType('message'));
        assert.strictEqual(event.text, chat(i));
      }
      client.terminate();
    }
  },

  async 'a message of 1,000,000 bytes arrives whole'() {
    const a = await join();
    const text = chat('x'.repeat(1000000 - chat('').length));
    a.send(text);
    assert.ok((await a.next(ofType('message'))).text === text);
    a.terminate();
  },

  async 'a message over 1 MiB closes the connection with 1009'() {
    const a = await join();
    a.send(chat('x'.repeat(1 << 20)));
    assert.strictEqual((await a.next(isClose)).code, 1009);
  },

  async 'a text that is not JSON gets an error, to its sender alone'() {
    const [a, b] = [await join(), await join()];
    a.send('hello');
    const notice = JSON.parse((await a.next(ofType('error'))).text);
    assert.match(notice.message, /^not relayed: /);
    a.send(chat('after'));
    const event = await b.next((e) => !ofType('system')(e));
    assert.strictEqual(event.text, chat('after'));
    a.terminate();
    b.terminate();
  },

  async 'the type "system" is reserved'() {
    const a = await join();
    a.send('{"type":"system","message":"I am root"}');
    const notice = JSON.parse((await a.next(ofType('error'))).text);
    assert.strictEqual(notice.message,
      'not relayed: the type "system" is reserved');
    a.terminate();
  },

  async 'a pong has the payload of the ping'() {
    const a = await join();
    a.ping('are you there?');
    assert.deepStrictEqual(await a.next((e) => e.pong !== undefined),
      { pong: 'are you there?' });
    a.terminate();
  },

  async 'a close frame is echoed, and the others receive a system message'() {
    const [a, b] = [await join(), await join()];
    await b.next((e) => ofType('system')(e));
    a.close(4000, 'bye');
    assert.deepStrictEqual(await a.next(isClose),
      { code: 4000, reason: 'bye' });
    await b.next((e) =>
      e.text === '{"type":"system","message":"127.0.0.1 disconnected"}');
    b.terminate();
  },

  async 'a client with compression and one without exchange messages'() {
    await exchangeMessages({}, /^permessage-deflate; /);
  },

  async 'a client may compress with any window size'() {
    for (let bits = 8; bits <= 15; bits++)
      await exchangeMessages({ clientMaxWindowBits: bits },
        /^permessage-deflate; /);
  },

  async 'the server uses no larger window than the client asks for'() {
    for (let bits = 8; bits <= 15; bits++)
      await exchangeMessages(
        { serverMaxWindowBits: bits, clientMaxWindowBits: bits },
        new RegExp(`; server_max_window_bits=${bits}$`));
  },

  async 'a client may ask for no context takeover on either side'() {
    await exchangeMessages(
      { serverNoContextTakeover: true, clientNoContextTakeover: true },
      /^permessage-deflate; /);
  },

  async 'compressed fragments arrive as one message'() {
    const [a, b] = [await join({ threshold: 0 }), await join(false)];
    const text = longChat('pieces');
    for (let i = 0; i < text.length; i += 1000)
      a.send(text.slice(i, i + 1000), { fin: i + 1000 >= text.length });
    for (const client of [a, b]) {
      assert.strictEqual((await client.next(ofType('message'))).text, text);
      client.terminate();
    }
  },

  async 'wschat.js with the class of ws sends and receives'() {
    const client =
      new WSChat(`ws://127.0.0.1:${port}/chat`, { WebSocket });
    const { epoch } = await next(client, 'hello');
    assert.strictEqual(client.epoch, epoch);
    const message = { type: 'message', username: 'node', message: 'Zoë' };
    client.send(message);
    assert.deepStrictEqual(await next(client, 'message'), message);
    client.close();
  },

  async 'wschat.js with the class of ws tries again after a failure'() {
    let accepted = 0;
    const server = net.createServer((socket) => {
      accepted++;
      socket.destroy();
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `ws://127.0.0.1:${server.address().port}/`;
    const client = new WSChat(url, { WebSocket, retry: 1 });
    for (let i = 0; i < 2; i++)
      assert.strictEqual((await next(client, 'close')).opened, false);
    client.close();
    server.close();
    assert.ok(accepted >= 2);
  },

  async 'a server that is stopped closes all clients with 1001'() {
    const clients = [await join(), await join(), await join()];
    process.kill(pid, 'SIGTERM');
    for (const client of clients)
      assert.strictEqual((await client.next(isClose)).code, 1001);
  },
};

async function run(name) {
  let timer;
  const timedOut = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('timeout')), timeout);
  });
  try {
    await Promise.race([cases[name](), timedOut]);
    console.log(`ok ws: ${name}`);
  } catch (error) {
    console.log(`not ok ws: ${name}\n${error.stack}`);
  }
  clearTimeout(timer);
}

(async () => {
  for (const name of Object.keys(cases)) await run(name);
  process.exit();
})();
