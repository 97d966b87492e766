// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestDollar} from "./TestDollar.sol";

/// @dev Honest until it is told how to behave: then every transfer, however it is asked for, goes wrong in one way.
contract HostileDollar is TestDollar {
    enum Conduct {
        Honest,
        /// As when it is paused.
        Reverts,
        RevertsWithBomb,
        BurnsGas,
        /// Moves the amount and returns 64 kB that begin with true.
        ReturnsBomb,
        /// Moves the amount and returns two.
        ReturnsGarbage,
        /// Moves the amount and returns half a word.
        ReturnsShort,
        /// Says that it moved the amount.
        MovesNothing,
        /// Takes one unit more from the sender than arrives.
        ChargesSender,
        /// Tells nobody what anybody holds.
        HidesBalances,
        /// Burns the gas of permits only.
        BurnsGasOfPermits
    }

    uint256 private constant BOMB_LENGTH = 65_536;

    Conduct public conduct;

    error Refused();

    function setConduct(Conduct conduct_) external {
        conduct = conduct_;
    }

    function balanceOf(address holder) public view override returns (uint256) {
        if (conduct == Conduct.HidesBalances) revert Refused();
        return super.balanceOf(holder);
    }

    /// @dev What it does not tell.
    function trueBalanceOf(address holder) external view returns (uint256) {
        return super.balanceOf(holder);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (_begin(msg.sender)) super.transfer(to, amount);
        _end();
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (_begin(from)) super.transferFrom(from, to, amount);
        _end();
        return true;
    }

    function _transfer(address from, address to, uint256 amount) internal override {
        if (_begin(from)) super._transfer(from, to, amount);
        _end();
    }

    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        public
        override
    {
        if (conduct == Conduct.BurnsGasOfPermits) _burnGas();
        super.permit(owner, spender, value, deadline, v, r, s);
    }

    /// @dev Returns whether the amount moves.
    function _begin(address from) private returns (bool moves) {
        Conduct c = conduct;
        if (c == Conduct.Reverts) revert Refused();
        if (c == Conduct.BurnsGas) _burnGas();
        if (c == Conduct.RevertsWithBomb) {
            assembly ("memory-safe") {
                revert(0, BOMB_LENGTH)
            }
        }
        if (c == Conduct.ChargesSender) _burn(from, 1);
        return c != Conduct.MovesNothing;
    }

    function _end() private view {
        Conduct c = conduct;
        if (c == Conduct.ReturnsBomb) {
            assembly {
                // The first word is what a caller that looks at one word sees: true.
                mstore(0, 1)
                return(0, BOMB_LENGTH)
            }
        }
        if (c == Conduct.ReturnsGarbage) {
            assembly {
                mstore(0, 2)
                return(0, 0x20)
            }
        }
        if (c == Conduct.ReturnsShort) {
            assembly {
                mstore(0, 1)
                return(0, 0x10)
            }
        }
    }

    function _burnGas() private pure {
        assembly ("memory-safe") {
            invalid()
        }
    }
}
