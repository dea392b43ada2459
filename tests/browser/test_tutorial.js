// Tests a page like that of the PHP tutorial: it uses no subprotocol and no
// ids, and is not served by the daemon.
'use strict';

const assert = require('assert');
const fs = require('fs');
const http = require('http');
const path = require('path');
const { pathToFileURL } = require('url');
const { withDaemon, connectFailed } = require('./users');

const page = path.join(__dirname, 'tutorial.html');
const socketUrl = ({ port }) => `ws://localhost:${port}/`;
const isConnected = () => socket.readyState === WebSocket.OPEN;
const isClosed = () => socket.readyState === WebSocket.CLOSED;

// Checks that two such pages and the page of the daemon exchange messages.
async function exchangeMessages(chat, url) {
  const [tutorial, other] =
    [await chat.newUser({}, url), await chat.newUser({}, url)];
  const ada = await chat.join('Ada');
  for (const user of [tutorial, other]) await user.waitUntil(isConnected);
  await tutorial.$('#message').fill('Hi <b>all</b>');
  await tutorial.$('button').click();
  await ada.waitForMessage('Hi <b>all</b>');
  await ada.send('Hello yourself');
  for (const user of [tutorial, other]) {
    await user.$('li', { hasText: 'Ada: Hello yourself' }).waitFor();
    assert.deepStrictEqual(await user.$('li').allTextContents(),
      ['Tutorial: Hi <b>all</b>', 'Ada: Hello yourself']);
  }
}

module.exports = {
  'a page opened from a file connects with --origin=null': withDaemon(
    (chat) => exchangeMessages(chat,
      `${pathToFileURL(page)}#${socketUrl(chat.server)}`),
    ['--origin=null']),

  'a page opened from a file is refused without --origin=null': withDaemon(
    async (chat) => {
      const tutorial = await chat.newUser({},
        `${pathToFileURL(page)}#${socketUrl(chat.server)}`);
      tutorial.expectedErrors = connectFailed;
      await tutorial.waitUntil(isClosed);
    }),

  'a page of another port of localhost connects': withDaemon(async (chat) => {
    const server = http.createServer((request, response) => {
      response.setHeader('Content-Type', 'text/html; charset=utf-8');
      response.statusCode = request.url === '/' ? 200 : 204;
      response.end(request.url === '/' ? fs.readFileSync(page) : '');
    });
    chat.resources.push(server);
    await new Promise((resolve) => server.listen(0, 'localhost', resolve));
    await exchangeMessages(chat, `http://localhost:${server.address().port}/` +
      `#${socketUrl(chat.server)}`);
  }),
};
