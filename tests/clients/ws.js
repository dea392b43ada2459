// The client that most node programs use: node ws.js PORT PID, of a server
// that is stopped at the end. Prints "ok" or "not ok" for each case.
'use strict';

const assert = require('assert');
const WebSocket = require('ws');

const [port, pid] = process.argv.slice(2).map(Number);
const timeout = 30000;  // far beyond what any case takes

// Resolves with a client that keeps what happens to it, in order: next() waits
// for the next event that passes, and forgets those before it. Of
// permessage-deflate it offers what ws does, unless told otherwise.
function join(perMessageDeflate = true) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/chat?x=1`,
    { perMessageDeflate });
  const events = [];
  let wake = () => {};
  const keep = (event) => { events.push(event); wake(); };
  socket.on('upgrade', (answer) => {
    socket.agreed = answer.headers['sec-websocket-extensions'];
  });
  socket.on('message', (data, binary) =>
    keep({ text: data.toString(), binary }));
  socket.on('pong', (data) => keep({ pong: data.toString() }));
  socket.on('close', (code, reason) =>
    keep({ code, reason: reason.toString() }));
  socket.next = async (passes) => {
    for (;;) {
      while (events.length) {
        const event = events.shift();
        if (passes(event)) return event;
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
const closed = (event) => event.code !== undefined;
const chat = (message) =>
  JSON.stringify({ type: 'message', username: 'ws', message });

// Long enough for both sides to deflate it.
const long = (message) => chat(message + ' and so on'.repeat(1000));

// A client with this offer and one without any hear what each of them says.
async function talk(offer, agreed) {
  const [a, b] = [await join({ threshold: 0, ...offer }), await join(false)];
  assert.match(a.agreed, agreed);
  assert.strictEqual(b.agreed, undefined);
  for (let i = 0; i < 3; i++) {
    for (const sender of [a, b]) {
      for (const text of [long(i), chat(i)]) {
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
  async 'a client hears that it joined'() {
    const a = await join();
    const event = await a.next(ofType('system'));
    assert.deepStrictEqual(event, {
      text: '{"type":"system","message":"127.0.0.1 connected"}',
      binary: false,
    });
    a.terminate();
  },

  async 'everyone hears a message, its sender too'() {
    const [a, b] = [await join(), await join()];
    a.send(chat('hello, wörld 🙂'));
    for (const client of [a, b]) {
      const event = await client.next(ofType('message'));
      assert.strictEqual(event.text, chat('hello, wörld 🙂'));
      client.terminate();
    }
  },

  async 'a binary message comes back as text'() {
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

  async 'a message over 1 MiB is closed with 1009'() {
    const a = await join();
    a.send(chat('x'.repeat(1 << 20)));
    assert.strictEqual((await a.next(closed)).code, 1009);
  },

  async 'what is not JSON is answered with an error, to its sender alone'() {
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

  async 'a ping is answered with what it held'() {
    const a = await join();
    a.ping('are you there?');
    assert.deepStrictEqual(await a.next((e) => e.pong !== undefined),
      { pong: 'are you there?' });
    a.terminate();
  },

  async 'a close code and its reason come back, and the others hear of it'() {
    const [a, b] = [await join(), await join()];
    await b.next((e) => ofType('system')(e));
    a.close(4000, 'bye');
    assert.deepStrictEqual(await a.next(closed),
      { code: 4000, reason: 'bye' });
    await b.next((e) =>
      e.text === '{"type":"system","message":"127.0.0.1 disconnected"}');
    b.terminate();
  },

  async 'a client that deflates talks to one that does not'() {
    await talk({}, /^permessage-deflate; /);
  },

  async 'a client may deflate with any window'() {
    for (let bits = 8; bits <= 15; bits++)
      await talk({ clientMaxWindowBits: bits }, /^permessage-deflate; /);
  },

  async 'a client gets no larger window than it wants'() {
    for (let bits = 8; bits <= 15; bits++)
      await talk({ serverMaxWindowBits: bits, clientMaxWindowBits: bits },
        new RegExp(`; server_max_window_bits=${bits}$`));
  },

  async 'a client may ask for no context on either side'() {
    await talk({ serverNoContextTakeover: true, clientNoContextTakeover: true },
      /^permessage-deflate; /);
  },

  async 'fragments that are deflated arrive as one message'() {
    const [a, b] = [await join({ threshold: 0 }), await join(false)];
    const text = long('pieces');
    for (let i = 0; i < text.length; i += 1000)
      a.send(text.slice(i, i + 1000), { fin: i + 1000 >= text.length });
    for (const client of [a, b]) {
      assert.strictEqual((await client.next(ofType('message'))).text, text);
      client.terminate();
    }
  },

  async 'a server that is stopped says 1001 to everyone'() {
    const clients = [await join(), await join(), await join()];
    process.kill(pid, 'SIGTERM');
    for (const client of clients)
      assert.strictEqual((await client.next(closed)).code, 1001);
  },
};

async function run(name) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('nothing came')), timeout);
  });
  try {
    await Promise.race([cases[name](), late]);
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
