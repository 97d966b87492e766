// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEscrow} from "../IEscrow.sol";
import {Slots} from "./Slots.sol";
import {Vouchers} from "./Vouchers.sol";

/// @title Rows
/// @notice Reads the packed rows of a batch and writes the packed entries of its event.
/// @dev A row is `flags (1) | payer (20) | cumulativeAmount (13) | authorizedSigner (20, if flag 1) | salt (32, if flag
/// 2) | signature (64, EIP-2098)`. An entry is the same without the signature.
library Rows {
    uint256 private constant FLAG_SIGNER = 1;
    uint256 private constant FLAG_SALT = 2;
    uint256 private constant FIXED_LENGTH = 34;
    uint256 private constant SIGNATURE_LENGTH = 64;

    /// @dev One reader serves all rows. Its words are the preimages themselves, each group in the order in which it is
    /// hashed, so that a row costs no copying; `read` relies on this layout.
    struct Reader {
        // The channel id's preimage (0x00 to 0xe0); of it a row sets payer, salt and authorizedSigner.
        address payer;
        address payee;
        address token;
        bytes32 salt;
        address authorizedSigner;
        address escrow;
        uint256 chainId;
        // The voucher's struct hash's preimage (0xe0 to 0x140), EIP-712.
        bytes32 typehash;
        bytes32 channelId;
        uint256 cumulativeAmount;
        // The digest's preimage: the last two bytes of the first word, and two words (0x15e to 0x1a0).
        uint256 prefix;
        bytes32 domainSeparator;
        bytes32 structHash;
        // What ecrecover takes (0x1a0 to 0x220).
        bytes32 digest;
        uint256 v;
        bytes32 r;
        uint256 s;
    }

    function reader(address payee, address token, address escrow, uint256 chainId, bytes32 domainSeparator)
        internal
        pure
        returns (Reader memory row)
    {
        row.payee = payee;
        row.token = token;
        row.escrow = escrow;
        row.chainId = chainId;
        row.typehash = Vouchers.VOUCHER_TYPEHASH;
        row.prefix = 0x1901;
        row.domainSeparator = domainSeparator;
    }

    /// @dev Reads the row at `offset` into the reader, and whether its authorized signer signed it. `next` is where the
    /// next row begins.
    function read(Reader memory row, bytes calldata rows, uint256 offset)
        internal
        view
        returns (uint256 next, bytes32 id, uint256 cumulativeAmount, bool isSigned)
    {
        uint256 head = _word(rows, offset);
        // Offsets stay below rows.length plus one row's length, far from overflow.
        unchecked {
            next = offset + FIXED_LENGTH + SIGNATURE_LENGTH;
            cumulativeAmount = _word(rows, next - SIGNATURE_LENGTH - 32) & Slots.AMOUNT_MAX;
            // The top byte holds the flags.
            if (head >> 248 == 0) {
                address payer = address(uint160(head >> 88));
                (row.payer, row.authorizedSigner, row.salt) = (payer, payer, 0);
            } else {
                next = _readTerms(row, rows, offset, head >> 248);
            }
            if (next > rows.length) revert IEscrow.MalformedRows(offset);
        }
        (id, isSigned) = _recover(row, rows, next, cumulativeAmount);
    }

    /// @dev Reads the terms of a row that has others than usual, and returns where the row ends.
    function _readTerms(Reader memory row, bytes calldata rows, uint256 offset, uint256 flags)
        private
        pure
        returns (uint256 next)
    {
        if (flags > FLAG_SIGNER + FLAG_SALT) revert IEscrow.MalformedRows(offset);
        unchecked {
            address payer = address(uint160(_word(rows, offset) >> 88));
            (row.payer, row.authorizedSigner, row.salt) = (payer, payer, 0);
            next = offset + FIXED_LENGTH;
            if (flags & FLAG_SIGNER != 0) {
                row.authorizedSigner = address(uint160(_word(rows, next) >> 96));
                next += 20;
            }
            if (flags & FLAG_SALT != 0) {
                row.salt = bytes32(_word(rows, next));
                next += 32;
            }
            next += SIGNATURE_LENGTH;
        }
    }

    /// @dev Hashes the preimages in place and asks the ecrecover precompile at address 1 about the signature that ends at
    /// `next`. It answers with nothing if there is no signer; then the scratch word stays zero, which is nobody.
    function _recover(Reader memory row, bytes calldata rows, uint256 next, uint256 cumulativeAmount)
        private
        view
        returns (bytes32 id, bool isSigned)
    {
        uint256 lowSMax = Vouchers.LOW_S_MAX;
        assembly ("memory-safe") {
            id := keccak256(row, 0xe0)
            let voucher := add(row, 0xe0)
            mstore(add(voucher, 0x20), id)
            mstore(add(voucher, 0x40), cumulativeAmount)
            mstore(add(voucher, 0xa0), keccak256(voucher, 0x60))
            let input := add(row, 0x1a0)
            mstore(input, keccak256(add(row, 0x15e), 0x42))
            let vs := calldataload(add(rows.offset, sub(next, 0x20)))
            let s := shr(1, shl(1, vs))
            mstore(add(input, 0x20), add(27, shr(255, vs)))
            mstore(add(input, 0x40), calldataload(add(rows.offset, sub(next, 0x40))))
            mstore(add(input, 0x60), s)
            mstore(0x00, 0)
            if iszero(gt(s, lowSMax)) { pop(staticcall(gas(), 1, input, 0x80, 0x00, 0x20)) }
            let signer := mload(0x00)
            isSigned := and(eq(signer, mload(add(row, 0x80))), gt(signer, 0))
        }
    }

    /// @dev Copies the row from `offset` to `next`, without its signature, to the entry at `entry` in memory, with the
    /// channel's new total in place of the signed amount, and returns where the entry ends.
    function record(uint256 entry, bytes calldata rows, uint256 offset, uint256 next, uint256 redeemed)
        internal
        pure
        returns (uint256 end)
    {
        assembly ("memory-safe") {
            let length := sub(sub(next, 0x40), offset)
            calldatacopy(entry, add(rows.offset, offset), length)
            // The amount is the 13 bytes from 21 on; what stands before and after it was just copied.
            let amount := add(entry, 2)
            mstore(amount, or(shl(104, shr(104, mload(amount))), redeemed))
            end := add(entry, length)
        }
    }

    function _word(bytes calldata rows, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(add(rows.offset, offset))
        }
    }
}
