// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Base} from "./Base.t.sol";
import {BlocklistDollar} from "./tokens/BlocklistDollar.sol";

contract RedeemToTest is Base {
    function testFuzz_RevertWhen_CallerNotPayee(address caller) external {
        vm.assume(caller != payee);
        fund(dollarChannel, 0, 10);
        bytes memory signature = sign(dollarChannel, 5);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayee.selector, caller, payee));
        escrow.redeemTo(dollarChannel, 5, signature, caller);
    }

    function test_RevertWhen_RecipientZero() external {
        fund(dollarChannel, 0, 10);
        bytes memory signature = sign(dollarChannel, 5);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidRecipient.selector, address(0)));
        escrow.redeemTo(dollarChannel, 5, signature, address(0));
    }

    function test_RevertWhen_RecipientEscrow() external {
        fund(dollarChannel, 0, 10);
        bytes memory signature = sign(dollarChannel, 5);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidRecipient.selector, escrow));
        escrow.redeemTo(dollarChannel, 5, signature, address(escrow));
    }

    /// A payee can't pay itself with a voucher of its own.
    function test_RevertWhen_PayeeSigned() external {
        fund(dollarChannel, 0, 10);
        bytes memory signature = signAs(keyOf(payee), dollarChannel, 5);
        bytes32 digest = digestOf(dollarChannel, 5);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidSignature.selector, digest, payer));
        escrow.redeemTo(dollarChannel, 5, signature, payee);
    }

    function test_RevertWhen_VoucherStale() external {
        fund(dollarChannel, 0, 10);
        bytes memory signature = sign(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, signature);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 5, 5));
        escrow.redeemTo(dollarChannel, 5, signature, outsider);
    }

    function testFuzz_WhenVoucherGood(bool native, uint256 reserved, uint256 balance, uint128 amount) external {
        reserved = bound(reserved, 1, AMOUNT_MAX);
        balance = bound(balance, 0, AMOUNT_MAX);
        amount = uint128(bound(amount, 1, type(uint128).max));
        Channel memory channel = channelIn(native);
        fund(channel, balance, reserved);
        bytes memory signature = sign(channel, amount);
        address to = makeAddr("bank");
        uint256 owed = amount > AMOUNT_MAX ? AMOUNT_MAX : amount;
        uint256 fromReservation = owed < reserved ? owed : reserved;
        uint256 fromAccount = owed - fromReservation < balance ? owed - fromReservation : balance;
        uint256 paid = fromReservation + fromAccount;

        vm.expectEmit();
        if (fromAccount == 0) emit IEscrow.Redeemed(idOf(channel), payee, paid);
        else emit IEscrow.RedeemedFromAccount(idOf(channel), payee, idOf(purseOf(channel)), paid, fromAccount);
        vm.prank(payee);
        assertEq(escrow.redeemTo(channel, amount, signature, to), paid);

        assertChannel(channel, paid, reserved - fromReservation, 0);
        assertEq(holdings(to, channel.token), paid);
        assertEq(holdings(payee, channel.token), 0);
    }

    /// Loss 7: a payee on a token's list has its money sent elsewhere.
    function test_GivenPayeeBlocked() external {
        BlocklistDollar odd = new BlocklistDollar();
        dollarChannel.token = address(odd);
        fund(dollarChannel, 0, 10);
        bytes memory signature = sign(dollarChannel, 5);
        odd.setBlocked(payee, true);
        vm.expectRevert(bytes4(keccak256("TransferFailed()")));
        escrow.redeem(dollarChannel, 5, signature);
        vm.prank(payee);
        escrow.redeemTo(dollarChannel, 5, signature, outsider);
        assertEq(odd.balanceOf(outsider), 5);
    }
}
