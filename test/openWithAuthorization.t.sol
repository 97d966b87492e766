// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Authorization, Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Authorizations} from "./Authorizations.t.sol";

contract OpenWithAuthorizationTest is Authorizations {
    function channelIn(address token) private view returns (Channel memory) {
        return Channel(payer, payee, token, "phone", session);
    }

    function fundWithAuthorization(address token, uint256 amount, Authorization memory authorization)
        internal
        override
    {
        escrow.openWithAuthorization(channelIn(token), amount, authorization);
    }

    function idIn(address token) internal view override returns (bytes32) {
        return idOf(channelIn(token));
    }

    function funded(address token) internal view override returns (uint256) {
        return reservedOf(channelIn(token));
    }

    function expectFunded(address token, uint256 amount) internal override {
        vm.expectEmit(address(escrow));
        emit IEscrow.Opened(idIn(token), payer, payee, token, "phone", session, amount);
    }

    function test_RevertWhen_PartyZero() external {
        Authorization memory authorization;
        dollarChannel.payer = address(0);
        vm.expectRevert(IEscrow.ZeroPayer.selector);
        escrow.openWithAuthorization(dollarChannel, 5, authorization);
        (dollarChannel.payer, dollarChannel.payee) = (payer, address(0));
        vm.expectRevert(IEscrow.ZeroPayee.selector);
        escrow.openWithAuthorization(dollarChannel, 5, authorization);
        (dollarChannel.payee, dollarChannel.authorizedSigner) = (payee, address(0));
        vm.expectRevert(IEscrow.ZeroAuthorizedSigner.selector);
        escrow.openWithAuthorization(dollarChannel, 5, authorization);
    }

    /// Each term another, one at a time, and the other function: the signature commits to the channel, and so to its payee.
    function test_RevertWhen_Redirected() external {
        dollar.mint(payer, 5);
        dollar.mint(outsider, 5);
        Channel memory signed = channelIn(address(dollar));
        Authorization memory authorization = authorize(address(dollar), 5);
        for (uint256 term; term < 4; ++term) {
            Channel memory other = channelIn(address(dollar));
            if (term == 0) other.payer = outsider;
            else if (term == 1) other.payee = outsider;
            else if (term == 2) other.salt = "theirs";
            else other.authorizedSigner = outsider;
            vm.prank(outsider);
            expectNotSigned();
            escrow.openWithAuthorization(other, 5, authorization);
        }
        vm.prank(outsider);
        expectNotSigned();
        escrow.depositWithAuthorization(purseOf(signed), 5, authorization);
        assertFalse(isUsed(address(dollar)));
        // Control: as it was signed it is good, whoever sends it.
        vm.prank(outsider);
        escrow.openWithAuthorization(signed, 5, authorization);
        assertChannel(signed, 0, 5, 0);
    }

    /// Loss 27: nothing enters a reservation that is about to leave, and the authorization is not used up.
    function testFuzz_RevertGiven_CloseRequested(uint256 elapsed) external {
        open(payer, channelIn(address(dollar)), 1);
        uint256 closeAt = requestClose(channelIn(address(dollar)));
        vm.warp(vm.getBlockTimestamp() + bound(elapsed, 0, 10 * EXIT_DELAY));
        dollar.mint(payer, 5);
        Authorization memory authorization = authorize(address(dollar), 5);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.CloseAlreadyRequested.selector, closeAt));
        fundWithAuthorization(address(dollar), 5, authorization);
        assertFalse(isUsed(address(dollar)));
        assertChannel(channelIn(address(dollar)), 0, 1, closeAt);

        vm.prank(payee);
        escrow.close(channelIn(address(dollar)), 0, "");
        fundWithAuthorization(address(dollar), 5, authorization);
        assertChannel(channelIn(address(dollar)), 0, 5, 0);
    }

    function test_RevertWhen_ValueSent() external {
        dollar.mint(payer, 5);
        Authorization memory authorization = authorize(address(dollar), 5);
        bytes memory data =
            abi.encodeCall(IEscrow.openWithAuthorization, (channelIn(address(dollar)), 5, authorization));
        hoax(outsider, 1);
        (bool done,) = address(escrow).call{value: 1}(data);
        assertFalse(done);
        (done,) = address(escrow).call(data);
        assertTrue(done);
    }

    function testFuzz_RevertGiven_ReservationAndAmountAbove104Bits(uint256 reserved, uint256 amount) external {
        reserved = bound(reserved, 1, AMOUNT_MAX);
        amount = bound(amount, AMOUNT_MAX - reserved + 1, AMOUNT_MAX);
        open(payer, channelIn(address(dollar)), reserved);
        dollar.mint(payer, amount);
        Authorization memory authorization = authorize(address(dollar), amount);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountTooLarge.selector, reserved + amount, AMOUNT_MAX));
        fundWithAuthorization(address(dollar), amount, authorization);
        assertFalse(isUsed(address(dollar)));
    }

    function test_GivenChannelOpen() external {
        open(outsider, channelIn(address(dollar)), 10);
        dollar.mint(payer, 5);
        Authorization memory authorization = authorize(address(dollar), 5);
        vm.expectEmit(address(escrow));
        emit IEscrow.ToppedUp(idIn(address(dollar)), 5);
        fundWithAuthorization(address(dollar), 5, authorization);
        assertChannel(channelIn(address(dollar)), 0, 15, 0);
    }
}
