// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {LibClone} from "solady/utils/LibClone.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IEscrow} from "./IEscrow.sol";
import {IRevenueSplit, Member, SplitTerms} from "./IRevenueSplit.sol";

/// @title RevenueSplit
/// @dev The code that all splits share. A split is a clone of it whose own code ends in its terms, so that reading them
/// costs one copy and nothing can change them.
contract RevenueSplit is IRevenueSplit {
    /// @inheritdoc IRevenueSplit
    mapping(address token => uint256) public totalReleased;

    /// @inheritdoc IRevenueSplit
    mapping(address token => mapping(address member => uint256)) public released;

    /// @dev Set while a token is sent. A token that calls the receiver before it moves the balance would let one member
    /// be paid out of what another was just sent.
    bool private transient releaseInProgress;

    /// @dev Redemptions and refunds in the native coin arrive here.
    receive() external payable {}

    /// @inheritdoc IRevenueSplit
    function release(address token, address member) external returns (uint256 amount) {
        return _release(token, member, member);
    }

    /// @inheritdoc IRevenueSplit
    function releaseTo(address token, address to) external returns (uint256 amount) {
        if (to == address(0) || to == address(this)) revert InvalidRecipient(to);
        return _release(token, msg.sender, to);
    }

    /// @inheritdoc IRevenueSplit
    function appointOperator() external {
        SplitTerms memory own = terms();
        IEscrow(own.escrow).setOperator(own.operator, true);
    }

    /// @inheritdoc IRevenueSplit
    function releasable(address token, address member) public view returns (uint256) {
        uint256 balance = token == address(0) ? address(this).balance : SafeTransferLib.balanceOf(token, address(this));
        uint256 due = _entitlement(balance + totalReleased[token], member);
        uint256 sent = released[token][member];
        // A token whose balances shrink by themselves may leave less than was sent already.
        return due > sent ? due - sent : 0;
    }

    /// @inheritdoc IRevenueSplit
    function terms() public view returns (SplitTerms memory) {
        return abi.decode(LibClone.argsOnClone(address(this)), (SplitTerms));
    }

    /// @inheritdoc IRevenueSplit
    function receiptKey() external view returns (address) {
        return terms().receiptKey;
    }

    function _release(address token, address member, address to) private returns (uint256 amount) {
        if (releaseInProgress) revert ReleaseInProgress();
        releaseInProgress = true;
        amount = releasable(token, member);
        if (amount == 0) revert NothingToRelease(token, member);
        released[token][member] += amount;
        totalReleased[token] += amount;
        emit Released(token, member, to, amount);
        if (token == address(0)) SafeTransferLib.safeTransferETH(to, amount);
        else SafeTransferLib.safeTransfer(token, to, amount);
        releaseInProgress = false;
    }

    /// @dev How many of the first `received` base units are the member's, when they are dealt out share by share in the
    /// order of the members.
    function _entitlement(uint256 received, address account) private view returns (uint256) {
        Member[] memory members = terms().members;
        uint256 total;
        uint256 before;
        uint256 shares;
        for (uint256 index; index < members.length; ++index) {
            if (members[index].account == account) {
                before = total;
                shares = members[index].shares;
            }
            total += members[index].shares;
        }
        if (shares == 0) revert NotMember(account);
        // Whole rounds, and of the last, unfinished one what has come past the members before.
        uint256 rest = received % total;
        uint256 ofRest = rest > before ? rest - before : 0;
        return received / total * shares + (ofRest < shares ? ofRest : shares);
    }
}
