// The life of a no-op task as services on Node mostly write it: `node reference.mjs DATABASE_URL REDIS_URL TASK LINE`, the
// record and a line of its history as JSON. Each step reads the task, to see whether it may be taken, and is then an UPDATE
// of what was read, an INSERT and two publishes, each awaited by itself; on its way the task goes through a queue. Its
// writes alone, without the reading and the queue, are measured too. Prints a line `NAME TASKS_PER_SECOND` for each thing
// measured.
import { randomUUID } from "node:crypto";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import pg from "pg";

const [connectionString, redisUrl, task, line] = process.argv.slice(2);
const [body, history] = [JSON.parse(task), JSON.parse(line)];
const CLIENTS = 20;
const pool = new pg.Pool({ connectionString, max: CLIENTS });
const redis = new Redis(redisUrl);
const connection = { url: redisUrl, maxRetriesPerRequest: null };
const queue = new Queue("reference", { connection });
const worker = new Worker("reference", null, { connection }); // asked for each job by hand: none of them waits to be woken

const INSERT = { name: "insert", text: "INSERT INTO peer.tasks (id, state, body) VALUES ($1, $2, $3)" };
const READ = { name: "read", text: "SELECT id, state, body FROM peer.tasks WHERE id = $1" };
const UPDATE = { name: "update", text: "UPDATE peer.tasks SET state = $2, body = $3 WHERE id = $1" };
const UPDATE_READ = { name: "update read", text: "UPDATE peer.tasks SET state = $2, body = $3 WHERE id = $1 AND state = $4" };
const LINE = { name: "line", text: "INSERT INTO peer.events (task, body) VALUES ($1, $2)" };

async function step(id, state, write, ...more) {
  const text = JSON.stringify({ ...body, state: { name: state } });
  const { rowCount } = await pool.query({ ...write, values: [id, state, text, ...more] });
  if (rowCount !== 1) throw new Error(`${id} cannot become ${state}`);
  await pool.query({ ...LINE, values: [id, JSON.stringify({ ...history, to: state })] });
  const hint = JSON.stringify({ task: id, state });
  await redis.publish("tasks", hint);
  await redis.publish(`task:${id}`, hint);
}

async function writes() {
  const id = randomUUID();
  await step(id, "pending", INSERT);
  for (const state of ["queued", "provisioning", "running", "completed"]) {
    await step(id, state, UPDATE);
  }
}

async function whole() {
  const id = randomUUID();
  await step(id, "pending", INSERT);
  await goOn(id, "pending", "queued");
  // one entry for each task, by priority: what ours is asked for, too
  await queue.add("task", { id }, { jobId: id, priority: 100, removeOnComplete: true });
  const job = await worker.getNextJob("token", { block: false }); // this one or another's
  await goOn(job.data.id, "queued", "provisioning");
  await goOn(job.data.id, "provisioning", "running");
  await goOn(job.data.id, "running", "completed");
  await job.moveToCompleted(null, "token", false);
}

async function goOn(id, from, to) {
  const { rows } = await pool.query({ ...READ, values: [id] });
  if (rows[0]?.state !== from) throw new Error(`${id} is ${rows[0]?.state}, and not ${from}`);
  await step(id, to, UPDATE_READ, from);
}

async function drained(live, workers, tasks) {
  let left = tasks;
  const start = performance.now();
  const one = async () => {
    while (left-- > 0) await live();
  };
  await Promise.all(Array.from({ length: workers }, one));
  return (tasks / (performance.now() - start)) * 1000;
}

await worker.waitUntilReady();
for (const live of [whole, writes]) {
  await drained(live, CLIENTS, 200); // warm
  console.log(`${live.name}_one_by_one`, await drained(live, 1, 200));
  console.log(`${live.name}_together`, await drained(live, CLIENTS, 1000));
}
await worker.close();
await queue.close();
await pool.end();
redis.disconnect();
