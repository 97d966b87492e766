// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Account, Channel} from "../IEscrow.sol";

/// @title Vouchers
/// @notice Hashes what identifies an account and a channel and what is signed about them, and recovers who signed it.
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

    /// @dev `keccak256(abi.encode(payer, authorizedSigner, token))`.
    function accountId(address payer, address authorizedSigner, address token) internal pure returns (bytes32 id) {
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore(preimage, shr(96, shl(96, payer)))
            mstore(add(preimage, 0x20), shr(96, shl(96, authorizedSigner)))
            mstore(add(preimage, 0x40), shr(96, shl(96, token)))
            id := keccak256(preimage, 0x60)
        }
    }

    /// @dev `keccak256(abi.encode(payer, payee, token, salt, authorizedSigner, this, chainIdAtDeployment))`. The terms
    /// are five words of calldata in just this order; an address with dirty upper bits is refused, as Solidity would.
    function channelId(Channel calldata channel, uint256 chainIdAtDeployment) internal view returns (bytes32 id) {
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            calldatacopy(preimage, channel, 0xa0)
            let addresses := or(mload(preimage), mload(add(preimage, 0x20)))
            addresses := or(addresses, or(mload(add(preimage, 0x40)), mload(add(preimage, 0x80))))
            if shr(160, addresses) { revert(0x00, 0x00) }
            mstore(add(preimage, 0xa0), address())
            mstore(add(preimage, 0xc0), chainIdAtDeployment)
            id := keccak256(preimage, 0xe0)
        }
    }

    /// @dev The struct hash of EIP-712, before the domain is mixed in.
    function structHash(bytes32 id, uint256 cumulativeAmount) internal pure returns (bytes32 hash) {
        bytes32 typehash = VOUCHER_TYPEHASH;
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore(preimage, typehash)
            mstore(add(preimage, 0x20), id)
            mstore(add(preimage, 0x40), cumulativeAmount)
            hash := keccak256(preimage, 0x60)
        }
    }

    /// @dev `keccak256(0x1901 | domainSeparator | structHash)`, EIP-712.
    function digest(bytes32 domainSeparator, bytes32 id, uint256 cumulativeAmount)
        internal
        pure
        returns (bytes32 hash)
    {
        bytes32 inner = structHash(id, cumulativeAmount);
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore(preimage, hex"1901")
            mstore(add(preimage, 0x02), domainSeparator)
            mstore(add(preimage, 0x22), inner)
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
    function recover(bytes32 hash, bytes calldata signature) internal view returns (address) {
        if (signature.length == 64) {
            return recover(hash, bytes32(signature[:32]), bytes32(signature[32:]));
        }
        if (signature.length != 65) return address(0);
        uint256 s = uint256(bytes32(signature[32:64]));
        if (s > LOW_S_MAX) return address(0);
        return _ecrecover(hash, uint8(signature[64]), bytes32(signature[:32]), s);
    }

    /// @dev Returns the signer of an EIP-2098 signature, or zero if there is none.
    function recover(bytes32 hash, bytes32 r, bytes32 vs) internal view returns (address) {
        uint256 s = uint256(vs) & (type(uint256).max >> 1);
        if (s > LOW_S_MAX) return address(0);
        return _ecrecover(hash, 27 + (uint256(vs) >> 255), r, s);
    }

    /// @dev The precompile at address 1. It answers with nothing if there is no signer or `v` is neither 27 nor 28.
    function _ecrecover(bytes32 hash, uint256 v, bytes32 r, uint256 s) private view returns (address signer) {
        assembly ("memory-safe") {
            let input := mload(0x40)
            mstore(input, hash)
            mstore(add(input, 0x20), v)
            mstore(add(input, 0x40), r)
            mstore(add(input, 0x60), s)
            mstore(0x00, 0)
            pop(staticcall(gas(), 1, input, 0x80, 0x00, 0x20))
            signer := mload(0x00)
        }
    }
}
