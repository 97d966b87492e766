// From the lines that programs print to figures, ratios and complaints. No I/O.

// A figure is known by what was measured and with what parameters, whatever their order.
export function keyOf({ measurement, of }) {
  const parameters = Object.keys(of ?? {}).sort().map((name) => `${name}=${of[name]}`);
  return [measurement, ...parameters].join(" ");
}

function parseLine(line) {
  let said;
  try {
    said = JSON.parse(line);
  } catch {
    throw new Error(`printed what is not JSON: ${line.slice(0, 80)}`);
  }
  const named = typeof said?.measurement === "string" && typeof said.unit === "string";
  // Nothing per second is no rate, but work that was not done.
  const sound = named && Number.isFinite(said.value) && (moreIsBetter(said.unit) ? said.value > 0 : said.value >= 0);
  if (!sound) throw new Error(`printed a line without a measurement, a value or a unit: ${line.slice(0, 80)}`);
  return said;
}

// What one run of a program printed.
export function parse(output) {
  const printed = output.split("\n").filter((line) => line.trim() !== "").map(parseLine);
  if (printed.length === 0) throw new Error("printed no figure");
  const keys = printed.map((line) => `${keyOf(line)} in round ${line.round ?? 0}`);
  const twice = keys.find((key, index) => keys.indexOf(key) !== index);
  if (twice !== undefined) throw new Error(`printed two figures of ${twice}`);
  return printed;
}

// Of what is counted per second more is better; of times and sizes less is.
export const moreIsBetter = (unit) => unit.endsWith("/s");

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const spread = (values) => ({ median: median(values), least: Math.min(...values), most: Math.max(...values) });

// `lines`: [{ round, measurement, value, unit, of }]. One summary per figure, in the order they were first seen.
export function summaries(lines) {
  const figures = new Map();
  for (const line of lines) {
    const key = keyOf(line);
    if (!figures.has(key)) {
      figures.set(key, { key, measurement: line.measurement, of: line.of ?? {}, unit: line.unit, values: [] });
    }
    figures.get(key).values.push(line.value);
  }
  const rounds = ({ length }) => ({ rounds: length });
  return [...figures.values()].map(({ values, ...figure }) => ({ ...figure, ...spread(values), ...rounds(values) }));
}

// The ratio of two figures round by round, so that what slows the machine for a while is in both; of figures that were
// not measured in the same rounds, the ratio of their medians.
function ratio(lines, figures, over, under) {
  const valueIn = (key) => new Map(lines.filter((line) => keyOf(line) === key).map((line) => [line.round, line.value]));
  const [above, below] = [valueIn(over), valueIn(under)];
  const rounds = [...above.keys()].filter((round) => below.has(round));
  const sameRounds = rounds.length === above.size && rounds.length === below.size;
  if (sameRounds) return spread(rounds.map((round) => above.get(round) / below.get(round)));
  const figure = (key) => figures.find((candidate) => candidate.key === key).median;
  const value = figure(over) / figure(under);
  return { median: value, least: value, most: value };
}

// What a bar holds: `over` divided by `under`, or `over` alone. Bars whose figures were not measured are left out.
export function againstBars(bars, figures, lines) {
  const known = new Map(figures.map((figure) => [figure.key, figure]));
  return bars
    .filter(({ over, under }) => known.has(over) && (under === undefined || known.has(under)))
    .map(({ name, over, under, least, most }) => {
      const found = under ? ratio(lines, figures, over, under) : known.get(over);
      const { median: value, least: lowest, most: highest } = found;
      const met = (least === undefined || value >= least) && (most === undefined || value <= most);
      return { name, value, lowest, highest, ...(least === undefined ? { most } : { least }), met };
    });
}

const TOLERATED = 0.1;

const share = (part) => `${(part * 100).toFixed(0)} %`;

// What `now` has worse than `before` by more than a tenth. Figures of another machine say nothing; ratios still do.
export function worse(before, now) {
  const same = before.cpu === now.cpu && before.cores === now.cores;
  const complaints = [];
  const complain = (name, loss) => {
    if (loss > TOLERATED + Number.EPSILON) complaints.push(`${name} by ${share(loss)}`);
  };
  for (const figure of same ? now.figures : []) {
    const old = before.figures.find(({ key }) => key === figure.key);
    if (!old || old.median === 0) continue;
    const gain = figure.median / old.median - 1;
    complain(figure.key, moreIsBetter(figure.unit) ? -gain : gain);
  }
  for (const bar of now.bars) {
    const old = before.bars.find(({ name }) => name === bar.name);
    if (!old || old.value === 0) continue;
    const gain = bar.value / old.value - 1;
    complain(bar.name, bar.least === undefined ? gain : -gain);
    if (old.met && !bar.met) complaints.push(`${bar.name}: the bar was met, and is no longer`);
  }
  return { same, complaints };
}
