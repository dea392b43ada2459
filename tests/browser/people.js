// People in front of browsers: a Room is a server, and whoever has its page
// open. Each person has a browser context to themselves. When a case ends,
// nobody's page may have complained or asked for anything from elsewhere.
'use strict';

const assert = require('assert');
const fs = require('fs');
const playwright = require('playwright-core');
const { Daemon } = require('./daemon');
const { Fake } = require('./fake');
const { Relay } = require('./relay');

// The shell is Chromium without what is around a page: a fourth of the time.
const shell = '/usr/bin/chromium-headless-shell';
const chromium = process.env.CHROMIUM ??
  (fs.existsSync(shell) ? shell : '/usr/bin/chromium');
const kPatience = 20000;  // ms, never reached when all is well

let browser = null;
let published = 0;

async function launch() {
  browser ??= await playwright.chromium.launch({
    executablePath: chromium,
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
      '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      // chat.test stands for a site; nothing else than this machine exists.
      '--host-resolver-rules=MAP chat.test 127.0.0.1, MAP * ~NOTFOUND, ' +
        'EXCLUDE localhost, EXCLUDE 127.0.0.1, EXCLUDE [::1]',
    ],
  });
  return browser;
}

async function close() {
  await browser?.close();
  browser = null;
}

class Person {
  complaints = [];
  requests = [];
  expected = null;  // complaints that are part of the case

  static async enter(context, url) {
    const person = new Person();
    person.context = context;
    person.page = await context.newPage();
    person.page.setDefaultTimeout(kPatience);
    person.#listen();
    if (url) await person.page.goto(url);
    return person;
  }

  #listen() {
    const complain = (text) => this.complaints.push(text);
    this.page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()))
        complain(message.text());
    });
    this.page.on('pageerror', (error) => complain(error.stack));
    this.page.on('request', (request) => this.requests.push(request.url()));
  }

  $(selector, options) {
    return this.page.locator(selector, options);
  }

  async join(name) {
    await this.$('#name').fill(name);
    await this.$('#who button').click();
    await this.connected();
  }

  async connected(timeout = kPatience) {
    await this.status('Connected', timeout);
  }

  async status(text, timeout = kPatience) {
    await this.$('#state', { hasText: text }).waitFor({ timeout });
  }

  async say(text) {
    await this.$('#text').fill(text);
    await this.$('#text').press('Enter');
  }

  // Says half of a character: the daemon does not relay it.
  async sayHalf() {
    await this.evaluate(() => {
      document.getElementById('text').value = 'half: \ud83d';
    });
    await this.$('#text').press('Enter');
  }

  // The message with this text, which everybody has heard.
  message(text) {
    const exact = new RegExp(`^${text.replace(/[^\w ]/g, '\\$&')}$`);
    return this.$('#messages > .message')
      .filter({ has: this.page.locator('.text', { hasText: exact }) });
  }

  async sees(text) {
    await this.message(text).waitFor();
  }

  // The texts of all messages, oldest first, own unsettled ones last.
  texts() {
    return this.$('.message > .text').allTextContents();
  }

  // Says anything at all, through a connection of its own, and returns when it
  // has come back, to that connection and to the page.
  async publish(...values) {
    const end = `That is all (${++published}).`;
    await this.page.evaluate(async ({ texts, end }) => {
      const socket = new WebSocket(location.href.replace('http', 'ws'));
      await new Promise((resolve, reject) => {
        socket.onerror = reject;
        socket.onopen = () => texts.forEach((text) => socket.send(text));
        socket.onmessage = ({ data }) => data.includes(end) && resolve();
      });
      socket.close();
    }, {
      texts: [...values, { type: 'message', username: 'Host', message: end }]
        .map((value) => JSON.stringify(value)),
      end,
    });
    await this.sees(end);
  }

  // Headless browsers never hide a page: it is told so.
  async hide(hidden) {
    await this.page.evaluate((value) => {
      Object.defineProperty(document, 'hidden',
        { configurable: true, get: () => value });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
  }

  // Scrolls up as a reader does, and returns when the log stands still: a
  // browser takes its time, and goes on whatever comes between.
  async scrollUp(act) {
    await this.evaluate(() => {
      window.stoodStill = false;
      document.addEventListener('scrollend', () => {
        window.stoodStill = !document.querySelector('.following');
      }, true);
    });
    await act();
    await this.until(() => window.stoodStill);
  }

  // Waits until a function in the page returns something true.
  until(passes, argument) {
    return this.page.waitForFunction(passes, argument, { timeout: kPatience });
  }

  evaluate(run, argument) {
    return this.page.evaluate(run, argument);
  }
}

class Room {
  people = [];
  servers = [];

  constructor(daemon) {
    this.daemon = daemon;
  }

  // Somebody with a browser of their own, not on the page yet.
  async person(settings = {}, url = undefined) {
    const context = await (await launch())
      .newContext({ locale: 'en-GB', ...settings });
    const person = await Person.enter(context, url);
    this.people.push(person);
    return person;
  }

  // Somebody with the page open.
  visitor(settings, path = '') {
    return this.person(settings, this.daemon.url + path);
  }

  // Somebody who has said their name and is connected.
  async member(name, settings, path) {
    const person = await this.visitor(settings, path);
    await person.join(name);
    return person;
  }

  // The same, by another way than straight to the server.
  async memberAt(url, name) {
    const person = await this.person({}, url);
    await person.join(name);
    return person;
  }

  // Such a way.
  async relay() {
    const relay = await Relay.before(this.daemon);
    this.servers.push(relay);
    return relay;
  }

  async close() {
    for (const { context } of this.people) await context.close();
    for (const server of this.servers) server.close();
    await this.daemon.end('SIGTERM');
  }

  // Whatever any page complained of that it should not.
  complaints() {
    return this.people.flatMap(({ complaints, expected }) =>
      complaints.filter((text) => !expected?.test(text)));
  }
}

// Makes a case of what happens in a room of a server.
const within = (start, happens) => async () => {
  const room = new Room(await start());
  try {
    await happens(room);
    assert.deepStrictEqual(room.complaints(), []);
  } finally {
    await room.close();
  }
};

const inRoom = (happens, options = [], host = undefined) =>
  within(() => Daemon.start(options, host), happens);

// The same, of a server that does as it is told.
const inFake = (happens) => within(() => Fake.start(),
  (room) => happens(room, room.daemon));

// What Chromium says when a server is not there.
const unreachable = /^WebSocket connection to .* failed/;

module.exports = { chromium, close, inFake, inRoom, unreachable };
