// Tests the layout, the accessibility (by axe-core) and the size of the page.
// Writes screenshots to build/screenshots/, to be looked at by eye.
'use strict';

const assert = require('assert');
const fs = require('fs');
const axe = require('axe-core');
const { withFakeServer, withDaemon, connectFailed } = require('./users');

const folder = 'build/screenshots';
const wide = { width: 1280, height: 800 };
const narrow = { width: 360, height: 640 };

async function screenshot(user, name) {
  fs.mkdirSync(folder, { recursive: true });
  await user.page.screenshot({ path: `${folder}/${name}.png` });
}

async function assertAccessible(user) {
  await user.evaluate(axe.source);
  const { violations } = await user.evaluate(() => axe.run());
  assert.deepStrictEqual(violations.map(({ id, nodes }) =>
    `${id}: ${nodes.map(({ html }) => html).join(' ')}`), []);
}

// Checks that nothing is wider than the window, and that every control is inside
// it and at least 44 px high, for fingers.
async function assertFits(user) {
  const { excess, controls } = await user.evaluate(() => ({
    excess: document.documentElement.scrollWidth - innerWidth,
    controls: [...document.querySelectorAll('#rename, #text, #send')]
      .map((control) => control.getBoundingClientRect())
      .map((box) => box.left >= 0 && box.right <= innerWidth &&
        box.top >= 0 && box.bottom <= innerHeight && box.height >= 44),
  }));
  assert.ok(excess <= 0);
  assert.deepStrictEqual(controls, [true, true, true]);
}

const messages = [
  { type: 'message', username: 'Bob', message: 'Good morning! Is the release out?' },
  { type: 'message', username: 'Grace', message: 'Since nine. The notes are on the wiki, and the changelog has a line for what a user would notice. Tell me if anything is missing, I am here until noon.' },
  { type: 'message', username: 'Grace', message: 'Oh, and: thank you all.' },
  { type: 'usermsg', name: 'Old client', message: 'I have brought my own colour', color: '#e0218a' },
  { type: 'message', username: 'محمد', message: 'صباح الخير للجميع' },
];

// Returns a user whose page shows messages of most kinds.
async function openFilledPage(chat, settings) {
  const ada = await chat.join('Ada', settings);
  await ada.inject(...messages);
  await ada.send('Good morning, Bob.');
  await ada.send('It is, and it looks well:\n  42 fixes, none of them urgent.');
  await ada.waitForMessage('Good morning, Bob.');
  await ada.$('#outbox > *').waitFor({ state: 'detached' });
  return ada;
}

const themes = {};
for (const colorScheme of ['light', 'dark']) {
  for (const [size, viewport] of Object.entries({ wide, narrow })) {
    themes[`${colorScheme} and ${size}, axe-core finds nothing`] = withDaemon(
      async (chat) => {
        const name = `${size}-${colorScheme}`;
        const settings = { colorScheme, viewport };
        const nameless = await chat.openPage(settings);
        nameless.expectedErrors = connectFailed;
        await nameless.waitForConnection();
        await assertAccessible(nameless);
        await screenshot(nameless, `${name}-name`);
        const ada = await openFilledPage(chat, settings);
        await assertAccessible(ada);
        await assertFits(ada);
        await screenshot(ada, name);
        // A refused message, unread messages and a lost connection at once.
        ada.expectedErrors = connectFailed;
        await ada.sendLoneSurrogate();
        await ada.$('#notice', { hasText: 'not relayed' }).waitFor();
        await ada.$('#log').hover();
        await ada.scrollUp(() => ada.page.mouse.wheel(0, -100));
        await ada.inject();
        await chat.server.end('SIGKILL');
        await ada.waitForState('Reconnecting…');
        await assertAccessible(ada);
        await assertFits(ada);
        await screenshot(ada, `${name}-errors`);
        await ada.send('Is anybody there?');
        await ada.$('.fate', { hasText: 'Waiting' }).waitFor();
        await assertAccessible(ada);
        await screenshot(ada, `${name}-unsent`);
      });
  }
}

const luminance = (user, selector) => user.$(selector).evaluate(
  (element) => getComputedStyle(element).backgroundColor.match(/\d+/g)
    .slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765);

module.exports = {
  ...themes,

  'the page follows the light or dark theme of the system': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada', { colorScheme: 'dark' });
      assert.ok(await luminance(ada, 'body') < 0.2);
      await ada.page.emulateMedia({ colorScheme: 'light' });
      assert.ok(await luminance(ada, 'body') > 0.8);
    }),

  'the page fits on the smallest phones': withDaemon(async (chat) => {
    const ada = await openFilledPage(chat, { viewport: { width: 280, height: 400 } });
    await ada.inject({ type: 'message', username: 'N'.repeat(100),
      message: 'M'.repeat(500) },
    { type: 'system', message: 's'.repeat(300) });
    await assertFits(ada);
    await screenshot(ada, 'smallest');
  }, ['--relay-system']),

  'the page fits with a long room name': withFakeServer(
    async (chat, server) => {
      const name = 'the-garden-behind-the-house/and-further-down';
      for (const [size, viewport] of Object.entries({ wide, narrow })) {
        const ada = await chat.join('Augusta Ada King', { viewport },
          name + size);
        await assertFits(ada);
        await assertAccessible(ada);
        const bar = await ada.$('header').boundingBox();
        assert.ok(bar.height < 80, `${size}: ${bar.height}`);
        server.holding = true;
        await ada.send('Did that arrive?');
        await server.waitForText('Did that arrive?');
        server.dropConnections();
        await ada.$('.fate', { hasText: 'Perhaps sent' }).waitFor();
        await assertAccessible(ada);
        await assertFits(ada);
        await screenshot(ada, `${size}-room`);
        server.release();
      }
    }),

  'axe-core finds nothing with forced colours': withDaemon(async (chat) => {
    const ada = await openFilledPage(chat, { forcedColors: 'active', viewport: wide });
    await assertAccessible(ada);
    await screenshot(ada, 'forced-colors');
  }),

  'nothing moves if the system asks for reduced motion': withDaemon(
    async (chat) => {
      const ada = await chat.join('Ada', { reducedMotion: 'reduce' });
      ada.expectedErrors = connectFailed;
      await chat.server.end('SIGKILL');
      await ada.waitForState('Reconnecting…');
      const moving = () => document.getAnimations().filter((animation) =>
        animation.effect.getComputedTiming().activeDuration > 0).length;
      assert.strictEqual(await ada.evaluate(moving), 0);
      await ada.page.emulateMedia({ reducedMotion: 'no-preference' });
      assert.strictEqual(await ada.evaluate(moving), 1);
    }),

  'all files of the page have less than 60 KB': withDaemon(async (chat) => {
    const ada = await chat.newUser();
    const bodies = [];
    ada.page.on('response', (response) => bodies.push(response.body()));
    await ada.page.goto(chat.server.url, { waitUntil: 'load' });
    await ada.waitForConnection();
    const sizes = (await Promise.all(bodies)).map(({ length }) => length);
    assert.ok(sizes.length >= 4);
    const sum = sizes.reduce((all, size) => all + size);
    assert.ok(sum < 60000, `${sum} bytes`);
    assert.ok(ada.requests.every(
      (url) => url.startsWith(chat.server.url) || url.startsWith('data:')));
  }),
};
