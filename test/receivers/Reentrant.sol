// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IHooked} from "../tokens/HookDollar.sol";

/// @dev Payer and payee at once. While money moves to or from it, it makes one call of its choice.
contract Reentrant is IHooked {
    address private target;
    uint256 private value;
    bytes private data;
    /// @dev How many times it lets money pass before it calls.
    uint256 private patience;
    bool private armed;

    bool public entered;
    bool public succeeded;
    /// @dev The error that refused its call. All in one slot: a refund leaves it little gas.
    bytes4 public refusal;

    function arm(address target_, uint256 value_, bytes calldata data_, uint256 patience_) external {
        (target, value, data, patience) = (target_, value_, data_, patience_);
        (armed, entered, succeeded, refusal) = (true, false, false, 0);
    }

    function act(address to, uint256 worth, bytes calldata what) external returns (bool done) {
        (done,) = to.call{value: worth}(what);
    }

    function onDollars() external {
        _enter();
    }

    receive() external payable {
        _enter();
    }

    function _enter() private {
        if (!armed) return;
        if (patience > 0) {
            --patience;
            return;
        }
        armed = false;
        entered = true;
        bytes memory answer;
        (succeeded, answer) = target.call{value: value}(data);
        if (!succeeded) refusal = bytes4(answer);
    }
}
