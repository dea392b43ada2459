// The chat page: sends what the user types by wschat.js, and shows what it
// receives. All received data is inserted as text, never as markup.
'use strict';

{
  const kMaxMessages = 1000;     // kept on the page
  const kMaxText = 16384;        // characters of a text
  const kMaxTotal = 4 << 20;     // characters of all texts kept
  const kMaxName = 40;
  const kMaxColor = 99;
  const kPatience = 10000;       // ms until a sent message counts as lost
  const kTogether = 5 * 60000;   // ms during which messages share a heading
  const kHues = 8;               // colours for names, in style.css
  const kId = /^m-[0-9a-f]{24}$/;
  const kCount = /^(\d+) online$/;
  const kJoins = /^(\d+) connected, (\d+) disconnected$/;
  const kJoin = / (dis)?connected$/;
  const kClockSkew = 60000;      // ms that a time may be in the future
  const kOldest = 24 * 3600000;  // ms: the age of a time that is believed
  const kOwnIds = 500;           // own messages that are known after a reload
  const kGone = [1000, 1001, 1005, 1006, 1012, 1013];  // closes without notice

  const $ = (id) => document.getElementById(id);
  const log = $('log');
  const text = $('text');

  // What survives a reload of this tab; an error: the browser forbids it.
  const session = {
    key: `wschat ${location.pathname}`,
    get saved() {
      try {
        return JSON.parse(sessionStorage.getItem(this.key)) ?? {};
      } catch {
        return {};
      }
    },
    save(changes) {
      try {
        const all = { ...this.saved, ...changes };
        sessionStorage.setItem(this.key, JSON.stringify(all));
      } catch { /* forbidden, or full */ }
    },
  };

  const before = session.saved;
  const chat = new WSChat(null, { resume: before.position });

  const make = (tag, className, content = '') => {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = content;
    return element;
  };

  const button = (content, action) => {
    const element = make('button', '', content);
    element.type = 'button';
    element.addEventListener('click', action);
    return element;
  };

  // ---- The name ----

  // The browser may forbid storage. Then a reload forgets the name.
  const stored = {
    get name() {
      try { return localStorage.getItem('wschat.name') ?? ''; } catch { return ''; }
    },
    set name(name) {
      try { localStorage.setItem('wschat.name', name); } catch { /* forbidden */ }
    },
  };

  let name = '';

  const setName = (wanted) => {
    name = wanted.trim();
    $('me').textContent = name;
    $('rename').hidden = !name;
  };

  const askName = () => {
    $('name').value = name;
    $('greeting').textContent = name ? 'Change your name' : 'Who are you?';
    $('join').textContent = name ? 'Save' : 'Join';
    $('cancel').hidden = !name;
    $('who').showModal();
  };

  // After a dialog Chromium gives the focus back without the caret, and ignores
  // what is typed.
  const endAsking = () => {
    $('who').close();
    text.blur();
    text.focus();
  };

  $('rename').addEventListener('click', askName);

  $('who').addEventListener('submit', (event) => {
    event.preventDefault();
    const wanted = $('name').value.trim();
    $('name').value = wanted;
    if (!$('name').reportValidity()) return;
    const isFirst = !name;
    setName(wanted);
    stored.name = name;
    endAsking();
    // What was typed before can be sent now.
    if (isFirst && text.value.trim()) $('compose').requestSubmit();
  });

  $('cancel').addEventListener('click', endAsking);

  $('who').addEventListener('cancel', (event) => {
    event.preventDefault();
    endAsking();
  });

  // ---- The room ----

  let room = '';  // its name, or '' for the room "/"

  // The server has decoded the path: a "%" is part of the name.
  const nameOf = (path) =>
    typeof path === 'string' && path !== '/' ? path : '';

  chat.on('hello', ({ room: path }) => {
    room = nameOf(path);
    $('room').textContent = room || 'wschat';
    $('room').title = room;
    showUnread();
  });

  // How many clients are in it; null if that is not known.
  let here = null;

  const showHere = (number) => {
    here = number;
    $('here').hidden = here === null;
    $('here').textContent = here === 1 ? 'Only you' : `${here} here`;
  };

  let maxMessage = Infinity;  // bytes of JSON
  let counted = 0;  // number of the last announcement that hello has counted

  chat.on('hello', ({ maxMessage: limit, announce, last: number }) => {
    // Where addresses are told, the next one is this page's own.
    counted = number + (announce === 'address' ? 1 : 0);
    maxMessage = Number.isSafeInteger(limit) ? limit : Infinity;
    $('audience').textContent = announce === 'address' ?
      'Everyone here sees it beside your messages, and your IP address.' :
      'Everyone here sees it beside your messages.';
  });

  chat.on('hello', ({ clients }) =>
    showHere(Number.isSafeInteger(clients) ? clients : null));
  chat.on('close', () => showHere(null));

  // ---- Scrolling and unread messages ----

  let following = true;  // the log scrolls to each new message
  let missed = 0;        // new messages below the visible part
  let unread = 0;        // messages while the page was hidden
  let lastTop = 0;

  const showMissed = () => {
    $('fresh').hidden = !missed;
    $('fresh').textContent =
      missed === 1 ? '1 new message' : `${missed} new messages`;
  };

  const showUnread = () => {
    const title = room ? `${room} – wschat` : 'wschat';
    document.title = unread ? `(${unread}) ${title}` : title;
  };

  const toEnd = () => {
    log.scrollTop = log.scrollHeight;
    lastTop = log.scrollTop;
  };

  const follow = () => {
    setFollowing(true);
    toEnd();
  };

  const setFollowing = (value) => {
    following = value;
    log.classList.toggle('following', following);
    if (following) missed = 0;
    showMissed();
  };

  // Only the user scrolls up. A new message moves the end down, which must not
  // count as scrolling away from it.
  log.addEventListener('scroll', () => {
    const below = log.scrollHeight - log.clientHeight - log.scrollTop;
    if (below < 24) setFollowing(true);
    else if (log.scrollTop < lastTop) setFollowing(false);
    lastTop = log.scrollTop;
  });

  // Runs at most once per rendered frame, and when the window is resized.
  const resized = new ResizeObserver(() => { if (following) toEnd(); });
  resized.observe(log);
  resized.observe($('talk'));

  $('fresh').addEventListener('click', () => {
    follow();
    log.focus();
  });

  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    unread = 0;
    showUnread();
  });

  const countUnseen = () => {
    if (document.hidden) unread++;
    if (!following) missed++;
    showUnread();
    showMissed();
  };

  // ---- Messages ----

  const clock = new Intl.DateTimeFormat([], { timeStyle: 'short' });
  const dates = new Intl.DateTimeFormat([], { dateStyle: 'full' });
  const calendar =
    new Intl.DateTimeFormat([], { dateStyle: 'full', timeStyle: 'medium' });

  const shown = new Map();  // id -> content of the messages on the page
  let last = null;          // {own, name, at} of the newest heading
  let total = 0;            // characters of all texts on the page
  let rows = 0;             // messages on the page
  let joins = null;         // {item, joined, left} if joins are the newest
  let day = '';             // of the newest message with a time

  // Copies the start, because a slice keeps the whole text in memory.
  const start = (content, length) => [...content.slice(0, length)].join('');

  const asText = (value) => {
    const content = typeof value === 'string' ? value :
      value === undefined || value === null ? '' : JSON.stringify(value);
    return content.length > kMaxText ?
      `${start(content, kMaxText)}… [cut]` : content;
  };

  // Returns when a message was sent, as far as that is known: what its page
  // says if that can be true, else now, unless it is from before.
  const timeOf = ({ time }) => {
    const now = Date.now();
    const isPlausible = Number.isFinite(time) && time > now - kOldest &&
      time < now + kClockSkew;
    if (isPlausible) return new Date(time);
    return newest !== null && chat.number <= newest ? null : new Date(now);
  };

  // Returns the content of a chat message of either type, or null. Only ids in
  // the format of this page are used: elsewhere an id may mean anything.
  const understand = (value) => {
    const old = value?.type === 'usermsg';
    if (!old && value?.type !== 'message') return null;
    const who = asText(old ? value.name : value.username).trim();
    const said = {
      name: start(who, kMaxName) || 'Anonymous',
      text: asText(value.message),
      color: old ? start(asText(value.color), kMaxColor) : '',
      id: kId.exec(asText(value.id))?.[0] ?? '',
      at: timeOf(value),
    };
    return said.text ? said : null;
  };

  const sameWords = (a, b) => a && a.name === b.name && a.text === b.text;

  const hueOf = (who) => {
    let hash = 0;
    for (const c of who) hash = (hash * 31 + c.codePointAt(0)) >>> 0;
    return `hue${hash % kHues}`;
  };

  const heading = ({ name: who, color }, own) => {
    const line = make('p', 'heading');
    if (CSS.supports('color', color)) {
      const dot = make('span', 'dot');
      dot.style.backgroundColor = color;
      line.append(dot);
    }
    line.append(make('bdi', own ? 'unseen' : `name ${hueOf(who)}`, who), ' ',
      make('time', ''));
    return line;
  };

  // Folds very long texts, so that one message can not fill the page.
  const paragraph = (content) => {
    const element = make('p', 'text', content);
    element.dir = 'auto';
    const long = content.length > 2000 || content.split('\n', 31).length > 30;
    if (!long) return [element];
    element.classList.add('folded');
    const unfold = button('Show all', () => {
      element.classList.remove('folded');
      unfold.remove();
    });
    return [element, unfold];
  };

  const row = (said, own) => {
    const item = make('li', own ? 'message own' : 'message');
    item.append(heading(said, own), ...paragraph(said.text));
    return item;
  };

  // Sets the time, and hides the heading if it repeats the previous one.
  const stamp = (item, { name: who, at }, own) => {
    const time = item.querySelector('time');
    time.hidden = !at;
    if (at) {
      time.dateTime = at.toISOString();
      time.textContent = clock.format(at);
      time.title = calendar.format(at);
    }
    const more = last !== null && last.own === own && last.name === who &&
      (at ?? last.at) - last.at < kTogether;
    item.classList.toggle('more', more);
    return more ? last : { own, name: who, at: at ?? new Date(0) };
  };

  const append = (item, size = 0) => {
    const list = $('messages');
    joins = null;
    list.append(item);
    total += item.size = size;
    if (item.number) rows++;
    while (rows > kMaxMessages || total > kMaxTotal) {
      const oldest = list.firstElementChild;
      total -= oldest.size;
      shown.delete(oldest.dataset.id);
      if (oldest.number) {
        rows--;
        savePosition(oldest.number);
      }
      oldest.remove();
    }
  };

  // After a reload the messages after this number come again.
  const savePosition = (number) => {
    if (chat.epoch !== null)
      session.save({ position: { epoch: chat.epoch, number } });
  };

  // A line between the days.
  const appendDay = (at) => {
    const today = at ? dates.format(at) : day;
    if (today === day) return;
    if (day) append(make('li', 'system day', today));
    day = today;
    if (day) last = null;
  };

  const appendMessage = (item, said, own) => {
    appendDay(said.at);
    last = stamp(item, said, own);
    if (said.id) {
      item.dataset.id = said.id;
      shown.set(said.id, said);
    }
    item.number = chat.number ?? 1;
    append(item, said.text.length);
  };

  const receive = (value) => {
    const said = understand(value);
    if (!said) return;
    const mine = outbox.get(said.id);
    if (mine && sameWords(mine.said, said)) {
      settle(mine);
    } else if (!sameWords(shown.get(said.id), said)) {
      // Otherwise its sender has sent it again, because it could not know that
      // it had been relayed.
      // Another message may have the same id.
      const own = ownBefore.delete(said.id);
      appendMessage(row(said, own), said, own);
      if (!own) countUnseen();
    }
  };

  chat.on('message', receive);

  const appendSystem = (content) => {
    last = null;
    append(make('li', 'system', content), content.length);
  };

  // Joins and leaves, one after the other, are one line.
  const appendJoins = (content, joined, left) => {
    if (here !== null && chat.number > counted)
      showHere(Math.max(here + joined - left, 1));
    if (!joins) {
      appendSystem(content);
      joins = { item: $('messages').lastElementChild, joined, left };
      return;
    }
    joins.joined += joined;
    joins.left += left;
    joins.item.textContent = [joins.joined && `${joins.joined} joined`,
      joins.left && `${joins.left} left`].filter(Boolean).join(', ');
  };

  chat.on('system', ({ message }) => {
    const content = asText(message);
    const count = kCount.exec(content);
    const many = kJoins.exec(content);
    const one = kJoin.exec(content);
    if (count) showHere(Number(count[1]));
    else if (many) appendJoins(content, Number(many[1]), Number(many[2]));
    else if (one) appendJoins(content, one[1] ? 0 : 1, one[1] ? 1 : 0);
    else appendSystem(content);
  });

  chat.on('gap', () => appendSystem('Some messages may be missing here.'));

  // ---- Own messages, until the server relays them ----

  // id -> {message, said, item, state, timer}, in the order of sending. States:
  // waiting (for a connection), sent, unclear (the connection broke; the next
  // one shows whether it was relayed) and lost (it was probably not relayed).
  const outbox = new Map();

  const ownIds = Array.isArray(before.own) ? before.own : [];
  const ownBefore = new Set(ownIds);

  const randomId = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    const digits = [...bytes].map((n) => n.toString(16).padStart(2, '0'));
    return `m-${digits.join('')}`;
  };

  const setState = (mine, state) => {
    clearTimeout(mine.timer);
    mine.state = state;
    mine.item.dataset.state = state;
    mine.item.querySelector('.fate')?.remove();
    if (state === 'sent') {
      mine.timer = setTimeout(() => setState(mine, 'lost'), kPatience);
      return;
    }
    const fate = make('p', 'fate', state === 'unclear' ?
      'Perhaps sent: the next connection will tell' :
      'Waiting for a connection');
    if (state === 'lost') {
      fate.textContent = 'Not sent? ';
      fate.append(button('Retry', () => retry(mine)), ' ',
        button('Discard', () => discard(mine)));
    }
    mine.item.append(fate);
    showLost();
  };

  // Screen readers do not read the outbox: they would read messages twice.
  const showLost = () => {
    const lost = [...outbox.values()].some((mine) => mine.state === 'lost');
    setText($('spoken'), lost ? 'A message may not have been sent.' : '');
  };

  const hand = (mine) => {
    setState(mine, 'waiting');
    if (!chat.send(mine.message)) setState(mine, 'lost');
  };

  const messageOf = (words, id) =>
    ({ type: 'message', username: name, message: words, id, time: Date.now() });

  const sizeOf = (words) => {
    const json = JSON.stringify(messageOf(words, randomId()));
    return new TextEncoder().encode(json).length;
  };

  const say = (words) => {
    const id = randomId();
    ownIds.push(id);
    ownIds.splice(0, ownIds.length - kOwnIds);
    session.save({ own: ownIds });
    const message = messageOf(words, id);
    const said = understand(message);
    const mine = { message, said, item: row(said, true) };
    stamp(mine.item, said, true);
    outbox.set(id, mine);
    $('outbox').append(mine.item);
    hand(mine);
    follow();
  };

  // Keeps the id, so that pages that have the message do not show it twice.
  const retry = (mine) => {
    hand(mine);
    text.focus();
  };

  const discard = (mine) => {
    remove(mine);
    text.focus();
  };

  const remove = (mine) => {
    clearTimeout(mine.timer);
    outbox.delete(mine.message.id);
    mine.item.remove();
    showLost();
  };

  const inState = (state) =>
    [...outbox.values()].filter((mine) => mine.state === state);

  // Moves a relayed message to the log. The server relays in order: earlier
  // messages that were not relayed are lost.
  const settle = (mine) => {
    for (const earlier of outbox.values()) {
      if (earlier === mine) break;
      if (earlier.state === 'sent') setState(earlier, 'lost');
    }
    remove(mine);
    mine.item.querySelector('.fate')?.remove();
    delete mine.item.dataset.state;
    appendMessage(mine.item, mine.said, true);
  };

  chat.on('sent', ({ id }) => {
    const mine = outbox.get(id);
    if (!mine) return;
    outbox.delete(id);
    outbox.set(id, mine);
    setState(mine, 'sent');
  });

  // A server that numbers messages sends missed ones again, own ones too.
  chat.on('close', ({ retryIn }) => {
    const tells = chat.number !== null && retryIn !== null;
    for (const mine of inState('sent'))
      setState(mine, tells ? 'unclear' : 'lost');
    if (!tells) giveUp();
  });

  // Marks unclear messages as lost: all missed messages have arrived, or none
  // will.
  const giveUp = () => {
    for (const mine of inState('unclear')) setState(mine, 'lost');
  };

  let newest = null;  // number of the last missed message, if recovered

  chat.on('gap', giveUp);
  chat.on('hello', ({ recovered, first, last: number }) => {
    newest = Number.isSafeInteger(number) && (recovered || first <= number) ?
      number : null;
    if (!recovered || !before.position) savePosition(chat.number);
    if (!recovered) giveUp();
  });

  for (const type of ['hello', 'message', 'system']) {
    chat.on(type, () => {
      if (newest !== null && chat.number >= newest) giveUp();
    });
  }

  window.addEventListener('beforeunload', (event) => {
    if (outbox.size) event.preventDefault();
  });

  // ---- The connection and its notices ----

  let met = false;      // a connection was opened
  let failed = false;   // a connection was closed, or an attempt failed
  let farewell = '';    // reason of the newest close

  const stateText = () => {
    if (chat.state === 'open') return 'Connected';
    if (chat.state === 'closed') return `Closed by the server${farewell}`;
    if (met) return 'Reconnecting…';
    if (failed) return 'Can’t connect. Trying again…';
    return 'Connecting…';
  };

  // Screen readers would read an unchanged text again.
  const setText = (element, content) => {
    if (element.textContent !== content) element.textContent = content;
  };

  const showState = () => {
    setText($('state'), stateText());
    $('status').dataset.state = chat.state === 'open' ? 'open' :
      chat.state === 'closed' || (failed && !met) ? 'closed' : 'connecting';
    $('reconnect').hidden = chat.state === 'open' || !(met || failed);
  };

  const notify = (content) => setText($('notice'), content);

  chat.on('state', showState);
  chat.on('open', () => {
    met = true;
    showState();
  });

  chat.on('close', ({ code, reason, opened, retryIn }) => {
    // The browser does not tell scripts which of the two it was.
    if (!opened && !failed)
      console.info('wschat: refused or unreachable; the server’s log says more');
    failed = true;
    farewell = reason ? `: ${reason}` : '';
    if (opened && retryIn !== null && !kGone.includes(code))
      notify(`The server closed the connection: ${reason || code}`);
    showState();
  });

  chat.on('error', ({ message }) => {
    notify(asText(message));
    const [mine, ...others] = inState('sent');
    if (mine && !others.length) setState(mine, 'lost');
  });

  $('reconnect').addEventListener('click', () => {
    chat.open();
    text.focus();
  });

  // ---- Writing ----

  $('compose').addEventListener('submit', (event) => {
    event.preventDefault();
    text.focus();
    const words = text.value.trimEnd();
    if (!words.trim()) return;
    if (!name) return askName();
    const size = sizeOf(words);
    if (size > maxMessage) {
      notify(`This message is too long: ${size} bytes of ${maxMessage}.`);
      return;
    }
    text.value = '';
    session.save({ draft: '' });
    notify('');
    say(words);
  });

  // During composition, Enter belongs to the input method.
  text.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $('compose').requestSubmit();
  });

  // What is typed survives, too.
  text.value = asText(before.draft ?? '');
  text.addEventListener('input', () => session.save({ draft: text.value }));

  $('host').textContent = location.host;
  setFollowing(true);
  setName(stored.name);
  if (!name) askName();
}
