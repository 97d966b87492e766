// The report for people: no line is longer than 80 columns.
const WIDTH = 80;

export function count(value) {
  if (value >= 100_000) return Math.round(value).toLocaleString("en-US");
  if (value >= 100) return String(Math.round(value));
  if (value >= 10) return value.toFixed(1);
  return value >= 0.1 ? value.toFixed(2) : value.toPrecision(2);
}

export function rows(cells, columns) {
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  const others = widths.slice(1).reduce((sum, width) => sum + width + 2, 0);
  const first = Math.min(widths[0], columns - others);
  return cells.flatMap(([name, ...rest]) => {
    const right = rest.map((cell, column) => `  ${cell.padStart(widths[column + 1])}`).join("");
    const parts = folded(name, first);
    return parts.map((part, index) => (index + 1 < parts.length ? part : part.padEnd(first) + right).trimEnd());
  });
}

// A name that does not fit goes on in the next line, a little further in.
function folded(name, width) {
  const lines = [];
  let line = "";
  for (const word of name.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (longer.length > width && line.trim() !== "") {
      lines.push(line);
      line = `  ${word}`;
    } else line = longer;
  }
  return [...lines, line];
}

export function title({ commit, date, cpu, cores, rounds, seconds, quick }) {
  const machine = `${cpu}, ${cores} ${cores === 1 ? "core" : "cores"}`;
  const how = `${rounds} rounds of ${seconds} s${quick ? ", quick: whether it works, not how fast it is" : ""}`;
  return [`commit ${commit}, ${date}`, machine, how];
}

export const boundOf = ({ least, most }) => (least === undefined ? `≤ ${count(most)}` : `≥ ${count(least)}`);

export function table(report) {
  const figures = report.figures.map(({ key, unit, median, least, most }) => [
    key,
    unit,
    count(median),
    `${count(least)}–${count(most)}`,
  ]);
  const bars = report.bars.map((bar) => [
    bar.name,
    count(bar.value),
    `${count(bar.lowest)}–${count(bar.highest)}`,
    boundOf(bar),
    bar.met ? "met" : "NOT MET",
  ]);
  const blocks = [title(report)];
  if (figures.length > 0) blocks.push(rows([["", "unit", "median", "least–most"], ...figures], WIDTH));
  if (bars.length > 0) blocks.push(rows([["bar", "is", "least–most", "wanted", ""], ...bars], WIDTH));
  return blocks.map((lines) => lines.join("\n")).join("\n\n");
}
