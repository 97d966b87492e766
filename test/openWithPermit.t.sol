// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow, Permit} from "../contracts/IEscrow.sol";
import {Permits} from "./Permits.t.sol";

contract OpenWithPermitTest is Permits {
    function channelIn(address token) private view returns (Channel memory) {
        return Channel(payer, payee, token, "phone", session);
    }

    function fundWithPermit(address token, uint256 amount, Permit memory permit) internal override {
        escrow.openWithPermit(channelIn(token), amount, permit);
    }

    function fundForWithPermit(address payer_, address token, uint256 amount, Permit memory permit) internal override {
        // The attacker would be paid by its own voucher.
        escrow.openWithPermit(Channel(payer_, outsider, token, "theirs", outsider), amount, permit);
    }

    function funded(address token) internal view override returns (uint256) {
        return reservedOf(channelIn(token));
    }

    function expectFunded(address token, uint256 amount) internal override {
        vm.expectEmit(address(escrow));
        emit IEscrow.Opened(idOf(channelIn(token)), payer, payee, token, "phone", session, amount);
    }

    function test_RevertWhen_PartyZero() external {
        Permit memory permit;
        dollarChannel.payer = address(0);
        vm.expectRevert(IEscrow.ZeroPayer.selector);
        escrow.openWithPermit(dollarChannel, 5, permit);
        (dollarChannel.payer, dollarChannel.payee) = (payer, address(0));
        vm.expectRevert(IEscrow.ZeroPayee.selector);
        escrow.openWithPermit(dollarChannel, 5, permit);
        (dollarChannel.payee, dollarChannel.authorizedSigner) = (payee, address(0));
        vm.expectRevert(IEscrow.ZeroAuthorizedSigner.selector);
        escrow.openWithPermit(dollarChannel, 5, permit);
    }

    /// Nothing but the token says how much arrived, so none of the native coin may come along.
    function test_RevertWhen_ValueSent() external {
        dollar.mint(payer, 5);
        Permit memory permit = signPermit(payer, address(dollar), 5, soon());
        bytes memory data = abi.encodeCall(IEscrow.openWithPermit, (dollarChannel, 5, permit));
        hoax(payer, 1);
        (bool done,) = address(escrow).call{value: 1}(data);
        assertFalse(done);
        vm.prank(payer);
        (done,) = address(escrow).call(data);
        assertTrue(done);
    }

    /// Loss 9: no sum reaches the clock beside the reservation.
    function testFuzz_RevertGiven_ReservationAndAmountAbove104Bits(uint256 reserved, uint256 amount) external {
        reserved = bound(reserved, 1, AMOUNT_MAX);
        amount = bound(amount, AMOUNT_MAX - reserved + 1, AMOUNT_MAX);
        open(payer, dollarChannel, reserved);
        Permit memory permit = signPermit(payer, address(dollar), amount, soon());
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountTooLarge.selector, reserved + amount, AMOUNT_MAX));
        escrow.openWithPermit(dollarChannel, amount, permit);
    }

    /// Loss 27: nothing is added to a reservation that is about to leave, and the permit is not used up.
    function testFuzz_RevertGiven_CloseRequested(uint256 elapsed) external {
        open(payer, dollarChannel, 1);
        uint256 closeAt = requestClose(dollarChannel);
        vm.warp(vm.getBlockTimestamp() + bound(elapsed, 0, 10 * EXIT_DELAY));
        dollar.mint(payer, 5);
        Permit memory permit = signPermit(payer, address(dollar), 5, soon());
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.CloseAlreadyRequested.selector, closeAt));
        escrow.openWithPermit(dollarChannel, 5, permit);
        assertEq(dollar.nonces(payer), 0);
        assertChannel(dollarChannel, 0, 1, closeAt);
    }

    function test_GivenChannelOpen() external {
        open(payer, dollarChannel, 10);
        dollar.mint(outsider, 5);
        Permit memory permit = signPermit(outsider, address(dollar), 5, soon());
        vm.expectEmit(address(escrow));
        emit IEscrow.ToppedUp(idOf(dollarChannel), 5);
        vm.prank(outsider);
        escrow.openWithPermit(dollarChannel, 5, permit);
        assertChannel(dollarChannel, 0, 15, 0);
    }

    /// Loss 2: what was redeemed stays redeemed, however the channel is funded again.
    function test_GivenChannelClosed() external {
        open(payer, dollarChannel, 10);
        bytes memory signature = sign(dollarChannel, 6);
        vm.prank(payee);
        escrow.close(dollarChannel, 6, signature);
        uint256 held_ = dollar.balanceOf(payer);
        Permit memory permit = signPermit(payer, address(dollar), 4, soon());
        vm.prank(payer);
        escrow.openWithPermit(dollarChannel, 4, permit);
        assertEq(dollar.balanceOf(payer), held_ - 4);
        assertChannel(dollarChannel, 6, 4, 0);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 6, 6));
        escrow.redeem(dollarChannel, 6, signature);
    }
}
