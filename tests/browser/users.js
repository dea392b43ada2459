// Users that have the chat page open in Chromium. A Chat is a server and its
// users; each user has a browser context of its own. A case fails if a page
// logs an error or a warning that the case does not expect.
'use strict';

const assert = require('assert');
const fs = require('fs');
const playwright = require('playwright-core');
const { Daemon } = require('./daemon');
const { FakeServer } = require('./fake_server');
const { TcpProxy } = require('./tcp_proxy');

// The headless shell is Chromium without its user interface: the tests take a
// fourth of the time.
const shell = '/usr/bin/chromium-headless-shell';
const chromium = process.env.CHROMIUM ??
  (fs.existsSync(shell) ? shell : '/usr/bin/chromium');
const kTimeout = 20000;  // ms; no step of a case takes nearly as long

let browser = null;
let injections = 0;  // calls of User.inject() so far

async function launchBrowser() {
  browser ??= await playwright.chromium.launch({
    executablePath: chromium,
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
      '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      // chat.test is the host name of a site. Only this machine is reachable.
      '--host-resolver-rules=MAP chat.test 127.0.0.1, MAP * ~NOTFOUND, ' +
        'EXCLUDE localhost, EXCLUDE 127.0.0.1, EXCLUDE [::1]',
    ],
  });
  return browser;
}

async function closeBrowser() {
  await browser?.close();
  browser = null;
}

class User {
  errors = [];            // errors and warnings of the page
  requests = [];          // URLs that the page requested
  expectedErrors = null;  // pattern of the errors that belong to the case

  static async open(context, url) {
    const user = new User();
    user.context = context;
    user.page = await context.newPage();
    user.page.setDefaultTimeout(kTimeout);
    user.#recordEvents();
    if (url) await user.page.goto(url);
    return user;
  }

  #recordEvents() {
    this.page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()))
        this.errors.push(message.text());
    });
    this.page.on('pageerror', (error) => this.errors.push(error.stack));
    this.page.on('request', (request) => this.requests.push(request.url()));
  }

  $(selector, options) {
    return this.page.locator(selector, options);
  }

  // Enters a name, and waits for the connection.
  async join(name) {
    await this.$('#name').fill(name);
    await this.$('#join').click();
    await this.waitForConnection();
  }

  async waitForConnection(timeout = kTimeout) {
    await this.waitForState('Connected', timeout);
  }

  // Waits until the page shows this state of its connection.
  async waitForState(text, timeout = kTimeout) {
    await this.$('#state', { hasText: text }).waitFor({ timeout });
  }

  // Types a message and presses Enter.
  async send(text) {
    await this.$('#text').fill(text);
    await this.$('#text').press('Enter');
  }

  // Sends half of a surrogate pair, which the daemon does not relay.
  async sendLoneSurrogate() {
    await this.evaluate(() => {
      document.getElementById('text').value = 'half: \ud83d';
    });
    await this.$('#text').press('Enter');
  }

  // Returns the relayed message with this text, as a locator.
  message(text) {
    const exact = new RegExp(`^${text.replace(/[^\w ]/g, '\\$&')}$`);
    return this.$('#messages > .message')
      .filter({ has: this.page.locator('.text', { hasText: exact }) });
  }

  // Waits until the page shows the relayed message with this text.
  async waitForMessage(text) {
    await this.message(text).waitFor();
  }

  // Returns the texts of all messages, oldest first, then those of the outbox.
  texts() {
    return this.$('.message > .text').allTextContents();
  }

  // Sends values of any kind through a second WebSocket of the page. Returns
  // once both that WebSocket and the page have received all of them.
  async inject(...values) {
    const end = `That is all (${++injections}).`;
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
    await this.waitForMessage(end);
  }

  // Tells the page that it is hidden or visible. Headless browsers never hide
  // a page themselves.
  async setHidden(hidden) {
    await this.page.evaluate((value) => {
      Object.defineProperty(document, 'hidden',
        { configurable: true, get: () => value });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
  }

  // Scrolls up by the given action, and returns when the log no longer moves.
  // The browser scrolls smoothly, and continues while messages arrive.
  async scrollUp(action) {
    await this.evaluate(() => {
      window.scrollEnded = false;
      document.addEventListener('scrollend', () => {
        window.scrollEnded = !document.querySelector('.following');
      }, true);
    });
    await action();
    await this.waitUntil(() => window.scrollEnded);
  }

  // Waits until a function in the page returns something true.
  waitUntil(passes, argument) {
    return this.page.waitForFunction(passes, argument, { timeout: kTimeout });
  }

  evaluate(run, argument) {
    return this.page.evaluate(run, argument);
  }
}

class Chat {
  users = [];
  resources = [];  // to be closed after the case

  constructor(server) {
    this.server = server;
  }

  // Adds a user with a browser context of its own. Opens the url, if given.
  async newUser(settings = {}, url = undefined) {
    const context = await (await launchBrowser())
      .newContext({ locale: 'en-GB', ...settings });
    const user = await User.open(context, url);
    this.users.push(user);
    return user;
  }

  // Adds a user that has the page open, and has not entered a name.
  openPage(settings, path = '') {
    return this.newUser(settings, this.server.url + path);
  }

  // Adds a user that has entered a name and is connected.
  async join(name, settings, path) {
    const user = await this.openPage(settings, path);
    await user.join(name);
    return user;
  }

  // Adds a user that is connected through another URL than the server's.
  async joinAt(url, name) {
    const user = await this.newUser({}, url);
    await user.join(name);
    return user;
  }

  // Starts a TCP proxy in front of the server.
  async startProxy() {
    const proxy = await TcpProxy.start(this.server);
    this.resources.push(proxy);
    return proxy;
  }

  async close() {
    for (const { context } of this.users) await context.close();
    for (const resource of this.resources) resource.close();
    await this.server.end('SIGTERM');
  }

  // Returns the errors and warnings of all pages that the case did not expect.
  unexpectedErrors() {
    return this.users.flatMap(({ errors, expectedErrors }) =>
      errors.filter((text) => !expectedErrors?.test(text)));
  }
}

// Returns a case that starts a server, runs the test with it, and ends it.
const withServer = (start, test) => async () => {
  const chat = new Chat(await start());
  try {
    await test(chat);
    assert.deepStrictEqual(chat.unexpectedErrors(), []);
  } finally {
    await chat.close();
  }
};

const withDaemon = (test, options = [], host = undefined) =>
  withServer(() => Daemon.start(options, host), test);

const withFakeServer = (test) => withServer(() => FakeServer.start(),
  (chat) => test(chat, chat.server));

// Chromium's message when a WebSocket cannot connect.
const connectFailed = /^WebSocket connection to .* failed/;

module.exports =
  { chromium, closeBrowser, connectFailed, withDaemon, withFakeServer };
