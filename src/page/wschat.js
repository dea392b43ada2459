// wschat.js: a client of a wschat server that reconnects by itself.
//
//   const chat = new WSChat('wss://chat.example.com/');
//   chat.on('message', (m) => console.log(`${m.username}: ${m.message}`));
//   chat.send({ type: 'message', username: 'Ada', message: 'Hi' });
//
// One file, no dependencies. It defines the global WSChat: load it with a
// script element, from https://chat.example.com/wschat.js; in a module, use
// import './wschat.js'. A page may also contain the text of this file.
// MIT License.
//
// WSChat.version
//     The version of the daemon that this file belongs to.
//
// new WSChat(url, options)
//     Connects at once. The url may be relative; http: and https: become ws:
//     and wss:. The default is the URL of the page without its query.
//
//     protocol   'wschat.v1'  subprotocol to offer; null if the server accepts
//                             none: browsers then fail a connection with one
//     queue      1000         messages to keep while there is no connection
//     retry      1000         longest wait before the first retry, in ms; it
//     retryMax   30000        grows by half with each retry, up to retryMax
//     silence    30000        ms without a message before it pings the server
//     answer     10000        ms the server has to answer a ping (it pings only
//                             if the server accepted the subprotocol)
//     handshake  20000        ms that connecting may take
//     WebSocket               the class to connect with, for programs without
//                             a global one, such as require('ws') in node
//     resume     null         {epoch, number}, as an earlier WSChat had them
//                             when its page was left: continues from there. If
//                             one of them is null or invalid, starts afresh
//
// send(object)    Sends it as JSON, now or once connected, in the order of the
//                 calls. Returns false, and does not keep it, if the queue is
//                 full. Never sends it again: if the connection breaks it may
//                 be lost. It is lost if it was not received by the message
//                 with number `last` of a recovered hello. Throws a TypeError
//                 if the value has no JSON, such as undefined.
// open()          Connects now if not connected: after a final close, or
//                 without waiting for the next retry.
// close(code, reason)  Closes without a retry; the queue is kept.
// state           'connecting', 'open', 'waiting' (for a retry) or 'closed'.
// room, clients   From the newest hello: the decoded path, and the number of
//                 clients in the room.
// number          The server's number of the newest received message; null if
//                 the server does not number messages.
// epoch           Names the series that number belongs to, as in the newest
//                 hello; null if the server does not number messages.
// on(event, f)    Calls f with the event's detail; returns the WSChat. With
//                 addEventListener() the detail is event.detail.
// once(event, f)  The same, for the next event alone.
// off(event, f)   Removes f, which on() or once() added; returns the WSChat.
//                 removeEventListener() removes it too.
//
// Events and their details:
//     state       the new state
//     open        (none)
//     hello       {room, epoch, first, last, clients, recovered}: the server
//                 sends its messages from number first on; those up to last
//                 are older. If recovered, they continue where the previous
//                 connection broke: none is missing or repeated
//     gap         (none): reconnected or resumed, but not recovered. Messages
//                 are missing: load again what depends on them
//     message     a relayed message: any JSON value but the next two; check
//                 its type
//     system      {type: 'system', message}: a notice to all clients
//     error       {type: 'error', message}: a notice to this client alone: a
//                 message that it sent was not relayed
//     sent        the object: a message from send() was sent
//     close       {code, reason, opened, retryIn}: the connection was closed
//                 or, if not opened, failed. The next attempt is in retryIn
//                 ms; null: there is none. 1008 and 4500 to 4999 forbid it.
'use strict';

{
  const defaults = {
    protocol: 'wschat.v1',
    queue: 1000,
    retry: 1000,
    retryMax: 30000,
    silence: 30000,
    answer: 10000,
    handshake: 20000,
    resume: null,
  };

  const page = globalThis.document;

  const socketUrl = (url) => {
    const result = new URL(url ?? location.href, globalThis.location?.href);
    result.protocol = result.protocol.replace('http', 'ws');
    result.hash = '';
    if (url == null) result.search = '';
    return result.href;
  };

  const unwanted = (code) => code === 1008 || (code >= 4500 && code <= 4999);

  // Messages to one client alone have no number.
  const numberless = ['hello', 'error', 'pong'];

  // Returns whether the fields of a hello are valid, so that one can count.
  const counts = ({ epoch, first, last }) =>
    typeof epoch === 'string' && epoch !== '' && Number.isSafeInteger(first) &&
    Number.isSafeInteger(last) && first > 0 && last >= first - 1;

  const isPosition = (resume) =>
    typeof resume?.epoch === 'string' && resume.epoch !== '' &&
    Number.isSafeInteger(resume.number) && resume.number >= 0;

  // Returns the URL that asks for the messages after `number`.
  const resumeUrl = (url, epoch, number) => {
    const result = new URL(url);
    const others = result.search.slice(1).split('&')
      .filter((part) => part && !/^(epoch|since)=/.test(part));
    result.search = [...others, `epoch=${encodeURIComponent(epoch)}`,
      `since=${number}`].join('&');
    return result.href;
  };

  const parse = (text) => {
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  };

  globalThis.WSChat = class WSChat extends EventTarget {
    static version = '0.1.0';

    #url;
    #options;
    #state = 'closed';
    #socket = null;
    #queue = [];
    #timer;             // for the retry, the handshake or the ping
    #failures = 0;      // since the last connection that lasted
    #openedAt = null;   // null before the connection is open
    #heardAt = 0;
    #asked = false;     // a ping was sent, and nothing received since
    #again = false;     // there was an earlier connection
    #agreed = false;    // the server accepted the subprotocol
    #greeted = false;   // hello was received, or none will come
    #hello = {};
    #epoch = null;      // of #number; null if it does not count
    #number = null;
    #listeners = [];    // of on() and once(): {type, listener, call}

    constructor(url, options) {
      super();
      this.#url = socketUrl(url);
      this.#options =
        { ...defaults, WebSocket: globalThis.WebSocket, ...options };
      const { resume } = this.#options;
      if (isPosition(resume)) {
        this.#epoch = resume.epoch;
        this.#number = resume.number;
        this.#again = true;
      }
      this.open();
    }

    get state() {
      return this.#state;
    }

    get room() {
      return this.#hello.room;
    }

    get clients() {
      return this.#hello.clients;
    }

    get epoch() {
      return this.#epoch;
    }

    get number() {
      return this.#number;
    }

    on(type, listener) {
      return this.#add(type, listener, (event) => listener(event.detail));
    }

    once(type, listener) {
      const call = (event) => {
        // First, so that an event in the listener does not call it again.
        this.#remove((added) => added.call === call);
        listener(event.detail);
      };
      return this.#add(type, listener, call);
    }

    off(type, listener) {
      this.removeEventListener(type, listener);
      return this;
    }

    removeEventListener(type, listener, options) {
      super.removeEventListener(type, listener, options);
      this.#remove((added) =>
        added.type === type && added.listener === listener);
    }

    send(object) {
      const text = JSON.stringify(object);
      if (text === undefined) throw new TypeError('send: not a JSON value');
      const full = this.#queue.length >= this.#options.queue;
      if (full && !this.#writable()) return false;
      this.#queue.push({ object, text });
      this.#flush();
      return true;
    }

    open() {
      if (this.#state === 'open') return;
      this.#failures = 0;
      this.#listen('addEventListener');
      this.#connect();
    }

    close(code = 1000, reason = '') {
      const socket = this.#socket;
      if (socket) socket.close(code, reason);
      if (this.#state !== 'closed') this.#lost(code, reason, true);
    }

    #add(type, listener, call) {
      this.#listeners.push({ type, listener, call });
      this.addEventListener(type, call);
      return this;
    }

    #remove(matches) {
      for (const { type, call } of this.#listeners.filter(matches))
        super.removeEventListener(type, call);
      this.#listeners = this.#listeners.filter((added) => !matches(added));
    }

    // After both events a retry is more likely to succeed.
    #listen(how) {
      globalThis[how]?.('online', this.#wake);
      page?.[how]('visibilitychange', this.#wake);
    }

    #wake = ({ type }) => {
      if (type === 'visibilitychange' && page.hidden) return;
      // An attempt that began offline may hang for long.
      const stuck = type === 'online' && this.#state === 'connecting';
      if (stuck || this.#state === 'waiting') this.open();
      // Timers stop while a machine is suspended.
      else if (this.#state === 'open' && !this.#asked) this.#watch();
    };

    #connect() {
      this.#forget()?.close();
      const { protocol, handshake, WebSocket } = this.#options;
      const url = this.#epoch === null ? this.#url :
        resumeUrl(this.#url, this.#epoch, this.#number);
      const socket = new WebSocket(url, protocol ? [protocol] : []);
      this.#socket = socket;
      this.#wait(handshake, () => this.#abandon('no answer to the handshake'));
      socket.onopen = () => this.#opened();
      socket.onmessage = ({ data }) => this.#heard(data);
      socket.onclose = ({ code, reason }) => this.#lost(code, reason);
      // A close event follows. The package ws throws without a listener.
      socket.onerror = () => {};
      this.#enter('connecting');
    }

    #opened() {
      this.#openedAt = this.#heardAt = Date.now();
      this.#asked = this.#greeted = false;
      const { protocol } = this.#options;
      this.#agreed = protocol && this.#socket.protocol === protocol;
      this.#watch();
      this.#enter('open');
      this.#flush();
      this.#emit('open');
      // Without the subprotocol any client may have sent a "hello".
      if (!this.#agreed) this.#greet();
    }

    #heard(data) {
      this.#heardAt = Date.now();
      this.#asked = false;
      const value = parse(data);
      const type = value?.type;
      if (!this.#greeted) this.#greet(value);
      if (this.#number !== null && !numberless.includes(type)) this.#number++;
      if (value === undefined || type === 'pong') return;
      if (type === 'hello' && this.#agreed) return;
      const notice = type === 'system' || type === 'error';
      this.#emit(notice ? type : 'message', value);
    }

    // Handles the first message, or (without a value) that no hello will come.
    // Emits no gap for a server that never sent a hello.
    #greet(value) {
      this.#greeted = true;
      const said = value?.type === 'hello';
      const hello = said ? value : {};
      const known = counts(hello);
      const recovered = known && hello.recovered === true &&
        hello.epoch === this.#epoch && hello.first === this.#number + 1;
      const missed =
        this.#again && !recovered && (said || this.#epoch !== null);
      this.#hello = hello;
      this.#epoch = known ? hello.epoch : null;
      this.#number = known ? hello.first - 1 : null;
      if (said) this.#emit('hello', { ...hello, recovered });
      if (missed) this.#emit('gap');
    }

    // Pings the server after a silence. Nothing else detects a connection that
    // broke without being closed.
    #watch() {
      const { silence, answer } = this.#options;
      clearTimeout(this.#timer);
      if (!this.#agreed) return;
      const now = Date.now();
      // The clock may have been set back.
      this.#heardAt = Math.min(this.#heardAt, now);
      const left = this.#heardAt + silence - now;
      if (left > 0) {
        this.#wait(left, () => this.#watch());
        return;
      }
      this.#asked = true;
      this.#socket.send('{"type":"ping"}');
      this.#wait(answer, () =>
        this.#asked ? this.#abandon('no answer to a ping') : this.#watch());
    }

    // On a broken connection the close event may take minutes.
    #abandon(reason) {
      this.#socket.close();
      this.#lost(1006, reason);
    }

    #lost(code, reason, final = unwanted(code)) {
      const opened = this.#openedAt !== null;
      this.#again ||= opened;
      const retryIn = final ? null : this.#backoff();
      this.#forget();
      if (final) {
        this.#listen('removeEventListener');
        this.#enter('closed');
      } else {
        this.#wait(retryIn, () => this.#connect());
        this.#enter('waiting');
      }
      this.#emit('close', { code, reason, opened, retryIn });
    }

    // Full jitter: clients that lost the server at the same moment reconnect
    // spread over the whole wait. It grows slowly, so that clients are back a
    // few seconds after a restart. A connection resets it only if it lasted as
    // long as the wait; otherwise clients would reconnect without a pause to a
    // server that accepts and closes at once.
    #backoff() {
      const { retry, retryMax } = this.#options;
      const longest = () => Math.min(retryMax, retry * 1.5 ** this.#failures);
      const held = this.#openedAt !== null &&
        Date.now() - this.#openedAt >= longest();
      if (held) this.#failures = 0;
      const wait = Math.random() * longest();
      this.#failures++;
      return wait;
    }

    // Drops the socket, and ignores its later events.
    #forget() {
      const socket = this.#socket;
      if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
      clearTimeout(this.#timer);
      this.#socket = this.#openedAt = null;
      return socket;
    }

    // A closing WebSocket discards what it is given.
    #writable() {
      return this.#state === 'open' && this.#socket.readyState === 1;
    }

    #flush() {
      while (this.#queue.length && this.#writable()) {
        const { object, text } = this.#queue.shift();
        this.#socket.send(text);
        this.#emit('sent', object);
      }
    }

    #wait(ms, then) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(then, ms);
    }

    #enter(state) {
      if (this.#state === state) return;
      this.#state = state;
      this.#emit('state', state);
    }

    #emit(type, detail) {
      this.dispatchEvent(Object.assign(new Event(type), { detail }));
    }
  };
}
