// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEscrow} from "../IEscrow.sol";

/// @title Rows
/// @notice Reads the packed rows of a batch and writes the packed entries of its event.
/// @dev A row is `flags (1) | payer (20) | cumulativeAmount (13) | authorizedSigner (20, if flag 1) | salt (32, if flag
/// 2) | signature (64, EIP-2098)`. An entry is the same without the signature. One reader is used for all rows: its
/// first seven words are the preimage of the channel id, of which only payer, salt and signer change.
library Rows {
    uint256 private constant FLAG_SIGNER = 1;
    uint256 private constant FLAG_SALT = 2;
    uint256 private constant AMOUNT_OFFSET = 21;
    uint256 private constant FIXED_LENGTH = 34;
    uint256 private constant SIGNATURE_LENGTH = 64;

    struct Reader {
        address payer;
        address payee;
        address token;
        bytes32 salt;
        address authorizedSigner;
        address escrow;
        uint256 chainId;
        // Not part of the preimage from here on.
        bytes32 channelId;
        uint256 cumulativeAmount;
        bytes32 r;
        bytes32 vs;
        uint256 start;
        uint256 termsLength;
        bytes entries;
        uint256 entriesLength;
    }

    /// @dev Entries are shorter than their rows, so `rowsLength` bytes hold them all.
    function reader(address payee, address token, address escrow, uint256 chainId, uint256 rowsLength)
        internal
        pure
        returns (Reader memory row)
    {
        row.payee = payee;
        row.token = token;
        row.escrow = escrow;
        row.chainId = chainId;
        row.entries = new bytes(rowsLength);
    }

    /// @dev Reads the row at `offset` and returns where the next one begins.
    function read(Reader memory row, bytes calldata rows, uint256 offset) internal pure returns (uint256 next) {
        // Offsets stay below rows.length plus one row's length, far from overflow.
        unchecked {
            if (offset + FIXED_LENGTH + SIGNATURE_LENGTH > rows.length) revert IEscrow.MalformedRows(offset);
            uint256 head;
            assembly ("memory-safe") {
                head := calldataload(add(rows.offset, offset))
            }
            uint256 flags = head >> 248;
            if (flags > FLAG_SIGNER + FLAG_SALT) revert IEscrow.MalformedRows(offset);
            row.start = offset;
            row.payer = address(uint160(head >> 88));
            row.cumulativeAmount = _word(rows, offset + AMOUNT_OFFSET) >> 152;
            next = offset + FIXED_LENGTH;
            row.authorizedSigner = row.payer;
            row.salt = 0;
            if (flags != 0) {
                uint256 terms = (flags & FLAG_SIGNER != 0 ? 20 : 0) + (flags & FLAG_SALT != 0 ? 32 : 0);
                if (next + terms + SIGNATURE_LENGTH > rows.length) revert IEscrow.MalformedRows(offset);
                if (flags & FLAG_SIGNER != 0) {
                    row.authorizedSigner = address(uint160(_word(rows, next) >> 96));
                    next += 20;
                }
                if (flags & FLAG_SALT != 0) {
                    row.salt = bytes32(_word(rows, next));
                    next += 32;
                }
            }
            row.termsLength = next - offset;
            row.r = bytes32(_word(rows, next));
            row.vs = bytes32(_word(rows, next + 32));
            next += SIGNATURE_LENGTH;
        }
        assembly ("memory-safe") {
            mstore(add(row, 0xe0), keccak256(row, 0xe0))
        }
    }

    /// @dev Appends the row just read to the entries, with the channel's new total in place of the signed amount.
    function record(Reader memory row, bytes calldata rows, uint256 redeemed) internal pure {
        bytes memory list = row.entries;
        uint256 length = row.entriesLength;
        uint256 start = row.start;
        uint256 termsLength = row.termsLength;
        assembly ("memory-safe") {
            let entry := add(add(list, 0x20), length)
            calldatacopy(entry, add(rows.offset, start), termsLength)
            // The amount is 13 bytes; the 19 after it belong to the terms copied above, or are overwritten later.
            let amount := add(entry, 21)
            mstore(amount, or(shl(152, redeemed), and(mload(amount), sub(shl(152, 1), 1))))
        }
        unchecked {
            row.entriesLength = length + termsLength;
        }
    }

    function entries(Reader memory row) internal pure returns (bytes memory list) {
        list = row.entries;
        uint256 length = row.entriesLength;
        assembly ("memory-safe") {
            mstore(list, length)
        }
    }

    function _word(bytes calldata rows, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(add(rows.offset, offset))
        }
    }
}
