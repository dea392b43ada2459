// Tests the HTML pages of contrib/, with the URL of the fake server in place of
// example.com.
'use strict';

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { withFakeServer } = require('./users');

const folder = path.join(__dirname, '..', '..', 'contrib');

// Serves a page of contrib/, opens it as a new user, and waits until it is
// connected.
async function open(chat, server, name) {
  server.files.set(`/${name}`, fs.readFileSync(path.join(folder, name), 'utf8')
    .replaceAll('https://example.com:9600/', server.url)
    .replaceAll('wss://example.com:9600/', server.url));
  const user = await chat.newUser({}, server.url + name);
  await server.waitForWebSockets(1);
  return user;
}

const alert = (message) => ({ message });
const texts = (user, selector) => user.$(selector).allTextContents();
const waitForItem = (user, text) =>
  user.$('li', { hasText: text }).first().waitFor();

module.exports = {
  'notify.html shows the stored alerts, and new ones': withFakeServer(
    async (chat, server) => {
      server.files.set('/alerts.json',
        JSON.stringify(['one', 'two'].map(alert)));
      const ada = await open(chat, server, 'notify.html');
      await waitForItem(ada, 'two');
      server.publish('/', alert('of another room'));
      server.publish('/alerts', alert('<img src=x onerror="hacked = true">'),
        5, null, { level: 3 }, alert('end'));
      await waitForItem(ada, 'end');
      assert.deepStrictEqual(await texts(ada, 'li'), ['one', 'two',
        '<img src=x onerror="hacked = true">', '5', 'null', '{"level":3}',
        'end']);
      assert.strictEqual(await ada.$('img').count(), 0);
    }),

  'notify.html receives missed alerts, or loads them again after a gap':
    withFakeServer(async (chat, server) => {
      server.files.set('/alerts.json', JSON.stringify([alert('old')]));
      const ada = await open(chat, server, 'notify.html');
      await waitForItem(ada, 'old');
      server.publish('/alerts', alert('live'));
      await waitForItem(ada, 'live');
      server.dropConnections();
      server.publish('/alerts', alert('meanwhile'));
      await waitForItem(ada, 'meanwhile');
      assert.deepStrictEqual(await texts(ada, 'li'),
        ['old', 'live', 'meanwhile']);
      server.files.set('/alerts.json',
        JSON.stringify(['live', 'meanwhile', 'missed'].map(alert)));
      server.startNewEpochs();
      server.dropConnections();
      await waitForItem(ada, 'missed');
      server.publish('/alerts', alert('new'));
      await waitForItem(ada, 'new');
      assert.deepStrictEqual(await texts(ada, 'li'),
        ['live', 'meanwhile', 'missed', 'new']);
    }),

  'embed.html sends and shows messages': withFakeServer(
    async (chat, server) => {
      const ada = await open(chat, server, 'embed.html');
      await waitForItem(ada, 'open');
      await ada.$('#text').fill('Hi <b>all</b>');
      await ada.$('button').click();
      await waitForItem(ada, 'Guest: Hi <b>all</b>');
      assert.deepStrictEqual(await texts(ada, 'li'),
        ['open', 'Guest: Hi <b>all</b>']);
    }),
};
