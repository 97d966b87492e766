// What the measurements of npm packages have in common: a thread per core, each with a server of its own, as a
// payee on Node uses a machine. Nothing is shared between them, in their favour.
import { availableParallelism } from "node:os";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

export const seconds = Number(process.env.BENCH_SECONDS || 2);

export const say = (measurement, value, of = {}) =>
  console.log(JSON.stringify({ measurement, value, unit: "/s", of }));

// Rounds through a thread's items before the clock starts: what is compiled only after some use is compiled then.
const WARM_UP = 0.1;

// `prepare(thread, count)` makes a server and that many items for it, and returns how one item is taken. Runs it on all
// cores; gives the items a second of all of them, ended by the slowest.
export async function onAllCores(script, perSecond, prepare) {
  const count = Math.max(20, Math.round(perSecond * seconds));
  if (!isMainThread) return work(prepare, count);
  const workers = Array.from({ length: availableParallelism() }, (_, thread) => {
    return new Worker(script, { argv: process.argv.slice(2), workerData: { thread } });
  });
  const all = (send) => Promise.all(workers.map((worker) => heard(worker, send)));
  await all();
  const begun = performance.now();
  await all("go");
  const elapsed = (performance.now() - begun) / 1_000;
  return (count * workers.length) / elapsed;
}

function heard(worker, send) {
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", (code) => code !== 0 && reject(new Error(`a worker ended with ${code}`)));
    if (send) worker.postMessage(send);
  });
}

async function work(prepare, count) {
  const warm = Math.ceil(count * WARM_UP);
  const take = await prepare(workerData.thread, warm + count);
  for (let number = 0; number < warm; number += 1) await take(number);
  parentPort.once("message", async () => {
    for (let number = warm; number < warm + count; number += 1) await take(number);
    parentPort.postMessage("done");
  });
  parentPort.postMessage("ready");
}
