// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {LibClone} from "solady/utils/LibClone.sol";

import {IRevenueSplit, IRevenueSplitFactory, SplitTerms} from "./IRevenueSplit.sol";
import {RevenueSplit} from "./RevenueSplit.sol";

/// @title RevenueSplitFactory
contract RevenueSplitFactory is IRevenueSplitFactory {
    uint256 private constant MEMBERS_MIN = 2;
    uint256 private constant SHARES_MAX = 10_000;

    /// @inheritdoc IRevenueSplitFactory
    address public immutable implementation;

    constructor() {
        implementation = address(new RevenueSplit());
    }

    /// @inheritdoc IRevenueSplitFactory
    function create(SplitTerms calldata terms) external returns (address split) {
        _check(terms);
        bytes memory args = abi.encode(terms);
        bool alreadyCreated;
        // The address commits to the terms, which are the end of the code; no salt need tell two splits apart.
        (alreadyCreated, split) = LibClone.createDeterministicClone(implementation, args, 0);
        if (alreadyCreated) return split;
        emit SplitCreated(split, terms);
        IRevenueSplit(split).appointOperator();
    }

    /// @inheritdoc IRevenueSplitFactory
    function addressOf(SplitTerms calldata terms) external view returns (address split) {
        return LibClone.predictDeterministicAddress(implementation, abi.encode(terms), 0, address(this));
    }

    function _check(SplitTerms calldata terms) private pure {
        if (terms.escrow == address(0) || terms.operator == address(0) || terms.receiptKey == address(0)) {
            revert IncompleteTerms();
        }
        if (terms.members.length < MEMBERS_MIN) revert TooFewMembers(terms.members.length);
        address previous;
        uint256 total;
        for (uint256 index; index < terms.members.length; ++index) {
            address account = terms.members[index].account;
            uint256 shares = terms.members[index].shares;
            if (account <= previous) revert MembersNotAscending(index);
            if (shares == 0) revert ZeroShares(account);
            if (shares > SHARES_MAX - total) revert TooManyShares(account, SHARES_MAX);
            total += shares;
            previous = account;
        }
    }
}
