// A page as the tutorial has it: no subprotocol, no ids, and it comes from
// anywhere but the daemon.
'use strict';

const assert = require('assert');
const fs = require('fs');
const http = require('http');
const path = require('path');
const { pathToFileURL } = require('url');
const { inRoom, unreachable } = require('./people');

const page = path.join(__dirname, 'tutorial.html');
const socketUrl = ({ port }) => `ws://localhost:${port}/`;
const connected = () => socket.readyState === WebSocket.OPEN;
const closed = () => socket.readyState === WebSocket.CLOSED;

// Two of them chat, and the daemon's own page with them.
async function chat(room, url) {
  const [old, other] =
    [await room.person({}, url), await room.person({}, url)];
  const ada = await room.member('Ada');
  for (const person of [old, other]) await person.until(connected);
  await old.$('#message').fill('Hi <b>all</b>');
  await old.$('button').click();
  await ada.sees('Hi <b>all</b>');
  await ada.say('Hello yourself');
  for (const person of [old, other]) {
    await person.$('li', { hasText: 'Ada: Hello yourself' }).waitFor();
    assert.deepStrictEqual(await person.$('li').allTextContents(),
      ['Tutorial: Hi <b>all</b>', 'Ada: Hello yourself']);
  }
}

module.exports = {
  'opened from a file, with --origin=null': inRoom(
    (room) => chat(room, `${pathToFileURL(page)}#${socketUrl(room.daemon)}`),
    ['--origin=null']),

  'opened from a file, without it': inRoom(async (room) => {
    const old = await room.person({},
      `${pathToFileURL(page)}#${socketUrl(room.daemon)}`);
    old.expected = unreachable;
    await old.until(closed);
  }),

  'from another port of localhost': inRoom(async (room) => {
    const server = http.createServer((request, response) => {
      response.setHeader('Content-Type', 'text/html; charset=utf-8');
      response.statusCode = request.url === '/' ? 200 : 204;
      response.end(request.url === '/' ? fs.readFileSync(page) : '');
    });
    room.servers.push(server);
    await new Promise((resolve) => server.listen(0, 'localhost', resolve));
    await chat(room, `http://localhost:${server.address().port}/` +
      `#${socketUrl(room.daemon)}`);
  }),
};
