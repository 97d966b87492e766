// Builds what a program of the list needs, each thing once, and says how it is started.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

// An executable of a cargo workspace, in release profile: { package, bin | bench, manifest?, features?, rustflags? }.
export const cargo = (what) => ({ kind: "cargo", ...what });

// A script for node: { script, folder }, where `folder` is installed from its package-lock.json.
export const node = (what) => ({ kind: "node", ...what });

export class Builder {
  #done = new Map();

  constructor(root, say) {
    this.root = root;
    this.say = say;
  }

  // The command that starts a program, its arguments included.
  async build({ build, args = [] }) {
    if (build.kind === "node") {
      await this.#once(`npm ${build.folder}`, () => this.#install(build.folder));
      return [process.execPath, join(this.root, build.script), ...args];
    }
    const executable = await this.#once(JSON.stringify(build), () => this.#compile(build));
    return [executable, ...args];
  }

  #once(key, work) {
    if (!this.#done.has(key)) this.#done.set(key, work());
    return this.#done.get(key);
  }

  async #compile(build) {
    const { package: crate, bin, bench, manifest, features = [], rustflags } = build;
    const [kind, name] = Object.entries({ bin, bench }).find(([, value]) => value !== undefined);
    const words = ["build", "--release", "--locked", "--message-format=json-render-diagnostics"];
    words.push("--package", crate, `--${kind}`, name);
    if (manifest) words.push("--manifest-path", manifest);
    if (features.length > 0) words.push("--features", features.join(","));
    this.say(`building ${[crate, name, ...features, rustflags ?? ""].join(" ").trim()} (the first time takes minutes)`);
    // What is compared has a folder of its own: its dependencies are not ours. So has what is built for this processor.
    const target = process.env.CARGO_TARGET_DIR ?? join(this.root, "target");
    const own = [manifest ? "peers" : "", rustflags ? "flagged" : ""].filter((part) => part !== "");
    const environment = { ...process.env, CARGO_TARGET_DIR: join(target, ...own) };
    if (rustflags) environment.RUSTFLAGS = rustflags;
    const messages = await this.#output("cargo", words, environment);
    const artifacts = messages.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    const made = artifacts.find(({ executable, target: of }) => executable && of?.name === name);
    if (!made) throw new Error(`cargo built no ${kind} ${name} of ${crate}`);
    // The same program with other features is built to the same place.
    const which = createHash("sha256").update(JSON.stringify(build)).digest("hex").slice(0, 8);
    const kept = join(target, "bench", `${name}-${which}`);
    mkdirSync(join(target, "bench"), { recursive: true });
    copyFileSync(made.executable, kept);
    return kept;
  }

  async #install(folder) {
    const [lock, installed] = ["package-lock.json", "node_modules/.package-lock.json"].map((file) =>
      join(this.root, folder, file),
    );
    // npm writes the second file when it is done, so an older one is of other packages.
    if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
    const names = Object.keys(JSON.parse(readFileSync(join(this.root, folder, "package.json"), "utf8")).dependencies);
    this.say(`installing ${names.join(", ")} in ${folder}`);
    await this.#output("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder]);
  }

  #output(command, words, env = process.env) {
    return new Promise((resolve, reject) => {
      const child = spawn(command, words, { cwd: this.root, env, stdio: ["ignore", "pipe", "inherit"] });
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
      child.on("error", reject);
      child.on("close", (code) => {
        if (code === 0) resolve(output);
        else reject(new Error(`${command} ${words.join(" ")} failed`));
      });
    });
  }
}
