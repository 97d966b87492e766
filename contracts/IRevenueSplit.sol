// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice A member of a split and its part.
/// @param account Whom it pays.
/// @param shares How many of all shares are this member's.
struct Member {
    address account;
    uint256 shares;
}

/// @notice What a split is for ever, fixed when it is created.
/// @param escrow The escrow in which the split is a payee.
/// @param operator The key that may close the split's channels there.
/// @param receiptKey The key whose receipts for the split's items are good.
/// @param members In ascending order of account, so that the same collaborators have the same split.
struct SplitTerms {
    address escrow;
    address operator;
    address receiptKey;
    Member[] members;
}

/// @title RevenueSplit
/// @notice A payee that belongs to several: whatever it receives is its members' by their shares.
/// @dev Of each `totalShares` base units that arrive, the first `shares` are the first member's, the next the second's,
/// and so on round; so every base unit is somebody's from the moment it arrives, no rounding is left over, and what a
/// member is due never falls. Anyone may send a member its part; one that can't receive keeps nobody waiting.
interface IRevenueSplit {
    /// @notice Thrown when the caller or the account named is not a member.
    error NotMember(address account);

    /// @notice Thrown when a member is due nothing of a token.
    error NothingToRelease(address token, address member);

    /// @notice Thrown when money would be sent to the zero address or to the split itself.
    error InvalidRecipient(address recipient);

    /// @notice Thrown when a token calls back into a release while it is being sent.
    error ReleaseInProgress();

    /// @notice Emitted when a member's part of a token, or of the native coin if `token` is zero, is sent to `to`.
    event Released(address indexed token, address indexed member, address indexed to, uint256 amount);

    /// @notice Sends a member what it is due of a token, or of the native coin if `token` is zero. Anyone may call it.
    /// @return amount Base units sent.
    function release(address token, address member) external returns (uint256 amount);

    /// @notice Sends what the caller is due to an address of its choice: for a member that a token has blocked.
    /// @return amount Base units sent.
    function releaseTo(address token, address to) external returns (uint256 amount);

    /// @notice Makes the split's operator its operator in its escrow. Anyone may call it; the factory has.
    function appointOperator() external;

    /// @notice Returns what a member is due of a token, or of the native coin if `token` is zero.
    function releasable(address token, address member) external view returns (uint256);

    /// @notice Returns what was sent of a token for one member so far.
    function released(address token, address member) external view returns (uint256);

    /// @notice Returns what was sent of a token for all members so far.
    function totalReleased(address token) external view returns (uint256);

    /// @notice Returns what the split is.
    function terms() external view returns (SplitTerms memory);

    /// @notice Returns the key whose receipts for the split's items are good.
    function receiptKey() external view returns (address);
}

/// @title RevenueSplitFactory
/// @notice Creates splits, each at the address that its terms give.
interface IRevenueSplitFactory {
    /// @notice Thrown when a split names no escrow, no operator or no receipt key.
    error IncompleteTerms();

    /// @notice Thrown when a split has fewer than two members.
    error TooFewMembers(uint256 count);

    /// @notice Thrown when members are not in strictly ascending order, or the first is zero.
    error MembersNotAscending(uint256 index);

    /// @notice Thrown when a member has no shares.
    error ZeroShares(address account);

    /// @notice Thrown when this member's shares bring them above 10,000 in all: the smaller a share, the longer a
    /// round, and the more it would matter who comes first in it.
    error TooManyShares(address account, uint256 maximum);

    /// @notice Emitted when a split is created.
    event SplitCreated(address indexed split, SplitTerms terms);

    /// @notice Creates the split of these terms, or does nothing if it is there.
    /// @return split Its address, which depends on the terms alone.
    function create(SplitTerms calldata terms) external returns (address split);

    /// @notice Returns the address of the split of these terms, whether it is there or not.
    function addressOf(SplitTerms calldata terms) external view returns (address split);

    /// @notice The contract that every split is a clone of.
    function implementation() external view returns (address);
}
