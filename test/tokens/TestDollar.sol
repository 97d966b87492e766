// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "solady/tokens/ERC20.sol";

/// @dev A well-behaved dollar that the odd ones differ from in one way each. Anyone mints it.
abstract contract TestDollar is ERC20 {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function name() public pure override returns (string memory) {
        return "Test Dollar";
    }

    function symbol() public pure override returns (string memory) {
        return "tUSD";
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
