// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEscrow} from "../IEscrow.sol";
import {Slots} from "./Slots.sol";
import {Vouchers} from "./Vouchers.sol";

/// @title Rows
/// @notice Reads the packed rows of a batch and writes the packed entries of its event.
/// @dev A row is `flags (1) | payer (20) | cumulativeAmount (13) | authorizedSigner (20, if flag 1) | salt (32, if flag
/// 2) | signature (64, EIP-2098)`. An entry is the same without the signature. Positions are of calldata.
///
/// One piece of memory serves all rows. It holds the preimages themselves, each in the order in which it is hashed, so
/// that a row writes what is its own and copies nothing, and behind them the event, which grows by an entry a row. It
/// begins where free memory does at first, and `begin` makes sure of that; being constants, its addresses cost a row
/// nothing.
///
/// 0x080 | channel id: payer, payee, token, salt, authorizedSigner, escrow, chain id at deployment
/// 0x160 | struct hash of the voucher: typehash, channel id, cumulative amount
/// 0x1c0 | digest: a word that ends in 0x1901, domain separator, struct hash
/// 0x220 | ecrecover: digest, v, r, s
/// 0x2a0 | account id: payer, authorizedSigner, token
/// 0x300 | event: total, offset of the entries, their length, the entries
library Rows {
    uint256 private constant FLAG_SIGNER = 1;
    uint256 private constant FLAG_SALT = 2;

    /// @dev Of a row without flags.
    uint256 private constant LENGTH = 98;
    uint256 private constant SIGNATURE_LENGTH = 64;

    /// @dev Fills in what is the same for each row, and reserves memory for the entries of all of them.
    function begin(
        address payee,
        address token,
        uint256 chainIdAtDeployment,
        bytes32 domainSeparator,
        bytes calldata rows
    ) internal view returns (uint256 entry) {
        bytes32 typehash = Vouchers.VOUCHER_TYPEHASH;
        assembly ("memory-safe") {
            // Free memory begins here unless the compiler keeps variables there, which no batch would survive.
            if iszero(eq(mload(0x40), 0x080)) { invalid() }
            mstore(0x0a0, payee)
            mstore(0x0c0, token)
            mstore(0x120, address())
            mstore(0x140, chainIdAtDeployment)
            mstore(0x160, typehash)
            mstore(0x1c0, 0x1901)
            mstore(0x1e0, domainSeparator)
            mstore(0x2e0, token)
            entry := 0x360
            // An entry is shorter than its row by the signature, so they all fit, and a word of padding.
            mstore(0x40, add(entry, add(rows.length, 0x20)))
        }
    }

    /// @dev Where the rows begin and end.
    function bounds(bytes calldata rows) internal pure returns (uint256 position, uint256 end) {
        assembly ("memory-safe") {
            position := rows.offset
            end := add(rows.offset, rows.length)
        }
    }

    /// @dev Reads the row at `position`, and whether its authorized signer signed it. `next` is where the next row
    /// begins.
    function read(uint256 position)
        internal
        view
        returns (uint256 next, bytes32 id, uint256 cumulativeAmount, bool isSigned)
    {
        uint256 head;
        uint256 amountMax = Slots.AMOUNT_MAX;
        assembly ("memory-safe") {
            head := calldataload(position)
            cumulativeAmount := and(calldataload(add(position, 2)), amountMax)
            // As if there were no flags. The payer is the 20 bytes after them.
            let payer := shr(88, head)
            mstore(0x080, payer)
            mstore(0x0e0, 0)
            mstore(0x100, payer)
            next := add(position, LENGTH)
        }
        if (head >> 248 != 0) next = _readTerms(position, head);
        (id, isSigned) = _recover(next, cumulativeAmount);
    }

    /// @dev Reads the terms of a row that has others than usual, and returns where the next row begins. Of unknown
    /// flags it says that the next row begins nowhere.
    function _readTerms(uint256 position, uint256 head) private pure returns (uint256 next) {
        uint256 flags = head >> 248;
        if (flags > FLAG_SIGNER + FLAG_SALT) return type(uint256).max;
        assembly ("memory-safe") {
            let payer := shr(96, shl(8, head))
            mstore(0x080, payer)
            mstore(0x100, payer)
            next := add(position, sub(LENGTH, SIGNATURE_LENGTH))
            if and(flags, FLAG_SIGNER) {
                mstore(0x100, shr(96, calldataload(next)))
                next := add(next, 20)
            }
            if and(flags, FLAG_SALT) {
                mstore(0x0e0, calldataload(next))
                next := add(next, 32)
            }
            next := add(next, SIGNATURE_LENGTH)
        }
    }

    /// @dev Hashes the preimages in place and asks the ecrecover precompile at address 1 about the signature that ends
    /// at `next`. It answers with one word, or with nothing if there is no signer; so what the scratch word held before
    /// can't pass for an answer. A high `s` is asked about as well and refused after. In this form, with 255 bits for
    /// `s`, nobody knows how to make one; the rule is the same for every signature all the same.
    function _recover(uint256 next, uint256 cumulativeAmount) private view returns (bytes32 id, bool isSigned) {
        uint256 highSMin = Vouchers.LOW_S_MAX + 1;
        assembly ("memory-safe") {
            id := keccak256(0x080, 0xe0)
            mstore(0x180, id)
            mstore(0x1a0, cumulativeAmount)
            mstore(0x200, keccak256(0x160, 0x60))
            mstore(0x220, keccak256(0x1de, 0x42))
            let vs := calldataload(sub(next, 0x20))
            let s := shr(1, shl(1, vs))
            mstore(0x240, add(27, shr(255, vs)))
            mstore(0x260, calldataload(sub(next, 0x40)))
            mstore(0x280, s)
            pop(staticcall(gas(), 1, 0x220, 0x80, 0x00, 0x20))
            isSigned := and(gt(returndatasize(), 0x1f), eq(mload(0x00), mload(0x100)))
            isSigned := and(isSigned, lt(s, highSMin))
        }
    }

    /// @dev The id of the account behind the channel that was read last.
    function accountId() internal pure returns (bytes32 id) {
        assembly ("memory-safe") {
            mstore(0x2a0, mload(0x080))
            mstore(0x2c0, mload(0x100))
            id := keccak256(0x2a0, 0x60)
        }
    }

    /// @dev Copies the row from `position` to `next`, without its signature, to the entry at `entry` in memory, with
    /// the channel's new total in place of the signed amount, which it falls short of by `shortage`. Returns where the
    /// next entry begins.
    function record(uint256 entry, uint256 position, uint256 next, uint256 shortage)
        internal
        pure
        returns (uint256 nextEntry)
    {
        assembly ("memory-safe") {
            let length := sub(next, add(position, SIGNATURE_LENGTH))
            calldatacopy(entry, position, length)
            // The amount is the low end of the word from 2 on, and not less than the shortage: nothing before it
            // changes.
            mstore(add(entry, 2), sub(calldataload(add(position, 2)), shortage))
            nextEntry := add(entry, length)
        }
    }

    /// @dev Emits `BatchRedeemed` with the entries up to `entry`, straight from where they lie, and frees the memory.
    function emitRedeemed(uint256 entry, address payee, address token, uint256 total) internal {
        bytes32 selector = IEscrow.BatchRedeemed.selector;
        assembly ("memory-safe") {
            mstore(0x300, total)
            // Where the entries are, as the ABI counts.
            mstore(0x320, 0x40)
            mstore(0x340, sub(entry, 0x360))
            // Up to a whole word, as the ABI pads them.
            mstore(entry, 0)
            log3(0x300, add(0x60, and(sub(entry, 0x341), not(0x1f))), selector, payee, token)
            mstore(0x40, 0x080)
        }
    }
}
