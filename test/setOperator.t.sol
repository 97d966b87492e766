// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Base} from "./Base.t.sol";

/// @dev Loss 35: what a payee's hot key may do, and above all what it may not.
contract SetOperatorTest is Base {
    address private operator;

    function setUp() public override {
        super.setUp();
        operator = newSigner("operator");
    }

    function appoint(bool allowed) private {
        vm.prank(payee);
        escrow.setOperator(operator, allowed);
    }

    function test_GivenNobodyAppointed() external view {
        assertFalse(escrow.isOperator(payee, operator));
        assertFalse(escrow.isOperator(payee, payee));
        assertFalse(escrow.isOperator(payee, address(0)));
    }

    function testFuzz_WhenAppointed(address payee_, address operator_, address another) external {
        vm.assume(another != operator_ && another != payee_);
        vm.expectEmit(address(escrow));
        emit IEscrow.OperatorSet(payee_, operator_, true);
        vm.prank(payee_);
        escrow.setOperator(operator_, true);
        assertTrue(escrow.isOperator(payee_, operator_));
        assertFalse(escrow.isOperator(payee_, another));
        assertFalse(escrow.isOperator(another, operator_));
        if (operator_ != payee_) assertFalse(escrow.isOperator(operator_, payee_));
    }

    function testFuzz_WhenDismissed(address payee_, address operator_, address other) external {
        vm.assume(other != operator_);
        vm.startPrank(payee_);
        escrow.setOperator(operator_, true);
        escrow.setOperator(other, true);
        vm.expectEmit(address(escrow));
        emit IEscrow.OperatorSet(payee_, operator_, false);
        escrow.setOperator(operator_, false);
        assertFalse(escrow.isOperator(payee_, operator_));
        assertTrue(escrow.isOperator(payee_, other));
    }

    /* CLOSING */

    function testFuzz_WhenOperatorCloses(bool native, uint256 reserved, uint256 amount) external {
        reserved = bound(reserved, 1, AMOUNT_MAX);
        amount = bound(amount, 1, reserved);
        Channel memory channel = channelIn(native);
        fund(channel, 0, reserved);
        appoint(true);
        bytes memory signature = sign(channel, amount);
        vm.expectEmit(address(escrow));
        emit IEscrow.Closed(idOf(channel), payee, amount, reserved - amount);
        vm.prank(operator);
        (uint256 paid, uint256 refunded) = escrow.close(channel, uint128(amount), signature);
        assertEq(paid, amount);
        assertEq(refunded, reserved - amount);
        assertEq(holdings(payee, channel.token), amount);
        assertEq(holdings(payer, channel.token), reserved - amount);
        assertEq(holdings(operator, channel.token), 0);
        assertChannel(channel, amount, 0, 0);
    }

    /// Appointing a key takes nothing from the payee.
    function test_WhenPayeeClosesItself() external {
        fund(dollarChannel, 0, 10);
        appoint(true);
        vm.prank(payee);
        (, uint256 refunded) = escrow.close(dollarChannel, 0, "");
        assertEq(refunded, 10);
    }

    function test_RevertGiven_Dismissed() external {
        fund(dollarChannel, 0, 10);
        appoint(true);
        appoint(false);
        expectNotPayee(operator);
        escrow.close(dollarChannel, 0, "");
    }

    /// Nor while the clock runs: a dismissed key can't even help the payer out sooner.
    function test_RevertGiven_DismissedAndCloseRequested() external {
        fund(dollarChannel, 0, 10);
        requestClose(dollarChannel);
        appoint(true);
        appoint(false);
        expectNotPayee(operator);
        escrow.close(dollarChannel, 0, "");
        assertEq(reservedOf(dollarChannel), 10);
    }

    function test_RevertWhen_OperatorOfAnotherPayee() external {
        fund(dollarChannel, 0, 10);
        vm.prank(outsider);
        escrow.setOperator(operator, true);
        expectNotPayee(operator);
        escrow.close(dollarChannel, 0, "");
    }

    /// An operator's operator is nobody, and the payee is not its operator's operator.
    function test_RevertWhen_OperatorOfOperator() external {
        fund(dollarChannel, 0, 10);
        appoint(true);
        vm.prank(operator);
        escrow.setOperator(outsider, true);
        expectNotPayee(outsider);
        escrow.close(dollarChannel, 0, "");
        assertFalse(escrow.isOperator(payee, outsider));
    }

    /// The payer can't appoint itself on the payee's behalf, and its own operator is no payee's.
    function test_RevertWhen_OperatorOfPayer() external {
        fund(dollarChannel, 0, 10);
        vm.prank(payer);
        escrow.setOperator(payer, true);
        expectNotPayee(payer);
        escrow.close(dollarChannel, 0, "");
    }

    /// The zero address can be appointed like any other and is nobody's caller.
    function test_RevertGiven_ZeroAppointed() external {
        fund(dollarChannel, 0, 10);
        vm.prank(payee);
        escrow.setOperator(address(0), true);
        expectNotPayee(outsider);
        escrow.close(dollarChannel, 0, "");
    }

    /* WHAT IT MAY NOT */

    /// Loss 35: an operator never says where money goes.
    function test_RevertWhen_OperatorRedeemsElsewhere() external {
        fund(dollarChannel, 10, 10);
        appoint(true);
        bytes memory signature = sign(dollarChannel, 5);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayee.selector, operator, payee));
        escrow.redeemTo(dollarChannel, 5, signature, operator);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayee.selector, operator, payee));
        escrow.redeemTo(dollarChannel, 5, signature, payee);
    }

    /// It has no say over its payee's own accounts and channels either: there the payee is a payer.
    function test_RevertWhen_OperatorActsAsPayer() external {
        Channel memory channel = Channel(payee, outsider, address(dollar), NO_SALT, payee);
        fund(channel, 10, 10);
        appoint(true);
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayer.selector, operator, payee));
        escrow.withdraw(purseOf(channel), 1, operator);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayer.selector, operator, payee));
        escrow.reserve(channel, 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayer.selector, operator, payee));
        escrow.requestClose(channel);
    }

    /// A voucher is still the payer's: the operator signs none.
    function test_RevertWhen_OperatorSigns() external {
        fund(dollarChannel, 0, 10);
        appoint(true);
        bytes memory signature = signAs(keyOf(operator), dollarChannel, 5);
        bytes32 digest = digestOf(dollarChannel, 5);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidSignature.selector, digest, payer));
        escrow.close(dollarChannel, 5, signature);
    }

    /// Loss 35: a thief who closes with an old voucher, or none, gains nothing; the payee loses its guarantee, and what
    /// was signed stays owed and is paid by the account.
    function test_GivenOperatorStolen() external {
        fund(dollarChannel, 100, 100);
        appoint(true);
        escrow.redeem(dollarChannel, 10, sign(dollarChannel, 10));
        bytes memory newest = sign(dollarChannel, 80);
        vm.prank(operator);
        (uint256 paid, uint256 refunded) = escrow.close(dollarChannel, 10, "");
        assertEq(paid, 0);
        assertEq(refunded, 90);
        assertEq(dollar.balanceOf(operator), 0);
        assertEq(escrow.redeem(dollarChannel, 80, newest), 70);
        assertEq(dollar.balanceOf(payee), 80);
    }

    function expectNotPayee(address caller) private {
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayee.selector, caller, payee));
    }
}
