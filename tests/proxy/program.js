// Starts programs, reads their output, and ends them.
'use strict';

const { spawn, spawnSync } = require('child_process');
const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');

const running = new Set();
const directories = [];

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const directory of directories)
    fs.rmSync(directory, { recursive: true, force: true });
});

class Program {
  constructor(command, args, options = {}) {
    this.log = '';
    this.child = spawn(command, args,
      { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    running.add(this.child);
    this.ended = new Promise((resolve) => this.child.on('close', (status) => {
      running.delete(this.child);
      resolve(status);
    }));
    this.waiting = [];
    for (const stream of [this.child.stdout, this.child.stderr])
      stream.on('data', (text) => this.#addOutput(text));
  }

  // Resolves with the match once the output matches. Rejects if the program
  // ends before that.
  waitForOutput(pattern) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ pattern, resolve });
      this.ended.then(
        () => reject(new Error(`the program ended: ${this.log}`)));
      this.#addOutput('');
    });
  }

  end(signal = 'SIGTERM') {
    this.child.kill(signal);
    return this.ended;
  }

  #addOutput(text) {
    this.log += text;
    this.waiting = this.waiting.filter(({ pattern, resolve }) => {
      const found = pattern.exec(this.log);
      if (found) resolve(found);
      return !found;
    });
  }
}

// Starts wschat and waits until it listens. daemon.port is the port of the
// first address in its log.
async function startDaemon(options) {
  const daemon = new Program(process.env.WSCHAT ?? './wschat', options);
  const [, port] = await daemon.waitForOutput(
    /listening on (?:unix:)?[^\n]*?(?::(\d+))?[,\n]/);
  daemon.port = Number(port);
  return daemon;
}

// Returns ports that are free now, for programs that can not choose one.
async function freePorts(count) {
  const servers = [];
  for (let i = 0; i < count; i++) {
    const server = net.createServer();
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    servers.push(server);
  }
  const ports = servers.map((server) => server.address().port);
  for (const server of servers)
    await new Promise((resolve) => server.close(resolve));
  return ports;
}

// Resolves once a program accepts connections on this port. Rejects if the
// given program ends before that.
async function waitForPort(port, program) {
  let ended = false;
  program.ended.then(() => { ended = true; });
  for (;;) {
    const open = await new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1');
      socket.on('connect', () => { socket.destroy(); resolve(true); });
      socket.on('error', () => setTimeout(() => resolve(false), 20));
    });
    if (open) return;
    if (ended) throw new Error(`the program ended: ${program.log}`);
  }
}

const isInstalled = (command) =>
  spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;

// Makes a directory that is removed at the end.
function makeScratchDirectory() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'wschat-proxy-'));
  // Proxies read it as another user.
  fs.chmodSync(directory, 0o755);
  directories.push(directory);
  return directory;
}

module.exports = { Program, startDaemon, freePorts, waitForPort, isInstalled,
  makeScratchDirectory };
