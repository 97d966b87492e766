// The tables of docs/gas.md, made from the measured figures, so that the two can't drift.
import { peers } from "./peers.mjs";
import { perRow } from "./compare.mjs";
import { scenarios } from "./scenarios.mjs";

const ETHER_PRICE = 3_000;
const GAS_PRICES = [0.05, 1, 5];
const ASSETS = { eth: "ETH", erc20: "ERC-20" };

const count = (number) => number.toLocaleString("en-US", { maximumFractionDigits: 0 });

// 1 gwei is 10^-9 ether.
const cents = (gas, gwei) => gas * gwei * 1e-9 * ETHER_PRICE * 100;

function amountOfCents(number) {
  if (number >= 100) return `$${(number / 100).toFixed(2)}`;
  return `${number.toFixed(number >= 1 ? 1 : number >= 0.1 ? 2 : 3)} ¢`;
}

function table(head, rows) {
  const align = head.map((_, column) => (column === 0 ? "---" : "---:"));
  return [head, align, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function figure(gas, name, asset) {
  const scenario = scenarios.find((candidate) => candidate.name === name);
  const total = gas[name]?.[asset];
  if (!scenario || total === undefined) throw new Error(`nothing was measured as "${name}" with ${asset}`);
  return perRow(scenario, total);
}

function figures({ gas }) {
  const rows = scenarios.map(({ name, ceilings, rows: divisor }) => {
    // What moves no asset costs the same whichever one thinks of.
    const cell = (asset) => {
      const measured = "none" in ceilings ? "none" : asset;
      return measured in ceilings ? count(figure(gas, name, measured)) : "";
    };
    return [divisor ? `${name}, per row` : name, cell("eth"), cell("erc20")];
  });
  return table(["", ASSETS.eth, ASSETS.erc20], rows);
}

function comparison({ gas }) {
  const own = (title, asset, ...columns) => {
    const cells = columns.map((names) => names.map((name) => count(figure(gas, name, asset))).join(" / "));
    return [`**Farthing**, ${title}`, ASSETS[asset], ...cells.map((cell) => cell || "–")];
  };
  const reservation = (asset) =>
    own(
      "reservation",
      asset,
      ["open"],
      ["redeem from a reservation"],
      ["close by the payee, with a voucher"],
      ["request close", "finalize close"],
    );
  const account = (asset) =>
    own(
      "account",
      asset,
      ["deposit, first"],
      ["redeem from an account, first", "redeem from an account, later"],
      [],
      ["withdraw"],
    );
  const ours = [reservation("erc20"), reservation("eth"), account("erc20"), account("eth")];
  return table(["", "asset", "open", "redeem first / later", "payee closes", "payer leaves"], [...ours, ...peers]);
}

const PRICED = [
  ["open a channel", "open"],
  ["open with a permit, again", "open with permit, later"],
  ["deposit into an account, again", "deposit, later"],
  ["redeem from a reservation", "redeem from a reservation"],
  ["redeem from an account, again", "redeem from an account, later"],
  ["a row in a batch of 100, from a reservation", "batch of 100 reservations"],
  ["a row in a batch of 100, from an account, again", "batch of 100 accounts, later"],
  ["close", "close by the payee, with a voucher"],
  ["withdraw", "withdraw"],
];

const atPrices = GAS_PRICES.map((gwei) => `${gwei} gwei`);

function prices({ gas }) {
  const rows = PRICED.map(([title, name]) => {
    const used = figure(gas, name, "erc20");
    return [title, count(used), ...GAS_PRICES.map((gwei) => amountOfCents(cents(used, gwei)))];
  });
  return table(["ERC-20", "gas", ...atPrices], rows);
}

// From what value on gas is at most a share of it.
function worthwhile({ gas }) {
  const ways = [
    ["alone, from an account, first", "redeem from an account, first"],
    ["alone, from an account, again", "redeem from an account, later"],
    ["alone, from a reservation", "redeem from a reservation"],
    ["each of 100, from accounts, first", "batch of 100 accounts, first"],
    ["each of 100, from accounts, again", "batch of 100 accounts, later"],
    ["each of 100, from reservations", "batch of 100 reservations"],
  ];
  const rows = ways.map(([title, name]) => {
    const used = figure(gas, name, "erc20");
    const least = (gwei) => [0.01, 0.05].map((share) => amountOfCents(cents(used, gwei) / share)).join(" / ");
    return [title, ...GAS_PRICES.map(least)];
  });
  return table(["a voucher redeemed", ...atPrices], rows);
}

const blocks = { figures, comparison, prices, worthwhile };

// The document with its blocks filled in.
export function withTables(document, measured) {
  return Object.entries(blocks).reduce((text, [name, render]) => {
    const [begin, end] = [`<!-- ${name} -->\n`, `\n<!-- end of ${name} -->`];
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`the document has no place for ${name}`);
    return `${text.slice(0, from + begin.length)}${render(measured)}${text.slice(to)}`;
  }, document);
}
