// What the command line says.

export class UsageError extends Error {
  exitCode = 2;
  hint = "./script/bench.sh --help";
}

// Few long rounds would let a slow minute decide; many short ones would measure how programs start.
const FULL = { rounds: 5, seconds: 2 };
const QUICK = { rounds: 2, seconds: 0.3 };

export function chosenFrom(programs, names) {
  if (names.length === 0) return programs.filter((program) => !program.onRequest);
  for (const name of names) {
    if (!programs.some((program) => program.name === name || program.set === name)) {
      throw new UsageError(`there is no measurement ${name}`);
    }
  }
  return programs.filter((program) => names.includes(program.name) || names.includes(program.set));
}

export function parse(words, programs, committed) {
  const options = { ...FULL, quick: false, json: false, write: false, check: undefined, help: false, document: false };
  const names = [];
  const rest = [...words];
  // A word that an option takes, if there is one.
  const operand = () => (rest.length > 0 && !rest[0].startsWith("-") ? rest.shift() : undefined);
  while (rest.length > 0) {
    const word = rest.shift();
    if (word === "--help" || word === "-h") options.help = true;
    else if (word === "--json") options.json = true;
    else if (word === "--write") options.write = true;
    else if (word === "--document") options.document = true;
    else if (word === "--quick") Object.assign(options, QUICK, { quick: true });
    else if (word === "--check") options.check = operand() ?? committed;
    else if (word === "--only") {
      const before = names.length;
      for (let name = operand(); name !== undefined; name = operand()) names.push(name);
      if (names.length === before) throw new UsageError("--only needs the name of a measurement");
    } else throw new UsageError(`unknown option ${word}`);
  }
  if (options.write && (options.quick || names.length > 0)) {
    throw new UsageError("--write keeps the figures of a whole run: not with --quick or --only");
  }
  return { ...options, whole: names.length === 0, chosen: chosenFrom(programs, names) };
}

const rounds = ({ rounds: count, seconds }) => `${count} rounds of ${seconds} s`;

export function help(programs) {
  const width = Math.max(...programs.map(({ name }) => name.length));
  const sets = [...new Set(programs.map(({ set }) => set))];
  const lines = sets.flatMap((set) => [
    `  ${set}`,
    ...programs
      .filter((program) => program.set === set)
      .map(({ name, about, onRequest }) => `    ${name.padEnd(width)}  ${about}${onRequest ? " (only by name)" : ""}`),
  ]);
  return `How fast a payee takes vouchers, beside what bounds it and beside others.

usage: ./script/bench.sh [options]

  --only NAME…     only these measurements, or all of a set
  --quick          ${rounds(QUICK)} instead of ${rounds(FULL)}:
                   whether it works, not how fast it is
  --json           print the figures as JSON instead of a table
  --write          keep the figures in docs/performance.json and the tables of
                   docs/performance.md
  --check [FILE]   compare with FILE (docs/performance.json): name what is worse
                   by more than a tenth, and exit 1
  --document       measure nothing; check that the tables of docs/performance.md
                   are those of docs/performance.json

measurements, by set; those of one set take turns, round by round:
${lines.join("\n")}`;
}
