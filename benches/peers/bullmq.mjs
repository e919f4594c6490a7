// No-op jobs through BullMQ: `node bullmq.mjs REDIS_URL`. Prints a line `NAME JOBS_PER_SECOND` for each thing measured.
import { Queue, Worker } from "bullmq";

const connection = () => ({ url: process.argv[2], maxRetriesPerRequest: null });
const options = { removeOnComplete: true, removeOnFail: true };
let names = 0;

function rate(count, start) {
  return (count / (performance.now() - start)) * 1000;
}

async function filled(count) {
  const queue = new Queue(`bench${names++}`, { connection: connection() });
  for (let n = 0; n < count; n += 1000) {
    await queue.addBulk(Array.from({ length: 1000 }, (_, i) => ({ name: "job", data: { n: n + i }, opts: options })));
  }
  return queue;
}

async function drained(concurrency, count) {
  const queue = await filled(count);
  let done = 0;
  let start;
  await new Promise((resolve, reject) => {
    const worker = new Worker(
      queue.name,
      async () => {
        start ??= performance.now();
      },
      { connection: connection(), concurrency },
    );
    worker.on("completed", () => {
      done += 1;
      if (done === count) resolve(worker.close());
    });
    worker.on("error", reject);
  });
  const result = rate(count, start);
  await queue.close();
  return result;
}

async function enqueuedOneByOne(inFlight, count) {
  const queue = new Queue(`bench${names++}`, { connection: connection() });
  await queue.add("job", { n: -1 }, options);
  const start = performance.now();
  let next = 0;
  const one = async () => {
    while (next < count) await queue.add("job", { n: next++ }, options);
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  const result = rate(count, start);
  await queue.close();
  return result;
}

async function enqueuedInBulk(count) {
  const start = performance.now();
  const queue = await filled(count);
  const result = rate(count, start);
  await queue.close();
  return result;
}

await drained(10, 2000); // warm
for (const [concurrency, count] of [[1, 10000], [10, 30000], [100, 30000]]) {
  console.log(`drained_${concurrency}`, await drained(concurrency, count));
}
console.log("enqueued_1", await enqueuedOneByOne(1, 5000));
console.log("enqueued_100", await enqueuedOneByOne(100, 20000));
console.log("enqueued_bulk", await enqueuedInBulk(40000));
process.exit(0);
