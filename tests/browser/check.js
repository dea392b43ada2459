// Runs the cases of a suite and adds up the results of all suites.
'use strict';

const kTimeout = 60000;  // ms; no case takes nearly as long

// Rejects if the promise takes longer than kTimeout.
async function withTimeout(promise) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('timeout')), kTimeout);
  });
  await Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}

const failures = [];  // "SUITE: CASE" of each failed case

// Prints that a case failed, and why.
function fail(suite, name, error) {
  failures.push(`${suite}: ${name}`);
  console.log(`not ok ${suite}: ${name}\n${error.stack}`);
}

// Runs the cases of one suite in order, prints "ok" or "not ok" for each, and
// returns how many passed and failed.
async function check(suite, cases) {
  const count = { passed: 0, failed: 0 };
  for (const [name, run] of Object.entries(cases)) {
    try {
      await withTimeout(run());
      count.passed++;
      console.log(`ok ${suite}: ${name}`);
    } catch (error) {
      count.failed++;
      fail(suite, name, error);
    }
  }
  return count;
}

// Prints each failed case with the command that repeats its suite, then the
// counts in the last line.
function summarize({ passed, failed, skipped }, commandOf) {
  for (const failure of failures)
    console.log(`not ok ${failure}\n    ${commandOf(failure.split(':')[0])}`);
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
}

module.exports = { check, fail, summarize };
