// What PHP and curl publish over HTTP, on the page.
'use strict';

const assert = require('assert');
const { execFile } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { promisify } = require('util');
const { inRoom } = require('./people');

const key = 'a-key-of-sixteen-characters-or-more';
const run = promisify(execFile);

// A daemon with that key in a file.
const withKey = (happens) => async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'wschat-'));
  const file = path.join(folder, 'key');
  fs.writeFileSync(file, `${key}\n`);
  const options = ['--rooms', '--announce=none', `--publish-key=${file}`];
  try {
    await inRoom(happens, options)();
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
};

async function php({ port }, room, message) {
  const { stdout } = await run('php', ['-r', `
    require 'contrib/publish.php';
    echo json_encode(wschat_publish(json_decode($argv[2]), $argv[1]));`,
  '--', room, JSON.stringify(message)], { env: { ...process.env,
    WSCHAT_ADDRESS: `tcp://localhost:${port}`, WSCHAT_KEY: key } });
  return JSON.parse(stdout);
}

async function curl({ url }, room, message, ...options) {
  const body = typeof message === 'string' ? message : JSON.stringify(message);
  const { stdout } = await run('curl', ['--silent', '--show-error', '--fail',
    '--header', `Authorization: Bearer ${key}`, ...options,
    '--data-binary', body, url + encodeURI(room.slice(1))]);
  return JSON.parse(stdout);
}

const note = (message) => ({ type: 'message', username: 'Site', message });
const news = { type: 'system', message: 'Back at noon' };

const publishes = (publish) => withKey(async (room) => {
  const people = [];
  for (const name of ['/', '/café/garden party']) {
    const person = await room.member('Ada', {}, encodeURI(name.slice(1)));
    people.push(person);
    for (const [i, message] of [note(`for ${name}`), news].entries())
      assert.deepStrictEqual(await publish(room.daemon, name, message),
        { room: name, clients: 1, number: i + 1 });
    await person.sees(`for ${name}`);
    await person.$('#messages > .system', { hasText: news.message }).waitFor();
  }
  for (const [person, name] of [[people[0], '/'],
    [people[1], '/café/garden party']])
    assert.deepStrictEqual(await person.texts(), [`for ${name}`]);
});

module.exports = {
  'what PHP publishes is shown in its room': publishes(php),

  'what curl publishes is shown in its room': publishes(curl),

  'curl publishes many at once, a line each, or none': withKey(
    async (room) => {
      const ada = await room.member('Ada');
      const words = Array.from({ length: 500 }, (_, i) => `line ${i}`);
      const lines = words.map(note).map((value) => JSON.stringify(value));
      const type = ['--header', 'Content-Type: application/x-ndjson'];
      await assert.rejects(
        curl(room.daemon, '/', [...lines, '{'].join('\n'), ...type),
        /error: 400/);
      assert.deepStrictEqual(
        await curl(room.daemon, '/', lines.join('\n'), ...type),
        { room: '/', clients: 1, number: 500 });
      await ada.sees('line 499');
      assert.deepStrictEqual(await ada.texts(), words);
    }),
};
