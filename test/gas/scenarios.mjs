// What is measured, with the ceilings that the escrow keeps to. Each scenario starts from the same world and returns
// the receipt of its last transaction; a batch is counted per row.
import { concatHex, maxUint256, zeroAddress } from "viem";
import {
  accountId,
  authorization,
  channelId,
  permit,
  person,
  row,
  voucher,
  withdrawal,
} from "./signatures.mjs";

const OTHER_SALT = `0x${"a5".repeat(32)}`;
// In cents.
const FUNDS = 500;
const DUE = 123;
const DUE_LATER = 234;

async function voucherFor(world, channel, cents, signer = world.payer) {
  return voucher(signer, channel, world.escrow, world.cents(channel.token === zeroAddress ? "eth" : "erc20", cents));
}

const accountOf = ({ payer, authorizedSigner, token }) => ({ payer, authorizedSigner, token });

const terms = ({ channel, cumulativeAmount, signature }) => [channel, cumulativeAmount, signature];

/* FUND */

async function open(world, asset) {
  return world.open(world.payer, world.channel(asset), FUNDS);
}

async function topUp(world, asset) {
  await open(world, asset);
  return open(world, asset);
}

async function openAgain(world, asset) {
  await open(world, asset);
  await close(world, asset);
  return open(world, asset);
}

async function deposit(world, asset) {
  return world.deposit(world.payer, world.account(asset), FUNDS);
}

async function depositLater(world, asset) {
  await deposit(world, asset);
  return deposit(world, asset);
}

async function withPermit(world, functionName, place, nonce) {
  const value = world.cents("erc20", FUNDS);
  const signed = await permit(world.payer, world.tokenAddress, world.escrow, { value, nonce });
  return world.ask(world.payer, functionName, [place, value, signed]);
}

// Without the allowance of the steady state.
async function withdrawAllowance(world) {
  await world.call(world.payer, "GasDollar", world.tokenAddress, "approve", [world.escrow, 0n]);
}

async function approve(world) {
  await withdrawAllowance(world);
  return world.call(world.payer, "GasDollar", world.tokenAddress, "approve", [world.escrow, maxUint256]);
}

async function openWithPermit(world, asset) {
  await withdrawAllowance(world);
  return withPermit(world, "openWithPermit", world.channel(asset), 0n);
}

async function openWithPermitLater(world, asset) {
  await withdrawAllowance(world);
  await withPermit(world, "openWithPermit", world.channel(asset, { salt: OTHER_SALT }), 0n);
  return withPermit(world, "openWithPermit", world.channel(asset), 1n);
}

async function openWithAuthorization(world, asset) {
  const channel = world.channel(asset);
  const value = world.cents(asset, FUNDS);
  const id = channelId(channel, world.escrow);
  const signed = await authorization(world.payer, world.tokenAddress, world.escrow, id, value);
  return world.ask(world.relayer, "openWithAuthorization", [channel, value, signed]);
}

async function depositWithAuthorization(world, asset) {
  const account = world.account(asset);
  const value = world.cents(asset, FUNDS);
  const signed = await authorization(world.payer, world.tokenAddress, world.escrow, accountId(account), value);
  return world.ask(world.relayer, "depositWithAuthorization", [account, value, signed]);
}

async function depositWithAuthorizationLater(world, asset) {
  await deposit(world, asset);
  return depositWithAuthorization(world, asset);
}

/* GUARANTEE */

async function reserve(world, asset) {
  await deposit(world, asset);
  return world.ask(world.payer, "reserve", [world.channel(asset), world.cents(asset, DUE)]);
}

async function reserveLater(world, asset) {
  await reserve(world, asset);
  return world.ask(world.payer, "reserve", [world.channel(asset), world.cents(asset, DUE)]);
}

/* EARN */

async function redeemReservation(world, asset, { sender = world.payee, payee } = {}) {
  const channel = world.channel(asset, { payee });
  await world.open(world.payer, channel, FUNDS);
  return world.ask(sender, "redeem", terms(await voucherFor(world, channel, DUE)));
}

async function redeemRelayed(world, asset) {
  return redeemReservation(world, asset, { sender: world.relayer });
}

async function redeemToFreshPayee(world, asset) {
  const fresh = person("fresh payee");
  return redeemReservation(world, asset, { sender: world.relayer, payee: fresh.address });
}

async function redeemAccount(world, asset) {
  await deposit(world, asset);
  return world.ask(world.payee, "redeem", terms(await voucherFor(world, world.channel(asset), DUE)));
}

async function redeemAccountLater(world, asset) {
  await redeemAccount(world, asset);
  return world.ask(world.payee, "redeem", terms(await voucherFor(world, world.channel(asset), DUE_LATER)));
}

// A batch of distinct payers, all at once: from reservations, or from accounts whose channels were redeemed before or
// not. Who funds them is somebody else, which changes nothing for the batch.
const batch = (count, { reserved = false, earlier = false, sessions = false }) => async (world, asset) => {
  const rows = Array.from({ length: count }, (_, index) => {
    const payer = person(`payer of row ${index}`);
    const signer = sessions ? person(`session key of row ${index}`) : payer;
    return { signer, channel: { ...world.channel(asset, { payer }), authorizedSigner: signer.address } };
  });
  for (const { channel } of rows) {
    if (reserved) await world.open(world.funder, channel, FUNDS);
    else await world.deposit(world.funder, accountOf(channel), FUNDS);
  }
  const redeem = async (cents) => {
    const vouchers = rows.map(({ channel, signer }) => voucherFor(world, channel, cents, signer));
    const packed = concatHex((await Promise.all(vouchers)).map(row));
    return world.ask(world.payee, "redeemBatch", [world.payee.address, world.token(asset), packed]);
  };
  if (earlier) await redeem(DUE);
  return redeem(DUE_LATER);
};

/* END */

async function close(world, asset, sender = world.payee) {
  const { channel, cumulativeAmount, signature } = await voucherFor(world, world.channel(asset), DUE);
  return world.ask(sender, "close", [channel, cumulativeAmount, signature]);
}

async function closeByPayee(world, asset) {
  await open(world, asset);
  return close(world, asset);
}

async function setOperator(world) {
  return world.ask(world.payee, "setOperator", [world.operator.address, true]);
}

async function closeByOperator(world, asset) {
  await open(world, asset);
  await setOperator(world);
  return close(world, asset, world.operator);
}

async function requestClose(world, asset) {
  await open(world, asset);
  return world.ask(world.payer, "requestClose", [world.channel(asset)]);
}

async function finalizeClose(world, asset) {
  await requestClose(world, asset);
  await world.chain.increaseTime(world.exitDelay);
  return world.ask(world.payer, "finalizeClose", [world.channel(asset)]);
}

async function withdraw(world, asset) {
  await deposit(world, asset);
  return world.ask(world.payer, "withdraw", [world.account(asset), world.cents(asset, DUE), world.payer.address]);
}

async function withdrawRelayed(world, asset) {
  await deposit(world, asset);
  const account = world.account(asset);
  const [amount, to] = [world.cents(asset, DUE), world.payer.address];
  const { deadline, signature } = await withdrawal(world.payer, account, world.escrow, { amount, to, nonce: 0n });
  return world.ask(world.relayer, "withdrawFor", [account, amount, to, deadline, signature]);
}

/* SPLIT */

async function createSplit(world) {
  const members = ["singer", "drummer", "painter"]
    .map((name) => world[name].address)
    .sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1))
    .map((account, index) => ({ account, shares: [50n, 30n, 20n][index] }));
  const { operator, relayer } = world;
  const split = { escrow: world.escrow, operator: operator.address, receiptKey: relayer.address, members };
  return world.call(world.payee, "RevenueSplitFactory", world.factory, "create", [split]);
}

async function splitAddress(world) {
  const { logs } = await createSplit(world);
  // SplitCreated comes before OperatorSet and names the split in its first topic.
  return `0x${logs[0].topics[1].slice(26)}`;
}

async function redeemToSplit(world, asset) {
  const payee = await splitAddress(world);
  if (asset === "erc20") await world.call(world.funder, "GasDollar", world.tokenAddress, "mint", [payee, 1n]);
  return redeemReservation(world, asset, { sender: world.relayer, payee });
}

async function earn(world, asset, split) {
  const amount = world.cents(asset, FUNDS);
  if (asset === "eth") await world.chain.send({ from: world.funder.address, to: split, value: amount });
  else await world.call(world.funder, "GasDollar", world.tokenAddress, "mint", [split, amount]);
}

async function releaseTo(world, asset, split) {
  await earn(world, asset, split);
  return world.call(world.singer, "RevenueSplit", split, "release", [world.token(asset), world.singer.address]);
}

async function release(world, asset) {
  const split = await splitAddress(world);
  // The singer holds the token, as a payee does.
  await world.call(world.funder, "GasDollar", world.tokenAddress, "mint", [world.singer.address, 1n]);
  return releaseTo(world, asset, split);
}

async function releaseLater(world, asset) {
  const split = await splitAddress(world);
  await world.call(world.funder, "GasDollar", world.tokenAddress, "mint", [world.singer.address, 1n]);
  await releaseTo(world, asset, split);
  return releaseTo(world, asset, split);
}

// A ceiling for each asset that is measured, or null; a batch's are per row.
const both = (eth, erc20) => ({ eth, erc20 });
const unlimited = both(null, null);
const onlyToken = (ceiling) => ({ erc20: ceiling });
// No asset moves.
const neither = { none: null };

export const scenarios = [
  { name: "approve the escrow at the token, once", measure: approve, ceilings: onlyToken(null) },
  { name: "open", measure: open, ceilings: both(49_500, 70_000) },
  { name: "top up", measure: topUp, ceilings: both(30_200, 50_700) },
  { name: "open again", measure: openAgain, ceilings: both(30_200, 50_700) },
  { name: "open with permit, first", measure: openWithPermit, ceilings: onlyToken(102_700) },
  { name: "open with permit, later", measure: openWithPermitLater, ceilings: onlyToken(85_300) },
  { name: "open with authorization", measure: openWithAuthorization, ceilings: onlyToken(99_700) },
  { name: "deposit, first", measure: deposit, ceilings: both(48_500, 68_700) },
  { name: "deposit, later", measure: depositLater, ceilings: both(31_200, 51_300) },
  { name: "deposit with authorization, first", measure: depositWithAuthorization, ceilings: onlyToken(97_900) },
  { name: "deposit with authorization, later", measure: depositWithAuthorizationLater, ceilings: onlyToken(80_600) },
  { name: "reserve, first", measure: reserve, ceilings: both(57_300, 57_300) },
  { name: "reserve, later", measure: reserveLater, ceilings: both(36_500, 36_500) },
  { name: "redeem from a reservation", measure: redeemReservation, ceilings: both(43_000, 51_500) },
  { name: "redeem from a reservation, relayed", measure: redeemRelayed, ceilings: both(45_500, 51_500) },
  {
    name: "redeem from a reservation, to a payee without the token",
    measure: redeemToFreshPayee,
    ceilings: onlyToken(68_700),
  },
  { name: "redeem from an account, first", measure: redeemAccount, ceilings: both(67_300, 76_300) },
  { name: "redeem from an account, later", measure: redeemAccountLater, ceilings: both(50_000, 59_000) },
  {
    name: "batch of 10 reservations",
    measure: batch(10, { reserved: true }),
    rows: 10,
    ceilings: both(14_100, 14_950),
  },
  {
    name: "batch of 100 reservations",
    measure: batch(100, { reserved: true }),
    rows: 100,
    ceilings: both(11_150, 11_150),
  },
  { name: "batch of 10 accounts, first", measure: batch(10, {}), rows: 10, ceilings: both(36_900, 37_700) },
  { name: "batch of 100 accounts, first", measure: batch(100, {}), rows: 100, ceilings: both(33_900, 33_950) },
  {
    name: "batch of 10 accounts, later",
    measure: batch(10, { earlier: true }),
    rows: 10,
    ceilings: both(19_500, 20_400),
  },
  {
    name: "batch of 100 accounts, later",
    measure: batch(100, { earlier: true }),
    rows: 100,
    ceilings: both(16_600, 16_600),
  },
  {
    name: "batch of 100 accounts of session keys, later",
    measure: batch(100, { earlier: true, sessions: true }),
    rows: 100,
    ceilings: both(17_220, 17_220),
  },
  { name: "close by the payee, with a voucher", measure: closeByPayee, ceilings: both(52_800, 60_700) },
  { name: "close by an operator, with a voucher", measure: closeByOperator, ceilings: unlimited },
  { name: "set an operator", measure: setOperator, ceilings: neither },
  { name: "request close", measure: requestClose, ceilings: both(30_200, 30_400) },
  { name: "finalize close", measure: finalizeClose, ceilings: both(37_200, 46_200) },
  { name: "withdraw", measure: withdraw, ceilings: both(37_500, 46_600) },
  { name: "withdraw, relayed", measure: withdrawRelayed, ceilings: both(46_100, 52_600) },
  { name: "create a split of three", measure: createSplit, ceilings: neither },
  { name: "redeem from a reservation, to a split", measure: redeemToSplit, ceilings: unlimited },
  { name: "release from a split, first", measure: release, ceilings: unlimited },
  { name: "release from a split, later", measure: releaseLater, ceilings: unlimited },
];
