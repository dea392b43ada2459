// Tests the page and the daemon when the network between them breaks. The
// daemon sends the page the messages that it missed, as long as it keeps them.
'use strict';

const assert = require('assert');
const { once } = require('events');
const fs = require('fs');
const http = require('http');
const path = require('path');
const { withDaemon, connectFailed } = require('./users');
const { WsClient } = require('./ws_client');

const gapText = 'Some messages may be missing here.';
const quiet = ['--announce=none'];

// Returns a case with Ada's page behind a TCP proxy, and with another client
// that is connected to the daemon directly.
const behindProxy = (test, options = quiet) => withDaemon(async (chat) => {
  const proxy = await chat.startProxy();
  const ada = await chat.joinAt(proxy.url, 'Ada');
  ada.expectedErrors = connectFailed;
  const client = await WsClient.connect(chat.server.url);
  chat.resources.push(client);
  await test({ chat, proxy, ada, client });
}, options);

const systemMessages = (user) =>
  user.$('#messages > .system').allTextContents();

// Returns epoch and since of a WebSocket's request.
function resumeParameters({ request }) {
  const { searchParams } =
    new URL(request.head.split(' ')[1], 'http://localhost/');
  return [searchParams.get('epoch'), Number(searchParams.get('since'))];
}

// Starts a site with notify.html, which connects to the daemon, and with these
// alerts in alerts.json.
async function startSite(daemon, alerts) {
  const file = path.join(__dirname, '..', '..', 'contrib', 'notify.html');
  const page = fs.readFileSync(file, 'utf8')
    .replaceAll(/(https|wss):\/\/example.com:9600\//g, daemon.url);
  const server = http.createServer(({ url }, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(url === '/alerts.json' ? JSON.stringify(alerts) : page);
  });
  server.listen(0, 'localhost');
  await once(server, 'listening');
  return server;
}

module.exports = {
  'a page that is loaded again shows all that it has shown, and the draft':
    withDaemon(async (chat) => {
      const ada = await chat.join('Ada');
      await ada.inject({ type: 'message', username: 'Bob', message: 'hello' });
      await ada.send('hi Bob');
      await ada.waitForMessage('hi Bob');
      await ada.$('#text').fill('not yet');
      // What Bob's client did not tell the time of has none afterwards.
      const rows = async () =>
        (await ada.$('#messages > li').allTextContents())
          .map((row) => row.replace(/ \d+:\d\d( [AP]M)?/, ' '));
      const before = await rows();
      for (let i = 0; i < 2; i++) {
        await ada.page.reload();
        await ada.waitForMessage('hi Bob');
        assert.deepStrictEqual(await rows(), before);
        assert.ok(await ada.message('hi Bob')
          .evaluate((item) => item.classList.contains('own')));
        assert.strictEqual(await ada.$('#text').inputValue(), 'not yet');
      }
      await ada.send('again');
      await ada.waitForMessage('again');
      assert.deepStrictEqual(await systemMessages(ada), []);
    }, quiet),

  'a page that is loaded again says once if messages are missing':
    withDaemon(async (chat) => {
      const ada = await chat.join('Ada');
      await ada.send('lost');
      await ada.waitForMessage('lost');
      for (let i = 0; i < 3; i++)
        await ada.inject(
          { type: 'message', username: 'Bob', message: `number ${i}` });
      await ada.page.reload();
      await ada.$('#messages > .system', { hasText: gapText }).waitFor();
      await ada.page.reload();
      await ada.waitForConnection();
      await ada.send('here');
      await ada.waitForMessage('here');
      assert.deepStrictEqual(await systemMessages(ada), []);
    }, [...quiet, '--keep=2']),

  'messages sent while the connection breaks arrive once, and in order':
    behindProxy(async ({ proxy, ada, client }) => {
      for (let breaks = 1; breaks <= 3; breaks++) {
        await client.sendNumbers(20);
        const waitForDiscarded = proxy.discardResponses();
        // The daemon has sent these, and does not learn that the page has not
        // received them.
        await client.sendNumbers(10);
        await waitForDiscarded(10);
        proxy.breakConnections();
        await client.sendNumbers(10);
        proxy.repair();
        await proxy.waitForWebSockets(1 + breaks);
      }
      await client.sendNumbers(10);
      await ada.waitForMessage(client.lastText);
      assert.deepStrictEqual(await ada.texts(), client.texts);
      assert.deepStrictEqual(await systemMessages(ada), []);
      const [first, ...others] = proxy.webSockets.map(resumeParameters);
      assert.strictEqual(first[0], null);
      for (const [i, [epoch, since]] of others.entries()) {
        assert.ok(epoch);
        assert.ok(since < (i + 1) * 40 - 10, `${since} of ${i}`);
      }
    }),

  'an own message sent while the connection breaks is relayed once':
    behindProxy(async ({ proxy, ada, chat }) => {
      const bob = await chat.join('Bob');
      await ada.send('before');
      await ada.waitForMessage('before');
      proxy.discardResponses();
      await ada.send('into the break');
      await bob.waitForMessage('into the break');
      proxy.breakConnections();
      await ada.$('#outbox .fate', { hasText: 'Perhaps sent' }).waitFor();
      await ada.send('meanwhile');
      proxy.repair();
      for (const user of [ada, bob]) {
        await user.waitForMessage('meanwhile');
        assert.deepStrictEqual(await user.texts(),
          ['before', 'into the break', 'meanwhile']);
      }
      assert.strictEqual(await ada.$('#messages > .own').count(), 3);
      assert.strictEqual(await ada.$('#outbox > *').count(), 0);
    }),

  'the page abandons a frozen connection, and misses no message': withDaemon(
    async (chat) => {
      const proxy = await chat.startProxy();
      const ada = await chat.newUser();
      await ada.page.clock.install();
      await ada.page.goto(proxy.url);
      await ada.join('Ada');
      const client = await WsClient.connect(chat.server.url);
      chat.resources.push(client);
      await client.sendNumbers(5);
      await ada.waitForMessage(client.lastText);
      const resume = proxy.freeze();
      await client.sendNumbers(5);
      // The silence, the timeout of the ping, and the longest wait for a retry.
      for (const ms of [30000, 10000, 1000])
        await ada.page.clock.fastForward(ms + 1);
      await ada.waitForMessage(client.lastText);
      // The page ignores what the old connection still delivers.
      resume();
      await client.sendNumbers(1);
      await ada.waitForMessage(client.lastText);
      assert.deepStrictEqual(await ada.texts(), client.texts);
      assert.deepStrictEqual(await systemMessages(ada), []);
      assert.strictEqual(resumeParameters(proxy.webSockets[1])[1], 5);
    }, quiet),

  'the page shows a gap if it missed more than the daemon keeps': behindProxy(
    async ({ proxy, ada, client }) => {
      await client.sendNumbers(3);
      await ada.waitForMessage(client.lastText);
      proxy.breakConnections();
      await client.sendNumbers(20);
      proxy.repair();
      await ada.$('#messages > .system', { hasText: gapText }).waitFor();
      await client.sendNumbers(2);
      await ada.waitForMessage(client.lastText);
      // A client that does not resume receives the newest four.
      assert.deepStrictEqual(await ada.texts(),
        [...client.texts.slice(0, 3), ...client.texts.slice(-6)]);
      assert.deepStrictEqual(await systemMessages(ada), [gapText]);
    }, [...quiet, '--keep=5', '--history=4']),

  'the page shows a gap after the daemon was restarted': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      ada.expectedErrors = connectFailed;
      await ada.send('before');
      await ada.waitForMessage('before');
      await chat.server.end();
      await chat.server.restart();
      await ada.$('#messages > .system', { hasText: gapText }).waitFor();
      await ada.send('after');
      await ada.waitForMessage('after');
      assert.deepStrictEqual(await ada.texts(), ['before', 'after']);
      assert.deepStrictEqual(await systemMessages(ada), [gapText]);
    }, quiet),

  'notify.html loads its alerts again after the daemon was restarted':
    withDaemon(async (chat) => {
      const alerts = [{ message: 'old' }];
      const site = await startSite(chat.server, alerts);
      chat.resources.push(site);
      const ada =
        await chat.newUser({}, `http://localhost:${site.address().port}/`);
      ada.expectedErrors = connectFailed;
      const waitForItem = (text) => ada.$('li', { hasText: text }).waitFor();
      await waitForItem('old');
      await chat.server.end();
      alerts.push({ message: 'meanwhile' });
      await chat.server.restart();
      await waitForItem('meanwhile');
      assert.deepStrictEqual(await ada.$('li').allTextContents(),
        ['old', 'meanwhile']);
    }, [...quiet, '--rooms', '--origin=*']),
};
