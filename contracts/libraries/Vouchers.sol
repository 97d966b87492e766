// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Account} from "../IEscrow.sol";

/// @title Vouchers
/// @notice Hashes what is signed about accounts and channels, and recovers who signed it.
library Vouchers {
    /// @dev EIP-712 type of the promise: *in total, this channel owes you cumulativeAmount*.
    bytes32 internal constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 channelId,uint128 cumulativeAmount)");

    /// @dev EIP-712 type of a relayed withdrawal. It spells the account out, so that a wallet shows what is withdrawn.
    bytes32 internal constant WITHDRAWAL_TYPEHASH = keccak256(
        "Withdrawal(address payer,address authorizedSigner,address token,uint256 amount,address to,uint256 nonce,uint256 deadline)"
    );

    /// @dev Half the order of secp256k1. Of the two `s` that are valid for a message only the lower is accepted
    /// (EIP-2), so that one promise has one signature.
    uint256 internal constant LOW_S_MAX = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// @dev `keccak256(0x1901 | domainSeparator | keccak256(abi.encode(VOUCHER_TYPEHASH, id, cumulativeAmount)))`,
    /// EIP-712.
    function digest(bytes32 domainSeparator, bytes32 id, uint256 cumulativeAmount)
        internal
        pure
        returns (bytes32 hash)
    {
        bytes32 typehash = VOUCHER_TYPEHASH;
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore(preimage, typehash)
            mstore(add(preimage, 0x20), id)
            mstore(add(preimage, 0x40), cumulativeAmount)
            let structHash := keccak256(preimage, 0x60)
            mstore(preimage, hex"1901")
            mstore(add(preimage, 0x02), domainSeparator)
            mstore(add(preimage, 0x22), structHash)
            hash := keccak256(preimage, 0x42)
        }
    }

    /// @dev The struct hash of a relayed withdrawal, EIP-712.
    function withdrawalHash(Account calldata account, uint256 amount, address to, uint256 nonce, uint256 deadline)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(WITHDRAWAL_TYPEHASH, account, amount, to, nonce, deadline));
    }

    /// @dev The nonce that an EIP-3009 authorization carries to fund this account or channel and no other.
    function authorizationNonce(bytes32 id, bytes32 salt) internal pure returns (bytes32) {
        return keccak256(abi.encode(id, salt));
    }

    /// @dev Returns the signer of a 65-byte (r, s, v) or 64-byte (r, vs; EIP-2098) signature, or zero if there is none.
    /// Asks the ecrecover precompile at address 1, which answers with nothing if there is no signer or `v` is neither
    /// 27 nor 28; with another length `v` stays 0.
    function recover(bytes32 hash, bytes calldata signature) internal view returns (address signer) {
        uint256 lowSMax = LOW_S_MAX;
        assembly ("memory-safe") {
            let s := calldataload(add(signature.offset, 0x20))
            let v := 0
            switch signature.length
            case 64 {
                v := add(27, shr(255, s))
                s := shr(1, shl(1, s))
            }
            case 65 { v := byte(0, calldataload(add(signature.offset, 0x40))) }
            let input := mload(0x40)
            mstore(input, hash)
            mstore(add(input, 0x20), v)
            mstore(add(input, 0x40), calldataload(signature.offset))
            mstore(add(input, 0x60), s)
            mstore(0x00, 0)
            pop(staticcall(gas(), 1, input, 0x80, 0x00, 0x20))
            signer := mul(mload(0x00), iszero(gt(s, lowSMax)))
        }
    }
}
