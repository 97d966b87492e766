// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEscrow, Permit} from "../contracts/IEscrow.sol";
import {Purse} from "./Base.t.sol";
import {Permits} from "./Permits.t.sol";

contract DepositWithPermitTest is Permits {
    function fundWithPermit(address token, uint256 amount, Permit memory permit) internal override {
        escrow.depositWithPermit(Purse(payer, session, token), amount, permit);
    }

    function fundForWithPermit(address payer_, address token, uint256 amount, Permit memory permit) internal override {
        // The attacker's own key would spend it.
        escrow.depositWithPermit(Purse(payer_, outsider, token), amount, permit);
    }

    function funded(address token) internal view override returns (uint256) {
        return balanceOf(Purse(payer, session, token));
    }

    function expectFunded(address token, uint256 amount) internal override {
        vm.expectEmit(address(escrow));
        emit IEscrow.Deposited(idOf(Purse(payer, session, token)), payer, session, token, amount);
    }

    function test_RevertWhen_PayerZero() external {
        Permit memory permit;
        vm.expectRevert(IEscrow.ZeroPayer.selector);
        escrow.depositWithPermit(Purse(address(0), payer, address(dollar)), 5, permit);
    }

    function test_RevertWhen_AuthorizedSignerZero() external {
        Permit memory permit;
        vm.expectRevert(IEscrow.ZeroAuthorizedSigner.selector);
        escrow.depositWithPermit(Purse(payer, address(0), address(dollar)), 5, permit);
    }

    /// Nothing but the token says how much arrived, so none of the native coin may come along.
    function test_RevertWhen_ValueSent() external {
        dollar.mint(payer, 5);
        Permit memory permit = signPermit(payer, address(dollar), 5, soon());
        bytes memory data = abi.encodeCall(IEscrow.depositWithPermit, (purseOf(dollarChannel), 5, permit));
        hoax(payer, 1);
        (bool done,) = address(escrow).call{value: 1}(data);
        assertFalse(done);
        vm.prank(payer);
        (done,) = address(escrow).call(data);
        assertTrue(done);
    }

    /// Loss 9: no sum reaches the nonce beside the balance.
    function testFuzz_RevertGiven_BalanceAndAmountAbove104Bits(uint256 balance, uint256 amount) external {
        balance = bound(balance, 1, AMOUNT_MAX);
        amount = bound(amount, AMOUNT_MAX - balance + 1, AMOUNT_MAX);
        deposit(payer, purseOf(dollarChannel), balance);
        Permit memory permit = signPermit(payer, address(dollar), amount, soon());
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountTooLarge.selector, balance + amount, AMOUNT_MAX));
        escrow.depositWithPermit(purseOf(dollarChannel), amount, permit);
    }

    /// Loss 9: money that arrives so moves no clock and no nonce.
    function test_GivenCloseRequested() external {
        fund(sessionChannel, 10, 20);
        uint256 closeAt = requestClose(sessionChannel);
        dollar.mint(outsider, 7);
        Permit memory permit = signPermit(outsider, address(dollar), 7, soon());
        vm.prank(outsider);
        escrow.depositWithPermit(purseOf(sessionChannel), 7, permit);
        assertChannel(sessionChannel, 0, 20, closeAt);
        assertEq(balanceOf(purseOf(sessionChannel)), 17);
        assertEq(escrow.accountState(idOf(purseOf(sessionChannel))).nonce, 0);
    }
}
