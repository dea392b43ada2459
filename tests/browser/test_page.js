// Tests the page in Chromium, with the daemon or with a fake server.
'use strict';

const assert = require('assert');
const { withFakeServer, withDaemon } = require('./users');

const markup = [
  '<img src=x onerror="hacked = true">',
  '<script>hacked = true</script>',
  '"><svg onload="hacked = true">',
  '&lt;b&gt; &amp; <b>bold</b>',
];

// Checks that the page has only its own elements, and that no injected script
// has run.
async function assertNoMarkup(user) {
  assert.deepStrictEqual(await user.evaluate(() => ({
    hacked: typeof hacked,
    foreign: document.querySelectorAll(
      'img, svg, b, iframe, a, body script, body [style], [onerror]').length,
  })), { hacked: 'undefined', foreign: 0 });
}

const count = (user, selector) => user.$(selector).count();
const focusedId = (user) =>
  user.evaluate(() => document.activeElement.id);

// Sends so many messages that the log is several windows high.
const fillLog = (user, name = 'Many') => user.inject(
  ...Array.from({ length: 60 }, (_, i) =>
    ({ type: 'message', username: name, message: `line ${i}` })));

// Returns whether the log is scrolled to its end. Runs in the page.
const isAtEnd = () => {
  const log = document.getElementById('log');
  return log.scrollHeight - log.clientHeight - log.scrollTop < 2;
};

module.exports = {
  'two users see the messages of each other': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    const bob = await chat.join('Bob');
    await ada.send('Hello, Bob 🙂');
    await bob.waitForMessage('Hello, Bob 🙂');
    await bob.send('Grüße, Ada');
    for (const user of [ada, bob]) {
      await user.waitForMessage('Grüße, Ada');
      assert.deepStrictEqual(await user.texts(),
        ['Hello, Bob 🙂', 'Grüße, Ada']);
      assert.strictEqual(await count(user, '#outbox > *'), 0);
    }
    assert.strictEqual(
      await bob.message('Hello, Bob 🙂').locator('.name').textContent(), 'Ada');
  }),

  'own messages are marked, and all have the local time': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada', { timezoneId: 'Asia/Kolkata' });
      const bob = await chat.join('Bob', { timezoneId: 'UTC' });
      await ada.send('mine');
      await bob.waitForMessage('mine');
      await ada.waitForMessage('mine');
      assert.strictEqual(await count(ada, '#messages > .own'), 1);
      assert.strictEqual(await count(bob, '#messages > .own'), 0);
      for (const [user, timeZone] of [[ada, 'Asia/Kolkata'], [bob, 'UTC']]) {
        const time = user.message('mine').locator('time');
        const shown = await time.textContent();
        const wanted = new Intl.DateTimeFormat('en-GB',
          { timeStyle: 'short', timeZone });
        assert.strictEqual(shown,
          wanted.format(new Date(await time.getAttribute('datetime'))));
      }
    }),

  'the page asks for the name once, and keeps it over a reload': withDaemon(
    async (chat) => {
      const ada = await chat.openPage();
      assert.ok(await ada.$('#who').isVisible());
      assert.strictEqual(await focusedId(ada), 'name');
      await ada.page.keyboard.type('Ada');
      await ada.page.keyboard.press('Enter');
      await ada.$('#who').waitFor({ state: 'hidden' });
      assert.strictEqual(await focusedId(ada), 'text');
      await ada.page.reload();
      await ada.waitForConnection();
      assert.ok(!await ada.$('#who').isVisible());
      assert.strictEqual(await ada.$('#me').textContent(), 'Ada');
      await ada.send('still me');
      await ada.waitForMessage('still me');
    }),

  'the name can be changed, and may not be blank': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    const bob = await chat.join('Bob');
    await ada.$('#rename').click();
    assert.strictEqual(await ada.$('#name').inputValue(), 'Ada');
    await ada.$('#name').fill('   ');
    await ada.$('#join').click();
    assert.ok(await ada.$('#who').isVisible());
    await ada.$('#name').fill('  Countess ');
    await ada.$('#name').press('Enter');
    await ada.send('it is me');
    await bob.waitForMessage('it is me');
    assert.strictEqual(
      await bob.message('it is me').locator('.name').textContent(), 'Countess');
  }),

  'a user without a name can read, and is asked again on sending': withDaemon(
    async (chat) => {
      const eve = await chat.openPage();
      await eve.waitForConnection();
      await eve.page.keyboard.press('Escape');
      await eve.$('#who').waitFor({ state: 'hidden' });
      await eve.inject({ type: 'message', username: 'Ada', message: 'open' });
      await eve.send('me too');
      assert.ok(await eve.$('#who').isVisible());
      await eve.$('#name').fill('Eve');
      await eve.$('#name').press('Enter');
      await eve.waitForMessage('me too');
      assert.strictEqual(await eve.$('#text').inputValue(), '');
    }),

  'markup in a typed name or text is shown as text': withDaemon(
    async (chat) => {
      const bob = await chat.join('Bob');
      for (const text of markup) {
        const eve = await chat.join(text);
        await eve.send(text);
        for (const user of [eve, bob]) {
          await user.waitForMessage(text);
          await assertNoMarkup(user);
        }
        assert.strictEqual(
          await bob.message(text).locator('.name').textContent(),
          text.slice(0, 40));
        assert.strictEqual(await eve.$('#me').textContent(), text.slice(0, 40));
      }
    }),

  'markup and styles in any field of a message are shown as text': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      for (const text of markup) {
        const fields = { username: text, name: text, message: text, id: text };
        await ada.inject(
          { type: 'message', ...fields, color: text },
          { type: 'usermsg', ...fields, color: text },
          { type: 'usermsg', ...fields, message: `${text} 2`,
            color: 'red; background: url(//elsewhere.example/)' },
          { type: 'usermsg', ...fields, message: `${text} 3`,
            color: 'url(//elsewhere.example/)' },
          { type: 'system', ...fields },
          { type: 'message', username: { text }, message: [text] },
          { ...fields, type: text });
        await assertNoMarkup(ada);
        assert.strictEqual(await count(ada, '.dot'), 0);
        for (const place of ['.name', '.text', '.system'])
          assert.ok((await ada.$(place).allTextContents())
            .some((shown) => shown === text.slice(0, shown.length)));
      }
      assert.ok(ada.requests.every((url) => !url.includes('elsewhere')));
    }, ['--relay-system']),

  'markup in error notices and close reasons is shown as text': withDaemon(
    async (chat) => {
      const ada = await chat.newUser();
      await ada.page.routeWebSocket(/./, (socket) => {
        for (const message of markup)
          socket.send(JSON.stringify({ type: 'error', message }));
        socket.onMessage(() => socket.close({ code: 4500, reason: markup[0] }));
      });
      await ada.page.goto(chat.server.url);
      await ada.join('Ada');
      await ada.$('#notice', { hasText: markup[3] }).waitFor();
      await assertNoMarkup(ada);
      await ada.send('hi');
      await ada.waitForState(markup[0]);
      await assertNoMarkup(ada);
    }),

  'each path is a room, and the page shows its name': withFakeServer(
    async (chat, server) => {
      const ada = await chat.join('Ada', {}, 'caf%C3%A9/garden%20party');
      const bob = await chat.join('Bob');
      await ada.page.getByRole('heading', { name: '/café/garden party' })
        .waitFor();
      assert.strictEqual(await ada.page.title(), '/café/garden party – wschat');
      await bob.page.getByRole('heading', { name: /^wschat$/ }).waitFor();
      assert.strictEqual(await bob.page.title(), 'wschat');
      assert.deepStrictEqual(server.requests,
        ['/caf%C3%A9/garden%20party', '/']);
      await bob.send('elsewhere');
      await bob.waitForMessage('elsewhere');
      await ada.setHidden(true);
      server.publish('/caf%C3%A9/garden%20party',
        { type: 'message', username: 'C', message: 'here' });
      await ada.waitForMessage('here');
      assert.deepStrictEqual(await ada.texts(), ['here']);
      assert.strictEqual(await ada.page.title(),
        '(1) /café/garden party – wschat');
      for (const request of ada.requests)
        assert.match(request, /garden%20party(\?asset=[a-z.]+)?$|^data:/);
    }),

  'markup in a room name is shown as text': withFakeServer(async (chat) => {
    for (const text of markup) {
      const eve = await chat.openPage({}, encodeURIComponent(text));
      await eve.$('h1', { hasText: `/${text}` }).waitFor();
      await assertNoMarkup(eve);
      assert.strictEqual(await eve.page.title(), `/${text} – wschat`);
    }
  }),

  'the room name in hello may be any value': withDaemon(async (chat) => {
    for (const [room, wanted] of [['/%ff%', '/%ff%'], ['/', 'wschat'],
      [{ toString: 7 }, 'wschat'], [undefined, 'wschat'], ['', 'wschat'],
      ['/\u05d0', '/\u05d0']]) {
      const ada = await chat.newUser();
      await ada.page.addInitScript((value) => {
        window.WebSocket = class extends EventTarget {
          protocol = 'wschat.v1';

          send() {}

          close() {}

          constructor() {
            super();
            setTimeout(() => {
              this.onopen();
              this.onmessage({ data: JSON.stringify(
                { type: 'hello', room: value }) });
            });
          }
        };
      }, room);
      await ada.page.goto(chat.server.url);
      await ada.waitForConnection();
      await ada.$('h1', { hasText: wanted }).waitFor();
    }
  }),

  'the header shows how many are here, from hello and each announcement':
    withDaemon(async (chat) => {
      const ada = await chat.join('Ada');
      const here = (content) =>
        ada.$('#here', { hasText: content }).waitFor();
      const says = (message) => ada.inject({ type: 'system', message });
      await here('Only you');
      await says('192.0.2.1 connected');
      await here('2 here');
      await says('20 connected, 19 disconnected');
      await here('3 here');
      await says('17 online');
      await here('17 here');
      await says('192.0.2.1 disconnected');
      await here('16 here');
    }, ['--relay-system', '--announce=none']),

  'who joins is counted once, the page itself too': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      await ada.$('.system', { hasText: ' connected' }).waitFor();
      assert.strictEqual(await ada.$('#here').textContent(), 'Only you');
      const bob = await chat.join('Bob');
      await ada.$('#here', { hasText: '2 here' }).waitFor();
      await bob.$('.system', { hasText: ' connected' }).waitFor();
      assert.strictEqual(await bob.$('#here').textContent(), '2 here');
      await bob.context.close();
      await ada.$('#here', { hasText: 'Only you' }).waitFor();
    }, ['--announce=address']),

  'joins and leaves one after the other are one line': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      const system = (message) => ({ type: 'system', message });
      const hi = (message) => ({ type: 'message', username: 'B', message });
      await ada.inject(hi('one'), system('192.0.2.1 connected'),
        system('192.0.2.2 connected'), system('192.0.2.1 disconnected'),
        system('10 connected, 8 disconnected'), hi('two'),
        system('192.0.2.3 connected'), system('A sentence.'), hi('three'));
      assert.deepStrictEqual(
        (await ada.$('#messages > li').allTextContents())
          .map((line) => line.replace(/.*:\d\d( [AP]M)?/, '')).slice(0, 6),
        ['one', '12 joined, 9 left', 'two', '192.0.2.3 connected',
          'A sentence.', 'three']);
    }, ['--relay-system', '--announce=none']),

  'joins and leaves push no message out': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    const hi = (message) => ({ type: 'message', username: 'B', message });
    await ada.inject(hi('first'));
    for (let part = 0; part < 4; part++) {
      const lines = [];
      for (let i = 0; i < 300; i++)
        lines.push({ type: 'system', message: `notice ${part} ${i}` });
      await ada.inject(...lines);
    }
    assert.ok(await ada.message('first').isVisible());
  }, ['--relay-system', '--announce=none']),

  'a time that a page tells is shown if it can be true': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      const hour = 3600000;
      const hi = (message, time) =>
        ({ type: 'message', username: message, message, time });
      const now = Date.now();
      await ada.inject(hi('past', now - 2 * hour), hi('future', now + hour),
        hi('old', now - 400 * 24 * hour), hi('text', String(now)));
      const time = (message) =>
        ada.message(message).locator('time').getAttribute('datetime');
      assert.strictEqual(await time('past'),
        new Date(now - 2 * hour).toISOString());
      for (const message of ['future', 'old', 'text'])
        assert.ok(Math.abs(new Date(await time(message)) - now) < hour);
    }),

  'what was typed before the name is sent with it': withDaemon(async (chat) => {
    const ada = await chat.openPage();
    await ada.waitForConnection();
    await ada.page.keyboard.press('Escape');
    await ada.$('#text').fill('first words');
    await ada.$('#text').press('Enter');
    await ada.$('#name').fill('Ada');
    await ada.$('#name').press('Enter');
    await ada.waitForMessage('first words');
  }, ['--announce=none']),

  'a name can be changed, or not': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    const dialog = (name) => ada.page.getByRole('dialog', { name });
    for (const leave of ['Cancel', 'Escape']) {
      await ada.$('#rename').click();
      await dialog('Change your name').waitFor();
      await ada.$('#name').fill('Eve');
      if (leave === 'Escape') await ada.page.keyboard.press('Escape');
      else await ada.page.getByRole('button', { name: leave }).click();
      assert.strictEqual(await ada.$('#me').textContent(), 'Ada');
    }
    await ada.$('#rename').click();
    await ada.$('#name').fill('Countess');
    await ada.page.getByRole('button', { name: 'Save' }).click();
    assert.strictEqual(await ada.$('#me').textContent(), 'Countess');
  }, ['--announce=none']),

  'the dialog for the name says whether addresses are told': withDaemon(
    async (chat) => {
      const ada = await chat.openPage();
      await ada.waitForConnection();
      await ada.$('#audience', { hasText: 'your IP address' }).waitFor();
    }, ['--announce=address']),

  'a message that is too long is not sent, and stays': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      await ada.$('#text').fill('é'.repeat(600));
      await ada.$('#text').press('Enter');
      await ada.$('#notice', { hasText: /too long: 1\d\d\d bytes of 1024/ })
        .waitFor();
      assert.strictEqual((await ada.$('#text').inputValue()).length, 600);
      await ada.send('é'.repeat(400));
      await ada.waitForMessage('é'.repeat(400));
    }, ['--announce=none', '--max-message=1K']),

  'a line stands between two days': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    const hi = (message, time) =>
      ({ type: 'message', username: 'B', message, time });
    const now = Date.now();
    await ada.inject(hi('yesterday', now - 23.9 * 3600000), hi('today', now),
      hi('more', now));
    assert.strictEqual(await ada.$('#messages > .day').count(), 1);
    const rows = await ada.$('#messages > li').allTextContents();
    assert.ok(rows[1].includes(String(new Date(now).getFullYear())));
  }, ['--announce=none']),

  'a count of online users is no line': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    const online = (n) => ({ type: 'system', message: `${n} online` });
    const hi = (message) => ({ type: 'message', username: 'B', message });
    await ada.inject(online(1), hi('one'), online(22), hi('two'), online(3),
      { type: 'system', message: 'Not 5 online' }, hi('three'), online(4));
    assert.deepStrictEqual(
      (await ada.$('#messages > li').allTextContents())
        .map((line) => line.replace(/.*:\d\d/, '')).slice(0, 4),
      ['one', 'two', 'Not 5 online', 'three']);
    // A count between two messages of a user does not repeat the heading.
    assert.ok(await ada.message('two')
      .evaluate((item) => item.classList.contains('more')));
  }, ['--relay-system', '--announce=none']),

  'messages of type usermsg are shown': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    await ada.inject(
      { type: 'usermsg', name: 'Old', message: 'in red', color: '#ff0000' },
      { type: 'usermsg', name: 'Older', message: 'colourless' });
    const red = ada.message('in red');
    assert.strictEqual(await red.locator('.name').textContent(), 'Old');
    assert.strictEqual(await red.locator('.dot').evaluate(
      (dot) => getComputedStyle(dot).backgroundColor), 'rgb(255, 0, 0)');
    assert.strictEqual(
      await ada.message('colourless').locator('.dot').count(), 0);
  }),

  'values that are not chat messages do no harm': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    await ada.inject(5, true, 'text', [1], {}, { type: 5 }, { type: null },
      { type: 'message' }, { type: 'message', username: 'x', message: '' },
      { type: 'message', username: 'x', message: null },
      { type: ['message'] }, { type: 'constructor', message: 'x' },
      { type: 'usermsg' }, { type: 'message', id: {}, message: 0 },
      { type: 'message', username: null, message: 'nameless' });
    assert.deepStrictEqual((await ada.texts()).slice(0, -1), ['0', 'nameless']);
    assert.strictEqual(
      await ada.message('nameless').locator('.name').textContent(),
      'Anonymous');
  }),

  // The page remembered it under the array, and never forgot it.
  'an id that is no string is none': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    const id = `m-${'0'.repeat(24)}`;
    const hi = (value) =>
      ({ type: 'message', username: 'B', message: 'hi', id: value });
    await ada.inject(hi([id]), hi([[id]]), hi({}), hi(7), hi(`${id}0`));
    assert.strictEqual(await count(ada, '#messages > [data-id]'), 0);
    await ada.inject(hi(id), hi(id));
    assert.strictEqual(await count(ada, `[data-id="${id}"]`), 1);
    assert.strictEqual((await ada.texts()).filter((t) => t === 'hi').length, 6);
  }),

  'long texts are cut, with a sign': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    const long = '☺'.repeat(100000);
    const hi = (message) => ({ type: 'message', username: long, message });
    await ada.inject(hi(long), hi([long]), hi(long.slice(0, 16384)),
      { type: 'system', message: long });
    assert.deepStrictEqual((await ada.texts()).slice(0, 3),
      [`${long.slice(0, 16384)}… [cut]`, `["${long.slice(0, 16382)}… [cut]`,
        long.slice(0, 16384)]);
    assert.strictEqual(
      await ada.$('.system', { hasText: '☺' }).textContent(),
      `${long.slice(0, 16384)}… [cut]`);
    assert.strictEqual(await ada.$('.name').first().textContent(),
      long.slice(0, 40));
  }, ['--relay-system']),

  // Own messages are compared with what the server relays.
  'a long text of the user arrives': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    await ada.send('x'.repeat(20000));
    await ada.$('#messages > .own', { hasText: '… [cut]' }).waitFor();
    assert.strictEqual(await count(ada, '#outbox > *'), 0);
  }),

  'the page keeps 4 M characters, the newest': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    const text = (type, i) =>
      ({ type, username: 'B', message: `${i} ${'x'.repeat(15999)}` });
    const texts = Array.from({ length: 300 },
      (_, i) => text(i % 2 ? 'system' : 'message', i));
    await ada.inject(...texts);
    const rows = await ada.$('#messages > li').allTextContents();
    const sum = rows.reduce((all, { length }) => all + length, 0);
    assert.ok(sum > 4 << 19 && sum < 4.1 * (1 << 20), `${sum} characters`);
    assert.ok(rows.some((row) => row.includes('299 x')));
    // The room that they had is free again.
    await ada.inject(...texts);
    assert.strictEqual(await count(ada, '#messages > li'), rows.length);
  }, ['--relay-system', '--announce=none']),

  'system messages are smaller, and not counted in the title': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      const joined = ada.$('#messages > .system');
      await joined.first().waitFor();
      const bob = await chat.join('Bob');
      await bob.context.close();
      await ada.$('.system', { hasText: ' left' }).waitFor();
      const size = (locator) => locator.evaluate(
        (element) => parseFloat(getComputedStyle(element).fontSize));
      await ada.send('loud');
      await ada.waitForMessage('loud');
      assert.ok(await size(joined.first()) <
        await size(ada.message('loud').locator('.text')));
      assert.strictEqual(await ada.page.title(), 'wschat');
    }),

  'Enter sends, Shift+Enter starts a line, blank messages are not sent':
    withDaemon(async (chat) => {
      const ada = await chat.join('Ada');
      const text = ada.$('#text');
      await text.press('Enter');
      await text.fill(' \n ');
      await text.press('Enter');
      await text.fill('');
      await text.pressSequentially('one');
      await text.press('Shift+Enter');
      await text.pressSequentially('  two');
      await text.press('Enter');
      await ada.$('#messages .text', { hasText: 'two' }).waitFor();
      assert.deepStrictEqual(await ada.texts(), ['one\n  two']);
      assert.strictEqual(await text.inputValue(), '');
    }),

  'after every click the input has the focus': withDaemon(async (chat) => {
    const ada = await chat.openPage();
    await ada.page.keyboard.type('Ada');
    await ada.$('#join').click();
    await ada.waitForConnection();
    for (const [typed, selector] of
      [['one', '#send'], ['two', '#rename'], ['three', '#send']]) {
      await ada.page.keyboard.type(typed);
      assert.strictEqual(await ada.$('#text').inputValue(), typed);
      await ada.$(selector).click();
      if (selector !== '#rename') continue;
      await ada.$('#join').click();
      await ada.page.keyboard.press('Enter');
    }
    await ada.waitForMessage('three');
    assert.deepStrictEqual(await ada.texts(), ['one', 'two', 'three']);
  }),

  'Enter that ends a composition does not send': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    await ada.$('#text').fill('にほん');
    await ada.$('#text').dispatchEvent('keydown',
      { key: 'Enter', isComposing: true });
    assert.strictEqual(await ada.$('#text').inputValue(), 'にほん');
    await ada.$('#text').press('Enter');
    await ada.waitForMessage('にほん');
  }),

  'it scrolls to new messages, also after a change of size': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      await fillLog(ada);
      await ada.waitUntil(isAtEnd);
      await ada.page.setViewportSize({ width: 500, height: 300 });
      await ada.waitUntil(isAtEnd);
      await ada.send('mine');
      await ada.waitForMessage('mine');
      await ada.waitUntil(isAtEnd);
      assert.ok(await ada.$('#fresh').isHidden());
    }),

  'after scrolling up the log stays, and a button counts new messages':
    withDaemon(async (chat) => {
      const ada = await chat.join('Ada');
      await fillLog(ada);
      await ada.waitUntil(isAtEnd);
      await ada.$('#log').hover();
      await ada.scrollUp(() => ada.page.mouse.wheel(0, -600));
      const top = () => ada.$('#log').evaluate((log) => log.scrollTop);
      const before = await top();
      await ada.inject();
      const fresh = ada.$('#fresh');
      assert.strictEqual(await fresh.textContent(), '1 new message');
      await ada.inject({ type: 'message', username: 'B', message: 'again' });
      assert.strictEqual(await fresh.textContent(), '3 new messages');
      assert.strictEqual(await top(), before);
      await fresh.click();
      await ada.waitUntil(isAtEnd);
      assert.ok(await fresh.isHidden());
      assert.strictEqual(await focusedId(ada), 'log');
      // From here on it scrolls to new messages again.
      await fillLog(ada, 'Others');
      await ada.waitUntil(isAtEnd);
      assert.ok(await fresh.isHidden());
    }),

  'scrolling to the end hides the button': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    await fillLog(ada);
    await ada.waitUntil(isAtEnd);
    await ada.$('#log').focus();
    await ada.scrollUp(() => ada.page.keyboard.press('Home'));
    await ada.inject();
    assert.ok(await ada.$('#fresh').isVisible());
    await ada.page.keyboard.press('End');
    await ada.$('#fresh').waitFor({ state: 'hidden' });
  }),

  'the title counts the messages that came while the page was hidden':
    withDaemon(async (chat) => {
      const ada = await chat.join('Ada');
      const bob = await chat.join('Bob');
      await bob.send('seen');
      await ada.waitForMessage('seen');
      assert.strictEqual(await ada.page.title(), 'wschat');
      await ada.setHidden(true);
      await bob.send('unseen');
      await ada.waitForMessage('unseen');
      assert.strictEqual(await ada.page.title(), '(1) wschat');
      const eve = await chat.join('Eve');
      await eve.send('hello');
      await ada.waitForMessage('hello');
      assert.strictEqual(await ada.page.title(), '(2) wschat');
      await ada.setHidden(false);
      assert.strictEqual(await ada.page.title(), 'wschat');
    }),

  'an error notice of the server stands next to the input': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      const bob = await chat.join('Bob');
      await ada.sendLoneSurrogate();
      const notice = ada.$('#notice', { hasText: /^not relayed: .* at byte / });
      await notice.waitFor();
      const [above, below] = [await notice.boundingBox(),
        await ada.$('#text').boundingBox()];
      assert.ok(Math.abs(above.y + above.height - below.y) < 24);
      assert.strictEqual(await ada.$('#text').getAttribute('aria-describedby'),
        'notice');
      assert.strictEqual(await ada.$('#outbox .fate').textContent(),
        'Not sent? Retry Discard');
      await ada.send('whole');
      await bob.waitForMessage('whole');
      assert.ok(await notice.isHidden());
      assert.deepStrictEqual(await bob.texts(), ['whole']);
      await ada.$('#outbox').getByText('Discard').click();
      await ada.waitForMessage('whole');
      assert.deepStrictEqual(await ada.texts(), ['whole']);
    }),

  'a message that was sent twice with one id is shown once': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      const message = { type: 'message', username: 'B', message: 'once',
        id: 'm-0123456789abcdef01234567' };
      await ada.inject(message, message,
        { ...message, message: 'other words' },
        { ...message, username: 'C' },
        { ...message, id: 'm-0123456789abcdef01234568' });
      // An id of another format, by another client, may have any meaning.
      const other = { ...message, message: 'twice', id: '1' };
      await ada.inject(other, other);
      assert.deepStrictEqual(
        (await ada.texts()).filter((text) => !text.startsWith('That is all')),
        ['once', 'other words', 'once', 'once', 'twice', 'twice']);
    }),

  'consecutive messages of one user share a heading': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      const bob = await chat.join('Bob');
      const say = async (user, text) => {
        await user.send(text);
        await ada.waitForMessage(text);
      };
      await say(ada, 'one');
      await say(ada, 'two');
      await say(bob, 'three');
      await say(bob, 'four');
      await say(ada, 'five');
      const headed = await ada.$('.message:not(.more) > .text')
        .allTextContents();
      assert.deepStrictEqual(headed, ['one', 'three', 'five']);
    }),

  'a message of another user with an own id is not an own message': withDaemon(
    async (chat) => {
      const ada = await chat.newUser();
      let resolveRelay;
      const relay = new Promise((resolve) => { resolveRelay = resolve; });
      await ada.page.routeWebSocket(/./, (socket) => {
        socket.onMessage((text) => {
          const message = JSON.parse(text);
          socket.send(JSON.stringify({ ...message, message: 'forged' }));
          resolveRelay(() => socket.send(text));
        });
      });
      await ada.page.goto(chat.server.url);
      await ada.join('Ada');
      await ada.send('genuine');
      await ada.waitForMessage('forged');
      assert.strictEqual(await count(ada, '#messages > .own'), 0);
      (await relay)();
      await ada.waitForMessage('genuine');
      assert.strictEqual(await count(ada, '#messages > .own'), 1);
    }),

  'a very long message is folded, and can be unfolded': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      await ada.inject({ type: 'message', username: 'Spam',
        message: 'word '.repeat(20000) },
      { type: 'message', username: 'Spam', message: 'x\n'.repeat(5000) });
      for (let folds = 2; folds > 0; folds--) {
        const folded = ada.$('.text.folded').first();
        assert.ok((await folded.boundingBox()).height < 400);
        await ada.page.getByText('Show all').first().click();
        assert.strictEqual(await count(ada, '.text.folded'), folds - 1);
      }
    }),

  'the page keeps 1,000 messages': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    await ada.inject(...Array.from({ length: 1200 }, (_, i) =>
      ({ type: 'message', username: `${i % 7}`, message: `${i}`,
        id: `${i}` })));
    const texts = await ada.texts();
    assert.ok(texts.length >= 990 && texts.length <= 1000);
    assert.strictEqual(texts[texts.length - 2], '1199');
    await ada.waitUntil(isAtEnd);
  }),

  'Tab reaches all controls, in a sensible order': withDaemon(async (chat) => {
    const ada = await chat.join('Ada');
    await fillLog(ada);
    await ada.waitUntil(isAtEnd);
    assert.strictEqual(await focusedId(ada), 'text');
    const press = async (key, id) => {
      await ada.page.keyboard.press(key);
      assert.strictEqual(await focusedId(ada), id);
    };
    await press('Tab', 'send');
    await press('Shift+Tab', 'text');
    await press('Shift+Tab', 'log');
    await press('Shift+Tab', 'rename');
    await press('Tab', 'log');
    await ada.scrollUp(() => ada.page.keyboard.press('Home'));
    await ada.inject();
    await press('Tab', 'fresh');
    await press('Tab', 'text');
    await press('Shift+Tab', 'fresh');
    await ada.page.keyboard.press('Enter');
    await ada.waitUntil(isAtEnd);
    await press('Tab', 'text');
    await ada.page.keyboard.type('by keyboard');
    await press('Tab', 'send');
    await press('Enter', 'text');
    await ada.waitForMessage('by keyboard');
  }),

  'all elements have roles and names for screen readers': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada');
      const { page } = ada;
      await ada.send('hello');
      await page.getByRole('log', { name: 'Messages' }).getByText('hello')
        .waitFor();
      await page.getByRole('textbox', { name: 'Message' }).waitFor();
      await page.getByRole('button', { name: 'Send' }).waitFor();
      await page.getByRole('status').filter({ hasText: 'Connected' }).waitFor();
      await page.getByRole('button',
        { name: 'Ada', description: 'Change your name' }).click();
      await page.getByRole('dialog', { name: 'Change your name' })
        .getByRole('textbox', { name: 'Your name' }).waitFor();
    }),
};
