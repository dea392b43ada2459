// Tests that the page shows what PHP and curl publish over HTTP.
'use strict';

const assert = require('assert');
const { execFile } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { promisify } = require('util');
const { withDaemon } = require('./users');

const key = 'a-key-of-sixteen-characters-or-more';
const run = promisify(execFile);

// Returns a case with a daemon that accepts the publish key.
const withKey = (test) => async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'wschat-'));
  const file = path.join(folder, 'key');
  fs.writeFileSync(file, `${key}\n`);
  const options = ['--rooms', '--announce=none', `--publish-key=${file}`];
  try {
    await withDaemon(test, options)();
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
};

// Publishes by contrib/publish.php, and returns the receipt.
async function php({ port }, room, message) {
  const { stdout } = await run('php', ['-r', `
    require 'contrib/publish.php';
    echo json_encode(wschat_publish(json_decode($argv[2]), $argv[1]));`,
  '--', room, JSON.stringify(message)], { env: { ...process.env,
    WSCHAT_ADDRESS: `tcp://localhost:${port}`, WSCHAT_KEY: key } });
  return JSON.parse(stdout);
}

// Publishes by curl, and returns the receipt. A text is sent as it is.
async function curl({ url }, room, message, ...options) {
  const body = typeof message === 'string' ? message : JSON.stringify(message);
  const { stdout } = await run('curl', ['--silent', '--show-error', '--fail',
    '--header', `Authorization: Bearer ${key}`, ...options,
    '--data-binary', body, url + encodeURI(room.slice(1))]);
  return JSON.parse(stdout);
}

const note = (message) => ({ type: 'message', username: 'Site', message });
const announcement = { type: 'system', message: 'Back at noon' };

// Returns a case that publishes to two rooms and looks at both.
const showsMessagesOf = (publish) => withKey(async (chat) => {
  const users = [];
  for (const name of ['/', '/café/garden party']) {
    const user = await chat.join('Ada', {}, encodeURI(name.slice(1)));
    users.push(user);
    for (const [i, message] of [note(`for ${name}`), announcement].entries())
      assert.deepStrictEqual(await publish(chat.server, name, message),
        { room: name, clients: 1, number: i + 1 });
    await user.waitForMessage(`for ${name}`);
    await user.$('#messages > .system', { hasText: announcement.message })
      .waitFor();
  }
  for (const [user, name] of [[users[0], '/'],
    [users[1], '/café/garden party']])
    assert.deepStrictEqual(await user.texts(), [`for ${name}`]);
});

module.exports = {
  'the page shows what PHP publishes in its room': showsMessagesOf(php),

  'the page shows what curl publishes in its room': showsMessagesOf(curl),

  'curl publishes all lines of a body, or none of them': withKey(
    async (chat) => {
      const ada = await chat.join('Ada');
      const texts = Array.from({ length: 500 }, (_, i) => `line ${i}`);
      const lines = texts.map(note).map((value) => JSON.stringify(value));
      const type = ['--header', 'Content-Type: application/x-ndjson'];
      await assert.rejects(
        curl(chat.server, '/', [...lines, '{'].join('\n'), ...type),
        /error: 400/);
      assert.deepStrictEqual(
        await curl(chat.server, '/', lines.join('\n'), ...type),
        { room: '/', clients: 1, number: 500 });
      await ada.waitForMessage('line 499');
      assert.deepStrictEqual(await ada.texts(), texts);
    }),
};
