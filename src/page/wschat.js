// wschat.js: a connection to a wschat server that keeps itself alive.
//
//   <script src="https://chat.example.com/wschat.js"></script>
//   <script>
//     const chat = new WSChat('wss://chat.example.com/');
//     chat.on('message', (m) => console.log(`${m.username}: ${m.message}`));
//     chat.send({ type: 'message', username: 'Ada', message: 'Hi' });
//   </script>
//
// One file, no dependencies. It defines the global WSChat, for plain scripts;
// in a module, import './wschat.js' for the same. MIT License.
//
// new WSChat(url, options)
//     Connects at once. The url may be relative, and http: or https: stand for
//     ws: and wss:; without one it is the page's own, less its query.
//
//     protocol   'wschat.v1'  subprotocol to ask for; null for servers that
//                             know none: browsers refuse those if asked
//     queue      1000         messages kept while there is no connection
//     retry      1000         the first retry comes within so many ms; the
//     retryMax   30000        longest wait grows by half each time, up to this
//     silence    30000        ms without a word until the server is pinged,
//     answer     10000        and ms it has to answer (with a subprotocol only)
//     handshake  20000        ms that connecting may take
//
// send(object)    Sends it as JSON, now or as soon as there is a connection, in
//                 the order of the calls. False if the queue is full: then it
//                 is not kept. What was handed to a connection that broke may
//                 be lost: it is never sent again by itself, and was lost if
//                 it has not come back by number last of a recovered hello.
// open()          Connects now, if not connected: after a close for good, or
//                 rather than waiting for the next retry.
// close(code, reason)  Ends the connection for good; what is queued stays.
// state           'connecting', 'open', 'waiting' (for a retry) or 'closed'.
// room, clients   As in the newest hello: the path, with its escapes undone, and
//                 how many were there.
// number          Of the newest message received, as the server counts them;
//                 null if it does not.
// on(event, f)    Calls f with the event's detail, and returns the WSChat. It
//                 is an EventTarget too: addEventListener() has event.detail.
//
// Events and their details:
//     state       the new state
//     open        (none)
//     hello       {room, epoch, first, last, clients, recovered}: the server
//                 numbers its messages, and sends those from first on; up to
//                 last they are older ones. If recovered, they go on where the
//                 connection before broke: none is missed, none comes twice
//     gap         (none): connected again, but not recovered. Messages were
//                 missed: load anew what was made of them
//     message     what somebody sent: any JSON value that is not one of the
//                 next two; check its type
//     system      {type: 'system', message} from the server, to everyone
//     error       {type: 'error', message} from the server, to this client
//                 alone: something that it sent was not relayed
//     sent        an object given to send() was handed to the connection
//     close       {code, reason, opened, retryIn}: the connection ended, or
//                 failed if it was never opened; the next one is tried in
//                 retryIn ms, null if in none. 1008 and 4500 to 4999 mean that
//                 the server wants no retry.
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

  // What the server says to one client alone has no number.
  const numberless = ['hello', 'error', 'pong'];

  // Whether a message is a hello that one can count from.
  const counts = ({ epoch, first, last }) =>
    typeof epoch === 'string' && epoch !== '' && Number.isSafeInteger(first) &&
    Number.isSafeInteger(last) && first > 0 && last >= first - 1;

  // Asks for what came after a message. The rest of the query stays as it is.
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
    #url;
    #options;
    #state = 'closed';
    #socket = null;
    #queue = [];
    #timer;             // there is one thing at a time to wait for
    #failures = 0;      // since a connection last held
    #openedAt = null;   // of this connection; null before
    #heardAt = 0;
    #asked = false;     // a ping is out, and nothing was heard since
    #again = false;     // there was a connection before this one
    #agreed = false;    // this one's server took the subprotocol
    #greeted = false;   // its first message has come, or no hello will
    #hello = {};
    #epoch = null;      // what #number counts in; both null if it can't
    #number = null;

    constructor(url, options) {
      super();
      this.#url = socketUrl(url);
      this.#options = { ...defaults, ...options };
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

    get number() {
      return this.#number;
    }

    on(type, listener) {
      this.addEventListener(type, (event) => listener(event.detail));
      return this;
    }

    send(object) {
      const text = JSON.stringify(object);
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

    // Both events mean that a retry now has better chances than the last.
    #listen(how) {
      globalThis[how]?.('online', this.#wake);
      page?.[how]('visibilitychange', this.#wake);
    }

    #wake = ({ type }) => {
      if (type === 'visibilitychange' && page.hidden) return;
      // An attempt from before the network came back may hang for long.
      const stuck = type === 'online' && this.#state === 'connecting';
      if (stuck || this.#state === 'waiting') this.open();
      // Timers stand still while a machine sleeps.
      else if (this.#state === 'open' && !this.#asked) this.#watch();
    };

    #connect() {
      this.#forget()?.close();
      const { protocol, handshake } = this.#options;
      const url = this.#epoch === null ? this.#url :
        resumeUrl(this.#url, this.#epoch, this.#number);
      const socket = new WebSocket(url, protocol ? [protocol] : []);
      this.#socket = socket;
      this.#wait(handshake, () => this.#abandon('no answer to the handshake'));
      socket.onopen = () => this.#opened();
      socket.onmessage = ({ data }) => this.#heard(data);
      socket.onclose = ({ code, reason }) => this.#lost(code, reason);
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
      // Anybody may say "hello" there.
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

    // Takes the first message, or that no hello will come. With a server that
    // never said one, nobody can tell what was missed.
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

    // Asks the server for a sign of life once the silence is long enough. A
    // connection can die without a word, and then nothing else would notice.
    #watch() {
      const { silence, answer } = this.#options;
      clearTimeout(this.#timer);
      if (!this.#agreed) return;
      const now = Date.now();
      // Not in the future, though somebody set the clock back.
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

    // Its own close event may take minutes on a dead connection.
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

    // Full jitter: clients that lost their server in the same moment come back
    // spread over the whole wait. It grows slowly enough to be back within a few
    // seconds of a server that was restarted. A connection counts as a success only if it
    // held for as long as the wait would be; else a server that accepts and
    // hangs up at once would be called again and again without a pause.
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

    // Lets go of the socket: nothing that it still says is heard.
    #forget() {
      const socket = this.#socket;
      if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
      clearTimeout(this.#timer);
      this.#socket = this.#openedAt = null;
      return socket;
    }

    // A closing socket would take a message and throw it away.
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
