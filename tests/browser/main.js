// Runs the suites that are named, or all: node main.js [SUITE...]. Without
// Chromium or playwright-core only what needs neither, and says so.
'use strict';

const fs = require('fs');
const { check, summarize } = require('./check');

const alone = ['client'];
const inBrowser = ['page', 'connection', 'resume', 'rooms', 'publish', 'look',
  'tutorial', 'contrib'];

// Why there is no browser to test in; nothing if there is one.
function lacking() {
  try {
    const { chromium } = require('./people');
    return fs.existsSync(chromium) ? '' : `there is no ${chromium}`;
  } catch (error) {
    return error.message.split('\n')[0];
  }
}

async function run(suite) {
  const reason = inBrowser.includes(suite) && lacking();
  if (!reason) return check(suite, require(`./test_${suite}`));
  console.log(`skip ${suite}: ${reason}`);
  return { passed: 0, failed: 0, skipped: 1 };
}

(async () => {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const named = process.argv.slice(2);
  for (const suite of named.length ? named : [...alone, ...inBrowser])
    for (const [result, count] of Object.entries(await run(suite)))
      sum[result] += count;
  if (!lacking()) await require('./people').close();
  summarize(sum, (suite) => `tests/browser/run ${suite}`);
  process.exit(sum.failed ? 1 : 0);
})();
