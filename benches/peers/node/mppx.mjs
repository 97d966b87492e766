// npm mppx taking vouchers of its Tempo session, on all cores. In its favour: its server validates every voucher twice,
// once before and once while it is accepted, and only the second is called here, `broadcast` of the session method; its
// store is its memory, so that nothing is made durable; the chain answers at once, from this thread, and is asked as
// often as the package does (about a channel once in five seconds); credentials are parsed before the clock starts.
import { fileURLToPath } from "node:url";
import { Store } from "mppx";
import { Session } from "mppx/tempo";
import { tempo } from "mppx/server";
import { createClient, custom, encodeAbiParameters, zeroAddress, zeroHash } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { tempo as tempoChain } from "viem/chains";
import { onAllCores, say } from "./measuring.mjs";

const { Channel, Protocol, Voucher } = Session.Precompile;
const escrow = Protocol.tip20ChannelEscrow;
const PAYEE = "0x2222222222222222222222222222222222222222";
const TOKEN = "0x20c0000000000000000000000000000000000001";
const CHAIN_ID = tempoChain.id;
const DEPOSIT = 1_000_000_000n;
// Channels of each thread, and vouchers a second that a core is given.
const CHANNELS = 20;
const PER_SECOND = 200;

const request = {
  amount: "1",
  currency: TOKEN,
  recipient: PAYEE,
  unitType: "item",
  methodDetails: { chainId: CHAIN_ID, escrowContract: escrow },
};

// Settled, deposited, no close requested: the same for every channel.
const state = encodeAbiParameters([{ type: "uint96" }, { type: "uint96" }, { type: "uint32" }], [0n, DEPOSIT, 0]);

function client() {
  const answer = async ({ method }) => {
    if (method !== "eth_call") throw new Error(`${method} is asked, which no voucher needs`);
    return state;
  };
  return createClient({ chain: tempoChain, transport: custom({ request: answer }) });
}

async function channel(store, number) {
  const account = privateKeyToAccount(`0x${"11".repeat(28)}${(number + 1).toString(16).padStart(8, "0")}`);
  const descriptor = {
    payer: account.address,
    payee: PAYEE,
    operator: zeroAddress,
    token: TOKEN,
    salt: zeroHash,
    authorizedSigner: account.address,
    expiringNonceHash: zeroHash,
  };
  const channelId = Channel.computeId({ ...descriptor, chainId: CHAIN_ID, escrow }).toLowerCase();
  await store.put(channelId, {
    ...descriptor,
    backend: "precompile",
    chainId: CHAIN_ID,
    channelId,
    descriptor,
    escrowContract: escrow,
    closeRequestedAt: 0n,
    deposit: DEPOSIT,
    settledOnChain: 0n,
    highestVoucherAmount: 0n,
    highestVoucher: null,
    spent: 0n,
    units: 0,
    finalized: false,
    createdAt: new Date().toISOString(),
  });
  return { account, descriptor, channelId };
}

async function credential(chain, { account, descriptor, channelId }, amount) {
  const voucher = { channelId, cumulativeAmount: BigInt(amount) };
  const signature = await Voucher.signVoucher(chain, account, voucher, escrow, CHAIN_ID);
  return {
    challenge: { id: "id", realm: "payee.example", method: "tempo", intent: "session", request },
    payload: { action: "voucher", channelId, descriptor, cumulativeAmount: String(amount), signature },
    source: `did:pkh:eip155:${CHAIN_ID}:${account.address}`,
  };
}

async function prepare(thread, count) {
  const [store, chain] = [Store.memory(), client()];
  const session = tempo.session({
    chainId: CHAIN_ID,
    currency: TOKEN,
    getClient: () => chain,
    recipient: PAYEE,
    store,
    unitType: "item",
  });
  const channels = [];
  for (let number = 0; number < CHANNELS; number += 1) {
    channels.push(await channel(store, thread * CHANNELS + number));
  }
  const credentials = [];
  for (let number = 0; number < count; number += 1) {
    credentials.push(await credential(chain, channels[number % CHANNELS], Math.floor(number / CHANNELS) + 1));
  }
  const forged = { ...credentials[0], payload: { ...credentials[0].payload } };
  forged.payload.signature = credentials[1].payload.signature;
  const taken = await session.broadcast({ credential: forged, request }).then(() => true, () => false);
  if (taken) throw new Error("another key's signature is taken");
  return async (number) => {
    const receipt = await session.broadcast({ credential: credentials[number], request });
    const { acceptedCumulative } = receipt;
    if (acceptedCumulative !== credentials[number].payload.cumulativeAmount) {
      throw new Error(`a good voucher is not accepted: ${JSON.stringify(receipt)}`);
    }
  };
}

const perSecond = await onAllCores(fileURLToPath(import.meta.url), PER_SECOND, prepare);
if (perSecond) say("mppx.accept", perSecond);
