// The pages of contrib/, with their addresses put in.
'use strict';

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { inFake } = require('./people');

const folder = path.join(__dirname, '..', '..', 'contrib');

// Somebody with such a page of the site open, and connected.
async function visit(room, fake, name) {
  fake.files.set(`/${name}`, fs.readFileSync(path.join(folder, name), 'utf8')
    .replaceAll('https://example.com:9600/', fake.url)
    .replaceAll('wss://example.com:9600/', fake.url));
  const person = await room.person({}, fake.url + name);
  await fake.greeted(1);
  return person;
}

const alert = (message) => ({ message });
const shown = (person, selector) => person.$(selector).allTextContents();
const lists = (person, text) =>
  person.$('li', { hasText: text }).first().waitFor();

module.exports = {
  'notify.html shows what there is, and what comes': inFake(
    async (room, fake) => {
      fake.files.set('/alerts.json', JSON.stringify(['one', 'two'].map(alert)));
      const ada = await visit(room, fake, 'notify.html');
      await lists(ada, 'two');
      fake.say('/', alert('of another room'));
      fake.say('/alerts', alert('<img src=x onerror="hacked = true">'), 5, null,
        { level: 3 }, alert('end'));
      await lists(ada, 'end');
      assert.deepStrictEqual(await shown(ada, 'li'), ['one', 'two',
        '<img src=x onerror="hacked = true">', '5', 'null', '{"level":3}',
        'end']);
      assert.strictEqual(await ada.$('img').count(), 0);
    }),

  'notify.html misses nothing in a break, or loads it anew': inFake(
    async (room, fake) => {
      fake.files.set('/alerts.json', JSON.stringify([alert('old')]));
      const ada = await visit(room, fake, 'notify.html');
      await lists(ada, 'old');
      fake.say('/alerts', alert('live'));
      await lists(ada, 'live');
      fake.drop();
      fake.say('/alerts', alert('meanwhile'));
      await lists(ada, 'meanwhile');
      assert.deepStrictEqual(await shown(ada, 'li'),
        ['old', 'live', 'meanwhile']);
      fake.files.set('/alerts.json',
        JSON.stringify(['live', 'meanwhile', 'missed'].map(alert)));
      fake.forget();
      fake.drop();
      await lists(ada, 'missed');
      fake.say('/alerts', alert('new'));
      await lists(ada, 'new');
      assert.deepStrictEqual(await shown(ada, 'li'),
        ['live', 'meanwhile', 'missed', 'new']);
    }),

  'embed.html chats': inFake(async (room, fake) => {
    const ada = await visit(room, fake, 'embed.html');
    await lists(ada, 'open');
    await ada.$('#text').fill('Hi <b>all</b>');
    await ada.$('button').click();
    await lists(ada, 'Guest: Hi <b>all</b>');
    assert.deepStrictEqual(await shown(ada, 'li'),
      ['open', 'Guest: Hi <b>all</b>']);
  }),
};
