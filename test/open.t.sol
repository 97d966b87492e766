// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Base} from "./Base.t.sol";
import {FeeDollar} from "./tokens/FeeDollar.sol";

contract OpenTest is Base {
    function test_RevertWhen_PayerZero() external {
        etherChannel.payer = address(0);
        vm.expectRevert(IEscrow.ZeroPayer.selector);
        escrow.open(etherChannel, 1);
    }

    function test_RevertWhen_PayeeZero() external {
        etherChannel.payee = address(0);
        vm.expectRevert(IEscrow.ZeroPayee.selector);
        escrow.open(etherChannel, 1);
    }

    function test_RevertWhen_AuthorizedSignerZero() external {
        etherChannel.authorizedSigner = address(0);
        vm.expectRevert(IEscrow.ZeroAuthorizedSigner.selector);
        escrow.open(etherChannel, 1);
    }

    function test_RevertWhen_AmountZero() external {
        vm.expectRevert(IEscrow.ZeroAmount.selector);
        escrow.open(etherChannel, 0);
    }

    function testFuzz_RevertWhen_AmountAbove104Bits(uint256 amount) external {
        amount = bound(amount, AMOUNT_MAX + 1, type(uint256).max);
        open(payer, dollarChannel, 7);
        // The amount alone is said to be too large: the sum may not be there to be said.
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountTooLarge.selector, amount, AMOUNT_MAX));
        escrow.open(dollarChannel, amount);
    }

    /// However high its only bit: shifted to its place in the slot, it might leave no trace there.
    function test_RevertWhen_AmountIsOneHighBit() external {
        for (uint256 bit = 104; bit < 256; ++bit) {
            vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountTooLarge.selector, 1 << bit, AMOUNT_MAX));
            escrow.open(dollarChannel, 1 << bit);
        }
    }

    /// Loss 9: no sum reaches the clock beside the reservation.
    function testFuzz_RevertGiven_ReservationAndAmountAbove104Bits(uint256 reserved, uint256 amount) external {
        reserved = bound(reserved, 1, AMOUNT_MAX);
        amount = bound(amount, AMOUNT_MAX - reserved + 1, AMOUNT_MAX);
        open(payer, dollarChannel, reserved);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountTooLarge.selector, reserved + amount, AMOUNT_MAX));
        escrow.open(dollarChannel, amount);
    }

    /// Loss 27: nothing is added to a reservation that is about to leave, not even when the clock has run.
    function testFuzz_RevertGiven_CloseRequested(uint256 elapsed) external {
        open(payer, etherChannel, 1);
        uint256 closeAt = requestClose(etherChannel);
        vm.warp(vm.getBlockTimestamp() + bound(elapsed, 0, 10 * EXIT_DELAY));
        hoax(payer, 5);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.CloseAlreadyRequested.selector, closeAt));
        escrow.open{value: 5}(etherChannel, 5);
    }

    function test_RevertWhen_ValueNotAmount() external {
        hoax(payer, 5);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.WrongValue.selector, 5, 6));
        escrow.open{value: 5}(etherChannel, 6);
    }

    function test_RevertWhen_ValueSentWithToken() external {
        endow(payer, address(dollar), 5);
        hoax(payer, 5);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.WrongValue.selector, 5, 0));
        escrow.open{value: 5}(dollarChannel, 5);
    }

    function test_RevertWhen_TokenTakesFee() external {
        dollarChannel.token = address(new FeeDollar());
        endow(payer, dollarChannel.token, 500);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TransferMismatch.selector, 494, 500));
        escrow.open(dollarChannel, 500);
    }

    function testFuzz_GivenChannelNew(bool native, uint256 amount, bytes32 salt) external {
        amount = bound(amount, 1, AMOUNT_MAX);
        Channel memory channel = channelIn(native);
        channel.salt = salt;
        uint256 value = endow(payer, channel.token, amount);
        vm.expectEmit();
        emit IEscrow.Opened(idOf(channel), payer, payee, channel.token, salt, payer, amount);
        vm.prank(payer);
        escrow.open{value: value}(channel, amount);

        assertChannel(channel, 0, amount, 0);
        assertEq(balanceOf(purseOf(channel)), 0);
        assertEq(held(channel.token), amount);
    }

    function testFuzz_GivenChannelOpen(bool native, uint256 first, uint256 second) external {
        first = bound(first, 1, AMOUNT_MAX - 1);
        second = bound(second, 1, AMOUNT_MAX - first);
        Channel memory channel = channelIn(native);
        open(payer, channel, first);
        uint256 value = endow(outsider, channel.token, second);
        vm.expectEmit();
        emit IEscrow.ToppedUp(idOf(channel), second);
        vm.prank(outsider);
        escrow.open{value: value}(channel, second);
        assertChannel(channel, 0, first + second, 0);
    }

    /// Loss 2: reopening a channel keeps its counter, so that its old vouchers stay spent.
    function testFuzz_GivenChannelClosed(bool native, uint256 redeemed, uint256 amount) external {
        redeemed = bound(redeemed, 1, AMOUNT_MAX - 1);
        amount = bound(amount, 1, AMOUNT_MAX);
        Channel memory channel = channelIn(native);
        open(payer, channel, redeemed + 1);
        bytes memory signature = sign(channel, redeemed);
        vm.prank(payee);
        escrow.close(channel, uint128(redeemed), signature);

        open(payer, channel, amount);

        assertChannel(channel, redeemed, amount, 0);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, redeemed, redeemed));
        escrow.redeem(channel, uint128(redeemed), signature);
    }
}
