// Tests the scripts of contrib/, and wschat's own TLS without a proxy.
'use strict';

const assert = require('assert');
const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');
const WebSocket = require('ws');

const { startDaemon, isInstalled, makeScratchDirectory } = require('./program');

// Runs a command; resolves with its status and its output.
function run(command, args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env: { ...process.env, ...env } });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text) => { output += text; });
    child.on('close', (status) => resolve({ status, output }));
  });
}

const publish = (...args) => run('php', ['-r',
  `require 'contrib/publish.php'; wschat_publish(${args.join(', ')});`]);

const key = 'a-key-of-sixteen-characters-or-more';

const makeKeyFile = () => {
  const file = path.join(makeScratchDirectory(), 'key');
  fs.writeFileSync(file, `${key}\n`);
  return file;
};

// Returns the options of wschat_publish() as PHP.
const publishOptions = (address, publishKey = key) =>
  `['address' => '${address}', 'key' => '${publishKey}']`;

// Connects to the url, runs a command that must succeed without output, and
// returns the next message.
async function receiveDuring(url, command) {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.on('open', resolve);
    socket.on('error', reject);
  });
  const message = new Promise((resolve) => socket.on('message', resolve));
  const outcome = await command();
  assert.equal(outcome.status, 0, outcome.output);
  assert.equal(outcome.output, '');
  const text = String(await message);
  socket.terminate();
  return JSON.parse(text);
}

// Starts wschat with a new certificate; file is the certificate.
async function startTls() {
  const directory = makeScratchDirectory();
  const at = (name) => path.join(directory, name);
  const made = await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048',
    '-nodes', '-keyout', at('key.pem'), '-out', at('cert.pem'), '-days', '2',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']);
  assert.equal(made.status, 0, made.output);
  const daemon = await startDaemon(['--announce=none',
    `--tls-cert=${at('cert.pem')}`, `--tls-key=${at('key.pem')}`,
    'localhost', '0']);
  return { daemon, file: at('cert.pem') };
}

const cases = {
  'the node package ws connects to wschat over wss': async () => {
    const { daemon, file } = await startTls();
    const url = `wss://localhost:${daemon.port}/`;
    const socket = new WebSocket(url, { ca: fs.readFileSync(file),
      origin: `https://localhost:${daemon.port}` });
    await new Promise((resolve, reject) => {
      socket.on('open', resolve);
      socket.on('error', reject);
    });
    const message = new Promise((resolve) => socket.on('message', resolve));
    socket.send('{"a":1}');
    assert.equal(String(await message), '{"a":1}');
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.close(1000);
    assert.equal(await closed, 1000);
    await daemon.end();
  },

  'openssl s_client verifies the certificate and gets the page': async () => {
    const { daemon, file } = await startTls();
    const { output } = await run('sh', ['-c',
      "printf 'GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n' | openssl s_client " +
      `-connect localhost:${daemon.port} -CAfile ${file} -verify_return_error ` +
      '-verify_hostname localhost -ign_eof -alpn h2,http/1.1']);
    assert.match(output, /Verify return code: 0 \(ok\)/);
    assert.match(output, /ALPN protocol: http\/1\.1/);
    assert.match(output, /HTTP\/1\.1 200 OK/);
    assert.match(output, /<title>wschat<\/title>/);
    await daemon.end();
  },

  'publish.php publishes over TCP and over a unix socket': async () => {
    const file = path.join(makeScratchDirectory(), 'chat.sock');
    const daemon = await startDaemon(['--announce=none', '--bind=127.0.0.1',
      `--bind=unix:${file}`, '--rooms', `--publish-key=${makeKeyFile()}`,
      'localhost', '0']);
    const port = /127\.0\.0\.1:(\d+)/.exec(daemon.log)[1];
    for (const address of [`tcp://127.0.0.1:${port}`, `unix://${file}`])
      assert.deepEqual(
        await receiveDuring(`ws://127.0.0.1:${port}/k%C3%B6ln`,
          () => publish("['type' => 'news', 'id' => 17]", "'/köln'",
            publishOptions(address))),
        { type: 'news', id: 17 });
    await daemon.end();
  },

  'publish.php reports errors': async () => {
    const daemon =
      await startDaemon([`--publish-key=${makeKeyFile()}`, '127.0.0.1', '0']);
    const address = `tcp://127.0.0.1:${daemon.port}`;
    const reserved = await publish("['type' => 'error']", "'/'",
      publishOptions(address));
    assert.match(reserved.output,
      /400 not relayed: the type "error" is reserved/);
    const wrong = await publish('[1]', "'/'",
      publishOptions(address, `${key}x`));
    assert.match(wrong.output, /401 invalid publish key/);
    await daemon.end();
    const gone = await publish("['a' => 1]", "'/'", publishOptions(address));
    assert.match(gone.output, /Connection refused/);
    for (const outcome of [reserved, wrong, gone])
      assert.notEqual(outcome.status, 0);
  },

  'certbot-hook installs copies; its second run reloads wschat': async () => {
    const directory = makeScratchDirectory();
    const at = (name) => path.join(directory, name);
    const env = { RENEWED_LINEAGE: at('live'), WSCHAT_TLS: at('tls'),
      WSCHAT_GROUP: 'nogroup', WSCHAT_UNITS: at('units'),
      PATH: `${at('bin')}:${process.env.PATH}` };
    fs.mkdirSync(at('bin'));
    fs.mkdirSync(at('live'));
    fs.writeFileSync(at('bin/systemctl'),
      `#!/bin/sh\necho "$*" >>${at('calls')}\n`, { mode: 0o755 });
    for (const round of ['first', 'second']) {
      for (const name of ['fullchain.pem', 'privkey.pem'])
        fs.writeFileSync(at(`live/${name}`), `${round} ${name}`);
      const { status, output } = await run('contrib/certbot-hook', [], env);
      assert.equal(status, 0, output);
      for (const name of ['fullchain.pem', 'privkey.pem']) {
        assert.equal(fs.readFileSync(at(`tls/${name}`), 'utf8'),
          `${round} ${name}`);
        assert.equal(fs.statSync(at(`tls/${name}`)).mode & 0o777, 0o640);
      }
    }
    assert.equal(fs.statSync(at('tls')).mode & 0o777, 0o750);
    assert.match(fs.readFileSync(at('units/wschat.service.d/tls.conf'), 'utf8'),
      /^\[Service\]\nSupplementaryGroups=nogroup\n$/);
    assert.deepEqual(fs.readFileSync(at('calls'), 'utf8').trim().split('\n'), [
      'daemon-reload', 'try-restart wschat.service',
      '--quiet is-active wschat.service', 'reload wschat.service']);
  },
};

const missing = () => (isInstalled('php') ? '' : 'there is no php');

module.exports = { cases, missing };
