// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title TestFeed
/// @notice Says what it is told to, by the interface that price feeds have.
contract TestFeed {
    /// @notice How many decimals its answer has.
    uint8 public decimals;

    int256 private _answer;
    uint256 private _updatedAt;

    /// @notice Makes it say this, as if it had been written then.
    function set(uint8 decimals_, int256 answer, uint256 updatedAt) external {
        (decimals, _answer, _updatedAt) = (decimals_, answer, updatedAt);
    }

    /// @notice The last answer, and when it was written.
    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        return (1, _answer, _updatedAt, _updatedAt, 1);
    }
}
