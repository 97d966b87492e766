// People, and what they sign. A zero byte of calldata costs 12 gas less than any other, so luck would move the figures:
// addresses and signatures here have none, which is the most expensive case and, for a signature, the most frequent.
import {
  concatHex,
  encodeAbiParameters,
  keccak256,
  numberToHex,
  parseSignature,
  serializeCompactSignature,
  signatureToCompactSignature,
  stringToHex,
  zeroHash,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";

export const CHAIN_ID = 31_337;
export const NATIVE = "0x0000000000000000000000000000000000000000";
// In the year 2099.
export const FAR_FUTURE = 4_090_000_000n;

const hasZeroByte = (hex) => hex.slice(2).match(/../g).includes("00");

// Somebody with a key that follows from the name.
export function person(name) {
  for (let attempt = 0; ; ++attempt) {
    const account = privateKeyToAccount(keccak256(stringToHex(`${name} ${attempt}`)));
    if (!hasZeroByte(account.address)) return account;
  }
}

export function accountId({ payer, authorizedSigner, token }) {
  const words = [payer, authorizedSigner, token].map((value) => ({ type: "address", value }));
  return keccak256(encodeAbiParameters(words, words.map(({ value }) => value)));
}

export function channelId(channel, escrow) {
  const types = ["address", "address", "address", "bytes32", "address", "address", "uint256"];
  const { payer, payee, token, salt, authorizedSigner } = channel;
  return keccak256(
    encodeAbiParameters(
      types.map((type) => ({ type })),
      [payer, payee, token, salt, authorizedSigner, escrow, BigInt(CHAIN_ID)],
    ),
  );
}

function domain(name, verifyingContract) {
  return { name, version: "1", chainId: CHAIN_ID, verifyingContract };
}

const fields = (types) => types.split(", ").map((field) => {
  const [type, name] = field.split(" ");
  return { type, name };
});

const VOUCHER = { Voucher: fields("bytes32 channelId, uint128 cumulativeAmount") };
const WITHDRAWAL = {
  Withdrawal: fields(
    "address payer, address authorizedSigner, address token, uint256 amount, address to, uint256 nonce, " +
      "uint256 deadline",
  ),
};
const PERMIT = { Permit: fields("address owner, address spender, uint256 value, uint256 nonce, uint256 deadline") };
const RECEIVE = {
  ReceiveWithAuthorization: fields(
    "address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce",
  ),
};

// Signs message(0), message(1)… until a signature has no zero byte.
async function sign(signer, typedData, message) {
  for (let attempt = 0; ; ++attempt) {
    const signature = await signer.signTypedData({ ...typedData, message: message(attempt) });
    if (!hasZeroByte(signature)) return { signature, message: message(attempt) };
  }
}

const compact = (signature) => serializeCompactSignature(signatureToCompactSignature(parseSignature(signature)));

// A voucher of about that amount.
export async function voucher(signer, channel, escrow, amount) {
  const typedData = { domain: domain("Farthing Escrow", escrow), types: VOUCHER, primaryType: "Voucher" };
  const id = channelId(channel, escrow);
  const { signature, message } = await sign(signer, typedData, (attempt) => ({
    channelId: id,
    cumulativeAmount: amount + BigInt(attempt),
  }));
  return { channel, cumulativeAmount: message.cumulativeAmount, signature: compact(signature) };
}

// A row of a batch. The salt is zero; the signer is named if it is not the payer.
export function row({ channel, cumulativeAmount, signature }) {
  const { payer, authorizedSigner } = channel;
  const namesSigner = authorizedSigner !== payer;
  const amount = numberToHex(cumulativeAmount, { size: 13 });
  const terms = namesSigner ? ["0x01", payer, amount, authorizedSigner] : ["0x00", payer, amount];
  return concatHex([...terms, signature]);
}

export async function withdrawal(payer, account, escrow, { amount, to, nonce }) {
  const typedData = { domain: domain("Farthing Escrow", escrow), types: WITHDRAWAL, primaryType: "Withdrawal" };
  const { signature, message } = await sign(payer, typedData, (attempt) => ({
    ...account,
    amount,
    to,
    nonce,
    deadline: FAR_FUTURE + BigInt(attempt),
  }));
  return { deadline: message.deadline, signature: compact(signature) };
}

export async function permit(owner, token, spender, { value, nonce }) {
  const typedData = { domain: domain("Gas Dollar", token), types: PERMIT, primaryType: "Permit" };
  const { signature, message } = await sign(owner, typedData, (attempt) => ({
    owner: owner.address,
    spender,
    value,
    nonce,
    deadline: FAR_FUTURE + BigInt(attempt),
  }));
  const { v, r, s } = parseSignature(signature);
  return { deadline: message.deadline, v: Number(v), r, s };
}

// What lets the escrow take the payer's tokens into the account or channel of this id.
export async function authorization(payer, token, escrow, id, value) {
  const typedData = { domain: domain("Gas Dollar", token), types: RECEIVE, primaryType: "ReceiveWithAuthorization" };
  const salt = keccak256(zeroHash);
  const nonce = keccak256(encodeAbiParameters([{ type: "bytes32" }, { type: "bytes32" }], [id, salt]));
  const { signature, message } = await sign(payer, typedData, (attempt) => ({
    from: payer.address,
    to: escrow,
    value,
    validAfter: 0n,
    validBefore: FAR_FUTURE + BigInt(attempt),
    nonce,
  }));
  const { v, r, s } = parseSignature(signature);
  return { validAfter: 0n, validBefore: message.validBefore, salt, v: Number(v), r, s };
}
