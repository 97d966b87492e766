// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestDollar} from "./TestDollar.sol";

/// @dev Keeps one part in a hundred of every transfer, at least one unit.
contract FeeDollar is TestDollar {
    function transfer(address to, uint256 amount) public override returns (bool) {
        super.transfer(to, amount);
        _burn(to, amount / 100 + 1);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        super.transferFrom(from, to, amount);
        _burn(to, amount / 100 + 1);
        return true;
    }

    function _transfer(address from, address to, uint256 amount) internal override {
        super._transfer(from, to, amount);
        _burn(to, amount / 100 + 1);
    }
}
