// Makes mutants of a Solidity source: the same text with one small mistake in it, of the kinds that people make.

/** What is code keeps its place; comments and strings become spaces, so that nothing is changed in them. */
function maskText(source) {
  return source.replace(/\/\/[^\n]*|\/\*[\s\S]*?\*\/|(?:hex)?"(?:[^"\\\n]|\\.)*"/g, (text) =>
    text.replace(/[^\n]/g, " "),
  );
}

/** Everything before the contract's or library's body declares things that have no behaviour to be wrong. */
function bodyStart(code) {
  return code.search(/^(?:contract|library)\s/m);
}

const replaceAll = (pattern, ...replacements) => ({ pattern, replacements });

const RELATIONS = [
  replaceAll(/(?<= )<(?= )/g, "<=", ">="),
  replaceAll(/(?<= )>(?= )/g, ">=", "<="),
  replaceAll(/(?<= )<=(?= )/g, "<", ">"),
  replaceAll(/(?<= )>=(?= )/g, ">", "<"),
  replaceAll(/(?<= )==(?= )/g, "!="),
  replaceAll(/(?<= )!=(?= )/g, "=="),
  replaceAll(/(?<= )&&(?= )/g, "||"),
  replaceAll(/(?<= )\|\|(?= )/g, "&&"),
];

const ARITHMETIC = [
  replaceAll(/(?<= )\+(?= )/g, "-"),
  replaceAll(/(?<= )-(?= )/g, "+"),
  replaceAll(/(?<= )\*(?= )/g, "/"),
  replaceAll(/(?<= )\/(?= )/g, "*"),
  replaceAll(/(?<= )%(?= )/g, "/"),
  replaceAll(/(?<= )\+=(?= )/g, "=", "-="),
  replaceAll(/(?<= )&(?= )/g, "|"),
  replaceAll(/(?<= )\|(?= )/g, "&"),
  replaceAll(/(?<= )<<(?= )/g, ">>"),
  replaceAll(/(?<= )>>(?= )/g, "<<"),
  replaceAll(/~/g, ""),
];

const VALUES = [
  replaceAll(/\btrue\b/g, "false"),
  replaceAll(/\bfalse\b/g, "true"),
  replaceAll(/(?<=[=(]\s*)!(?=[\w(])|(?<=&& |\|\| )!(?=[\w(])/g, ""),
  replaceAll(/\bmsg\.sender\b/g, "address(this)"),
  replaceAll(/\bmsg\.value\b/g, "0"),
  replaceAll(/\bblock\.timestamp\b/g, "0"),
  replaceAll(/\.payer\b/g, ".authorizedSigner"),
  replaceAll(/\.payee\b/g, ".payer"),
  replaceAll(/\.authorizedSigner\b/g, ".payer"),
  replaceAll(/\bredeemedOf\b/g, "reservedOf"),
  replaceAll(/\breservedOf\b/g, "redeemedOf"),
];

const ASSEMBLY = [
  replaceAll(/\badd\(/g, "sub("),
  replaceAll(/\bsub\(/g, "add("),
  replaceAll(/\bmul\(/g, "add("),
  replaceAll(/\band\(/g, "or("),
  replaceAll(/\bor\(/g, "and("),
  replaceAll(/\bshl\(/g, "shr("),
  replaceAll(/\bshr\(/g, "shl("),
  replaceAll(/\bgt\(/g, "lt("),
  replaceAll(/\blt\(/g, "gt("),
  replaceAll(/\beq\(/g, "xor("),
  replaceAll(/\biszero\(/g, "not("),
];

/** The next and the previous number; of a long hexadecimal constant, which is a digest or a mask, only the next. */
function neighbours(literal) {
  const digits = literal.replace(/_/g, "");
  const value = BigInt(digits);
  const write = (number) =>
    digits.startsWith("0x") ? `0x${number.toString(16).padStart(digits.length - 2, "0")}` : `${number}`;
  const around = [write(value + 1n)];
  if (value > 0n && digits.length < 20) around.push(write(value - 1n));
  return around;
}

function* numbers(code, start) {
  for (const { 0: literal, index } of code.matchAll(/(?<![\w.])(?:0x[0-9A-Fa-f]+|\d[\d_]*)(?![\w.])/g)) {
    // A type's width is part of a word and never gets here; a version or an import stands before the body.
    if (index < start) continue;
    for (const replacement of neighbours(literal)) yield { kind: "number", index, length: literal.length, replacement };
  }
}

function* tokens(code, start, kind, rules) {
  for (const { pattern, replacements } of rules) {
    for (const { 0: found, index } of code.matchAll(pattern)) {
      if (index < start) continue;
      for (const replacement of replacements) yield { kind, index, length: found.length, replacement };
    }
  }
}

/** A guard that is gone, and a guard that lets in just whom it should keep out. */
function* guards(code, start) {
  for (const { 0: head, index } of code.matchAll(/\bif \(/g)) {
    if (index < start) continue;
    const open = index + head.length - 1;
    const close = matching(code, open);
    const condition = code.slice(open + 1, close);
    yield { kind: "condition", index: open + 1, length: condition.length, replacement: `!(${condition})` };
    yield { kind: "condition", index: open + 1, length: condition.length, replacement: "false" };
  }
}

function matching(code, open) {
  let depth = 0;
  for (let index = open; index < code.length; index++) {
    if (code[index] === "(") depth++;
    if (code[index] === ")" && --depth === 0) return index;
  }
  throw new Error("a parenthesis is never closed");
}

const STATEMENT =
  /^[ \t]+(?!return\b|assembly\b|function\b|using\b|let\b|mapping\b|error\b|event\b|if\b|for\b|else\b|revert\b|pragma\b)((?:emit )?[\w.\[\]()]+(?: [-+|&]?= |\(|\s*:= )[^;{}]*;)/gm;
const YUL_STATEMENT = /^[ \t]+((?:mstore|calldatacopy|log\d|pop)\(.*\)|[\w.]+ := [^\n]+)$/gm;

/** A statement that was forgotten: an assignment, a call, an event. */
function* deletions(code, start) {
  for (const pattern of [STATEMENT, YUL_STATEMENT]) {
    for (const match of code.matchAll(pattern)) {
      if (match.index < start) continue;
      const index = match.index + match[0].indexOf(match[1]);
      yield { kind: "deletion", index, length: match[1].length, replacement: "" };
    }
  }
}

/** Two arguments of a call in the wrong order. */
function* swaps(code, start) {
  for (const { 0: head, 1: name, index } of code.matchAll(/\b(\w+)\(/g)) {
    if (index < start || /^(?:if|for|while|function|returns|mapping|assembly|add|mul|and|or|eq|xor)$/.test(name))
      continue;
    if (/function\s+$/.test(code.slice(Math.max(0, index - 12), index))) continue;
    const open = index + head.length - 1;
    const list = splitArguments(code.slice(open + 1, matching(code, open)));
    for (let place = 0; place + 1 < list.length; place++) {
      if (list[place].trim() === list[place + 1].trim() || /^\s*(?:address|uint|bytes)\w* /.test(list[place])) continue;
      const swapped = [...list];
      [swapped[place], swapped[place + 1]] = [list[place + 1], list[place]];
      yield { kind: "swap", index: open + 1, length: list.join(",").length, replacement: swapped.join(",") };
    }
  }
}

function splitArguments(text) {
  const list = [];
  let depth = 0;
  let begin = 0;
  for (let index = 0; index < text.length; index++) {
    if ("([{".includes(text[index])) depth++;
    if (")]}".includes(text[index])) depth--;
    if (text[index] === "," && depth === 0) {
      list.push(text.slice(begin, index));
      begin = index + 1;
    }
  }
  return [...list, text.slice(begin)];
}

/** The line, or lines, from one place to another, as one. */
const linesOf = (text, from, to) =>
  text
    .slice(text.lastIndexOf("\n", from - 1) + 1, endOfLine(text, to))
    .trim()
    .replace(/\n\s*/g, " ");

function endOfLine(text, index) {
  const end = text.indexOf("\n", index);
  return end < 0 ? text.length : end;
}

/** All mutants of a source, in the order of their places. `was` and `is` are the changed line before and after. */
export function mutantsOf(file, source) {
  const code = maskText(source);
  const start = bodyStart(code);
  if (start < 0) return [];
  const edits = [
    ...tokens(code, start, "relation", RELATIONS),
    ...tokens(code, start, "arithmetic", ARITHMETIC),
    ...tokens(code, start, "value", VALUES),
    ...tokens(code, start, "assembly", ASSEMBLY),
    ...numbers(code, start),
    ...guards(code, start),
    ...deletions(code, start),
    ...swaps(code, start),
  ].sort((a, b) => a.index - b.index);
  const seen = new Set();
  const mutants = [];
  for (const { kind, index, length, replacement } of edits) {
    const text = source.slice(0, index) + replacement + source.slice(index + length);
    if (seen.has(text)) continue;
    seen.add(text);
    const line = source.slice(0, index).split("\n").length;
    const was = linesOf(source, index, index + length);
    mutants.push({ file, kind, line, was, is: linesOf(text, index, index + replacement.length), text });
  }
  return mutants;
}
