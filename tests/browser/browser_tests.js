// Runs the suites that are named, or all: node browser_tests.js [SUITE...].
// Without Chromium or playwright-core it skips the suites that need them.
'use strict';

const fs = require('fs');
const { check, summarize } = require('./check');

const nodeSuites = ['client'];
const browserSuites = ['page', 'connection', 'resume', 'rooms', 'publish',
  'look', 'tutorial', 'contrib'];

// Returns why there is no browser to test in, or '' if there is one.
function missingBrowser() {
  try {
    const { chromium } = require('./users');
    return fs.existsSync(chromium) ? '' : `there is no ${chromium}`;
  } catch (error) {
    return error.message.split('\n')[0];
  }
}

// Runs a suite, and returns how many of its cases passed, failed, were skipped.
async function run(suite) {
  const reason = browserSuites.includes(suite) && missingBrowser();
  if (!reason) return check(suite, require(`./test_${suite}`));
  console.log(`skip ${suite}: ${reason}`);
  return { passed: 0, failed: 0, skipped: 1 };
}

(async () => {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const named = process.argv.slice(2);
  for (const suite of named.length ? named : [...nodeSuites, ...browserSuites])
    for (const [result, count] of Object.entries(await run(suite)))
      sum[result] += count;
  if (!missingBrowser()) await require('./users').closeBrowser();
  summarize(sum, (suite) => `tests/browser/run ${suite}`);
  process.exit(sum.failed ? 1 : 0);
})();
