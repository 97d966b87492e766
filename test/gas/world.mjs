// A chain in the steady state that gas is measured in: the escrow holds some of each asset, everybody has ether, the
// payer and the payee hold the token, and the payer has allowed the escrow all of it once.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { encodeAbiParameters, encodeFunctionData, maxUint256, zeroHash } from "viem";
import { NATIVE, person } from "./signatures.mjs";

const PEOPLE = ["deployer", "funder", "payer", "payee", "operator", "relayer", "singer", "drummer", "painter"];
const ETHER = 10n ** 18n;
const CENT = { eth: 10n ** 13n, erc20: 10n ** 4n };

function artifact(root, name) {
  const path = join(root, "out", `${name}.sol`, `${name}.json`);
  if (!existsSync(path)) throw new Error(`${path} is missing; run node_modules/.bin/forge build`);
  const { abi, bytecode } = JSON.parse(readFileSync(path, "utf8"));
  return { abi, bytecode: bytecode.object };
}

export class World {
  #abis = {};
  exitDelay = 86_400;

  // Contracts are created by an ordinary key, so that their addresses, and all that is signed, follow from the key
  // alone.
  static async make(root, chain) {
    const world = new World();
    world.chain = chain;
    for (const name of PEOPLE) {
      world[name] = person(name);
      await world.endowWithEther(world[name].address);
    }
    world.tokenAddress = await world.#deploy(root, "GasDollar");
    world.escrow = await world.#deploy(root, "Escrow", [{ type: "uint256", value: BigInt(world.exitDelay) }]);
    world.factory = await world.#deploy(root, "RevenueSplitFactory");
    world.#abis.RevenueSplit = artifact(root, "RevenueSplit").abi;
    await world.#settleIn();
    return world;
  }

  async #deploy(root, name, values = []) {
    const { abi, bytecode } = artifact(root, name);
    this.#abis[name] = abi;
    const tail = values.length ? encodeAbiParameters(values, values.map(({ value }) => value)).slice(2) : "";
    return (await this.chain.send({ from: this.deployer.address, data: bytecode + tail })).contractAddress;
  }

  async #settleIn() {
    for (const { address } of [this.funder, this.payer, this.payee]) {
      await this.call(this.funder, "GasDollar", this.tokenAddress, "mint", [address, 10n ** 12n]);
      await this.call({ address }, "GasDollar", this.tokenAddress, "approve", [this.escrow, maxUint256]);
    }
    for (const asset of ["eth", "erc20"]) await this.deposit(this.funder, this.account(asset, this.funder), 100);
  }

  async endowWithEther(address) {
    await this.chain.rpc("anvil_setBalance", address, `0x${(1_000n * ETHER).toString(16)}`);
  }

  token(asset) {
    return asset === "eth" ? NATIVE : this.tokenAddress;
  }

  cents(asset, count) {
    return BigInt(count) * CENT[asset];
  }

  account(asset, payer = this.payer) {
    return { payer: payer.address, authorizedSigner: payer.address, token: this.token(asset) };
  }

  channel(asset, { payer = this.payer, payee = this.payee.address, salt = zeroHash } = {}) {
    return { ...this.account(asset, payer), payee, salt };
  }

  async call(sender, contract, to, functionName, args, value = 0n) {
    const data = encodeFunctionData({ abi: this.#abis[contract], functionName, args });
    return this.chain.send({ from: sender.address, to, value, data });
  }

  async ask(sender, functionName, args, value) {
    return this.call(sender, "Escrow", this.escrow, functionName, args, value);
  }

  async #fund(sender, functionName, terms, cents) {
    const asset = terms.token === NATIVE ? "eth" : "erc20";
    const amount = this.cents(asset, cents);
    return this.ask(sender, functionName, [terms, amount], asset === "eth" ? amount : 0n);
  }

  async deposit(sender, account, cents) {
    return this.#fund(sender, "deposit", account, cents);
  }

  async open(sender, channel, cents) {
    return this.#fund(sender, "open", channel, cents);
  }
}
