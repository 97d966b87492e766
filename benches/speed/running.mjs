// Runs programs in rounds, one at a time: those of one set take turns, so that what slows the machine for a while slows
// all of them.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { parse } from "./figures.mjs";

// A program that takes longer hangs.
const PATIENCE = 20 * 60_000;
// What a program that was asked to stop has for it.
const GRACE = 5_000;

export function circumstances(root) {
  const git = (...words) => execFileSync("git", words, { cwd: root, encoding: "utf8" }).trim();
  let commit;
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no") !== "";
    commit = git("rev-parse", "--short=10", "HEAD") + (changed ? " with changes" : "");
  } catch {
    commit = "unknown";
  }
  const date = new Date().toISOString().slice(0, 10);
  return { commit, date, cpu: cpus()[0].model, cores: availableParallelism() };
}

export class Runner {
  #child;

  constructor(root, options, say) {
    this.options = options;
    this.say = say;
    // On a disk: in memory, a sync costs nothing.
    const place = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "bench");
    mkdirSync(place, { recursive: true });
    this.folder = mkdtempSync(join(place, "run."));
  }

  // `built`: a map from programs to the commands that start them.
  async run(built) {
    const stop = (signal) => {
      this.#child?.kill(signal);
      this.#clear();
      process.exit(130);
    };
    process.once("SIGINT", stop).once("SIGTERM", stop);
    const [lines, failed] = [[], []];
    try {
      for (const set of new Set([...built.keys()].map((program) => program.set))) {
        const taking = [...built].filter(([program]) => program.set === set);
        await this.#turns(taking, lines, failed);
      }
    } finally {
      process.off("SIGINT", stop).off("SIGTERM", stop);
      this.#clear();
    }
    return { lines, failed };
  }

  async #turns(taking, lines, failed) {
    const broken = new Set();
    for (let round = 0; round < this.options.rounds; round += 1) {
      for (const [program, command] of taking) {
        if (broken.has(program) || round >= (program.rounds ?? Infinity)) continue;
        this.say(`${program.name}, round ${round + 1}`);
        try {
          const printed = parse(await this.#once(command));
          // A program may take turns of its own; then one run of it is several rounds.
          lines.push(...printed.map((line) => ({ ...line, round: `${round}.${line.round ?? 0}` })));
        } catch (error) {
          broken.add(program);
          failed.push({ name: program.name, reason: error.message });
        }
      }
    }
  }

  #once([executable, ...args]) {
    const { seconds, quick } = this.options;
    const place = mkdtempSync(join(this.folder, "program."));
    const env = { ...process.env, BENCH_SECONDS: String(seconds), BENCH_FOLDER: place, BENCH_QUICK: quick ? "1" : "" };
    return new Promise((resolve, reject) => {
      const child = spawn(executable, args, { env, stdio: ["ignore", "pipe", "inherit"] });
      this.#child = child;
      let output = "";
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        child.kill("SIGTERM");
        setTimeout(() => child.kill("SIGKILL"), GRACE).unref();
      }, PATIENCE);
      child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
      child.on("error", reject);
      child.on("close", (code, signal) => {
        clearTimeout(timer);
        rmSync(place, { recursive: true, force: true });
        if (late) reject(new Error(`did not end within ${PATIENCE / 60_000} minutes`));
        else if (code === 0) resolve(output);
        else reject(new Error(code === null ? `was ended by ${signal}` : `exit code ${code}`));
      });
    });
  }

  #clear() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
