// The page, in a real browser, with the real daemon.
'use strict';

const assert = require('assert');
const { inFake, inRoom } = require('./people');

const markup = [
  '<img src=x onerror="hacked = true">',
  '<script>hacked = true</script>',
  '"><svg onload="hacked = true">',
  '&lt;b&gt; &amp; <b>bold</b>',
];

// Nothing but the page's own elements, and no script has run.
async function unharmed(person) {
  assert.deepStrictEqual(await person.evaluate(() => ({
    hacked: typeof hacked,
    strange: document.querySelectorAll(
      'img, svg, b, iframe, a, body script, body [style], [onerror]').length,
  })), { hacked: 'undefined', strange: 0 });
}

const count = (person, selector) => person.$(selector).count();
const focused = (person) =>
  person.evaluate(() => document.activeElement.id);

// Says so much that the log is several windows high.
const fill = (person, name = 'Crowd') => person.publish(
  ...Array.from({ length: 60 }, (_, i) =>
    ({ type: 'message', username: name, message: `line ${i}` })));

const atEnd = () => {
  const log = document.getElementById('log');
  return log.scrollHeight - log.clientHeight - log.scrollTop < 2;
};

module.exports = {
  'two people chat and see each other': inRoom(async (room) => {
    const ada = await room.member('Ada');
    const bob = await room.member('Bob');
    await ada.say('Hello, Bob 🙂');
    await bob.sees('Hello, Bob 🙂');
    await bob.say('Grüße, Ada');
    for (const person of [ada, bob]) {
      await person.sees('Grüße, Ada');
      assert.deepStrictEqual(await person.texts(),
        ['Hello, Bob 🙂', 'Grüße, Ada']);
      assert.strictEqual(await count(person, '#outbox > *'), 0);
    }
    assert.strictEqual(
      await bob.message('Hello, Bob 🙂').locator('.name').textContent(), 'Ada');
  }),

  'own messages are set apart, all have the local time': inRoom(async (room) => {
    const ada = await room.member('Ada', { timezoneId: 'Asia/Kolkata' });
    const bob = await room.member('Bob', { timezoneId: 'UTC' });
    await ada.say('mine');
    await bob.sees('mine');
    await ada.sees('mine');
    assert.strictEqual(await count(ada, '#messages > .own'), 1);
    assert.strictEqual(await count(bob, '#messages > .own'), 0);
    for (const [person, timeZone] of [[ada, 'Asia/Kolkata'], [bob, 'UTC']]) {
      const time = person.message('mine').locator('time');
      const shown = await time.textContent();
      const wanted = new Intl.DateTimeFormat('en-GB',
        { timeStyle: 'short', timeZone });
      assert.strictEqual(shown,
        wanted.format(new Date(await time.getAttribute('datetime'))));
    }
  }),

  'the name is asked for once: a reload keeps it': inRoom(async (room) => {
    const ada = await room.visitor();
    assert.ok(await ada.$('#who').isVisible());
    assert.strictEqual(await focused(ada), 'name');
    await ada.page.keyboard.type('Ada');
    await ada.page.keyboard.press('Enter');
    await ada.$('#who').waitFor({ state: 'hidden' });
    assert.strictEqual(await focused(ada), 'text');
    await ada.page.reload();
    await ada.connected();
    assert.ok(!await ada.$('#who').isVisible());
    assert.strictEqual(await ada.$('#me').textContent(), 'Ada');
    await ada.say('still me');
    await ada.sees('still me');
  }),

  'the name can be changed, and may not be blank': inRoom(async (room) => {
    const ada = await room.member('Ada');
    const bob = await room.member('Bob');
    await ada.$('#rename').click();
    assert.strictEqual(await ada.$('#name').inputValue(), 'Ada');
    await ada.$('#name').fill('   ');
    await ada.$('#who button').click();
    assert.ok(await ada.$('#who').isVisible());
    await ada.$('#name').fill('  Countess ');
    await ada.$('#name').press('Enter');
    await ada.say('it is me');
    await bob.sees('it is me');
    assert.strictEqual(
      await bob.message('it is me').locator('.name').textContent(), 'Countess');
  }),

  'who gives no name may read, and is asked again when writing': inRoom(
    async (room) => {
      const eve = await room.visitor();
      await eve.connected();
      await eve.page.keyboard.press('Escape');
      await eve.$('#who').waitFor({ state: 'hidden' });
      await eve.publish({ type: 'message', username: 'Ada', message: 'open' });
      await eve.say('me too');
      assert.ok(await eve.$('#who').isVisible());
      await eve.$('#name').fill('Eve');
      await eve.$('#name').press('Enter');
      assert.strictEqual(await eve.$('#text').inputValue(), 'me too');
      await eve.$('#send').click();
      await eve.sees('me too');
    }),

  'no name and no text that a person types is markup': inRoom(async (room) => {
    const bob = await room.member('Bob');
    for (const text of markup) {
      const eve = await room.member(text);
      await eve.say(text);
      for (const person of [eve, bob]) {
        await person.sees(text);
        await unharmed(person);
      }
      assert.strictEqual(await bob.message(text).locator('.name').textContent(),
        text.slice(0, 40));
      assert.strictEqual(await eve.$('#me').textContent(), text.slice(0, 40));
    }
  }),

  'no field of any message is markup or style': inRoom(async (room) => {
    const ada = await room.member('Ada');
    for (const text of markup) {
      const all = { username: text, name: text, message: text, id: text };
      await ada.publish(
        { type: 'message', ...all, color: text },
        { type: 'usermsg', ...all, color: text },
        { type: 'usermsg', ...all, message: `${text} 2`,
          color: 'red; background: url(//elsewhere.example/)' },
        { type: 'usermsg', ...all, message: `${text} 3`,
          color: 'url(//elsewhere.example/)' },
        { type: 'system', ...all },
        { type: 'message', username: { text }, message: [text] },
        { ...all, type: text });
      await unharmed(ada);
      assert.strictEqual(await count(ada, '.dot'), 0);
      for (const place of ['.name', '.text', '.system'])
        assert.ok((await ada.$(place).allTextContents())
          .some((shown) => shown === text.slice(0, shown.length)));
    }
    assert.ok(ada.requests.every((url) => !url.includes('elsewhere')));
  }, ['--relay-system']),

  'no notice of a server is markup': inRoom(async (room) => {
    const ada = await room.person();
    await ada.page.routeWebSocket(/./, (socket) => {
      for (const message of markup)
        socket.send(JSON.stringify({ type: 'error', message }));
      socket.onMessage(() => socket.close({ code: 4500, reason: markup[0] }));
    });
    await ada.page.goto(room.daemon.url);
    await ada.join('Ada');
    await ada.$('#notice', { hasText: markup[3] }).waitFor();
    await unharmed(ada);
    await ada.say('hi');
    await ada.status(markup[0]);
    await unharmed(ada);
  }),

  'each path is a room, and its name is shown': inFake(
    async (room, fake) => {
      const ada = await room.member('Ada', {}, 'caf%C3%A9/garden%20party');
      const bob = await room.member('Bob');
      await ada.page.getByRole('heading', { name: '/café/garden party' })
        .waitFor();
      assert.strictEqual(await ada.page.title(), '/café/garden party – wschat');
      await bob.page.getByRole('heading', { name: /^wschat$/ }).waitFor();
      assert.strictEqual(await bob.page.title(), 'wschat');
      assert.deepStrictEqual(fake.requests,
        ['/caf%C3%A9/garden%20party', '/']);
      await bob.say('elsewhere');
      await bob.sees('elsewhere');
      await ada.hide(true);
      fake.say('/caf%C3%A9/garden%20party',
        { type: 'message', username: 'C', message: 'here' });
      await ada.sees('here');
      assert.deepStrictEqual(await ada.texts(), ['here']);
      assert.strictEqual(await ada.page.title(),
        '(1) /café/garden party – wschat');
      for (const request of ada.requests)
        assert.match(request, /garden%20party(\?asset=[a-z.]+)?$|^data:/);
    }),

  'no name of a room is markup': inFake(async (room) => {
    for (const text of markup) {
      const eve = await room.visitor({}, encodeURIComponent(text));
      await eve.$('h1', { hasText: `/${text}` }).waitFor();
      await unharmed(eve);
      assert.strictEqual(await eve.page.title(), `/${text} – wschat`);
    }
  }),

  'a room may have any name, or none': inRoom(async (room) => {
    for (const [said, wanted] of [['/%ff%', '/%ff%'], ['/', 'wschat'],
      [{ toString: 7 }, 'wschat'], [undefined, 'wschat'], ['', 'wschat'],
      ['/\u05d0', '/\u05d0']]) {
      const ada = await room.person();
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
      }, said);
      await ada.page.goto(room.daemon.url);
      await ada.connected();
      await ada.$('h1', { hasText: wanted }).waitFor();
    }
  }),

  'of how many are online, only the newest count is shown': inRoom(
    async (room) => {
      const ada = await room.member('Ada');
      const online = (n) => ({ type: 'system', message: `${n} online` });
      const hi = (message) => ({ type: 'message', username: 'B', message });
      await ada.publish(online(1), hi('one'), online(22), hi('two'), online(3),
        { type: 'system', message: 'Not 5 online' }, hi('three'), online(4));
      assert.deepStrictEqual(
        (await ada.$('#messages > li').allTextContents())
          .map((line) => line.replace(/.*:\d\d/, '')).slice(0, 5),
        ['one', 'two', 'Not 5 online', 'three', '4 online']);
      // It does not come between what one person says in a row.
      assert.ok(await ada.message('two')
        .evaluate((item) => item.classList.contains('more')));
    }, ['--relay-system', '--announce=none']),

  'the older family of messages is understood': inRoom(async (room) => {
    const ada = await room.member('Ada');
    await ada.publish(
      { type: 'usermsg', name: 'Old', message: 'in red', color: '#ff0000' },
      { type: 'usermsg', name: 'Older', message: 'colourless' });
    const red = ada.message('in red');
    assert.strictEqual(await red.locator('.name').textContent(), 'Old');
    assert.strictEqual(await red.locator('.dot').evaluate(
      (dot) => getComputedStyle(dot).backgroundColor), 'rgb(255, 0, 0)');
    assert.strictEqual(
      await ada.message('colourless').locator('.dot').count(), 0);
  }),

  'whatever else is relayed does no harm': inRoom(async (room) => {
    const ada = await room.member('Ada');
    await ada.publish(5, true, 'text', [1], {}, { type: 5 }, { type: null },
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

  'system messages are muted': inRoom(async (room) => {
    const ada = await room.member('Ada');
    const joined = ada.$('#messages > .system', { hasText: ' connected' });
    await joined.first().waitFor();
    const bob = await room.member('Bob');
    await bob.context.close();
    await ada.$('.system', { hasText: 'disconnected' }).waitFor();
    const size = (locator) => locator.evaluate(
      (element) => parseFloat(getComputedStyle(element).fontSize));
    await ada.say('loud');
    await ada.sees('loud');
    assert.ok(await size(joined.first()) <
      await size(ada.message('loud').locator('.text')));
    assert.strictEqual(await ada.page.title(), 'wschat');
  }),

  'Enter sends, Shift with Enter is a new line, blanks are not sent': inRoom(
    async (room) => {
      const ada = await room.member('Ada');
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

  'after every click the keyboard is where one writes': inRoom(async (room) => {
    const ada = await room.visitor();
    await ada.page.keyboard.type('Ada');
    await ada.$('#who button').click();
    await ada.connected();
    for (const [words, selector] of
      [['one', '#send'], ['two', '#rename'], ['three', '#send']]) {
      await ada.page.keyboard.type(words);
      assert.strictEqual(await ada.$('#text').inputValue(), words);
      await ada.$(selector).click();
      if (selector !== '#rename') continue;
      await ada.$('#who button').click();
      await ada.page.keyboard.press('Enter');
    }
    await ada.sees('three');
    assert.deepStrictEqual(await ada.texts(), ['one', 'two', 'three']);
  }),

  'Enter that ends a composition does not send': inRoom(async (room) => {
    const ada = await room.member('Ada');
    await ada.$('#text').fill('にほん');
    await ada.$('#text').dispatchEvent('keydown',
      { key: 'Enter', isComposing: true });
    assert.strictEqual(await ada.$('#text').inputValue(), 'にほん');
    await ada.$('#text').press('Enter');
    await ada.sees('にほん');
  }),

  'it follows new messages, also through a change of size': inRoom(
    async (room) => {
      const ada = await room.member('Ada');
      await fill(ada);
      await ada.until(atEnd);
      await ada.page.setViewportSize({ width: 500, height: 300 });
      await ada.until(atEnd);
      await ada.say('mine');
      await ada.sees('mine');
      await ada.until(atEnd);
      assert.ok(await ada.$('#fresh').isHidden());
    }),

  'who has scrolled up is left alone, and offered what is new': inRoom(
    async (room) => {
      const ada = await room.member('Ada');
      await fill(ada);
      await ada.until(atEnd);
      await ada.$('#log').hover();
      await ada.scrollUp(() => ada.page.mouse.wheel(0, -600));
      const top = () => ada.$('#log').evaluate((log) => log.scrollTop);
      const before = await top();
      await ada.publish();
      const fresh = ada.$('#fresh');
      assert.strictEqual(await fresh.textContent(), '1 new message');
      await ada.publish({ type: 'message', username: 'B', message: 'again' });
      assert.strictEqual(await fresh.textContent(), '3 new messages');
      assert.strictEqual(await top(), before);
      await fresh.click();
      await ada.until(atEnd);
      assert.ok(await fresh.isHidden());
      assert.strictEqual(await focused(ada), 'log');
      // From there on it follows again.
      await fill(ada, 'Others');
      await ada.until(atEnd);
      assert.ok(await fresh.isHidden());
    }),

  'who scrolls down by hand has seen what is new': inRoom(async (room) => {
    const ada = await room.member('Ada');
    await fill(ada);
    await ada.until(atEnd);
    await ada.$('#log').focus();
    await ada.scrollUp(() => ada.page.keyboard.press('Home'));
    await ada.publish();
    assert.ok(await ada.$('#fresh').isVisible());
    await ada.page.keyboard.press('End');
    await ada.$('#fresh').waitFor({ state: 'hidden' });
  }),

  'the title counts what came while the page was hidden': inRoom(
    async (room) => {
      const ada = await room.member('Ada');
      const bob = await room.member('Bob');
      await bob.say('seen');
      await ada.sees('seen');
      assert.strictEqual(await ada.page.title(), 'wschat');
      await ada.hide(true);
      await bob.say('unseen');
      await ada.sees('unseen');
      assert.strictEqual(await ada.page.title(), '(1) wschat');
      const eve = await room.member('Eve');
      await eve.say('hello');
      await ada.sees('hello');
      assert.strictEqual(await ada.page.title(), '(2) wschat');
      await ada.hide(false);
      assert.strictEqual(await ada.page.title(), 'wschat');
    }),

  'a notice of the server stands next to the input': inRoom(async (room) => {
    const ada = await room.member('Ada');
    const bob = await room.member('Bob');
    await ada.sayHalf();
    const notice = ada.$('#notice', { hasText: /^not relayed: .* at byte / });
    await notice.waitFor();
    const [above, below] = [await notice.boundingBox(),
      await ada.$('#text').boundingBox()];
    assert.ok(Math.abs(above.y + above.height - below.y) < 24);
    assert.strictEqual(await ada.$('#text').getAttribute('aria-describedby'),
      'notice');
    assert.strictEqual(await ada.$('#outbox .fate').textContent(),
      'Not sent? Retry Discard');
    await ada.say('whole');
    await bob.sees('whole');
    assert.ok(await notice.isHidden());
    assert.deepStrictEqual(await bob.texts(), ['whole']);
    await ada.$('#outbox').getByText('Discard').click();
    await ada.sees('whole');
    assert.deepStrictEqual(await ada.texts(), ['whole']);
  }),

  'what somebody sends twice is shown once': inRoom(async (room) => {
    const ada = await room.member('Ada');
    const said = { type: 'message', username: 'B', message: 'once',
      id: 'm-0123456789abcdef01234567' };
    await ada.publish(said, said,
      { ...said, message: 'other words' },
      { ...said, username: 'C' },
      { ...said, id: 'm-0123456789abcdef01234568' });
    // An id of somebody else's making may stand for anything.
    const other = { ...said, message: 'twice', id: '1' };
    await ada.publish(other, other);
    assert.deepStrictEqual(
      (await ada.texts()).filter((text) => !text.startsWith('That is all')),
      ['once', 'other words', 'once', 'once', 'twice', 'twice']);
  }),

  'one heading serves for what one person says in a row': inRoom(
    async (room) => {
      const ada = await room.member('Ada');
      const bob = await room.member('Bob');
      const say = async (person, text) => {
        await person.say(text);
        await ada.sees(text);
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

  'the id of a message does not make it an own one': inRoom(async (room) => {
    const ada = await room.person();
    let steal;
    const stolen = new Promise((resolve) => { steal = resolve; });
    await ada.page.routeWebSocket(/./, (socket) => {
      socket.onMessage((text) => {
        const said = JSON.parse(text);
        socket.send(JSON.stringify({ ...said, message: 'forged' }));
        steal(() => socket.send(text));
      });
    });
    await ada.page.goto(room.daemon.url);
    await ada.join('Ada');
    await ada.say('genuine');
    await ada.sees('forged');
    assert.strictEqual(await count(ada, '#messages > .own'), 0);
    (await stolen)();
    await ada.sees('genuine');
    assert.strictEqual(await count(ada, '#messages > .own'), 1);
  }),

  'a very long message is folded, and can be unfolded': inRoom(async (room) => {
    const ada = await room.member('Ada');
    await ada.publish({ type: 'message', username: 'Spam',
      message: 'word '.repeat(20000) },
    { type: 'message', username: 'Spam', message: 'x\n'.repeat(5000) });
    for (let left = 2; left > 0; left--) {
      const folded = ada.$('.text.folded').first();
      assert.ok((await folded.boundingBox()).height < 400);
      await ada.page.getByText('Show all').first().click();
      assert.strictEqual(await count(ada, '.text.folded'), left - 1);
    }
  }),

  'it keeps a thousand messages': inRoom(async (room) => {
    const ada = await room.member('Ada');
    await ada.publish(...Array.from({ length: 1200 }, (_, i) =>
      ({ type: 'message', username: `${i % 7}`, message: `${i}`, id: `${i}` })));
    const texts = await ada.texts();
    assert.ok(texts.length >= 990 && texts.length <= 1000);
    assert.strictEqual(texts[texts.length - 2], '1199');
    await ada.until(atEnd);
  }),

  'it works by keyboard, in an order that makes sense': inRoom(async (room) => {
    const ada = await room.member('Ada');
    await fill(ada);
    await ada.until(atEnd);
    assert.strictEqual(await focused(ada), 'text');
    const press = async (key, id) => {
      await ada.page.keyboard.press(key);
      assert.strictEqual(await focused(ada), id);
    };
    await press('Tab', 'send');
    await press('Shift+Tab', 'text');
    await press('Shift+Tab', 'log');
    await press('Shift+Tab', 'rename');
    await press('Tab', 'log');
    await ada.scrollUp(() => ada.page.keyboard.press('Home'));
    await ada.publish();
    await press('Tab', 'fresh');
    await press('Tab', 'text');
    await press('Shift+Tab', 'fresh');
    await ada.page.keyboard.press('Enter');
    await ada.until(atEnd);
    await press('Tab', 'text');
    await ada.page.keyboard.type('by keyboard');
    await press('Tab', 'send');
    await press('Enter', 'text');
    await ada.sees('by keyboard');
  }),

  'it says what is what to those who hear it': inRoom(async (room) => {
    const ada = await room.member('Ada');
    const { page } = ada;
    await ada.say('hello');
    await page.getByRole('log', { name: 'Messages' }).getByText('hello')
      .waitFor();
    await page.getByRole('textbox', { name: 'Message' }).waitFor();
    await page.getByRole('button', { name: 'Send' }).waitFor();
    await page.getByRole('status').filter({ hasText: 'Connected' }).waitFor();
    await page.getByRole('button',
      { name: 'Ada', description: 'Change your name' }).click();
    await page.getByRole('dialog', { name: 'Who are you?' })
      .getByRole('textbox', { name: 'Your name' }).waitFor();
  }),
};
