// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Base} from "./Base.t.sol";

contract ReserveTest is Base {
    function testFuzz_RevertWhen_CallerNotPayer(address caller) external {
        vm.assume(caller != payer);
        fund(sessionChannel, 10, 0);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayer.selector, caller, payer));
        escrow.reserve(sessionChannel, 1);
    }

    function test_RevertWhen_PayeeZero() external {
        fund(dollarChannel, 10, 0);
        dollarChannel.payee = address(0);
        vm.prank(payer);
        vm.expectRevert(IEscrow.ZeroPayee.selector);
        escrow.reserve(dollarChannel, 1);
    }

    /// No account has a zero signer, so there is nothing to reserve from before the name is looked at.
    function test_RevertWhen_AuthorizedSignerZero() external {
        dollarChannel.authorizedSigner = address(0);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InsufficientBalance.selector, 0, 1));
        escrow.reserve(dollarChannel, 1);
    }

    function test_RevertWhen_AmountZero() external {
        vm.prank(payer);
        vm.expectRevert(IEscrow.ZeroAmount.selector);
        escrow.reserve(dollarChannel, 0);
    }

    function testFuzz_RevertWhen_AmountAboveBalance(uint256 balance, uint256 amount) external {
        balance = bound(balance, 0, AMOUNT_MAX);
        amount = bound(amount, balance + 1, type(uint256).max);
        fund(dollarChannel, balance, 0);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InsufficientBalance.selector, balance, amount));
        escrow.reserve(dollarChannel, amount);
    }

    function testFuzz_RevertGiven_ReservationAndAmountAbove104Bits(uint256 reserved, uint256 amount) external {
        reserved = bound(reserved, 1, AMOUNT_MAX);
        amount = bound(amount, AMOUNT_MAX - reserved + 1, AMOUNT_MAX);
        fund(dollarChannel, amount, reserved);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountTooLarge.selector, reserved + amount, AMOUNT_MAX));
        escrow.reserve(dollarChannel, amount);
    }

    /// Loss 27
    function testFuzz_RevertGiven_CloseRequested(uint256 elapsed) external {
        fund(dollarChannel, 10, 1);
        uint256 closeAt = requestClose(dollarChannel);
        vm.warp(vm.getBlockTimestamp() + bound(elapsed, 0, 10 * EXIT_DELAY));
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.CloseAlreadyRequested.selector, closeAt));
        escrow.reserve(dollarChannel, 1);
    }

    /// Loss 5: money behind one signer never backs another signer's channel.
    function test_RevertGiven_MoneyBehindAnotherSigner() external {
        fund(dollarChannel, 10, 0);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InsufficientBalance.selector, 0, 1));
        escrow.reserve(sessionChannel, 1);
    }

    function testFuzz_WhenBalanceSuffices(bool native, uint256 balance, uint256 amount) external {
        balance = bound(balance, 1, AMOUNT_MAX);
        amount = bound(amount, 1, balance);
        Channel memory channel = channelIn(native);
        fund(channel, balance, 0);
        vm.expectEmit();
        emit IEscrow.Reserved(idOf(channel), payer, payee, channel.token, NO_SALT, payer, amount);
        vm.prank(payer);
        escrow.reserve(channel, amount);

        assertEq(balanceOf(purseOf(channel)), balance - amount);
        assertChannel(channel, 0, amount, 0);
        assertEq(held(channel.token), balance);
    }

    function testFuzz_GivenChannelUsed(bool native, uint256 first, uint256 second) external {
        first = bound(first, 1, AMOUNT_MAX - 1);
        second = bound(second, 1, AMOUNT_MAX - first);
        Channel memory channel = channelIn(native);
        fund(channel, second, first);
        vm.expectEmit();
        emit IEscrow.ToppedUpFromAccount(idOf(channel), idOf(purseOf(channel)), second);
        vm.prank(payer);
        escrow.reserve(channel, second);

        assertEq(balanceOf(purseOf(channel)), 0);
        assertChannel(channel, 0, first + second, 0);
    }
}
