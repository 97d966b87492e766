// The tables of docs/performance.md, made from the committed figures, so that the two can't drift.
import { boundOf, count, title } from "./table.mjs";

function markdown(head, rows) {
  const align = head.map((_, column) => (column === 0 ? "---" : "---:"));
  return [head, align, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

const range = (least, most) => `${count(least)}–${count(most)}`;

const blocks = {
  circumstances: (report) => `${title(report).join("; ")}.`,
  bars: ({ bars }) =>
    markdown(
      ["bar", "is", "least–most", "wanted", ""],
      bars.map((bar) => [
        bar.name,
        count(bar.value),
        range(bar.lowest, bar.highest),
        boundOf(bar),
        bar.met ? "met" : "**not met**",
      ]),
    ),
  figures: ({ figures }) =>
    markdown(
      ["figure", "median", "least–most", "unit"],
      figures.map(({ key, median, least, most, unit }) => [`\`${key}\``, count(median), range(least, most), unit]),
    ),
};

// The document with its blocks filled in.
export function withTables(document, report) {
  return Object.entries(blocks).reduce((text, [name, render]) => {
    const [begin, end] = [`<!-- ${name} -->\n`, `\n<!-- end of ${name} -->`];
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`the document has no place for ${name}`);
    return `${text.slice(0, from + begin.length)}${render(report)}${text.slice(to)}`;
  }, document);
}
