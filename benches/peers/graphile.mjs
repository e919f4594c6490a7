// No-op jobs through graphile-worker: `node graphile.mjs DATABASE_URL`. Prints a line `NAME JOBS_PER_SECOND` for each
// thing measured.
import { Logger, makeWorkerUtils, run } from "graphile-worker";

const connectionString = process.argv[2];
const logger = new Logger(() => () => {});

async function drained(concurrency, count, localQueue) {
  const utils = await makeWorkerUtils({ connectionString, logger });
  await utils.migrate();
  await utils.withPgClient((client) =>
    client.query(
      "SELECT graphile_worker.add_job('noop', json_build_object('n', n)) FROM generate_series(1, $1::int) AS n",
      [count],
    ),
  );
  let done = 0;
  let start;
  let finished;
  const all = new Promise((resolve) => (finished = resolve));
  const runner = await run({
    connectionString,
    logger,
    noHandleSignals: true,
    concurrency,
    pollInterval: 2000,
    maxPoolSize: 20,
    taskList: {
      noop: async () => {
        start ??= performance.now();
        done += 1;
        if (done === count) finished();
      },
    },
    preset: { worker: localQueue ? { localQueue: { size: 500 } } : {} },
  });
  await all;
  const result = (count / (performance.now() - start)) * 1000;
  await runner.stop();
  await utils.release();
  return result;
}

await drained(10, 500, false); // warm
console.log("drained_1", await drained(1, 1000, false));
console.log("drained_10", await drained(10, 5000, false));
console.log("drained_100", await drained(100, 5000, false));
console.log("drained_100_local", await drained(100, 20000, true));
process.exit(0);
