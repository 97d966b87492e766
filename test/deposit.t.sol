// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Base, Purse} from "./Base.t.sol";
import {FalseDollar} from "./tokens/FalseDollar.sol";
import {FeeDollar} from "./tokens/FeeDollar.sol";
import {SilentDollar} from "./tokens/SilentDollar.sol";

contract DepositTest is Base {
    function test_RevertWhen_PayerZero() external {
        vm.expectRevert(IEscrow.ZeroPayer.selector);
        escrow.deposit(Purse(address(0), payer, ETH), 0);
    }

    function test_RevertWhen_AuthorizedSignerZero() external {
        vm.expectRevert(IEscrow.ZeroAuthorizedSigner.selector);
        escrow.deposit(Purse(payer, address(0), ETH), 0);
    }

    function test_RevertWhen_AmountZero() external {
        vm.expectRevert(IEscrow.ZeroAmount.selector);
        escrow.deposit(purseOf(etherChannel), 0);
    }

    function testFuzz_RevertWhen_AmountAbove104Bits(uint256 amount) external {
        amount = bound(amount, AMOUNT_MAX + 1, type(uint256).max);
        deposit(payer, purseOf(dollarChannel), 7);
        // The amount alone is said to be too large: the sum may not be there to be said.
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountTooLarge.selector, amount, AMOUNT_MAX));
        escrow.deposit(purseOf(dollarChannel), amount);
    }

    /// Loss 9: a sum that would overflow its field is refused, so no deposit reaches the nonce beside it.
    function testFuzz_RevertGiven_BalanceAndAmountAbove104Bits(uint256 balance, uint256 amount) external {
        balance = bound(balance, 1, AMOUNT_MAX);
        amount = bound(amount, AMOUNT_MAX - balance + 1, AMOUNT_MAX);
        deposit(payer, purseOf(dollarChannel), balance);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountTooLarge.selector, balance + amount, AMOUNT_MAX));
        escrow.deposit(purseOf(dollarChannel), amount);
    }

    function testFuzz_RevertWhen_ValueNotAmount(uint256 value, uint256 amount) external {
        value = bound(value, 0, 1000 ether);
        amount = bound(amount, 1, AMOUNT_MAX);
        vm.assume(value != amount);
        vm.deal(payer, value);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.WrongValue.selector, value, amount));
        escrow.deposit{value: value}(purseOf(etherChannel), amount);
    }

    function test_RevertWhen_ValueSentWithToken() external {
        endow(payer, address(dollar), 5);
        vm.deal(payer, 5);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.WrongValue.selector, 5, 0));
        escrow.deposit{value: 5}(purseOf(dollarChannel), 5);
    }

    function test_RevertWhen_TokenNotAllowed() external {
        dollar.mint(payer, 5);
        vm.prank(payer);
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        escrow.deposit(purseOf(dollarChannel), 5);
    }

    function test_RevertWhen_TokenHasNoCode() external {
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        escrow.deposit(Purse(payer, payer, makeAddr("no token")), 5);
    }

    function test_RevertWhen_TokenReturnsFalse() external {
        FalseDollar odd = new FalseDollar();
        endow(payer, address(odd), 5);
        odd.setRefusing(true);
        vm.prank(payer);
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        escrow.deposit(Purse(payer, payer, address(odd)), 5);
    }

    function test_RevertWhen_TokenTakesFee() external {
        FeeDollar odd = new FeeDollar();
        // What the escrow held before did not come now.
        odd.mint(address(escrow), 1000);
        endow(payer, address(odd), 500);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TransferMismatch.selector, 494, 500));
        escrow.deposit(Purse(payer, payer, address(odd)), 500);
    }

    /// Loss 26: nobody's allowance is spent by anybody else.
    function test_RevertWhen_OnlyPayerHasAllowed() external {
        endow(payer, address(dollar), 5);
        vm.prank(outsider);
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        escrow.deposit(purseOf(dollarChannel), 5);
        assertEq(dollar.balanceOf(payer), 5);
    }

    function test_WhenTokenReturnsNothing() external {
        SilentDollar odd = new SilentDollar();
        Purse memory purse = Purse(payer, payer, address(odd));
        deposit(payer, purse, 7);
        assertEq(balanceOf(purse), 7);
        assertEq(odd.balanceOf(address(escrow)), 7);
    }

    function testFuzz_WhenCallerIsPayer(bool native, uint256 first, uint256 second) external {
        first = bound(first, 1, AMOUNT_MAX - 1);
        second = bound(second, 1, AMOUNT_MAX - first);
        Purse memory purse = purseOf(channelIn(native));
        deposit(payer, purse, first);

        uint256 value = endow(payer, purse.token, second);
        vm.expectEmit();
        emit IEscrow.Deposited(idOf(purse), payer, payer, purse.token, second);
        vm.prank(payer);
        escrow.deposit{value: value}(purse, second);

        assertEq(balanceOf(purse), first + second);
        assertEq(held(purse.token), first + second);
        assertEq(holdings(payer, purse.token), 0);
    }

    /// Loss 9: an outsider's money arrives and changes nothing else: no nonce, no clock, no reservation.
    function testFuzz_WhenCallerIsOutsider(bool native, uint256 amount) external {
        amount = bound(amount, 1, AMOUNT_MAX - 10);
        Channel memory channel = channelIn(native);
        fund(channel, 10, 20);
        uint256 closeAt = requestClose(channel);

        deposit(outsider, purseOf(channel), amount);

        assertEq(balanceOf(purseOf(channel)), 10 + amount);
        assertEq(escrow.accountState(idOf(purseOf(channel))).nonce, 0);
        assertChannel(channel, 0, 20, closeAt);
    }

    function test_GivenAnotherSignerAndToken() external {
        deposit(payer, purseOf(dollarChannel), 1);
        deposit(payer, purseOf(sessionChannel), 2);
        deposit(payer, purseOf(etherChannel), 4);
        assertEq(balanceOf(purseOf(dollarChannel)), 1);
        assertEq(balanceOf(purseOf(sessionChannel)), 2);
        assertEq(balanceOf(purseOf(etherChannel)), 4);
    }
}
