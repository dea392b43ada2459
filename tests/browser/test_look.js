// What the page looks like and weighs, and what axe-core finds in it. Leaves
// screenshots for a person to look at in build/screenshots/.
'use strict';

const assert = require('assert');
const fs = require('fs');
const axe = require('axe-core');
const { inFake, inRoom, unreachable } = require('./people');

const folder = 'build/screenshots';
const wide = { width: 1280, height: 800 };
const narrow = { width: 360, height: 640 };

async function shoot(person, name) {
  fs.mkdirSync(folder, { recursive: true });
  await person.page.screenshot({ path: `${folder}/${name}.png` });
}

async function accessible(person) {
  await person.evaluate(axe.source);
  const { violations } = await person.evaluate(() => axe.run());
  assert.deepStrictEqual(violations.map(({ id, nodes }) =>
    `${id}: ${nodes.map(({ html }) => html).join(' ')}`), []);
}

// Nothing is wider than the window, and every control is in it and large enough
// for a finger.
async function fits(person) {
  const { over, controls } = await person.evaluate(() => ({
    over: document.documentElement.scrollWidth - innerWidth,
    controls: [...document.querySelectorAll('#rename, #text, #send')]
      .map((control) => control.getBoundingClientRect())
      .map((box) => box.left >= 0 && box.right <= innerWidth &&
        box.top >= 0 && box.bottom <= innerHeight && box.height >= 44),
  }));
  assert.ok(over <= 0);
  assert.deepStrictEqual(controls, [true, true, true]);
}

const chatter = [
  { type: 'message', username: 'Bob', message: 'Good morning! Is the release out?' },
  { type: 'message', username: 'Grace', message: 'Since nine. The notes are on the wiki, and the changelog has a line for what a user would notice. Tell me if anything is missing, I am here until noon.' },
  { type: 'message', username: 'Grace', message: 'Oh, and: thank you all.' },
  { type: 'usermsg', name: 'Old client', message: 'I have brought my own colour', color: '#e0218a' },
  { type: 'message', username: 'محمد', message: 'صباح الخير للجميع' },
];

// A room in which most of what can be seen is to be seen.
async function scene(room, settings) {
  const ada = await room.member('Ada', settings);
  await ada.publish(...chatter);
  await ada.say('Good morning, Bob.');
  await ada.say('It is, and it looks well:\n  42 fixes, none of them urgent.');
  await ada.sees('Good morning, Bob.');
  await ada.$('#outbox > *').waitFor({ state: 'detached' });
  return ada;
}

const themes = {};
for (const colorScheme of ['light', 'dark']) {
  for (const [size, viewport] of Object.entries({ wide, narrow })) {
    themes[`${colorScheme} and ${size}, axe-core finds nothing`] = inRoom(
      async (room) => {
        const name = `${size}-${colorScheme}`;
        const settings = { colorScheme, viewport };
        const visitor = await room.visitor(settings);
        visitor.expected = unreachable;
        await visitor.connected();
        await accessible(visitor);
        await shoot(visitor, `${name}-name`);
        const ada = await scene(room, settings);
        await accessible(ada);
        await fits(ada);
        await shoot(ada, name);
        // Everything that may go wrong, at once.
        ada.expected = unreachable;
        await ada.sayHalf();
        await ada.$('#notice', { hasText: 'not relayed' }).waitFor();
        await ada.$('#log').hover();
        await ada.scrollUp(() => ada.page.mouse.wheel(0, -100));
        await ada.publish();
        await room.daemon.end('SIGKILL');
        await ada.status('Reconnecting…');
        await accessible(ada);
        await fits(ada);
        await shoot(ada, `${name}-trouble`);
        await ada.say('Is anybody there?');
        await ada.$('.fate', { hasText: 'Waiting' }).waitFor();
        await accessible(ada);
        await shoot(ada, `${name}-unsent`);
      });
  }
}

const luminance = (person, selector) => person.$(selector).evaluate(
  (element) => getComputedStyle(element).backgroundColor.match(/\d+/g)
    .slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765);

module.exports = {
  ...themes,

  'light or dark is what the system says, also when it changes': inRoom(
    async (room) => {
      const ada = await room.member('Ada', { colorScheme: 'dark' });
      assert.ok(await luminance(ada, 'body') < 0.2);
      await ada.page.emulateMedia({ colorScheme: 'light' });
      assert.ok(await luminance(ada, 'body') > 0.8);
    }),

  'the smallest of phones will do': inRoom(async (room) => {
    const ada = await scene(room, { viewport: { width: 280, height: 400 } });
    await ada.publish({ type: 'message', username: 'N'.repeat(100),
      message: 'M'.repeat(500) },
    { type: 'system', message: 's'.repeat(300) });
    await fits(ada);
    await shoot(ada, 'smallest');
  }, ['--relay-system']),

  'the name of a room may be long': inFake(async (room, fake) => {
    const name = 'the-garden-behind-the-house/and-further-down';
    for (const [size, viewport] of Object.entries({ wide, narrow })) {
      const ada = await room.member('Augusta Ada King', { viewport },
        name + size);
      await fits(ada);
      await accessible(ada);
      const bar = await ada.$('header').boundingBox();
      assert.ok(bar.height < 80, `${size}: ${bar.height}`);
      fake.holding = true;
      await ada.say('Did that arrive?');
      await fake.received('Did that arrive?');
      fake.drop();
      await ada.$('.fate', { hasText: 'Perhaps sent' }).waitFor();
      await accessible(ada);
      await fits(ada);
      await shoot(ada, `${size}-room`);
      fake.release();
    }
  }),

  'colours may be forced by the system': inRoom(async (room) => {
    const ada = await scene(room, { forcedColors: 'active', viewport: wide });
    await accessible(ada);
    await shoot(ada, 'forced-colors');
  }),

  'who wants no motion sees none': inRoom(async (room) => {
    const ada = await room.member('Ada', { reducedMotion: 'reduce' });
    ada.expected = unreachable;
    await room.daemon.end('SIGKILL');
    await ada.status('Reconnecting…');
    const moving = () => document.getAnimations().filter((animation) =>
      animation.effect.getComputedTiming().activeDuration > 0).length;
    assert.strictEqual(await ada.evaluate(moving), 0);
    await ada.page.emulateMedia({ reducedMotion: 'no-preference' });
    assert.strictEqual(await ada.evaluate(moving), 1);
  }),

  'all of the page is less than 40 KB': inRoom(async (room) => {
    const ada = await room.person();
    const bodies = [];
    ada.page.on('response', (response) => bodies.push(response.body()));
    await ada.page.goto(room.daemon.url, { waitUntil: 'load' });
    await ada.connected();
    const sizes = (await Promise.all(bodies)).map(({ length }) => length);
    assert.ok(sizes.length >= 4);
    const sum = sizes.reduce((all, size) => all + size);
    assert.ok(sum < 40000, `${sum} bytes`);
    assert.ok(ada.requests.every(
      (url) => url.startsWith(room.daemon.url) || url.startsWith('data:')));
  }),
};
