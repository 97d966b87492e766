// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IRevenueSplit} from "../contracts/IRevenueSplit.sol";
import {SplitBase} from "./SplitBase.t.sol";

contract ReleaseToTest is SplitBase {
    /// Not the operator, not the receipt key, not the escrow: whoever is not a member takes nothing, whoever it names.
    function testFuzz_RevertWhen_CallerNotMember(address caller, bool isOperator) external {
        if (isOperator) caller = operator;
        vm.assume(caller != players[0] && caller != players[1] && caller != players[2]);
        give(band, ETH, 100);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplit.NotMember.selector, caller));
        band.releaseTo(ETH, players[0]);
    }

    function test_RevertWhen_RecipientZero() external {
        give(band, ETH, 100);
        vm.prank(players[0]);
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplit.InvalidRecipient.selector, address(0)));
        band.releaseTo(ETH, address(0));
    }

    /// To itself it would be received again, and dealt out to all.
    function test_RevertWhen_RecipientSplit() external {
        give(band, ETH, 100);
        vm.prank(players[0]);
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplit.InvalidRecipient.selector, band));
        band.releaseTo(ETH, address(band));
    }

    function test_RevertGiven_NothingDue() external {
        give(band, ETH, 100);
        band.release(ETH, players[1]);
        vm.prank(players[1]);
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplit.NothingToRelease.selector, ETH, players[1]));
        band.releaseTo(ETH, outsider);
    }

    function testFuzz_WhenMemberReleases(bool native, uint256 received, uint256 which) external {
        received = bound(received, 81, type(uint128).max);
        which = bound(which, 0, 2);
        address token = native ? ETH : address(dollar);
        give(band, token, received);
        uint256 due = dealOut(shares, received)[which];
        address to = makeAddr("bank");
        vm.expectEmit(address(band));
        emit IRevenueSplit.Released(token, players[which], to, due);
        vm.prank(players[which]);
        assertEq(band.releaseTo(token, to), due);
        assertEq(holdings(to, token), due);
        assertEq(holdings(players[which], token), 0);
        assertEq(holdings(address(band), token), received - due);
        assertEq(band.released(token, players[which]), due);
        assertEq(band.totalReleased(token), due);
    }
}
