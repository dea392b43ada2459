// The page in the rooms of a daemon, and how many are there.
'use strict';

const assert = require('assert');
const { inRoom } = require('./people');
const { Voice } = require('./voice');

const rooms = ['--rooms', '--announce=none'];
const heading = (person, text) =>
  person.$('h1').getByText(text, { exact: true }).waitFor();

module.exports = {
  'two rooms hear only their own': inRoom(async (room) => {
    const ada = await room.member('Ada', {}, 'garden');
    const bob = await room.member('Bob', {}, 'caf%C3%A9/garden%20party');
    const eve = await room.member('Eve');
    await heading(ada, '/garden');
    await heading(bob, '/café/garden party');
    await heading(eve, 'wschat');
    const people = [[ada, 'in the garden'], [bob, 'at the party'],
      [eve, 'outside']];
    for (const [person, text] of people) await person.say(text);
    for (const [person] of people) {
      await person.say('and more');
      await person.sees('and more');
    }
    for (const [person, text] of people)
      assert.deepStrictEqual(await person.texts(), [text, 'and more']);
  }, rooms),

  'a room is the same however its path is escaped': inRoom(async (room) => {
    for (const [name, ...paths] of [
      ['/café', 'café', 'caf%C3%A9', 'c%61f%c3%a9'],
      ['/a b', 'a b', 'a%20b'],
      ['/a~b', 'a~b', 'a%7Eb'],
    ]) {
      const people = [];
      for (const path of paths) {
        people.push(await room.member('Ada', {}, path));
        await heading(people[people.length - 1], name);
      }
      await people[0].say(name);
      for (const person of people) await person.sees(name);
    }
  }, rooms),

  'a name that looks escaped is no other name': inRoom(async (room) => {
    for (const [name, path] of [['/a%41', 'a%2541'], ['/50%', '50%25']]) {
      const ada = await room.visitor({}, path);
      await heading(ada, name);
    }
  }, rooms),

  'without rooms every path leads to the same one': inRoom(async (room) => {
    const ada = await room.member('Ada');
    const voice = await Voice.join(`${room.daemon.url}garden`);
    room.servers.push(voice);
    await voice.count(1);
    await ada.sees(voice.last);
    await heading(ada, 'wschat');
  }),

  'one line says how many are there': inRoom(async (room) => {
    const online = (person, count) => person.$('#messages > .system')
      .getByText(`${count} online`, { exact: true }).waitFor();
    const ada = await room.member('Ada', {}, 'garden');
    await online(ada, 1);
    const bob = await room.member('Bob', {}, 'garden');
    await room.member('Eve', {}, 'kitchen');
    await online(ada, 2);
    await bob.say('hello');
    await ada.sees('hello');
    await bob.context.close();
    await online(ada, 1);
    assert.deepStrictEqual(
      await ada.$('#messages > .system').allTextContents(), ['1 online']);
  }, ['--rooms', '--announce=count']),
};
