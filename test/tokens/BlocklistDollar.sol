// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestDollar} from "./TestDollar.sol";

/// @dev Reverts for an address on its list, as the two largest dollars do.
contract BlocklistDollar is TestDollar {
    mapping(address holder => bool) public blocked;

    error Blocked(address holder);

    function setBlocked(address holder, bool blocked_) external {
        blocked[holder] = blocked_;
    }

    function _beforeTokenTransfer(address from, address to, uint256) internal view override {
        if (blocked[from]) revert Blocked(from);
        if (blocked[to]) revert Blocked(to);
    }
}
