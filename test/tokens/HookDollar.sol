// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestDollar} from "./TestDollar.sol";

/// @dev What a holder with code is told, before and after a transfer.
interface IHooked {
    function onDollars() external;
}

/// @dev Calls sender and receiver before and after each transfer, as ERC-777 does, and may take a fee besides, though not on
/// small change: together these let a sender make up the fee with a second, nested funding.
contract HookDollar is TestDollar {
    uint256 private constant SMALL_CHANGE = 10;

    uint256 public fee;

    function setFee(uint256 fee_) external {
        fee = fee_;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        _tell(msg.sender, to);
        super.transfer(to, amount);
        _take(to, amount);
        _tell(msg.sender, to);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        _tell(from, to);
        super.transferFrom(from, to, amount);
        _take(to, amount);
        _tell(from, to);
        return true;
    }

    /// @dev Its owner is told of a permit as well.
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        public
        override
    {
        _tell(owner, owner);
        super.permit(owner, spender, value, deadline, v, r, s);
    }

    function _transfer(address from, address to, uint256 amount) internal override {
        _tell(from, to);
        super._transfer(from, to, amount);
        _take(to, amount);
        _tell(from, to);
    }

    function _take(address from, uint256 amount) private {
        if (amount <= SMALL_CHANGE) return;
        uint256 held = balanceOf(from);
        _burn(from, fee < held ? fee : held);
    }

    /// @dev Who doesn't listen, like the escrow, is not called.
    function _tell(address from, address to) private {
        address[2] memory parties = [from, to];
        for (uint256 i; i < 2; ++i) {
            if (parties[i].code.length == 0) continue;
            (bool heard,) = parties[i].call(abi.encodeCall(IHooked.onDollars, ()));
            heard;
        }
    }
}
