// Which instructions of the called contract a transaction's gas goes to. What it calls in turn is counted as its call.

export async function profile(chain, transactionHash) {
  const { structLogs, gas } = await chain.rpc("debug_traceTransaction", transactionHash, {});
  const steps = structLogs.filter(({ depth }) => depth === 1);
  const instructions = new Map();
  steps.forEach(({ op, gas: before, gasCost }, index) => {
    // For a call this is all that it used.
    const used = index + 1 < steps.length ? before - steps[index + 1].gas : gasCost;
    const sum = instructions.get(op) ?? { count: 0, gas: 0 };
    instructions.set(op, { count: sum.count + 1, gas: sum.gas + used });
  });
  const inside = [...instructions.values()].reduce((sum, { gas: used }) => sum + used, 0);
  return { total: gas, outside: gas - inside, instructions };
}
