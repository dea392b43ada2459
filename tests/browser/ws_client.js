// A WebSocket client without a page. It connects to the daemon directly, so its
// connection does not break when a test breaks the one of a page.
'use strict';

const { once } = require('events');
const WebSocket = require('ws');

class WsClient {
  texts = [];  // of all messages that it has sent
  #socket;

  static async connect(url) {
    const client = new WsClient();
    client.#socket = new WebSocket(url.replace('http', 'ws'));
    await once(client.#socket, 'open');
    return client;
  }

  // Sends this many messages, and resolves once all were relayed. The text of a
  // message is its number: "1" for the first message of the client.
  async sendNumbers(count) {
    for (let i = 0; i < count; i++) {
      const message = `${this.texts.length + 1}`;
      this.texts.push(message);
      const relayed = once(this.#socket, 'message');
      this.#socket.send(
        JSON.stringify({ type: 'message', username: 'Client', message }));
      await relayed;
    }
  }

  get lastText() {
    return this.texts[this.texts.length - 1];
  }

  close() {
    this.#socket.terminate();
  }
}

module.exports = { WsClient };
