// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestDollar} from "./TestDollar.sol";

/// @dev Every balance grows or shrinks at once, without a transfer, as staked and algorithmic coins do.
contract RebasingDollar is TestDollar {
    uint256 private constant WHOLE = 100;

    uint256 private percent = WHOLE;

    function setPercent(uint256 percent_) external {
        percent = percent_;
    }

    function balanceOf(address holder) public view override returns (uint256) {
        return super.balanceOf(holder) * percent / WHOLE;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return super.transfer(to, _shares(amount));
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        _spendAllowance(from, msg.sender, amount);
        _transfer(from, to, amount);
        return true;
    }

    function _transfer(address from, address to, uint256 amount) internal override {
        super._transfer(from, to, _shares(amount));
    }

    /// @dev Rounded up, so that nobody is sent more than it costs.
    function _shares(uint256 amount) private view returns (uint256) {
        return (amount * WHOLE + percent - 1) / percent;
    }
}
