// The globals of a browser that wschat.js uses, replaced by fakes: WebSockets
// that a test opens, feeds and closes, and a clock that a test advances.
'use strict';

const fs = require('fs');
const path = require('path');

const library =
  path.join(__dirname, '..', '..', 'src', 'page', 'wschat.js');

class FakeClock {
  now = 1e12;
  timers = new Map();
  #next = 1;

  set = (call, ms) => {
    this.timers.set(this.#next, { at: this.now + ms, call });
    return this.#next++;
  };

  clear = (id) => this.timers.delete(id);

  // Advances the clock and calls the timers that are due, in order.
  advance(ms) {
    const end = this.now + ms;
    for (;;) {
      const due = [...this.timers].filter(([, timer]) => timer.at <= end)
        .sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      const [id, { at, call }] = due;
      this.timers.delete(id);
      this.now = Math.max(this.now, at);
      call();
    }
    this.now = end;
  }

  // Advances the clock but not the timers, as when a machine is suspended.
  suspend(ms) {
    this.now += ms;
    for (const timer of this.timers.values()) timer.at += ms;
  }
}

class FakeWebSocket {
  readyState = 0;
  protocol = '';
  sent = [];

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }

  // Accepts the connection, with the first offered subprotocol by default.
  open(protocol = this.protocols[0] ?? '') {
    this.readyState = 1;
    this.protocol = protocol;
    this.onopen?.({});
  }

  // Delivers a message from the server.
  receive(value) {
    this.onmessage?.({ data: JSON.stringify(value) });
  }

  receiveText(data) {
    this.onmessage?.({ data });
  }

  // Ends the connection, or the attempt if it is not open yet.
  disconnect(code = 1006, reason = '') {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  send(text) {
    this.sent.push(text);
  }

  close(...args) {
    this.closeArgs = args;
    this.readyState = 2;
  }
}

class FakeBrowser {
  sockets = [];  // all WebSockets, oldest first
  clock = new FakeClock();
  window = new EventTarget();
  document = new EventTarget();
  random = 0.5;  // what Math.random() returns

  constructor(location = 'http://chat.example/') {
    const browser = this;
    const { window, document, clock } = this;
    const globals = {
      document,
      location: new URL(location),
      addEventListener: window.addEventListener.bind(window),
      removeEventListener: window.removeEventListener.bind(window),
      setTimeout: clock.set,
      clearTimeout: clock.clear,
      Date: { now: () => clock.now },
      Math: { min: Math.min, random: () => this.random },
      WebSocket: class extends FakeWebSocket {
        constructor(...args) {
          super(...args);
          browser.sockets.push(this);
        }
      },
    };
    globals.globalThis = globals;
    new Function(...Object.keys(globals), fs.readFileSync(library, 'utf8'))(
      ...Object.values(globals));
    this.WSChat = globals.WSChat;
    this.WebSocket = globals.WebSocket;
  }

  // Returns a new WSChat. It records its events in chat.events, as
  // [type, detail].
  connect(url, options) {
    const chat = new this.WSChat(url, options);
    chat.events = [];
    for (const type of
      ['state', 'open', 'hello', 'gap', 'message', 'system', 'error', 'sent',
        'close'])
      chat.on(type, (detail) => chat.events.push([type, detail]));
    return chat;
  }

  // The newest WebSocket.
  get socket() {
    return this.sockets[this.sockets.length - 1];
  }

  // Milliseconds until the next timer is due, or null if there is no timer.
  get nextTimer() {
    const times = [...this.clock.timers.values()].map(({ at }) => at);
    return times.length ? Math.min(...times) - this.clock.now : null;
  }

  goOnline() {
    this.window.dispatchEvent(new Event('online'));
  }

  setVisible(visible) {
    this.document.hidden = !visible;
    this.document.dispatchEvent(new Event('visibilitychange'));
  }
}

module.exports = { FakeBrowser };
