// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "solady/tokens/ERC20.sol";

/// @title DemoDollar
/// @notice A toy dollar for a local chain. It is worth nothing and anyone mints it, so it refuses every other chain.
contract DemoDollar is ERC20 {
    uint256 private constant LOCAL_CHAIN_ID = 31_337;

    /// @notice Thrown when somebody deploys the toy where it could be taken for money.
    error NotLocalChain(uint256 chainId);

    constructor() {
        if (block.chainid != LOCAL_CHAIN_ID) revert NotLocalChain(block.chainid);
    }

    /// @notice Gives `amount` base units to `to`; open to anyone.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function name() public pure override returns (string memory) {
        return "Demo Dollar";
    }

    function symbol() public pure override returns (string memory) {
        return "dUSD";
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
