// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Slots
/// @notice Packs the two kinds of state that the escrow keeps, each into one word.
/// @dev account: `nonce u64 | balance u104`. channel: `closeAt u40 | reserved u104 | redeemed u104`. Low bits are on
/// the right. Callers pass values that fit; they are checked where money enters.
library Slots {
    uint256 internal constant AMOUNT_MAX = type(uint104).max;

    function balanceOf(uint256 account) internal pure returns (uint256) {
        return account & AMOUNT_MAX;
    }

    function nonceOf(uint256 account) internal pure returns (uint256) {
        return account >> 104;
    }

    /// @dev Keeps the nonce, whatever becomes of the balance.
    function withBalance(uint256 account, uint256 balance) internal pure returns (uint256) {
        return (account & ~AMOUNT_MAX) | balance;
    }

    /// @dev A nonce counts withdrawals, one transaction each, and never fills its 64 bits.
    function withNextNonce(uint256 account) internal pure returns (uint256) {
        unchecked {
            return account + (1 << 104);
        }
    }

    function packChannel(uint256 redeemed, uint256 reserved, uint256 closeAt) internal pure returns (uint256) {
        return redeemed | (reserved << 104) | (closeAt << 208);
    }

    /// @dev The channel after `fromReservation` has left its reservation and `paid` in all was paid. The caller makes sure
    /// that the reservation holds that much and that the new total fits, so neither field touches its neighbour.
    function moved(uint256 channel, uint256 fromReservation, uint256 paid) internal pure returns (uint256) {
        unchecked {
            return channel + paid - (fromReservation << 104);
        }
    }

    function redeemedOf(uint256 channel) internal pure returns (uint256) {
        return channel & AMOUNT_MAX;
    }

    function reservedOf(uint256 channel) internal pure returns (uint256) {
        return (channel >> 104) & AMOUNT_MAX;
    }

    function closeAtOf(uint256 channel) internal pure returns (uint256) {
        return channel >> 208;
    }
}
