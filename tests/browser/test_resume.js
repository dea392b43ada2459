// The page and the daemon, when what is between them breaks: the daemon knows
// what the page missed, as long as it keeps it.
'use strict';

const assert = require('assert');
const { once } = require('events');
const fs = require('fs');
const http = require('http');
const path = require('path');
const { inRoom, unreachable } = require('./people');
const { Voice } = require('./voice');

const gap = 'Some messages may be missing here.';
const quiet = ['--announce=none'];

// Ada behind a relay, and a voice that needs none.
const behindRelay = (happens, options = quiet) => inRoom(async (room) => {
  const relay = await room.relay();
  const ada = await room.memberAt(relay.url, 'Ada');
  ada.expected = unreachable;
  const voice = await Voice.join(room.daemon.url);
  room.servers.push(voice);
  await happens({ room, relay, ada, voice });
}, options);

const notices = (person) => person.$('#messages > .system').allTextContents();

// Where a WebSocket wanted to go on, as [epoch, number].
function place({ asked }) {
  const { searchParams } =
    new URL(asked.head.split(' ')[1], 'http://localhost/');
  return [searchParams.get('epoch'), Number(searchParams.get('since'))];
}

// A site that has notify.html, for the daemon, and the alerts in its state.
async function startSite(daemon, state) {
  const file = path.join(__dirname, '..', '..', 'contrib', 'notify.html');
  const page = fs.readFileSync(file, 'utf8')
    .replaceAll(/(https|wss):\/\/example.com:9600\//g, daemon.url);
  const server = http.createServer(({ url }, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(url === '/alerts.json' ? JSON.stringify(state) : page);
  });
  server.listen(0, 'localhost');
  await once(server, 'listening');
  return server;
}

module.exports = {
  'what flows while the connection breaks arrives once, and in order':
    behindRelay(async ({ relay, ada, voice }) => {
      for (let breaks = 1; breaks <= 3; breaks++) {
        await voice.count(20);
        const lost = relay.hold();
        // The daemon has sent these, and never hears that nobody got them.
        await voice.count(10);
        await lost(10);
        relay.cut();
        await voice.count(10);
        relay.mend();
        await relay.joined(1 + breaks);
      }
      await voice.count(10);
      await ada.sees(voice.last);
      assert.deepStrictEqual(await ada.texts(), voice.said);
      assert.deepStrictEqual(await notices(ada), []);
      const [first, ...others] = relay.sockets.map(place);
      assert.strictEqual(first[0], null);
      for (const [i, [epoch, since]] of others.entries()) {
        assert.ok(epoch);
        assert.ok(since < (i + 1) * 40 - 10, `${since} of ${i}`);
      }
    }),

  'what one says while the connection breaks is said once':
    behindRelay(async ({ relay, ada, room }) => {
      const bob = await room.member('Bob');
      await ada.say('before');
      await ada.sees('before');
      relay.hold();
      await ada.say('into the break');
      await bob.sees('into the break');
      relay.cut();
      await ada.$('#outbox .fate', { hasText: 'Perhaps sent' }).waitFor();
      await ada.say('meanwhile');
      relay.mend();
      for (const person of [ada, bob]) {
        await person.sees('meanwhile');
        assert.deepStrictEqual(await person.texts(),
          ['before', 'into the break', 'meanwhile']);
      }
      assert.strictEqual(await ada.$('#messages > .own').count(), 3);
      assert.strictEqual(await ada.$('#outbox > *').count(), 0);
    }),

  'a connection that dies without a word is given up, and nothing is missed':
    inRoom(async (room) => {
      const relay = await room.relay();
      const ada = await room.person();
      await ada.page.clock.install();
      await ada.page.goto(relay.url);
      await ada.join('Ada');
      const voice = await Voice.join(room.daemon.url);
      room.servers.push(voice);
      await voice.count(5);
      await ada.sees(voice.last);
      const thaw = relay.freeze();
      await voice.count(5);
      // Silence, no answer to the ping, and the longest wait for a retry.
      for (const ms of [30000, 10000, 1000])
        await ada.page.clock.fastForward(ms + 1);
      await ada.sees(voice.last);
      // What the dead one still brings is not heard.
      thaw();
      await voice.count(1);
      await ada.sees(voice.last);
      assert.deepStrictEqual(await ada.texts(), voice.said);
      assert.deepStrictEqual(await notices(ada), []);
      assert.strictEqual(place(relay.sockets[1])[1], 5);
    }, quiet),

  'where more was missed than is kept, the page says so':
    behindRelay(async ({ relay, ada, voice }) => {
      await voice.count(3);
      await ada.sees(voice.last);
      relay.cut();
      await voice.count(20);
      relay.mend();
      await ada.$('#messages > .system', { hasText: gap }).waitFor();
      await voice.count(2);
      await ada.sees(voice.last);
      // Newcomers get four.
      assert.deepStrictEqual(await ada.texts(),
        [...voice.said.slice(0, 3), ...voice.said.slice(-6)]);
      assert.deepStrictEqual(await notices(ada), [gap]);
    }, [...quiet, '--keep=5', '--history=4']),

  'a daemon that was restarted has forgotten, and the page says so': inRoom(
    async (room) => {
      const ada = await room.member('Ada');
      ada.expected = unreachable;
      await ada.say('before');
      await ada.sees('before');
      await room.daemon.end();
      await room.daemon.restart();
      await ada.$('#messages > .system', { hasText: gap }).waitFor();
      await ada.say('after');
      await ada.sees('after');
      assert.deepStrictEqual(await ada.texts(), ['before', 'after']);
      assert.deepStrictEqual(await notices(ada), [gap]);
    }, quiet),

  'notify.html loads anew what a daemon that was restarted has forgotten':
    inRoom(async (room) => {
      const state = [{ message: 'old' }];
      const site = await startSite(room.daemon, state);
      room.servers.push(site);
      const ada =
        await room.person({}, `http://localhost:${site.address().port}/`);
      ada.expected = unreachable;
      const lists = (text) => ada.$('li', { hasText: text }).waitFor();
      await lists('old');
      await room.daemon.end();
      state.push({ message: 'meanwhile' });
      await room.daemon.restart();
      await lists('meanwhile');
      assert.deepStrictEqual(await ada.$('li').allTextContents(),
        ['old', 'meanwhile']);
    }, [...quiet, '--rooms', '--origin=*']),
};
