// The world that wschat.js sees, as a test wants it: sockets that a test opens,
// feeds and breaks, and a clock that stands still until it is told.
'use strict';

const fs = require('fs');
const path = require('path');

const library =
  path.join(__dirname, '..', '..', 'src', 'page', 'wschat.js');

class Clock {
  now = 1e12;
  timers = new Map();
  #next = 1;

  set = (call, ms) => {
    this.timers.set(this.#next, { at: this.now + ms, call });
    return this.#next++;
  };

  clear = (id) => this.timers.delete(id);

  // Lets time pass, and whatever is due on the way happen in order.
  pass(ms) {
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

  // As a machine that sleeps: time passes and the timers don't notice.
  sleep(ms) {
    this.now += ms;
    for (const timer of this.timers.values()) timer.at += ms;
  }
}

class Socket {
  readyState = 0;
  protocol = '';
  sent = [];

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }

  open(protocol = this.protocols[0] ?? '') {
    this.readyState = 1;
    this.protocol = protocol;
    this.onopen?.({});
  }

  hear(value) {
    this.onmessage?.({ data: JSON.stringify(value) });
  }

  hearText(data) {
    this.onmessage?.({ data });
  }

  drop(code = 1006, reason = '') {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  send(text) {
    this.sent.push(text);
  }

  close(...why) {
    this.closed = why;
    this.readyState = 2;
  }
}

class World {
  sockets = [];
  clock = new Clock();
  window = new EventTarget();
  document = new EventTarget();
  random = 0.5;

  constructor(location = 'http://chat.example/') {
    const world = this;
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
      WebSocket: class extends Socket {
        constructor(...args) {
          super(...args);
          world.sockets.push(this);
        }
      },
    };
    globals.globalThis = globals;
    new Function(...Object.keys(globals), fs.readFileSync(library, 'utf8'))(
      ...Object.values(globals));
    this.WSChat = globals.WSChat;
  }

  // A WSChat whose events are kept in chat.events, as [type, detail].
  chat(url, options) {
    const chat = new this.WSChat(url, options);
    chat.events = [];
    for (const type of
      ['state', 'open', 'hello', 'gap', 'message', 'system', 'error', 'sent',
        'close'])
      chat.on(type, (detail) => chat.events.push([type, detail]));
    return chat;
  }

  // The newest socket.
  get socket() {
    return this.sockets[this.sockets.length - 1];
  }

  // How long until something is due, in ms; null if nothing ever is.
  get wait() {
    const times = [...this.clock.timers.values()].map(({ at }) => at);
    return times.length ? Math.min(...times) - this.clock.now : null;
  }

  online() {
    this.window.dispatchEvent(new Event('online'));
  }

  show(visible) {
    this.document.hidden = !visible;
    this.document.dispatchEvent(new Event('visibilitychange'));
  }
}

module.exports = { World };
