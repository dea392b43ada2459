// The page, when its server goes, comes back, or does not want it.
'use strict';

const assert = require('assert');
const http = require('http');
const net = require('net');
const { inFake, inRoom, unreachable } = require('./people');

const refused = 'Refused or unreachable: see the server’s log';

async function bothBack(people) {
  await Promise.all(people.map((person) => person.connected(5000)));
}

// Notes which states the own messages of a person go through from now on.
const watchStates = (person) => person.evaluate(() => {
  window.states = [];
  new MutationObserver((changes) => {
    for (const { target } of changes) window.states.push(target.dataset.state);
  }).observe(document.getElementById('outbox'),
    { subtree: true, attributeFilter: ['data-state'] });
});

const states = (person) => person.evaluate(() => window.states);

// A web server that has the daemon's page under /chat and nothing else.
function behindPrefix(daemon) {
  const inner = (url) => url.replace(/^\/chat(?=$|\?)/, '/');
  const server = http.createServer((request, response) => {
    if (!/^\/chat($|\?)/.test(request.url)) {
      response.writeHead(404).end();
      return;
    }
    http.get({ port: daemon.port, path: inner(request.url), agent: false,
      headers: { host: request.headers.host } }, (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
  });
  server.on('upgrade', (request, socket) => {
    const upstream = net.connect(daemon.port, 'localhost');
    const lines = [`GET ${inner(request.url)} HTTP/1.1`];
    for (let i = 0; i < request.rawHeaders.length; i += 2)
      lines.push(request.rawHeaders.slice(i, i + 2).join(': '));
    upstream.write(`${lines.join('\r\n')}\r\n\r\n`);
    upstream.pipe(socket).pipe(upstream);
    for (const end of [upstream, socket]) end.on('error', () => {});
  });
  return new Promise((resolve) => {
    server.listen(0, 'localhost', () => resolve(server));
  });
}

const gap = 'Some messages may be missing here.';
const fate = (person, words) =>
  person.$('#outbox .fate', { hasText: words });

module.exports = {
  'the server is killed and comes back while people type': inRoom(
    async (room) => {
      const ada = await room.member('Ada');
      const bob = await room.member('Bob');
      ada.expected = bob.expected = unreachable;
      await ada.say('before');
      await bob.sees('before');
      await bob.$('#text').pressSequentially('half a sen');
      await room.daemon.end('SIGKILL');
      await ada.status('Reconnecting…');
      await bob.status('Reconnecting…');
      await ada.say('meanwhile one');
      await ada.say('meanwhile two');
      await bob.$('#text').pressSequentially('tence');
      await room.daemon.restart();
      await bothBack([ada, bob]);
      await ada.sees('meanwhile two');
      await bob.$('#text').press('Enter');
      await ada.sees('half a sentence');
      await bob.sees('half a sentence');
      assert.deepStrictEqual(await ada.texts(),
        ['before', 'meanwhile one', 'meanwhile two', 'half a sentence']);
      assert.strictEqual(await ada.$('#outbox > *').count(), 0);
    }),

  'a server that stops in good order is waited for as well': inRoom(
    async (room) => {
      const ada = await room.member('Ada');
      ada.expected = unreachable;
      await room.daemon.end('SIGTERM');
      await ada.status('Reconnecting…');
      assert.strictEqual(await ada.$('#notice').textContent(), '');
      await room.daemon.restart();
      await ada.connected(5000);
    }),

  'what never came back is marked, and sent again only on demand': inRoom(
    async (room) => {
      const ada = await room.member('Ada');
      const bob = await room.member('Bob');
      ada.expected = bob.expected = unreachable;
      // It takes the message, but has no time left to do anything with it.
      room.daemon.signal('SIGSTOP');
      await ada.say('into the void');
      await ada.say('and more');
      assert.deepStrictEqual(await ada.$('#outbox > li').evaluateAll(
        (items) => items.map((item) => item.dataset.state)), ['sent', 'sent']);
      await room.daemon.end('SIGKILL');
      await room.daemon.restart();
      await bothBack([ada, bob]);
      const fates = fate(ada, 'Not sent?');
      await fates.nth(1).waitFor();
      await ada.$('[role=status]', { hasText: 'may not have been sent' })
        .waitFor({ state: 'attached' });
      await bob.say('anybody?');
      await ada.sees('anybody?');
      assert.deepStrictEqual(await bob.texts(), ['anybody?']);
      assert.strictEqual(await fates.count(), 2);
      await ada.$('#outbox').getByText('Retry').first().click();
      await ada.sees('into the void');
      await bob.sees('into the void');
      await ada.$('#outbox').getByText('Discard').click();
      await ada.say('over');
      await bob.sees('over');
      for (const person of [ada, bob])
        assert.deepStrictEqual(await person.texts(),
          ['anybody?', 'into the void', 'over']);
      assert.strictEqual(await ada.$('#spoken').textContent(), '');
    }),

  'retry while there is no connection waits for one': inRoom(async (room) => {
    const ada = await room.member('Ada');
    ada.expected = unreachable;
    room.daemon.signal('SIGSTOP');
    await ada.say('patience');
    await room.daemon.end('SIGKILL');
    await room.daemon.restart();
    await fate(ada, 'Not sent?').waitFor();
    await ada.connected();
    await room.daemon.end('SIGKILL');
    await ada.status('Reconnecting…');
    await ada.$('#outbox').getByText('Retry').click();
    await fate(ada, /^Waiting for a connection$/).waitFor();
    await room.daemon.restart();
    await ada.sees('patience');
    assert.deepStrictEqual(await ada.texts(), ['patience']);
  }),

  'a message that the server passes over is marked': inRoom(async (room) => {
    const ada = await room.person();
    await ada.page.routeWebSocket(/./, (socket) => {
      socket.onMessage((text) => {
        if (!text.includes('ignored')) socket.send(text);
      });
    });
    await ada.page.goto(room.daemon.url);
    await ada.join('Ada');
    await ada.say('ignored');
    await ada.say('relayed');
    await ada.sees('relayed');
    await ada.$('#outbox > [data-state=lost]', { hasText: 'ignored' }).waitFor();
    assert.deepStrictEqual(await ada.texts(), ['relayed', 'ignored']);
  }),

  'a message that is too large costs only itself': inRoom(async (room) => {
    const ada = await room.member('Ada');
    ada.expected = unreachable;
    await ada.say('x'.repeat(5000));
    await ada.$('#notice', { hasText: 'The server closed the connection: ' })
      .waitFor();
    await ada.$('#outbox .fate', { hasText: 'Not sent?' }).waitFor();
    await ada.connected();
    await ada.$('#outbox').getByText('Discard').click();
    await ada.say('smaller');
    await ada.sees('smaller');
  }, ['--max-message=4096']),

  'a page whose server went says so, and connects when it can': inRoom(
    async (room) => {
      const ada = await room.person();
      ada.expected = unreachable;
      await ada.page.clock.install();
      // The page has come, and the server goes before the page connects.
      await ada.page.route(/asset=chat\.js/, async (route) => {
        const script = await route.fetch();
        await room.daemon.end('SIGKILL');
        await route.fulfill({ response: script });
      });
      await ada.page.goto(room.daemon.url);
      await ada.status(refused);
      await ada.$('#name').fill('Ada');
      await ada.$('#name').press('Enter');
      await ada.say('patience');
      await ada.$('#outbox .fate', { hasText: 'Waiting' }).waitFor();
      // No retry comes before the click.
      await ada.page.clock.pauseAt(await ada.evaluate(() => Date.now() + 1000));
      await room.daemon.restart();
      await ada.$('#reconnect').click();
      await ada.sees('patience');
      assert.strictEqual(await ada.$('#state').textContent(), 'Connected');
    }),

  'a page from a name that the server does not know is told the same': inRoom(
    async (room) => {
      const ada = await room.person();
      ada.expected = unreachable;
      await ada.page.goto(`http://chat.test:${room.daemon.port}/`);
      await ada.status(refused);
      assert.ok(await ada.$('#reconnect').isVisible());
    }, [], '127.0.0.1'),

  'a server that wants no retry gets none': inRoom(async (room) => {
    const ada = await room.person();
    let calls = 0;
    await ada.page.routeWebSocket(/./, (socket) => {
      calls++;
      if (calls === 1)
        socket.onMessage(() => socket.close({ code: 4500, reason: 'banned' }));
    });
    await ada.page.goto(room.daemon.url);
    await ada.join('Ada');
    await ada.say('hello');
    await ada.status('Closed by the server: banned');
    await ada.$('#outbox .fate', { hasText: 'Not sent?' }).waitFor();
    await ada.hide(false);
    assert.strictEqual(calls, 1);
    await ada.$('#reconnect').click();
    await ada.connected();
    assert.strictEqual(calls, 2);
  }),

  'behind a prefix of a site it uses nothing else': inRoom(async (room) => {
    const server = await behindPrefix(room.daemon);
    room.servers.push(server);
    const url = `http://localhost:${server.address().port}/chat`;
    const [ada, bob] = [await room.person(), await room.person()];
    for (const [person, name] of [[ada, 'Ada'], [bob, 'Bob']]) {
      await person.page.goto(url);
      await person.join(name);
    }
    await ada.say('through the front door');
    await bob.sees('through the front door');
    for (const request of ada.requests)
      assert.match(request, /\/chat(\?asset=[a-z.]+)?$|^data:/);
  }),

  'what was said during a break arrives after it, once and in order': inFake(
    async (room, fake) => {
      const ada = await room.member('Ada', {}, 'garden?from=menu');
      const bob = await room.member('Bob', {}, 'garden');
      await ada.say('one');
      await bob.sees('one');
      await ada.sees('one');
      fake.holding = true;
      fake.say('/garden', { type: 'message', username: 'C', message: 'two' });
      await bob.say('three');
      await fake.received('three');
      fake.drop();
      await fake.greeted(4);
      fake.release();
      for (const person of [ada, bob]) {
        await person.sees('three');
        assert.deepStrictEqual(await person.texts(), ['one', 'two', 'three']);
        assert.strictEqual(await person.$('#outbox > *').count(), 0);
        assert.strictEqual(await person.$('.system').count(), 0);
      }
      assert.deepStrictEqual(fake.requests, ['/garden', '/garden',
        '/garden?epoch=epoch%201&since=1', '/garden?epoch=epoch%201&since=1']);
    }),

  'what is in flight when the connection breaks is decided by what comes back':
    inFake(async (room, fake) => {
      const ada = await room.member('Ada');
      fake.deaf = true;
      await ada.say('lost early');
      await fake.received('lost early');
      fake.deaf = false;
      fake.holding = true;
      await ada.say('relayed');
      await fake.received('relayed');
      fake.deaf = true;
      await ada.say('lost late');
      await fake.received('lost late');
      fake.deaf = false;
      fake.say('/', { type: 'system', message: 'the last' });
      fake.drop();
      await fate(ada, 'Perhaps sent').nth(2).waitFor();
      await fake.greeted(2);
      await ada.connected();
      assert.strictEqual(await fate(ada, 'Perhaps sent').count(), 3);
      fake.release();
      await ada.sees('relayed');
      await fate(ada, 'Not sent?').nth(1).waitFor();
      assert.deepStrictEqual(await ada.texts(),
        ['relayed', 'lost early', 'lost late']);
      await ada.$('#outbox').getByText('Retry').first().click();
      await ada.sees('lost early');
      await ada.$('#outbox').getByText('Retry').click();
      await ada.sees('lost late');
      assert.deepStrictEqual(await ada.texts(),
        ['relayed', 'lost early', 'lost late']);
    }),

  'what is in flight is not given up before the last of the missed': inFake(
    async (room, fake) => {
      const ada = await room.member('Ada');
      fake.holding = true;
      fake.say('/', { type: 'message', username: 'B', message: 'first' });
      await ada.say('mine');
      await fake.received('mine');
      await watchStates(ada);
      fake.drop();
      await fake.greeted(2);
      fake.release();
      await ada.sees('mine');
      assert.deepStrictEqual(await ada.texts(), ['first', 'mine']);
      assert.ok(!(await states(ada)).includes('lost'));
    }),

  'what is in flight is lost at once if nothing was missed': inFake(
    async (room, fake) => {
      const ada = await room.member('Ada');
      fake.deaf = true;
      await ada.say('into the void');
      await fake.received('into the void');
      fake.drop();
      await fate(ada, 'Not sent?').waitFor();
      assert.strictEqual(fake.requests[1], '/?epoch=epoch%201&since=0');
      assert.strictEqual(await ada.$('.system').count(), 0);
    }),

  'a server that has forgotten leaves a gap, and what was in flight': inFake(
    async (room, fake) => {
      const ada = await room.member('Ada');
      await ada.say('before');
      await ada.sees('before');
      assert.strictEqual(await ada.$('.system').count(), 0);
      fake.holding = true;
      await ada.say('in flight');
      await fake.received('in flight');
      fake.forget();
      fake.drop();
      await ada.$('#messages > .system', { hasText: gap }).waitFor();
      await fate(ada, 'Not sent?').waitFor();
      fake.release();
      await ada.say('after');
      await ada.sees('after');
      assert.deepStrictEqual(await ada.$('#messages > li').allTextContents()
        .then((lines) => lines.map((line) => line.replace(/.*:\d\d/, ''))),
      ['before', gap, 'after']);
      assert.ok(!await ada.message('after')
        .evaluate((item) => item.classList.contains('more')));
    }),

  'what is in flight is lost when the server wants no retry': inFake(
    async (room, fake) => {
      const ada = await room.member('Ada');
      fake.holding = true;
      await ada.say('hello');
      await fake.received('hello');
      for (const socket of fake.sockets.clients) socket.close(4500, 'banned');
      await ada.status('Closed by the server: banned');
      await fate(ada, 'Not sent?').waitFor();
      // It was relayed, and Ada may come back. Nothing is said against what
      // she says meanwhile.
      await ada.say('again');
      await fate(ada, 'Waiting').waitFor();
      await watchStates(ada);
      await ada.$('#reconnect').click();
      await fake.received('again');
      fake.release();
      await ada.sees('again');
      assert.deepStrictEqual(await ada.texts(), ['hello', 'again']);
      assert.ok(!(await states(ada)).includes('lost'));
    }),

  'what is long is compressed, both ways': inRoom(async (room) => {
    const relay = await room.relay();
    const ada = await room.memberAt(relay.url, 'Ada');
    const words = 'né 🙂 '.repeat(100);
    await ada.say(`${words}end`);
    await ada.sees(`${words}end`);
    const [{ asked, answered }] = relay.sockets;
    for (const head of [asked.head, answered.head])
      assert.match(head, /^Sec-WebSocket-Extensions: permessage-deflate/im);
    for (const { frames } of [asked, answered]) {
      const [{ length }] = frames.filter(({ deflated }) => deflated);
      assert.ok(length < words.length / 4, `${length} bytes`);
    }
    await ada.say('short');
    await ada.sees('short');
    assert.deepStrictEqual(await ada.texts(), [`${words}end`, 'short']);
  }, ['--announce=none']),

  'nothing that waits is thrown away without a word': inRoom(async (room) => {
    const ada = await room.member('Ada');
    ada.expected = unreachable;
    await room.daemon.end('SIGKILL');
    await ada.say('wait');
    await ada.$('#outbox .fate', { hasText: 'Waiting' }).waitFor();
    const asked = new Promise((resolve) => ada.page.on('dialog', (dialog) => {
      resolve(dialog.type());
      dialog.dismiss();
    }));
    await ada.page.close({ runBeforeUnload: true });
    assert.strictEqual(await asked, 'beforeunload');
    await room.daemon.restart();
    await ada.sees('wait');
  }),
};
