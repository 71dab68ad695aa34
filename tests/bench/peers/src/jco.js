// Measures the transpiled component beside it as the other peers are measured, and prints JSON.
import { readFileSync } from "node:fs";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { instantiate } from "./guest.js";

const THREADS = 2;
const ROUNDS = 5;

const imports = {
  "remit:secrets/inspect": {
    metadata: (_path) => {
      const version = (number) => ({ number, created: 1_700_000_000_000n, state: "enabled" });
      return { current: 2n, versions: [version(1n), version(2n)] };
    },
  },
};

// Compiled before anything is measured; a worker is handed the compiled modules.
const modules = workerData?.modules ?? new Map();

function compiled(name) {
  let module = modules.get(name);
  if (!module) {
    module = new WebAssembly.Module(readFileSync(new URL(name, import.meta.url)));
    modules.set(name, module);
  }
  return module;
}

function instance() {
  const exports = instantiate(compiled, imports, (module, imports) => new WebAssembly.Instance(module, imports));
  return exports.remediation;
}

function fresh() {
  const sum = instance().run("0");
  if (sum !== "0") throw new Error(`the guest answered ${sum} to 0`);
}

// Samples of nanoseconds a call, each the mean of `each` calls; the first tenth only warms up.
function nanoseconds(n, each, call) {
  const samples = [];
  for (let sample = 0; sample < n + n / 10; sample++) {
    const since = performance.now();
    for (let i = 0; i < each; i++) call();
    const took = ((performance.now() - since) * 1e6) / each;
    if (sample >= n / 10) samples.push(took);
  }
  return samples;
}

function measure(what, unit, samples, each) {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (tenths) => sorted[Math.floor((sorted.length * tenths) / 10)];
  return { what, unit, median: at(5), p90: at(9), n: samples.length, each };
}

// In a worker: fresh calls for a second each time it is told to.
function work() {
  for (let i = 0; i < 500; i++) fresh();
  parentPort.on("message", () => {
    const since = performance.now();
    let calls = 0;
    while (performance.now() - since < 1000) {
      fresh();
      calls++;
    }
    parentPort.postMessage(calls / ((performance.now() - since) / 1000));
  });
  parentPort.postMessage("ready");
}

async function perSecondOnThreads() {
  const workers = Array.from({ length: THREADS }, () => new Worker(new URL(import.meta.url), { workerData: { modules } }));
  const next = (worker) =>
    new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  await Promise.all(workers.map(next));
  const rates = [];
  for (let round = 0; round < ROUNDS; round++) {
    const told = workers.map(next);
    for (const worker of workers) worker.postMessage("go");
    // Two rates over the same second add up.
    rates.push((await Promise.all(told)).reduce((sum, rate) => sum + rate, 0));
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
  return rates;
}

async function main() {
  const live = instance();
  for (const [input, wanted] of [["0", "0"], ["100", "200"], ["1000", "2000"]]) {
    const sum = live.run(input);
    if (sum !== wanted) throw new Error(`the guest answered ${sum} to ${input}`);
  }

  const freshSamples = nanoseconds(2000, 1, fresh);
  const liveSamples = nanoseconds(500, 20, () => live.run("0"));
  const without = measure("live", "ns", liveSamples, 20);
  const calls = (input, calls) => nanoseconds(200, 1, () => live.run(input)).map((took) => (took - without.median) / calls);
  const [many, few] = [calls("1000", 1000), calls("100", 100)];
  const rates = await perSecondOnThreads();
  console.log(
    JSON.stringify({
      node: process.versions.node,
      v8: process.versions.v8,
      measures: [
        measure("fresh", "ns", freshSamples, 1),
        without,
        measure("host-call", "ns", many, 1000),
        measure("host-call-of-100", "ns", few, 100),
        measure("fresh-2-threads", "1/s", rates, 1),
      ],
    }),
  );
}

if (isMainThread) await main();
else work();
