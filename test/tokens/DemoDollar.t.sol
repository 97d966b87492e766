// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";

import {DemoDollar} from "./DemoDollar.sol";

contract DemoDollarTest is Test {
    /// Nobody can take the toy for money.
    function testFuzz_RevertWhen_ChainNotLocal(uint64 chainId) external {
        vm.assume(chainId != 31_337);
        vm.chainId(chainId);
        vm.expectRevert(abi.encodeWithSelector(DemoDollar.NotLocalChain.selector, chainId));
        new DemoDollar();
    }

    function testFuzz_WhenChainLocal(address anyone, uint256 amount) external {
        vm.assume(anyone != address(0));
        DemoDollar dollar = new DemoDollar();
        vm.prank(anyone);
        dollar.mint(anyone, amount);
        assertEq(dollar.balanceOf(anyone), amount);
        assertEq(dollar.name(), "Demo Dollar");
        assertEq(dollar.symbol(), "dUSD");
        assertEq(dollar.decimals(), 6);
    }
}
