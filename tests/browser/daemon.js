// Starts and ends the daemon under test. The environment variable WSCHAT names
// the program.
'use strict';

const { spawn } = require('child_process');

const program = process.env.WSCHAT ?? './wschat';

class Daemon {
  // Starts a daemon, and resolves with it once it listens.
  static start(options = [], host = 'localhost', port = 0) {
    const daemon = new Daemon();
    daemon.options = options;
    daemon.host = host;
    return daemon.#start(port);
  }

  get url() {
    return `http://localhost:${this.port}/`;
  }

  // Starts it again, with the same options and the same port.
  restart() {
    return this.#start(this.port);
  }

  signal(name) {
    this.process.kill(name);
  }

  // Sends the signal, and resolves with the exit status once it has ended.
  end(signal = 'SIGTERM') {
    this.signal(signal);
    return this.ended;
  }

  #start(port) {
    this.log = '';
    this.process = spawn(program, [...this.options, this.host, `${port}`],
      { stdio: ['ignore', 'inherit', 'pipe'] });
    this.ended = new Promise((resolve) => this.process.on('close', resolve));
    return new Promise((resolve, reject) => {
      this.process.on('error', reject);
      this.ended.then(
        () => reject(new Error(`the daemon ended: ${this.log}`)));
      this.process.stderr.on('data', (text) => {
        this.log += text;
        const found = /listening on [^ ]*:(\d+)[, ]/.exec(this.log);
        if (!found) return;
        this.port = Number(found[1]);
        resolve(this);
      });
    });
  }
}

module.exports = { Daemon };
