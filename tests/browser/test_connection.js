// Tests the page when its server is killed, restarted, or refuses it.
'use strict';

const assert = require('assert');
const http = require('http');
const net = require('net');
const { withFakeServer, withDaemon, connectFailed } = require('./users');

const refusedText = 'Can’t connect. Trying again…';

async function waitForConnections(users) {
  await Promise.all(users.map((user) => user.waitForConnection(5000)));
}

// Records from now on which states the own messages of a user get.
const recordStates = (user) => user.evaluate(() => {
  window.states = [];
  new MutationObserver((changes) => {
    for (const { target } of changes) window.states.push(target.dataset.state);
  }).observe(document.getElementById('outbox'),
    { subtree: true, attributeFilter: ['data-state'] });
});

const recordedStates = (user) => user.evaluate(() => window.states);

// Starts a web server that forwards the path /chat to the daemon. All other
// paths are 404.
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

const gapText = 'Some messages may be missing here.';
// Returns the notes below own messages that were not relayed.
const fate = (user, text) =>
  user.$('#outbox .fate', { hasText: text });

module.exports = {
  'the page reconnects to a killed server, and keeps the text being typed':
    withDaemon(async (chat) => {
      const ada = await chat.join('Ada');
      const bob = await chat.join('Bob');
      ada.expectedErrors = bob.expectedErrors = connectFailed;
      await ada.send('before');
      await bob.waitForMessage('before');
      await bob.$('#text').pressSequentially('half a sen');
      await chat.server.end('SIGKILL');
      await ada.waitForState('Reconnecting…');
      await bob.waitForState('Reconnecting…');
      await ada.send('meanwhile one');
      await ada.send('meanwhile two');
      await bob.$('#text').pressSequentially('tence');
      await chat.server.restart();
      await waitForConnections([ada, bob]);
      await ada.waitForMessage('meanwhile two');
      await bob.$('#text').press('Enter');
      await ada.waitForMessage('half a sentence');
      await bob.waitForMessage('half a sentence');
      assert.deepStrictEqual(await ada.texts(),
        ['before', 'meanwhile one', 'meanwhile two', 'half a sentence']);
      assert.strictEqual(await ada.$('#outbox > *').count(), 0);
    }),

  'the page also reconnects to a server that was stopped by SIGTERM':
    withDaemon(async (chat) => {
      const ada = await chat.join('Ada');
      ada.expectedErrors = connectFailed;
      await chat.server.end('SIGTERM');
      await ada.waitForState('Reconnecting…');
      assert.strictEqual(await ada.$('#notice').textContent(), '');
      await chat.server.restart();
      await ada.waitForConnection(5000);
    }),

  'a message that was not relayed is marked, and sent again only on Retry':
    withDaemon(async (chat) => {
      const ada = await chat.join('Ada');
      const bob = await chat.join('Bob');
      ada.expectedErrors = bob.expectedErrors = connectFailed;
      // The kernel accepts the messages, but the daemon never reads them.
      chat.server.signal('SIGSTOP');
      await ada.send('into the void');
      await ada.send('and more');
      assert.deepStrictEqual(await ada.$('#outbox > li').evaluateAll(
        (items) => items.map((item) => item.dataset.state)), ['sent', 'sent']);
      await chat.server.end('SIGKILL');
      await chat.server.restart();
      await waitForConnections([ada, bob]);
      const fates = fate(ada, 'Not sent?');
      await fates.nth(1).waitFor();
      await ada.$('[role=status]', { hasText: 'may not have been sent' })
        .waitFor({ state: 'attached' });
      await bob.send('anybody?');
      await ada.waitForMessage('anybody?');
      assert.deepStrictEqual(await bob.texts(), ['anybody?']);
      assert.strictEqual(await fates.count(), 2);
      await ada.$('#outbox').getByText('Retry').first().click();
      await ada.waitForMessage('into the void');
      await bob.waitForMessage('into the void');
      await ada.$('#outbox').getByText('Discard').click();
      await ada.send('over');
      await bob.waitForMessage('over');
      for (const user of [ada, bob])
        assert.deepStrictEqual(await user.texts(),
          ['anybody?', 'into the void', 'over']);
      assert.strictEqual(await ada.$('#spoken').textContent(), '');
    }),

  'Retry without a connection waits for one': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    ada.expectedErrors = connectFailed;
    chat.server.signal('SIGSTOP');
    await ada.send('patience');
    await chat.server.end('SIGKILL');
    await chat.server.restart();
    await fate(ada, 'Not sent?').waitFor();
    await ada.waitForConnection();
    await chat.server.end('SIGKILL');
    await ada.waitForState('Reconnecting…');
    await ada.$('#outbox').getByText('Retry').click();
    await fate(ada, /^Waiting for a connection$/).waitFor();
    await chat.server.restart();
    await ada.waitForMessage('patience');
    assert.deepStrictEqual(await ada.texts(), ['patience']);
  }),

  'a message is marked if the server relays a later one without it': withDaemon(
    async (chat) => {
      const ada = await chat.newUser();
      await ada.page.routeWebSocket(/./, (socket) => {
        socket.onMessage((text) => {
          if (!text.includes('ignored')) socket.send(text);
        });
      });
      await ada.page.goto(chat.server.url);
      await ada.join('Ada');
      await ada.send('ignored');
      await ada.send('relayed');
      await ada.waitForMessage('relayed');
      await ada.$('#outbox > [data-state=lost]', { hasText: 'ignored' })
        .waitFor();
      assert.deepStrictEqual(await ada.texts(), ['relayed', 'ignored']);
    }),

  'a page that cannot connect says so, and connects on Try now': withDaemon(
    async (chat) => {
      const ada = await chat.newUser();
      ada.expectedErrors = connectFailed;
      await ada.page.clock.install();
      // The server is killed after the page was loaded, before it connects.
      await ada.page.route(/asset=chat\.js/, async (route) => {
        const script = await route.fetch();
        await chat.server.end('SIGKILL');
        await route.fulfill({ response: script });
      });
      await ada.page.goto(chat.server.url);
      await ada.waitForState(refusedText);
      await ada.$('#name').fill('Ada');
      await ada.$('#name').press('Enter');
      await ada.send('patience');
      await ada.$('#outbox .fate', { hasText: 'Waiting' }).waitFor();
      // No retry comes before the click.
      await ada.page.clock.pauseAt(await ada.evaluate(() => Date.now() + 1000));
      await chat.server.restart();
      await ada.$('#reconnect').click();
      await ada.waitForMessage('patience');
      assert.strictEqual(await ada.$('#state').textContent(), 'Connected');
    }),

  'a page from an unknown host name says that it was refused': withDaemon(
    async (chat) => {
      const ada = await chat.newUser();
      ada.expectedErrors = connectFailed;
      await ada.page.goto(`http://chat.test:${chat.server.port}/`);
      await ada.waitForState(refusedText);
      assert.ok(await ada.$('#reconnect').isVisible());
    }, [], '127.0.0.1'),

  'close code 4500 stops the page from reconnecting': withDaemon(
    async (chat) => {
      const ada = await chat.newUser();
      let connections = 0;
      await ada.page.routeWebSocket(/./, (socket) => {
        connections++;
        if (connections === 1)
          socket.onMessage(
            () => socket.close({ code: 4500, reason: 'banned' }));
      });
      await ada.page.goto(chat.server.url);
      await ada.join('Ada');
      await ada.send('hello');
      await ada.waitForState('Closed by the server: banned');
      await ada.$('#outbox .fate', { hasText: 'Not sent?' }).waitFor();
      await ada.setHidden(false);
      assert.strictEqual(connections, 1);
      await ada.$('#reconnect').click();
      await ada.waitForConnection();
      assert.strictEqual(connections, 2);
    }),

  'behind a path prefix the page requests only that path': withDaemon(
    async (chat) => {
      const server = await behindPrefix(chat.server);
      chat.resources.push(server);
      const url = `http://localhost:${server.address().port}/chat`;
      const [ada, bob] = [await chat.newUser(), await chat.newUser()];
      for (const [user, name] of [[ada, 'Ada'], [bob, 'Bob']]) {
        await user.page.goto(url);
        await user.join(name);
      }
      await ada.send('through the front door');
      await bob.waitForMessage('through the front door');
      for (const request of ada.requests)
        assert.match(request, /\/chat(\?asset=[a-z.]+)?$|^data:/);
    }),

  'messages that were missed arrive later, once and in order': withFakeServer(
    async (chat, server) => {
      const ada = await chat.join('Ada', {}, 'garden?from=menu');
      const bob = await chat.join('Bob', {}, 'garden');
      await ada.send('one');
      await bob.waitForMessage('one');
      await ada.waitForMessage('one');
      server.holding = true;
      server.publish('/garden',
        { type: 'message', username: 'C', message: 'two' });
      await bob.send('three');
      await server.waitForText('three');
      server.dropConnections();
      await server.waitForWebSockets(4);
      server.release();
      for (const user of [ada, bob]) {
        await user.waitForMessage('three');
        assert.deepStrictEqual(await user.texts(), ['one', 'two', 'three']);
        assert.strictEqual(await user.$('#outbox > *').count(), 0);
        assert.strictEqual(await user.$('.system').count(), 0);
      }
      assert.deepStrictEqual(server.requests, ['/garden', '/garden',
        '/garden?epoch=epoch%201&since=1', '/garden?epoch=epoch%201&since=1']);
    }),

  'missed messages decide which messages in flight were lost': withFakeServer(
    async (chat, server) => {
      const ada = await chat.join('Ada');
      server.discarding = true;
      await ada.send('lost early');
      await server.waitForText('lost early');
      server.discarding = false;
      server.holding = true;
      await ada.send('relayed');
      await server.waitForText('relayed');
      server.discarding = true;
      await ada.send('lost late');
      await server.waitForText('lost late');
      server.discarding = false;
      server.publish('/', { type: 'system', message: 'the last' });
      server.dropConnections();
      await fate(ada, 'Perhaps sent').nth(2).waitFor();
      await server.waitForWebSockets(2);
      await ada.waitForConnection();
      assert.strictEqual(await fate(ada, 'Perhaps sent').count(), 3);
      server.release();
      await ada.waitForMessage('relayed');
      await fate(ada, 'Not sent?').nth(1).waitFor();
      assert.deepStrictEqual(await ada.texts(),
        ['relayed', 'lost early', 'lost late']);
      await ada.$('#outbox').getByText('Retry').first().click();
      await ada.waitForMessage('lost early');
      await ada.$('#outbox').getByText('Retry').click();
      await ada.waitForMessage('lost late');
      assert.deepStrictEqual(await ada.texts(),
        ['relayed', 'lost early', 'lost late']);
    }),

  'messages in flight are not lost before the last missed message arrived':
    withFakeServer(async (chat, server) => {
      const ada = await chat.join('Ada');
      server.holding = true;
      server.publish('/', { type: 'message', username: 'B', message: 'first' });
      await ada.send('mine');
      await server.waitForText('mine');
      await recordStates(ada);
      server.dropConnections();
      await server.waitForWebSockets(2);
      server.release();
      await ada.waitForMessage('mine');
      assert.deepStrictEqual(await ada.texts(), ['first', 'mine']);
      assert.ok(!(await recordedStates(ada)).includes('lost'));
    }),

  'messages in flight are lost at once if the page missed none': withFakeServer(
    async (chat, server) => {
      const ada = await chat.join('Ada');
      server.discarding = true;
      await ada.send('into the void');
      await server.waitForText('into the void');
      server.dropConnections();
      await fate(ada, 'Not sent?').waitFor();
      assert.strictEqual(server.requests[1], '/?epoch=epoch%201&since=0');
      assert.strictEqual(await ada.$('.system').count(), 0);
    }),

  'after a new epoch the page shows a gap, and messages in flight are lost':
    withFakeServer(async (chat, server) => {
      const ada = await chat.join('Ada');
      await ada.send('before');
      await ada.waitForMessage('before');
      assert.strictEqual(await ada.$('.system').count(), 0);
      server.holding = true;
      await ada.send('in flight');
      await server.waitForText('in flight');
      server.startNewEpochs();
      server.dropConnections();
      await ada.$('#messages > .system', { hasText: gapText }).waitFor();
      await fate(ada, 'Not sent?').waitFor();
      server.release();
      await ada.send('after');
      await ada.waitForMessage('after');
      assert.deepStrictEqual(await ada.$('#messages > li').allTextContents()
        .then((lines) => lines.map((line) => line.replace(/.*:\d\d/, ''))),
      ['before', gapText, 'after']);
      assert.ok(!await ada.message('after')
        .evaluate((item) => item.classList.contains('more')));
    }),

  'messages in flight are lost after close code 4500': withFakeServer(
    async (chat, server) => {
      const ada = await chat.join('Ada');
      server.holding = true;
      await ada.send('hello');
      await server.waitForText('hello');
      for (const socket of server.sockets.clients) socket.close(4500, 'banned');
      await ada.waitForState('Closed by the server: banned');
      await fate(ada, 'Not sent?').waitFor();
      // The message was relayed. After a reconnect the page receives it, and
      // must not mark the message that was sent meanwhile as lost.
      await ada.send('again');
      await fate(ada, 'Waiting').waitFor();
      await recordStates(ada);
      await ada.$('#reconnect').click();
      await server.waitForText('again');
      server.release();
      await ada.waitForMessage('again');
      assert.deepStrictEqual(await ada.texts(), ['hello', 'again']);
      assert.ok(!(await recordedStates(ada)).includes('lost'));
    }),

  'long messages are compressed in both directions': withDaemon(
    async (chat) => {
      const proxy = await chat.startProxy();
      const ada = await chat.joinAt(proxy.url, 'Ada');
      const text = 'né 🙂 '.repeat(100);
      await ada.send(`${text}end`);
      await ada.waitForMessage(`${text}end`);
      const [{ request, response }] = proxy.webSockets;
      for (const head of [request.head, response.head])
        assert.match(head, /^Sec-WebSocket-Extensions: permessage-deflate/im);
      for (const { frames } of [request, response]) {
        const [{ length }] = frames.filter(({ deflated }) => deflated);
        assert.ok(length < text.length / 4, `${length} bytes`);
      }
      await ada.send('short');
      await ada.waitForMessage('short');
      assert.deepStrictEqual(await ada.texts(), [`${text}end`, 'short']);
    }, ['--announce=none']),

  'the browser asks before it closes a page with unsent messages': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      ada.expectedErrors = connectFailed;
      await chat.server.end('SIGKILL');
      await ada.waitForState('Reconnecting…');
      await ada.send('wait');
      await ada.$('#outbox .fate', { hasText: 'Waiting' }).waitFor();
      const asked = new Promise((resolve) => ada.page.on('dialog', (dialog) => {
        resolve(dialog.type());
        dialog.dismiss();
      }));
      await ada.page.close({ runBeforeUnload: true });
      assert.strictEqual(await asked, 'beforeunload');
      await chat.server.restart();
      await ada.waitForMessage('wait');
    }),
};
