// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {IRevenueSplit} from "../contracts/IRevenueSplit.sol";
import {SplitBase} from "./SplitBase.t.sol";

/// @dev A split is a payee like any other: it earns by whatever anyone redeems for it, in both kinds of money.
contract SplitAsPayeeTest is SplitBase {
    function channelTo(bool native) private view returns (Channel memory) {
        return Channel(payer, address(band), native ? ETH : address(dollar), NO_SALT, payer);
    }

    /// @dev Each member takes its part, and nothing is left.
    function assertDealtOut(address token, uint256 received) private {
        uint256[] memory parts = dealOut(shares, received);
        for (uint256 i; i < 3; ++i) {
            if (parts[i] > 0) band.release(token, players[i]);
            assertEq(holdings(players[i], token), parts[i]);
        }
        assertEq(holdings(address(band), token), 0);
    }

    function testFuzz_WhenRedeemed(bool native, uint256 amount) external {
        amount = bound(amount, 1, AMOUNT_MAX);
        Channel memory channel = channelTo(native);
        fund(channel, amount / 2, amount - amount / 2);
        vm.prank(outsider);
        assertEq(escrow.redeem(channel, uint128(amount), sign(channel, amount)), amount);
        assertDealtOut(channel.token, amount);
    }

    function testFuzz_WhenBatchRedeemed(bool native, uint256 first, uint256 second) external {
        first = bound(first, 1, AMOUNT_MAX);
        second = bound(second, 1, AMOUNT_MAX);
        Channel memory channel = channelTo(native);
        Channel memory other = Channel(outsider, address(band), channel.token, "tour", session);
        fund(channel, 0, first);
        fund(other, second, 0);
        bytes memory rows = bytes.concat(row(channel, first), row(other, second));
        assertEq(escrow.redeemBatch(address(band), channel.token, rows), first + second);
        assertDealtOut(channel.token, first + second);
    }

    /// A gateway's hot key closes for the band, and the money goes to the band and back to the payer only.
    function testFuzz_WhenOperatorCloses(bool native, uint256 reserved, uint256 amount) external {
        reserved = bound(reserved, 1, AMOUNT_MAX);
        amount = bound(amount, 1, reserved);
        Channel memory channel = channelTo(native);
        fund(channel, 0, reserved);
        bytes memory signature = sign(channel, amount);
        vm.prank(operator);
        escrow.close(channel, uint128(amount), signature);
        assertEq(holdings(payer, channel.token), reserved - amount);
        assertDealtOut(channel.token, amount);
    }

    /// Loss 35: nobody but the split is the payee, and a split never says where a redemption goes.
    function testFuzz_RevertWhen_RedeemedElsewhere(uint256 which) external {
        address[5] memory callers = [operator, receiptKey, players[0], players[1], players[2]];
        address caller = callers[bound(which, 0, 4)];
        Channel memory channel = channelTo(false);
        fund(channel, 0, 10);
        bytes memory signature = sign(channel, 5);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayee.selector, caller, band));
        escrow.redeemTo(channel, 5, signature, caller);
    }

    /// Members are no operators.
    function test_RevertWhen_MemberCloses() external {
        Channel memory channel = channelTo(false);
        fund(channel, 0, 10);
        vm.prank(players[0]);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayee.selector, players[0], band));
        escrow.close(channel, 0, "");
    }

    /// As payer it would be refunded by `receive`, like any contract: a split that somebody named as payer takes it and deals
    /// it out.
    function test_WhenRefunded() external {
        Channel memory channel = Channel(address(band), payee, ETH, NO_SALT, session);
        open(outsider, channel, 100);
        vm.prank(payee);
        escrow.close(channel, 0, "");
        assertDealtOut(ETH, 100);
    }

    /// Income while a member is being paid is dealt out as if it had come before or after.
    function test_WhenRedeemedBetweenReleases() external {
        Channel memory channel = channelTo(false);
        fund(channel, 0, 1000);
        escrow.redeem(channel, 333, sign(channel, 333));
        band.release(address(dollar), players[0]);
        escrow.redeem(channel, 1000, sign(channel, 1000));
        band.release(address(dollar), players[2]);
        assertEq(dollar.balanceOf(players[2]), 200);
        band.release(address(dollar), players[0]);
        assertEq(dollar.balanceOf(players[0]), 500);
        assertEq(IRevenueSplit(band).release(address(dollar), players[1]), 300);
        assertEq(dollar.balanceOf(address(band)), 0);
    }
}
