// Somebody who speaks to the server without a page, and loses no connection.
'use strict';

const { once } = require('events');
const WebSocket = require('ws');

class Voice {
  said = [];
  #socket;

  static async join(url) {
    const voice = new Voice();
    voice.#socket = new WebSocket(url.replace('http', 'ws'));
    await once(voice.#socket, 'open');
    return voice;
  }

  // Says the next so many numbers, and resolves once all were relayed.
  async count(many) {
    for (let i = 0; i < many; i++) {
      const message = `${this.said.length + 1}`;
      this.said.push(message);
      const relayed = once(this.#socket, 'message');
      this.#socket.send(
        JSON.stringify({ type: 'message', username: 'Voice', message }));
      await relayed;
    }
  }

  get last() {
    return this.said[this.said.length - 1];
  }

  close() {
    this.#socket.terminate();
  }
}

module.exports = { Voice };
