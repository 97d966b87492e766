// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @dev A payer or payee that takes ETH as it is told to. Its owner calls through it, so it can act on the escrow.
contract OddReceiver {
    enum Conduct {
        Accepts,
        Reverts,
        RevertsWithBomb,
        BurnsGas,
        ReturnsBomb,
        BurnsMostGas
    }

    uint256 private constant BOMB_LENGTH = 65_536;

    Conduct public conduct;

    error Refused();

    function setConduct(Conduct conduct_) external {
        conduct = conduct_;
    }

    /// @dev Acts as this contract and passes on what comes back, reverts as well.
    function act(address target, uint256 value, bytes calldata data) external payable returns (bytes memory) {
        (bool done, bytes memory answer) = target.call{value: value}(data);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
        return answer;
    }

    receive() external payable {
        Conduct c = conduct;
        if (c == Conduct.Reverts) revert Refused();
        if (c == Conduct.RevertsWithBomb) {
            assembly ("memory-safe") {
                revert(0, BOMB_LENGTH)
            }
        }
        if (c == Conduct.BurnsGas) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        if (c == Conduct.ReturnsBomb) {
            assembly ("memory-safe") {
                return(0, BOMB_LENGTH)
            }
        }
        // Content with what a refund is promised, and not with much less.
        if (c == Conduct.BurnsMostGas) {
            uint256 until = gasleft() > 190_000 ? gasleft() - 190_000 : 0;
            while (gasleft() > until) {}
        }
    }
}
