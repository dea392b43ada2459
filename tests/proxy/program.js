// Programs that are started, listened to and ended by process id.
'use strict';

const { spawn, spawnSync } = require('child_process');
const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');

const running = new Set();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
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
      stream.on('data', (text) => this.#hear(text));
  }

  // Resolves with the match once its output has one; rejects if it ends before.
  says(pattern) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ pattern, resolve });
      this.ended.then(() => reject(new Error(`it said: ${this.log}`)));
      this.#hear('');
    });
  }

  end(signal = 'SIGTERM') {
    this.child.kill(signal);
    return this.ended;
  }

  #hear(text) {
    this.log += text;
    this.waiting = this.waiting.filter(({ pattern, resolve }) => {
      const found = pattern.exec(this.log);
      if (found) resolve(found);
      return !found;
    });
  }
}

// Where wschat listens is in its first line.
async function startDaemon(options) {
  const daemon = new Program(process.env.WSCHAT ?? './wschat', options);
  const [, port] = await daemon.says(/listening on (?:unix:)?[^\n]*?(?::(\d+))?[,\n]/);
  daemon.port = Number(port);
  return daemon;
}

// Ports that are free now. Programs that can't choose one get these.
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

// Resolves once somebody accepts connections there, or the program has ended.
async function accepting(port, program) {
  let ended = false;
  program.ended.then(() => { ended = true; });
  for (;;) {
    const open = await new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1');
      socket.on('connect', () => { socket.destroy(); resolve(true); });
      socket.on('error', () => setTimeout(() => resolve(false), 20));
    });
    if (open) return;
    if (ended) throw new Error(`it said: ${program.log}`);
  }
}

const has = (command) =>
  spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;

function scratchDirectory() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'wschat-proxy-'));
  // Proxies have users of their own, who look into it.
  fs.chmodSync(directory, 0o755);
  process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
}

module.exports =
  { Program, startDaemon, freePorts, accepting, has, scratchDirectory };
