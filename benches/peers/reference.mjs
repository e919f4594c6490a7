// The life of a no-op task as services on Node mostly write it: `node reference.mjs DATABASE_URL REDIS_URL TASK LINE`,
// the record and a line of its history as JSON. For each step an UPDATE, an INSERT and two publishes, each awaited by
// itself. Prints a line `NAME TASKS_PER_SECOND` for each thing measured.
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import pg from "pg";

const [connectionString, redisUrl, task, line] = process.argv.slice(2);
const [body, history] = [JSON.parse(task), JSON.parse(line)];
const CLIENTS = 20;
const pool = new pg.Pool({ connectionString, max: CLIENTS });
const redis = new Redis(redisUrl);

const INSERT = { name: "insert", text: "INSERT INTO peer.tasks (id, state, body) VALUES ($1, $2, $3)" };
const UPDATE = { name: "update", text: "UPDATE peer.tasks SET state = $2, body = $3 WHERE id = $1" };
const LINE = { name: "line", text: "INSERT INTO peer.events (task, body) VALUES ($1, $2)" };

async function step(id, state, write) {
  const text = JSON.stringify({ ...body, state: { name: state } });
  await pool.query({ ...write, values: [id, state, text] });
  await pool.query({ ...LINE, values: [id, JSON.stringify({ ...history, to: state })] });
  const hint = JSON.stringify({ task: id, state });
  await redis.publish("tasks", hint);
  await redis.publish(`task:${id}`, hint);
}

async function live() {
  const id = randomUUID();
  await step(id, "pending", INSERT);
  for (const state of ["queued", "provisioning", "running", "completed"]) {
    await step(id, state, UPDATE);
  }
}

async function drained(workers, tasks) {
  let left = tasks;
  const start = performance.now();
  const worker = async () => {
    while (left-- > 0) await live();
  };
  await Promise.all(Array.from({ length: workers }, worker));
  return (tasks / (performance.now() - start)) * 1000;
}

await drained(CLIENTS, 200); // warm
console.log("one_by_one", await drained(1, 200));
console.log("together", await drained(CLIENTS, 1000));
await pool.end();
redis.disconnect();
