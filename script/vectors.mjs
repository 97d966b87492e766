#!/usr/bin/env node
// Writes test/vectors: vouchers, batch rows, withdrawals, authorizations, splits and receipts as viem computes them, which
// Solidity and Rust must match byte for byte.
// Everything here is derived from the specification and from viem alone, never from our own contract or crates.
// With --check it writes nothing and exits 1 naming each file that differs.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  concatHex,
  encodeAbiParameters,
  getContractAddress,
  hashStruct,
  hashTypedData,
  keccak256,
  numberToHex,
  parseAbiParameters,
  parseSignature,
  serializeCompactSignature,
  signatureToCompactSignature,
  size,
  zeroAddress,
  zeroHash,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), "test", "vectors");
const check = process.argv.includes("--check");

const NOTE = "the keys are the well-known test keys of anvil: public, never to be given money";

const KEYS = [
  "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
  "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
  "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
  "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
];
const [alice, bob, carol, phone] = KEYS.map((key) => ({
  key,
  address: privateKeyToAccount(key).address.toLowerCase(),
}));

const LOCAL = 31337;
const BASE = 8453;
const ESCROW = "0xe5c0000000000000000000000000000000000001";
const OTHER_ESCROW = "0xe5c0000000000000000000000000000000000002";
const DOLLAR = "0xd011a00000000000000000000000000000000001";
const SALT = keccak256("0x73616c74");
const U104_MAX = 2n ** 104n - 1n;
const U128_MAX = 2n ** 128n - 1n;

// An EIP-712 struct's members from their list as its type has it, in the order of keys that wallets' files have.
const membersOf = (list) => parseAbiParameters(list).map(({ name, type }) => ({ name, type }));

const VOUCHER = membersOf("bytes32 channelId, uint128 cumulativeAmount");

function accountId({ payer, authorizedSigner, token }) {
  return keccak256(
    encodeAbiParameters(parseAbiParameters("address, address, address"), [payer, authorizedSigner, token]),
  );
}

function channelId({ payer, payee, token, salt, authorizedSigner, escrow, chainId }) {
  const types = parseAbiParameters("address, address, address, bytes32, address, address, uint256");
  return keccak256(
    encodeAbiParameters(types, [payer, payee, token, salt, authorizedSigner, escrow, BigInt(chainId)]),
  );
}

function typedData(terms, cumulativeAmount) {
  return {
    domain: { name: "Farthing Escrow", version: "1", chainId: terms.chainId, verifyingContract: terms.escrow },
    types: { Voucher: VOUCHER },
    primaryType: "Voucher",
    message: { channelId: channelId(terms), cumulativeAmount },
  };
}

async function signVoucher(signer, terms, cumulativeAmount) {
  const signature = await privateKeyToAccount(signer.key).signTypedData(typedData(terms, cumulativeAmount));
  const compactSignature = serializeCompactSignature(signatureToCompactSignature(parseSignature(signature)));
  return { signature, compactSignature };
}

const ordinary = { chainId: LOCAL, escrow: ESCROW, payer: alice, payee: bob, token: DOLLAR, salt: zeroHash };

const vouchers = [
  { name: "token", amount: 1_000n },
  { name: "native coin", token: zeroAddress, amount: 10n ** 15n },
  { name: "nothing", amount: 0n },
  { name: "one unit", amount: 1n },
  { name: "all that a channel counts", amount: U104_MAX },
  { name: "one more than a channel counts", amount: U104_MAX + 1n },
  { name: "all that a voucher promises", amount: U128_MAX },
  { name: "salt", salt: SALT, amount: 1_000n },
  { name: "session key", signer: phone, amount: 250_000n },
  { name: "session key and salt, native coin", token: zeroAddress, signer: phone, salt: SALT, amount: 7n * 10n ** 18n },
  { name: "another payer", payer: carol, amount: 1_000n },
  { name: "payee is payer", payee: alice, amount: 1_000n },
  { name: "another chain", chainId: BASE, amount: 1_000n },
  { name: "another escrow", escrow: OTHER_ESCROW, amount: 1_000n },
];

async function voucherCase({ name, amount, signer, ...changes }) {
  const { payer, payee, ...rest } = { ...ordinary, ...changes };
  const key = signer ?? payer;
  const terms = { ...rest, payer: payer.address, payee: payee.address, authorizedSigner: key.address };
  return {
    name,
    chainId: terms.chainId,
    escrow: terms.escrow,
    payer: terms.payer,
    payee: terms.payee,
    token: terms.token,
    salt: terms.salt,
    authorizedSigner: terms.authorizedSigner,
    signerPrivateKey: key.key,
    accountId: accountId(terms),
    channelId: channelId(terms),
    cumulativeAmount: amount.toString(),
    digest: hashTypedData(typedData(terms, amount)),
    ...(await signVoucher(key, terms, amount)),
  };
}

const batches = [
  { name: "no flags", rows: [{ amount: 1_000n }] },
  { name: "signer", rows: [{ signer: phone, amount: 2_000n }] },
  { name: "salt", rows: [{ salt: SALT, amount: 3_000n }] },
  { name: "signer and salt", rows: [{ signer: phone, salt: SALT, amount: 4_000n }] },
  {
    name: "every flag in one batch",
    rows: [
      { amount: 1n },
      { signer: phone, amount: 20n },
      { salt: SALT, amount: 300n },
      { payer: carol, signer: phone, salt: SALT, amount: 4_000n },
      { payer: carol, amount: 50_000n },
    ],
  },
  { name: "native coin", token: zeroAddress, rows: [{ amount: 10n ** 15n }, { payer: carol, amount: 1n }] },
  { name: "all that a channel counts", rows: [{ amount: U104_MAX }] },
  { name: "another chain and escrow", chainId: BASE, escrow: OTHER_ESCROW, rows: [{ amount: 5n }] },
];

async function batchCase({ name, rows, ...changes }) {
  const { chainId, escrow, payee, token } = { ...ordinary, ...changes };
  const packed = [];
  const list = [];
  for (const { payer = alice, signer = payer, salt = zeroHash, amount } of rows) {
    const terms = { chainId, escrow, payer: payer.address, payee: payee.address, token, salt };
    terms.authorizedSigner = signer.address;
    const { signature, compactSignature } = await signVoucher(signer, terms, amount);
    const namesSigner = signer !== payer;
    const namesSalt = salt !== zeroHash;
    packed.push(
      numberToHex(Number(namesSigner) + 2 * Number(namesSalt), { size: 1 }),
      terms.payer,
      numberToHex(amount, { size: 13 }),
      ...(namesSigner ? [terms.authorizedSigner] : []),
      ...(namesSalt ? [salt] : []),
      compactSignature,
    );
    const { payer: payerAddress, authorizedSigner } = terms;
    list.push({ payer: payerAddress, authorizedSigner, salt, cumulativeAmount: amount.toString(), signature });
  }
  return { name, chainId, escrow, payee: payee.address, token, rows: concatHex(packed), vouchers: list };
}

const WITHDRAWAL = membersOf(
  "address payer, address authorizedSigner, address token, uint256 amount, address to, uint256 nonce, uint256 deadline",
);

const U64_MAX = 2n ** 64n - 1n;
const U256_MAX = 2n ** 256n - 1n;
const NOON = 1_750_000_000n;

const plainWithdrawal = {
  chainId: LOCAL,
  escrow: ESCROW,
  payer: alice,
  token: DOLLAR,
  to: bob,
  nonce: 0n,
  deadline: NOON,
};

const withdrawals = [
  { name: "token", amount: 1_000n },
  { name: "native coin", token: zeroAddress, amount: 10n ** 15n },
  { name: "session key", signer: phone, amount: 250_000n },
  { name: "to itself", to: alice, amount: 1n },
  { name: "later nonce", nonce: 41n, amount: 1_000n },
  { name: "last nonce but one", nonce: U64_MAX - 1n, amount: 1_000n },
  { name: "all that an account holds", amount: U104_MAX },
  { name: "no deadline", deadline: U256_MAX, amount: 1_000n },
  { name: "another payer", payer: carol, amount: 1_000n },
  { name: "another chain", chainId: BASE, amount: 1_000n },
  { name: "another escrow", escrow: OTHER_ESCROW, amount: 1_000n },
];

async function withdrawalCase({ name, amount, signer, ...changes }) {
  const { chainId, escrow, payer, token, to, nonce, deadline } = { ...plainWithdrawal, ...changes };
  const account = { payer: payer.address, authorizedSigner: (signer ?? payer).address, token };
  const data = {
    domain: { name: "Farthing Escrow", version: "1", chainId, verifyingContract: escrow },
    types: { Withdrawal: WITHDRAWAL },
    primaryType: "Withdrawal",
    message: { ...account, amount, to: to.address, nonce, deadline },
  };
  const signature = await privateKeyToAccount(payer.key).signTypedData(data);
  return {
    name,
    chainId,
    escrow,
    account,
    accountId: accountId(account),
    amount: amount.toString(),
    to: to.address,
    nonce: nonce.toString(),
    // In hexadecimal, because not every reader of JSON takes 256 bits in decimal.
    deadline: numberToHex(deadline),
    payerPrivateKey: payer.key,
    digest: hashTypedData(data),
    signature,
    compactSignature: serializeCompactSignature(signatureToCompactSignature(parseSignature(signature))),
  };
}

// The nonce of an EIP-3009 authorization: it commits to the account or channel, and so to all that its id commits to.
function authorizationCases() {
  const id = voucherCases[0].channelId;
  const session = voucherCases[9];
  return [
    { name: "account", id: voucherCases[0].accountId, salt: zeroHash },
    { name: "channel", id, salt: zeroHash },
    { name: "channel and salt", id, salt: SALT },
    { name: "session key's account", id: session.accountId, salt: SALT },
    { name: "session key's channel", id: session.channelId, salt: SALT },
  ].map(({ name, id, salt }) => {
    const preimage = encodeAbiParameters([{ type: "bytes32" }, { type: "bytes32" }], [id, salt]);
    return { name, id, salt, nonce: keccak256(preimage) };
  });
}

const FACTORY = "0xfac0000000000000000000000000000000000001";
const SPLIT_TERMS = parseAbiParameters(
  "(address escrow, address operator, address receiptKey, (address account, uint256 shares)[] members)",
);

// A minimal proxy (EIP-1167, with the call's data copied by way of returndatasize) whose code goes on with its terms.
function splitAddress(terms) {
  const args = encodeAbiParameters(SPLIT_TERMS, [terms]);
  const implementation = getContractAddress({ from: FACTORY, nonce: 1n });
  const bytecode = concatHex([
    "0x61",
    numberToHex(0x2d + size(args), { size: 2 }),
    "0x3d81600a3d39f3363d3d373d3d3d363d73",
    implementation,
    "0x5af43d82803e903d91602b57fd5bf3",
    args,
  ]);
  return getContractAddress({ opcode: "CREATE2", from: FACTORY, salt: zeroHash, bytecode }).toLowerCase();
}

// Dealt out one base unit after another, as a person would with coins; only whole rounds are taken at once.
function dealOut(shares, received) {
  const round = shares.reduce((sum, share) => sum + share, 0n);
  const parts = shares.map((share) => share * (received / round));
  let left = received % round;
  for (let member = 0; member < shares.length; member += 1) {
    for (let share = 0n; share < shares[member] && left > 0n; share += 1n) {
      parts[member] += 1n;
      left -= 1n;
    }
  }
  return parts;
}

const [first, second, third, fourth] = [alice, bob, carol, phone].map(({ address }) => address).sort();

const splits = [
  { name: "halves", members: [[first, 1n], [second, 1n]] },
  { name: "two thirds", members: [[first, 2n], [second, 1n]] },
  { name: "band of three", members: [[first, 50n], [second, 30n], [third, 20n]] },
  { name: "one part in ten thousand", members: [[first, 1n], [second, 9_999n]] },
  { name: "four", members: [[first, 7n], [second, 1n], [third, 91n], [fourth, 13n]] },
  { name: "another operator", operator: fourth, members: [[first, 1n], [second, 1n]] },
];

function splitCase({ name, operator = phone.address, members }) {
  const list = members.map(([account, shares]) => ({ account, shares }));
  const terms = { escrow: ESCROW, operator, receiptKey: carol.address, members: list };
  const shares = members.map(([, share]) => share);
  const round = shares.reduce((sum, share) => sum + share, 0n);
  const edges = [0n, 1n, 2n, shares[0], shares[0] + 1n, round - 1n, round, round + 1n];
  const totals = [...new Set([...edges, 1_000_003n, U104_MAX, U128_MAX])];
  return {
    name,
    factory: FACTORY,
    split: splitAddress(terms),
    escrow: terms.escrow,
    operator,
    receiptKey: terms.receiptKey,
    accounts: list.map(({ account }) => account),
    shares: shares.map(String),
    received: totals.map(String),
    entitlements: totals.map((received) => dealOut(shares, received).map(String)),
  };
}

const PROVEN = "bytes32 channelId, uint128 cumulativeAmount, string item, uint128 price, uint64 timestamp";
const RECEIPT = membersOf(PROVEN);
const BLINDED_RECEIPT = membersOf(`${PROVEN}, bytes16 blinding`);
const RECEIPT_BATCH = membersOf("bytes32 root");

const ITEMS = ["/songs/dawn.flac", "/", "/über/雨.ogg", "/a?b=c&d"];

// The receipt of a shop's sale with this number.
function saleOf(number) {
  return {
    channelId: channelId({ ...plainTerms(), salt: keccak256(numberToHex(number)) }),
    cumulativeAmount: number === 3 ? U128_MAX : 1_000n * BigInt(number + 1),
    item: ITEMS[number % ITEMS.length],
    price: number === 3 ? U128_MAX : 50_000n + BigInt(number),
    timestamp: NOON + BigInt(Math.trunc(number / 2)),
  };
}

function plainTerms() {
  const addresses = { payer: alice.address, payee: bob.address, authorizedSigner: alice.address };
  return { chainId: LOCAL, escrow: ESCROW, token: DOLLAR, ...addresses };
}

// Split at the largest power of two below their number, as RFC 9162 has it: a path lists the siblings from the leaf up.
function merkle(leaves) {
  if (leaves.length === 1) return { root: leaves[0], paths: [[]] };
  let half = 1;
  while (half * 2 < leaves.length) half *= 2;
  const [left, right] = [merkle(leaves.slice(0, half)), merkle(leaves.slice(half))];
  const past = (paths, hash, isRight) => paths.map((path) => [...path, { hash, isRight }]);
  return {
    root: keccak256(concatHex([left.root, right.root])),
    paths: [...past(left.paths, right.root, false), ...past(right.paths, left.root, true)],
  };
}

const receiptBatches = [
  { name: "alone", count: 1 },
  { name: "two", count: 2 },
  { name: "three", count: 3 },
  { name: "five", count: 5 },
  { name: "eight", count: 8 },
  { name: "thirteen", count: 13 },
  { name: "another chain", count: 2, chainId: BASE },
  { name: "another escrow", count: 1, escrow: OTHER_ESCROW },
];

async function receiptCase({ name, count, chainId = LOCAL, escrow = ESCROW }) {
  const domain = { name: "Farthing Escrow", version: "1", chainId, verifyingContract: escrow };
  const sales = Array.from({ length: count }, (_, number) => saleOf(number));
  const blindings = sales.map((_, number) => keccak256(numberToHex(1_000 + number)).slice(0, 34));
  const leaves = sales.map((sale, number) =>
    hashStruct({
      data: { ...sale, blinding: blindings[number] },
      types: { BlindedReceipt: BLINDED_RECEIPT },
      primaryType: "BlindedReceipt",
    }),
  );
  const { root, paths } = merkle(leaves);
  const data =
    count === 1
      ? { domain, types: { Receipt: RECEIPT }, primaryType: "Receipt", message: sales[0] }
      : { domain, types: { ReceiptBatch: RECEIPT_BATCH }, primaryType: "ReceiptBatch", message: { root } };
  const pathOf = (number) => ({
    blinding: blindings[number],
    position: paths[number].reduce((bits, { isRight }, level) => bits + Number(isRight) * 2 ** level, 0),
    siblings: paths[number].map(({ hash }) => hash),
  });
  return {
    name,
    chainId,
    escrow,
    payee: bob.address,
    payeePrivateKey: bob.key,
    digest: hashTypedData(data),
    signature: await privateKeyToAccount(bob.key).signTypedData(data),
    receipts: sales.map((sale, number) => ({
      channelId: sale.channelId,
      cumulativeAmount: sale.cumulativeAmount.toString(),
      item: sale.item,
      price: sale.price.toString(),
      timestamp: new Date(Number(sale.timestamp) * 1_000).toISOString().replace(".000", ""),
      ...(count === 1 ? {} : { leaf: leaves[number], path: pathOf(number) }),
    })),
  };
}

// The first voucher as a file for `cast wallet sign --data --from-file`: wallets want the domain's type spelled out.
function walletFile() {
  const terms = {
    ...ordinary,
    payer: ordinary.payer.address,
    payee: ordinary.payee.address,
    authorizedSigner: ordinary.payer.address,
  };
  const { domain, types, primaryType, message } = typedData(terms, vouchers[0].amount);
  const EIP712Domain = membersOf("string name, string version, uint256 chainId, address verifyingContract");
  const cumulativeAmount = message.cumulativeAmount.toString();
  return { types: { EIP712Domain, ...types }, primaryType, domain, message: { ...message, cumulativeAmount } };
}

function assertBothParities(cases) {
  const parities = new Set(cases.map(({ signature }) => signature.slice(-2)));
  if (!parities.has("1b") || !parities.has("1c")) throw new Error("the signatures have one parity of v only");
}

const voucherCases = await Promise.all(vouchers.map(voucherCase));
assertBothParities(voucherCases);
const withdrawalCases = await Promise.all(withdrawals.map(withdrawalCase));
assertBothParities(withdrawalCases);

const files = {
  "vouchers.json": { note: NOTE, cases: voucherCases },
  "rows.json": { note: NOTE, cases: await Promise.all(batches.map(batchCase)) },
  "typed-data.json": walletFile(),
  "withdrawals.json": { note: NOTE, cases: withdrawalCases },
  "authorizations.json": { note: NOTE, cases: authorizationCases() },
  "receipts.json": { note: NOTE, cases: await Promise.all(receiptBatches.map(receiptCase)) },
  "splits.json": { note: NOTE, cases: splits.map(splitCase) },
};

function readOrEmpty(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

mkdirSync(folder, { recursive: true });
for (const [name, value] of Object.entries(files)) {
  const path = join(folder, name);
  const fresh = `${JSON.stringify(value, null, 2)}\n`;
  if (!check) {
    writeFileSync(path, fresh);
  } else if (readOrEmpty(path) !== fresh) {
    console.error(`test/vectors/${name} differs from what script/vectors.mjs computes`);
    process.exitCode = 1;
  }
}
