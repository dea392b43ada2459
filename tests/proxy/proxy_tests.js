// Runs every case for each proxy, over TCP and over a unix socket, and those for
// --rooms over TCP; then those of the scripts in contrib/. Prints "ok", "not ok"
// or "skip" for each.
'use strict';

const { check, fail, summarize } = require('../browser/check');
const { Site, kinds } = require('./site');
const { cases, roomCases } = require('./cases');
const scripts = require('./scripts');

const sum = { passed: 0, failed: 0, skipped: 0 };

const setups = [{ name: 'tcp' }, { name: 'unix', unix: true },
  { name: 'rooms', rooms: true }];

const add = (count) => {
  for (const [result, number] of Object.entries(count)) sum[result] += number;
};

const skip = (name, reason) => {
  console.log(`skip ${name}: ${reason}`);
  sum.skipped++;
};

// Runs the cases of one setup through one kind of proxy.
async function testProxy(kind, setup) {
  const name = `${kind} ${setup.name}`;
  const missing = kinds[kind].missing();
  if (missing) return skip(name, missing);
  let site;
  try {
    site = await Site.start(kind, setup);
  } catch (error) {
    fail(name, 'the proxy starts', error);
    sum.failed++;
    return undefined;
  }
  try {
    add(await check(name, (setup.rooms ? roomCases : cases)(site)));
  } finally {
    await site.end();
  }
  return undefined;
}

(async () => {
  for (const kind of Object.keys(kinds))
    for (const setup of setups) await testProxy(kind, setup);
  const missing = scripts.missing();
  if (missing) skip('scripts', missing);
  else add(await check('scripts', scripts.cases));
  summarize(sum, () => 'tests/proxy/run');
  process.exit(sum.failed ? 1 : 0);
})();
