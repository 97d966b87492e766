// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestDollar} from "./TestDollar.sol";

/// @dev Says false instead of reverting when a transfer is refused.
contract FalseDollar is TestDollar {
    bool public refusing;

    function setRefusing(bool refusing_) external {
        refusing = refusing_;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return !refusing && super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return !refusing && super.transferFrom(from, to, amount);
    }

    /// @dev An authorization has no answer to say false with: it just doesn't happen.
    function _transfer(address from, address to, uint256 amount) internal override {
        if (!refusing) super._transfer(from, to, amount);
    }
}
