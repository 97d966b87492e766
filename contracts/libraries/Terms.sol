// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Account, Channel} from "../IEscrow.sol";

/// @title Terms
/// @notice Computes the ids of accounts and channels, and reads their terms.
/// @dev Solidity looks for dirty upper bits at every use of an address in calldata. Here the ids look once and refuse
/// them, as Solidity would; every function of the escrow computes the id of the terms it takes, so the readers below
/// need not look again. What uses them before the id does takes the lower 160 bits alone.
library Terms {
    /// @dev `keccak256(abi.encode(payer, authorizedSigner, token))`: the three words of calldata in just this order.
    function accountId(Account calldata account) internal pure returns (bytes32 id) {
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            calldatacopy(preimage, account, 0x60)
            if shr(160, or(mload(preimage), or(mload(add(preimage, 0x20)), mload(add(preimage, 0x40))))) {
                revert(0x00, 0x00)
            }
            id := keccak256(preimage, 0x60)
        }
    }

    /// @dev `keccak256(abi.encode(payer, payee, token, salt, authorizedSigner, this, chainIdAtDeployment))`: the terms
    /// are five words of calldata in just this order.
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

    /// @dev The id of the account (payer, authorizedSigner, token), whose terms come from where they were checked
    /// before.
    function accountId(address payer, address authorizedSigner, address token) internal pure returns (bytes32 id) {
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore(preimage, shr(96, shl(96, payer)))
            mstore(add(preimage, 0x20), shr(96, shl(96, authorizedSigner)))
            mstore(add(preimage, 0x40), shr(96, shl(96, token)))
            id := keccak256(preimage, 0x60)
        }
    }

    /// @dev `channelId`, and whether money may enter: nobody is the zero address, no address has dirty upper bits, and
    /// there is an amount. One question instead of six, on the way that every deposit takes.
    function fundableId(Channel calldata channel, uint256 amount, uint256 chainIdAtDeployment)
        internal
        view
        returns (bytes32 id, bool isFundable)
    {
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            calldatacopy(preimage, channel, 0xa0)
            let payer := mload(preimage)
            let payee := mload(add(preimage, 0x20))
            let authorizedSigner := mload(add(preimage, 0x80))
            let dirty := shr(160, or(or(payer, payee), or(authorizedSigner, mload(add(preimage, 0x40)))))
            let missing := or(or(iszero(payer), iszero(payee)), or(iszero(authorizedSigner), iszero(amount)))
            isFundable := iszero(or(dirty, missing))
            mstore(add(preimage, 0xa0), address())
            mstore(add(preimage, 0xc0), chainIdAtDeployment)
            id := keccak256(preimage, 0xe0)
        }
    }

    function payerOf(Channel calldata channel) internal pure returns (address payer) {
        assembly ("memory-safe") {
            payer := calldataload(channel)
        }
    }

    function payeeOf(Channel calldata channel) internal pure returns (address payee) {
        assembly ("memory-safe") {
            payee := calldataload(add(channel, 0x20))
        }
    }

    function tokenOf(Channel calldata channel) internal pure returns (address token) {
        assembly ("memory-safe") {
            token := calldataload(add(channel, 0x40))
        }
    }

    function authorizedSignerOf(Channel calldata channel) internal pure returns (address authorizedSigner) {
        assembly ("memory-safe") {
            authorizedSigner := calldataload(add(channel, 0x80))
        }
    }

    function payerOf(Account calldata account) internal pure returns (address payer) {
        assembly ("memory-safe") {
            payer := calldataload(account)
        }
    }

    function authorizedSignerOf(Account calldata account) internal pure returns (address authorizedSigner) {
        assembly ("memory-safe") {
            authorizedSigner := calldataload(add(account, 0x20))
        }
    }

    function tokenOf(Account calldata account) internal pure returns (address token) {
        assembly ("memory-safe") {
            token := calldataload(add(account, 0x40))
        }
    }
}
