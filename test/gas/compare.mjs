// Says what is wrong with measured gas: over a ceiling, or not what the snapshot says. Gas is exact, so there is no
// tolerance; keys, times and addresses are fixed.

// The ceiling of a batch is per row.
export function perRow(scenario, gas) {
  return gas / (scenario.rows ?? 1);
}

export function overCeilings(scenarios, gas) {
  const complaints = [];
  for (const scenario of scenarios) {
    for (const [asset, ceiling] of Object.entries(scenario.ceilings)) {
      const measured = perRow(scenario, gas[scenario.name][asset]);
      if (ceiling !== null && !(measured <= ceiling)) {
        complaints.push(`${scenario.name} (${asset}): ${measured} gas is over its ceiling of ${ceiling}`);
      }
    }
  }
  return complaints;
}

export function differences(expected, measured) {
  const complaints = [];
  for (const name of new Set([...Object.keys(expected), ...Object.keys(measured)])) {
    for (const asset of new Set([...Object.keys(expected[name] ?? {}), ...Object.keys(measured[name] ?? {})])) {
      const [was, is] = [expected[name]?.[asset], measured[name]?.[asset]];
      if (was === undefined) complaints.push(`${name} (${asset}): ${is} gas, and not in the snapshot`);
      else if (is === undefined) complaints.push(`${name} (${asset}): in the snapshot, and no longer measured`);
      else if (was !== is) complaints.push(`${name} (${asset}): ${is} gas, ${was} in the snapshot`);
    }
  }
  return complaints;
}
