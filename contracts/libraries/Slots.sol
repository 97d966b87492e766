// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Slots
/// @notice Packs the two kinds of state that the escrow keeps, each into one word.
/// @dev account: `nonce u64 | balance u104`. channel: `closeAt u40 | reserved u104 | redeemed u104`. Low bits are on
/// the right. Nothing here checks that a field has room: the escrow does, where money enters.
library Slots {
    uint256 internal constant AMOUNT_BITS = 104;
    uint256 internal constant AMOUNT_MAX = type(uint104).max;

    /* ACCOUNT */

    function balanceOf(uint256 account) internal pure returns (uint256) {
        return account & AMOUNT_MAX;
    }

    function nonceOf(uint256 account) internal pure returns (uint256) {
        return account >> AMOUNT_BITS;
    }

    /// @dev A nonce counts withdrawals, one transaction each, and never fills its 64 bits.
    function withNextNonce(uint256 account) internal pure returns (uint256) {
        unchecked {
            return account + (1 << AMOUNT_BITS);
        }
    }

    /* CHANNEL */

    function redeemedOf(uint256 channel) internal pure returns (uint256) {
        return channel & AMOUNT_MAX;
    }

    function reservedOf(uint256 channel) internal pure returns (uint256) {
        return (channel >> AMOUNT_BITS) & AMOUNT_MAX;
    }

    function closeAtOf(uint256 channel) internal pure returns (uint256) {
        return channel >> 2 * AMOUNT_BITS;
    }

    function withCloseAt(uint256 channel, uint256 closeAt) internal pure returns (uint256) {
        return channel | (closeAt << 2 * AMOUNT_BITS);
    }

    /// @dev The channel with `amount` more in its reservation, and whether that is allowed: it is not if the amount or
    /// the sum has more than 104 bits, and it is not while the clock runs. A sum that is too large would carry into the
    /// clock, so that one comparison finds all three.
    function reserving(uint256 channel, uint256 amount) internal pure returns (uint256 channelAfter, bool isAllowed) {
        unchecked {
            channelAfter = channel + (amount << AMOUNT_BITS);
            isAllowed = (amount | (channelAfter >> AMOUNT_BITS)) >> AMOUNT_BITS == 0;
        }
    }

    /// @dev What the channel still owes of `target`, in two parts: what its reservation pays and what is beyond that.
    /// Without branches, because batches run it for every row; a comparison is 1 or 0, and so a factor.
    function owed(uint256 channel, uint256 target) internal pure returns (uint256 fromReservation, uint256 beyond) {
        uint256 redeemed = redeemedOf(channel);
        uint256 reserved = reservedOf(channel);
        assembly ("memory-safe") {
            fromReservation := mul(gt(target, redeemed), sub(target, redeemed))
            beyond := mul(gt(fromReservation, reserved), sub(fromReservation, reserved))
            fromReservation := sub(fromReservation, beyond)
        }
    }

    /// @dev The channel after `fromReservation` has left its reservation and `paid` in all was paid. The caller makes
    /// sure that the reservation holds that much and that the new total fits, so neither field touches its neighbour.
    function moved(uint256 channel, uint256 fromReservation, uint256 paid) internal pure returns (uint256) {
        unchecked {
            return channel + paid - (fromReservation << AMOUNT_BITS);
        }
    }
}
