// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Purse} from "./Base.t.sol";
import {Refunds} from "./Refunds.t.sol";
import {OddReceiver} from "./receivers/OddReceiver.sol";

contract CloseTest is Refunds {
    function prepare(Channel memory) internal override {}

    function end(Channel memory channel) internal override {
        vm.prank(channel.payee);
        escrow.close(channel, 0, "");
    }

    function endWithGas(Channel memory channel, uint256 gasLimit) external override {
        vm.prank(channel.payee);
        escrow.close{gas: gasLimit}(channel, 0, "");
    }

    /// Rule 3: not the payer, not the signer, not a stranger.
    function testFuzz_RevertWhen_CallerNotPayee(address caller) external {
        vm.assume(caller != payee);
        fund(sessionChannel, 0, 10);
        bytes memory signature = sign(sessionChannel, 5);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayee.selector, caller, payee));
        escrow.close(sessionChannel, 5, signature);
    }

    function testFuzz_RevertWhen_SignatureBad(uint128 amount, bytes memory signature) external {
        amount = uint128(bound(amount, 1, type(uint128).max));
        fund(dollarChannel, 10, 10);
        bytes32 digest = digestOf(dollarChannel, amount);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidSignature.selector, digest, payer));
        escrow.close(dollarChannel, amount, signature);
    }

    function testFuzz_RevertGiven_NothingReservedAndAmountStale(uint256 redeemed, uint256 amount) external {
        redeemed = bound(redeemed, 1, AMOUNT_MAX);
        amount = bound(amount, 0, redeemed);
        fund(dollarChannel, redeemed, 0);
        escrow.redeem(dollarChannel, uint128(redeemed), sign(dollarChannel, redeemed));
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingReserved.selector, idOf(dollarChannel)));
        escrow.close(dollarChannel, uint128(amount), "");
    }

    function test_RevertGiven_NoMoney() external {
        bytes memory signature = sign(dollarChannel, 5);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 0, 5));
        escrow.close(dollarChannel, 5, signature);
    }

    /// Loss 8: closing at or below what was redeemed gives the whole rest back, and needs no signature.
    function testFuzz_WhenAmountAtOrBelowRedeemed(bool native, uint256 redeemed, uint256 reserved, uint256 amount)
        external
    {
        redeemed = bound(redeemed, 1, AMOUNT_MAX);
        reserved = bound(reserved, 1, AMOUNT_MAX);
        amount = bound(amount, 0, redeemed);
        Channel memory channel = channelIn(native);
        fund(channel, 0, redeemed);
        escrow.redeem(channel, uint128(redeemed), sign(channel, redeemed));
        fund(channel, 0, reserved);

        expectClosed(channel, redeemed, reserved);
        vm.prank(payee);
        (uint256 paid, uint256 refunded) = escrow.close(channel, uint128(amount), "");

        assertEq(paid, 0);
        assertEq(refunded, reserved);
        assertChannel(channel, redeemed, 0, 0);
        assertEq(holdings(payer, channel.token), reserved);
    }

    /// Loss 19: the payee has what the voucher says, the payer the rest, to the unit.
    function testFuzz_WhenVoucherGood(bool native, uint256 reserved, uint256 balance, uint128 amount) external {
        reserved = bound(reserved, 1, AMOUNT_MAX);
        balance = bound(balance, 0, AMOUNT_MAX);
        amount = uint128(bound(amount, 1, type(uint128).max));
        Channel memory channel = channelIn(native);
        fund(channel, balance, reserved);
        uint256 owed = amount > AMOUNT_MAX ? AMOUNT_MAX : amount;
        uint256 fromReservation = owed < reserved ? owed : reserved;
        uint256 fromAccount = owed - fromReservation < balance ? owed - fromReservation : balance;
        bytes memory signature = sign(channel, amount);

        if (fromAccount > 0) {
            vm.expectEmit();
            emit IEscrow.RedeemedFromAccount(
                idOf(channel), payee, idOf(purseOf(channel)), fromReservation + fromAccount, fromAccount
            );
        }
        expectClosed(channel, fromReservation + fromAccount, reserved - fromReservation);
        vm.prank(payee);
        (uint256 paid, uint256 refunded) = escrow.close(channel, amount, signature);

        assertEq(paid, fromReservation + fromAccount);
        assertEq(refunded, reserved - fromReservation);
        assertChannel(channel, paid, 0, 0);
        assertEq(holdings(payee, channel.token), paid);
        assertEq(holdings(payer, channel.token), refunded);
        assertEq(held(channel.token), balance - fromAccount);
    }

    /// A close ends a running clock, and the next one starts anew.
    function test_GivenCloseRequested() external {
        fund(dollarChannel, 0, 10);
        requestClose(dollarChannel);
        end(dollarChannel);
        assertChannel(dollarChannel, 0, 0, 0);
        fund(dollarChannel, 0, 10);
        assertChannel(dollarChannel, 0, 10, 0);
        vm.warp(vm.getBlockTimestamp() + EXIT_DELAY);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.CloseNotRequested.selector, idOf(dollarChannel)));
        escrow.finalizeClose(dollarChannel);
    }

    /// What was short stays owed after the close, and the next money of the account pays it.
    function test_GivenReservationShort() external {
        fund(dollarChannel, 0, 10);
        bytes memory signature = sign(dollarChannel, 30);
        vm.prank(payee);
        escrow.close(dollarChannel, 30, signature);
        assertChannel(dollarChannel, 10, 0, 0);
        fund(dollarChannel, 100, 0);
        assertEq(escrow.redeem(dollarChannel, 30, signature), 20);
    }

    /// Loss 7: the payee is paid although the payer burns its refund's gas, and the payer is refunded first.
    function test_WhenVoucherGoodAndPayerRefuses() external {
        OddReceiver odd = new OddReceiver();
        Channel memory channel = Channel(address(odd), payee, ETH, NO_SALT, payer);
        open(outsider, channel, 100);
        odd.setConduct(OddReceiver.Conduct.BurnsGas);
        bytes memory signature = sign(channel, 60);
        vm.prank(payee);
        (uint256 paid, uint256 refunded) = escrow.close(channel, 60, signature);
        assertEq(paid, 60);
        assertEq(refunded, 40);
        assertEq(payee.balance, 60);
        assertEq(balanceOf(Purse(address(odd), address(odd), ETH)), 40);
    }

    /// Loss 7: a payee that refuses its money keeps it owed; the payer's clock still gets the payer out.
    function test_RevertWhen_PayeeRefuses() external {
        OddReceiver odd = new OddReceiver();
        etherChannel.payee = address(odd);
        fund(etherChannel, 0, 100);
        odd.setConduct(OddReceiver.Conduct.Reverts);
        bytes memory signature = sign(etherChannel, 60);
        vm.expectRevert(bytes4(keccak256("ETHTransferFailed()")));
        odd.act(address(escrow), 0, abi.encodeCall(IEscrow.close, (etherChannel, 60, signature)));
        assertChannel(etherChannel, 0, 100, 0);
        requestClose(etherChannel);
        vm.warp(vm.getBlockTimestamp() + EXIT_DELAY);
        escrow.finalizeClose(etherChannel);
        assertEq(payer.balance, 100);
    }
}
