// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Base} from "./Base.t.sol";

contract RequestCloseTest is Base {
    /// Loss 9: nobody but the payer starts a clock, the session key and the payee included.
    function testFuzz_RevertWhen_CallerNotPayer(address caller) external {
        vm.assume(caller != payer);
        open(payer, sessionChannel, 10);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayer.selector, caller, payer));
        escrow.requestClose(sessionChannel);
    }

    /// Loss 9: no clock is armed in advance, not even on a channel with an account behind it.
    function test_RevertGiven_NothingReserved() external {
        fund(dollarChannel, 10, 0);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingReserved.selector, idOf(dollarChannel)));
        escrow.requestClose(dollarChannel);
    }

    function test_RevertGiven_ReservationRedeemed() external {
        open(payer, dollarChannel, 10);
        escrow.redeem(dollarChannel, 10, sign(dollarChannel, 10));
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingReserved.selector, idOf(dollarChannel)));
        escrow.requestClose(dollarChannel);
    }

    /// Loss 9: a repeated request does not move the clock.
    function testFuzz_RevertGiven_CloseRequested(uint256 elapsed) external {
        open(payer, dollarChannel, 10);
        uint256 closeAt = requestClose(dollarChannel);
        vm.warp(vm.getBlockTimestamp() + bound(elapsed, 0, 10 * EXIT_DELAY));
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.CloseAlreadyRequested.selector, closeAt));
        escrow.requestClose(dollarChannel);
    }

    function testFuzz_GivenReservation(bool native, uint256 reserved, uint256 exitDelay, uint256 timestamp) external {
        reserved = bound(reserved, 1, AMOUNT_MAX);
        exitDelay = bound(exitDelay, 1 hours, 30 days);
        timestamp = bound(timestamp, 1, type(uint40).max - 30 days);
        escrow = IEscrow(deployCode("Escrow.sol:Escrow", abi.encode(exitDelay)));
        vm.warp(timestamp);
        Channel memory channel = channelIn(native);
        open(payer, channel, reserved);

        vm.expectEmit();
        emit IEscrow.CloseRequested(idOf(channel), payee, timestamp + exitDelay);
        vm.prank(payer);
        assertEq(escrow.requestClose(channel), timestamp + exitDelay);

        assertChannel(channel, 0, reserved, timestamp + exitDelay);
    }

    /// Loss 5: vouchers redeem throughout, before the clock has run and after.
    function testFuzz_GivenCloseRequested(uint256 elapsed, uint256 amount) external {
        amount = bound(amount, 1, 100);
        open(payer, dollarChannel, 100);
        uint256 closeAt = requestClose(dollarChannel);
        vm.warp(vm.getBlockTimestamp() + bound(elapsed, 0, 10 * EXIT_DELAY));

        assertEq(escrow.redeem(dollarChannel, uint128(amount), sign(dollarChannel, amount)), amount);

        assertChannel(dollarChannel, amount, 100 - amount, closeAt);
    }
}
