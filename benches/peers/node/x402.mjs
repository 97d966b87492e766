// npm @x402/evm (and @x402/core) taking vouchers of its batch settlement, on all cores: what its resource server does
// for a voucher that has arrived, `verifyPayment` and then `settlePayment`. No facilitator and no chain is asked: the
// state of every channel is fresh. Payloads are parsed before the clock starts.
//
// `x402.accept store=memory` keeps channels in the package's memory, so that nothing is made durable, in its favour;
// `store=files` in its files, which outlive the process, though it syncs none.
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { x402ResourceServer } from "@x402/core/server";
import { computeChannelId } from "@x402/evm/batch-settlement/client";
import { BatchSettlementEvmScheme, InMemoryChannelStorage } from "@x402/evm/batch-settlement/server";
import { FileChannelStorage } from "@x402/evm/batch-settlement/server/file-storage";
import { privateKeyToAccount } from "viem/accounts";
import { onAllCores, say } from "./measuring.mjs";

const NETWORK = "eip155:8453";
const PAYEE = "0x2222222222222222222222222222222222222222";
const TOKEN = "0x3333333333333333333333333333333333333333";
const DELAY = 86_400;
// The package's contract, as its EIP-712 domain names it.
const CONTRACT = "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003";
// Channels of each thread, and vouchers a second that a core is given.
const CHANNELS = 20;
const PER_SECOND = 400;

const requirements = {
  scheme: "batch-settlement",
  network: NETWORK,
  asset: TOKEN,
  amount: "1",
  payTo: PAYEE,
  maxTimeoutSeconds: 60,
  extra: { receiverAuthorizer: PAYEE, withdrawDelay: DELAY, name: "Dollar", version: "1" },
};

// The first argument says which store; threads have it too.
const kind = process.argv[2];

const storages = {
  memory: () => new InMemoryChannelStorage(),
  files: async () => {
    const directory = await mkdtemp(join(process.env.BENCH_FOLDER || "target", "x402-"));
    return new FileChannelStorage({ directory });
  },
};

async function server(storage) {
  const nobody = async () => {
    throw new Error("no facilitator is asked for a voucher of a known channel");
  };
  const { receiverAuthorizer } = requirements.extra;
  const kinds = [{ x402Version: 2, scheme: requirements.scheme, network: NETWORK, extra: { receiverAuthorizer } }];
  const getSupported = async () => ({ kinds, extensions: [], signers: {} });
  const made = new x402ResourceServer([{ getSupported, verify: nobody, settle: nobody }]);
  made.register(NETWORK, new BatchSettlementEvmScheme(PAYEE, { storage, withdrawDelay: DELAY }));
  await made.initialize();
  return made;
}

async function channel(storage, number) {
  const key = `0x${"11".repeat(28)}${(number + 1).toString(16).padStart(8, "0")}`;
  const account = privateKeyToAccount(key);
  const channelConfig = {
    payer: account.address,
    payerAuthorizer: account.address,
    receiver: PAYEE,
    receiverAuthorizer: PAYEE,
    token: TOKEN,
    withdrawDelay: DELAY,
    salt: `0x${"00".repeat(32)}`,
  };
  const channelId = computeChannelId(channelConfig, NETWORK);
  const opened = {
    channelId,
    channelConfig,
    chargedCumulativeAmount: "0",
    signedMaxClaimable: "0",
    signature: "0x",
    balance: "1000000000",
    totalClaimed: "0",
    withdrawRequestedAt: 0,
    refundNonce: 0,
    onchainSyncedAt: Date.now(),
    lastRequestTimestamp: Date.now(),
  };
  await storage.updateChannel(channelId, () => opened);
  return { account, channelConfig, channelId };
}

async function payload({ account, channelConfig, channelId }, amount) {
  const signature = await account.signTypedData({
    domain: { name: "x402 Batch Settlement", version: "1", chainId: 8453, verifyingContract: CONTRACT },
    types: {
      Voucher: [
        { name: "channelId", type: "bytes32" },
        { name: "maxClaimableAmount", type: "uint128" },
      ],
    },
    primaryType: "Voucher",
    message: { channelId, maxClaimableAmount: BigInt(amount) },
  });
  const voucher = { channelId, maxClaimableAmount: String(amount), signature };
  return { x402Version: 2, accepted: requirements, payload: { type: "voucher", channelConfig, voucher } };
}

async function prepare(thread, count) {
  const storage = await storages[kind]();
  const resources = await server(storage);
  const channels = [];
  for (let number = 0; number < CHANNELS; number += 1) {
    channels.push(await channel(storage, thread * CHANNELS + number));
  }
  const payloads = [];
  for (let number = 0; number < count; number += 1) {
    payloads.push(await payload(channels[number % CHANNELS], Math.floor(number / CHANNELS) + 1));
  }
  const forged = await payload(channels[0], 1);
  forged.payload.voucher.signature = payloads[1].payload.voucher.signature;
  const refused = await resources.verifyPayment(forged, requirements);
  if (refused.invalidReason === undefined) throw new Error("another key's signature is taken");
  return async (number) => {
    const verified = await resources.verifyPayment(payloads[number], requirements);
    if (!verified.isValid) throw new Error(`a good voucher is refused: ${verified.invalidReason}`);
    const settled = await resources.settlePayment(payloads[number], requirements);
    if (!settled.success) throw new Error(`a good voucher is refused: ${settled.errorReason}`);
  };
}

if (!(kind in storages)) throw new Error(`usage: x402.mjs ${Object.keys(storages).join("|")}`);
const perSecond = await onAllCores(fileURLToPath(import.meta.url), PER_SECOND, prepare);
if (perSecond) say("x402.accept", perSecond, { store: kind });
