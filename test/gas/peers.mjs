// What others' contracts use for the same, each compiled with its own settings and measured in the same way: receipts on
// anvil 1.7.1, OpenZeppelin's ERC-20, a first approval not counted. Columns as in docs/gas.md.
export const peers = [
  ["Tempo stream channel", "ERC-20", "137,262", "60,616 / 60,628", "63,146", "31,578 / 52,120"],
  ["x402 batch settlement", "ERC-20", "117,647 (EIP-3009)", "74,071 / 74,071", "117,579", "53,061 / 50,959"],
  ["µRaiden", "ERC-20", "70,481", "76,228 / 59,157", "70,246", "52,761 / 54,403"],
  ["Machinomy", "ETH, ERC-20", "116,693, 158,228", "56,767, 66,814 (is the close)", "–", "56,971 / 46,983"],
  ["Swarm chequebook", "ERC-20", "213,440", "88,652 / 71,569", "–", "113,974 / 43,256"],
  ["HOPR", "ERC-20", "85,584", "138,433 / 138,385", "–", "45,058 / 61,009"],
  ["GraphTally (lower bound)", "ERC-20", "70,742", "151,767 / 134,667", "–", "76,946 / 51,564"],
  ["Perun", "ETH", "45,801", "212,128", "254,860", "109,521 / 163,689"],
  ["Nitrolite 1.x", "ETH", "558,889", "246,928 / 229,816", "244,883", "246,969 / 110,144"],
  ["Solidity docs channel", "ETH", "418,424", "51,233 (is the close)", "–", "– / 35,507"],
];
