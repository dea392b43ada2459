// Runs the cases of one suite in order, prints "ok" or "not ok" for each, and
// returns how many passed and failed.
'use strict';

const kPatience = 60000;  // ms, far beyond what any case takes

async function inTime(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('it takes for ever')), kPatience);
  });
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function check(suite, cases) {
  const count = { passed: 0, failed: 0 };
  for (const [name, run] of Object.entries(cases)) {
    try {
      await inTime(run());
      count.passed++;
      console.log(`ok ${suite}: ${name}`);
    } catch (error) {
      count.failed++;
      console.log(`not ok ${suite}: ${name}\n${error.stack}`);
    }
  }
  return count;
}

module.exports = { check };
