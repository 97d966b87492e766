// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestDollar} from "./TestDollar.sol";

/// @dev Honest until it is told how to pay out: then `transfer` burns all its gas, returns 64 kB, or reverts with 64 kB.
contract HostileDollar is TestDollar {
    enum Conduct {
        Honest,
        BurnsGas,
        ReturnsBomb,
        RevertsWithBomb
    }

    uint256 private constant BOMB_LENGTH = 65_536;

    Conduct public conduct;

    function setConduct(Conduct conduct_) external {
        conduct = conduct_;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        Conduct c = conduct;
        if (c == Conduct.BurnsGas) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        if (c == Conduct.RevertsWithBomb) {
            assembly ("memory-safe") {
                revert(0, BOMB_LENGTH)
            }
        }
        super.transfer(to, amount);
        if (c == Conduct.ReturnsBomb) {
            assembly {
                // The first word is what a caller that looks at one word sees: true.
                mstore(0, 1)
                return(0, BOMB_LENGTH)
            }
        }
        return true;
    }
}
