// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Vm} from "forge-std/Vm.sol";

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Refunds} from "./Refunds.t.sol";
import {ReopeningPayer} from "./receivers/ReopeningPayer.sol";

contract FinalizeCloseTest is Refunds {
    function prepare(Channel memory channel) internal override {
        vm.warp(requestClose(channel));
    }

    function end(Channel memory channel) internal override {
        vm.prank(outsider);
        escrow.finalizeClose(channel);
    }

    function endWithGas(Channel memory channel, uint256 gasLimit) external override {
        escrow.finalizeClose{gas: gasLimit}(channel);
    }

    function test_RevertGiven_CloseNotRequested() external {
        fund(dollarChannel, 0, 10);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.CloseNotRequested.selector, idOf(dollarChannel)));
        escrow.finalizeClose(dollarChannel);
    }

    /// Rule 3: not a second early, whatever the delay.
    function testFuzz_RevertWhen_ExitDelayRunning(uint256 exitDelay, uint256 elapsed) external {
        exitDelay = bound(exitDelay, 1 hours, 30 days);
        elapsed = bound(elapsed, 0, exitDelay - 1);
        escrow = IEscrow(deployCode("Escrow.sol:Escrow", abi.encode(exitDelay)));
        fund(dollarChannel, 0, 10);
        uint256 closeAt = requestClose(dollarChannel);
        vm.warp(closeAt - exitDelay + elapsed);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.ExitDelayRunning.selector, closeAt, closeAt - exitDelay + elapsed)
        );
        escrow.finalizeClose(dollarChannel);
        vm.warp(closeAt);
        escrow.finalizeClose(dollarChannel);
    }

    function test_RevertGiven_Finalized() external {
        fund(dollarChannel, 0, 10);
        prepare(dollarChannel);
        end(dollarChannel);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.CloseNotRequested.selector, idOf(dollarChannel)));
        escrow.finalizeClose(dollarChannel);
    }

    /// Loss 27: what runs out is a whole delay after the request, so nothing added since was ever behind it.
    function test_RevertGiven_ReopenedAfterFinalized() external {
        fund(dollarChannel, 0, 1);
        prepare(dollarChannel);
        end(dollarChannel);
        fund(dollarChannel, 0, 100);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.CloseNotRequested.selector, idOf(dollarChannel)));
        escrow.finalizeClose(dollarChannel);
        uint256 closeAt = requestClose(dollarChannel);
        assertEq(closeAt, vm.getBlockTimestamp() + EXIT_DELAY);
    }

    /// Loss 9: an outsider's dust on the account neither stops nor moves the clock.
    function testFuzz_WhenExitDelayRan(bool native, uint256 reserved, uint256 redeemed, uint256 late, address caller)
        external
    {
        reserved = bound(reserved, 1, AMOUNT_MAX);
        redeemed = bound(redeemed, 0, reserved);
        Channel memory channel = channelIn(native);
        fund(channel, 0, reserved);
        uint256 closeAt = requestClose(channel);
        if (redeemed > 0) escrow.redeem(channel, uint128(redeemed), sign(channel, redeemed));
        deposit(outsider, purseOf(channel), 1);
        vm.warp(closeAt + bound(late, 0, 3650 days));

        expectClosed(channel, redeemed, reserved - redeemed);
        vm.prank(caller);
        assertEq(escrow.finalizeClose(channel), reserved - redeemed);

        assertChannel(channel, redeemed, 0, 0);
        assertEq(holdings(payer, channel.token), reserved - redeemed);
        assertEq(balanceOf(purseOf(channel)), 1);
    }

    /// Loss 2: the counter survives the end, so what was redeemed stays redeemed.
    function test_GivenVoucherUnredeemed() external {
        fund(dollarChannel, 0, 100);
        bytes memory signature = sign(dollarChannel, 60);
        prepare(dollarChannel);
        end(dollarChannel);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 0, 60));
        escrow.redeem(dollarChannel, 60, signature);
        // Still owed: the payer's next money pays it.
        fund(dollarChannel, 100, 0);
        assertEq(escrow.redeem(dollarChannel, 60, signature), 60);
    }

    /// Loss 1: a payer that re-enters from its refund can't put a new clock before the end of the old one in the log,
    /// where a payee that replays events would overlook it.
    function test_WhenPayerReopensFromRefund() external {
        ReopeningPayer reopening = new ReopeningPayer(escrow);
        Channel memory channel = Channel(address(reopening), payee, ETH, NO_SALT, payer);
        open(outsider, channel, 100);
        reopening.requestClose(channel);
        vm.warp(vm.getBlockTimestamp() + EXIT_DELAY);

        vm.recordLogs();
        escrow.finalizeClose(channel);

        assertChannel(channel, 0, 100, vm.getBlockTimestamp() + EXIT_DELAY);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 3);
        assertEq(logs[0].topics[0], IEscrow.Closed.selector);
        assertEq(logs[1].topics[0], IEscrow.Opened.selector);
        assertEq(logs[2].topics[0], IEscrow.CloseRequested.selector);
    }
}
