// Tests the page with the rooms of the daemon, and the count of online users.
'use strict';

const assert = require('assert');
const { withDaemon } = require('./users');
const { WsClient } = require('./ws_client');

const rooms = ['--rooms', '--announce=none'];
const waitForHeading = (user, text) =>
  user.$('h1').getByText(text, { exact: true }).waitFor();

module.exports = {
  'a room receives only its own messages': withDaemon(async (chat) => {
    const ada = await chat.join('Ada', {}, 'garden');
    const bob = await chat.join('Bob', {}, 'caf%C3%A9/garden%20party');
    const eve = await chat.join('Eve');
    await waitForHeading(ada, '/garden');
    await waitForHeading(bob, '/café/garden party');
    await waitForHeading(eve, 'wschat');
    const users = [[ada, 'in the garden'], [bob, 'at the party'],
      [eve, 'outside']];
    for (const [user, text] of users) await user.send(text);
    for (const [user] of users) {
      await user.send('and more');
      await user.waitForMessage('and more');
    }
    for (const [user, text] of users)
      assert.deepStrictEqual(await user.texts(), [text, 'and more']);
  }, rooms),

  'paths that differ only in escapes lead to the same room': withDaemon(
    async (chat) => {
      for (const [name, ...paths] of [
        ['/café', 'café', 'caf%C3%A9', 'c%61f%c3%a9'],
        ['/a b', 'a b', 'a%20b'],
        ['/a~b', 'a~b', 'a%7Eb'],
      ]) {
        const users = [];
        for (const path of paths) {
          users.push(await chat.join('Ada', {}, path));
          await waitForHeading(users[users.length - 1], name);
        }
        await users[0].send(name);
        for (const user of users) await user.waitForMessage(name);
      }
    }, rooms),

  'an escaped percent sign in a path is part of the name': withDaemon(
    async (chat) => {
      for (const [name, path] of [['/a%41', 'a%2541'], ['/50%', '50%25']]) {
        const ada = await chat.openPage({}, path);
        await waitForHeading(ada, name);
      }
    }, rooms),

  'without --rooms every path leads to the same room': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      const client = await WsClient.connect(`${chat.server.url}garden`);
      chat.resources.push(client);
      await client.sendNumbers(1);
      await ada.waitForMessage(client.lastText);
      await waitForHeading(ada, 'wschat');
    }),

  'the header shows how many users are online': withDaemon(async (chat) => {
    const online = (user, count) => user.$('#here')
      .getByText(count === 1 ? 'Only you' : `${count} here`, { exact: true })
      .waitFor();
    const ada = await chat.join('Ada', {}, 'garden');
    await online(ada, 1);
    const bob = await chat.join('Bob', {}, 'garden');
    await chat.join('Eve', {}, 'kitchen');
    await online(ada, 2);
    await bob.send('hello');
    await ada.waitForMessage('hello');
    await bob.context.close();
    await online(ada, 1);
    assert.strictEqual(await ada.$('#messages > .system').count(), 0);
  }, ['--rooms', '--announce=count']),
};
