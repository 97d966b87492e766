// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Base, Purse} from "./Base.t.sol";
import {OddReceiver} from "./receivers/OddReceiver.sol";
import {FalseDollar} from "./tokens/FalseDollar.sol";

contract WithdrawTest is Base {
    /// The session key signs vouchers and can't take the money itself.
    function testFuzz_RevertWhen_CallerNotPayer(address caller) external {
        vm.assume(caller != payer);
        fund(sessionChannel, 10, 0);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayer.selector, caller, payer));
        escrow.withdraw(purseOf(sessionChannel), 1, caller);
    }

    function test_RevertWhen_RecipientZero() external {
        fund(dollarChannel, 10, 0);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidRecipient.selector, address(0)));
        escrow.withdraw(purseOf(dollarChannel), 1, address(0));
    }

    function test_RevertWhen_RecipientEscrow() external {
        fund(dollarChannel, 10, 0);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidRecipient.selector, escrow));
        escrow.withdraw(purseOf(dollarChannel), 1, address(escrow));
    }

    function test_RevertWhen_AmountZero() external {
        vm.prank(payer);
        vm.expectRevert(IEscrow.ZeroAmount.selector);
        escrow.withdraw(purseOf(dollarChannel), 0, payer);
    }

    function testFuzz_RevertWhen_AmountAboveBalance(uint256 balance, uint256 amount) external {
        balance = bound(balance, 0, AMOUNT_MAX);
        amount = bound(amount, balance + 1, type(uint256).max);
        fund(dollarChannel, balance, 0);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InsufficientBalance.selector, balance, amount));
        escrow.withdraw(purseOf(dollarChannel), amount, payer);
    }

    /// Rule 3: what is reserved is not in the account.
    function test_RevertGiven_MoneyReserved() external {
        fund(dollarChannel, 0, 10);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InsufficientBalance.selector, 0, 1));
        escrow.withdraw(purseOf(dollarChannel), 1, payer);
    }

    /// Loss 7: a refused withdrawal moves nothing, and another recipient takes it.
    function test_RevertWhen_RecipientRefuses() external {
        OddReceiver odd = new OddReceiver();
        odd.setConduct(OddReceiver.Conduct.Reverts);
        fund(etherChannel, 10, 0);
        vm.startPrank(payer);
        vm.expectRevert(bytes4(keccak256("ETHTransferFailed()")));
        escrow.withdraw(purseOf(etherChannel), 10, address(odd));
        escrow.withdraw(purseOf(etherChannel), 10, payer);
        assertEq(payer.balance, 10);
    }

    function test_RevertWhen_TokenReturnsFalse() external {
        FalseDollar odd = new FalseDollar();
        Purse memory purse = Purse(payer, payer, address(odd));
        deposit(payer, purse, 10);
        odd.setRefusing(true);
        vm.prank(payer);
        vm.expectRevert(bytes4(keccak256("TransferFailed()")));
        escrow.withdraw(purse, 10, payer);
        assertEq(balanceOf(purse), 10);
    }

    function testFuzz_WhenBalanceSuffices(bool native, uint256 balance, uint256 amount) external {
        balance = bound(balance, 1, AMOUNT_MAX);
        amount = bound(amount, 1, balance);
        Channel memory channel = channelIn(native);
        fund(channel, balance, 0);
        address to = makeAddr("bank");
        vm.expectEmit();
        emit IEscrow.Withdrawn(idOf(purseOf(channel)), to, amount);
        vm.prank(payer);
        escrow.withdraw(purseOf(channel), amount, to);

        assertEq(balanceOf(purseOf(channel)), balance - amount);
        assertEq(holdings(to, channel.token), amount);
        assertEq(held(channel.token), balance - amount);
    }

    /// Rule 3: emptying an account leaves the reservation beside it whole and its vouchers good.
    function test_GivenReservationBeside() external {
        fund(dollarChannel, 10, 20);
        vm.prank(payer);
        escrow.withdraw(purseOf(dollarChannel), 10, payer);
        assertEq(escrow.redeem(dollarChannel, 25, sign(dollarChannel, 25)), 20);
    }

    /// What a session key may spend is withdrawn by the payer alone.
    function test_GivenSessionAccount() external {
        fund(sessionChannel, 10, 0);
        vm.prank(payer);
        escrow.withdraw(purseOf(sessionChannel), 10, payer);
        assertEq(dollar.balanceOf(payer), 10);
    }
}
