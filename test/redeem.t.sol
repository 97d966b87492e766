// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Vouchers} from "../contracts/libraries/Vouchers.sol";
import {Base, Purse} from "./Base.t.sol";
import {OddReceiver} from "./receivers/OddReceiver.sol";
import {SilentDollar} from "./tokens/SilentDollar.sol";

contract RedeemTest is Base {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /* SIGNATURES */

    /// Loss 5: whose key it is decides, not whose name is beside it.
    function testFuzz_RevertWhen_SignerAnother(uint256 key, uint256 amount) external {
        key = bound(key, 1, CURVE_ORDER - 1);
        vm.assume(vm.addr(key) != payer);
        amount = bound(amount, 1, AMOUNT_MAX);
        fund(dollarChannel, 0, amount);
        expectInvalidSignature(dollarChannel, amount);
        escrow.redeem(dollarChannel, uint128(amount), signAs(key, dollarChannel, amount));
    }

    /// Loss 5: a payer's own key is worth nothing on a channel that names its session key, and the reverse.
    function test_RevertWhen_PayerSignsForSession() external {
        fund(sessionChannel, 10, 10);
        fund(dollarChannel, 10, 10);
        expectInvalidSignature(sessionChannel, 5);
        escrow.redeem(sessionChannel, 5, signAs(keyOf(payer), sessionChannel, 5));
        expectInvalidSignature(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, signAs(keyOf(session), dollarChannel, 5));
    }

    /// Loss 5: a channel that names no signer is not signed by whoever recovers to zero.
    function test_RevertWhen_AuthorizedSignerZero() external {
        dollarChannel.authorizedSigner = address(0);
        expectInvalidSignature(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, new bytes(65));
        expectInvalidSignature(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, new bytes(64));
    }

    /// Loss 10
    function testFuzz_RevertWhen_HighS(uint256 amount) external {
        amount = bound(amount, 1, AMOUNT_MAX);
        fund(dollarChannel, amount, 0);
        (bytes32 r, bytes32 s, uint8 v) = split(sign(dollarChannel, amount));
        bytes memory malleated = abi.encodePacked(r, CURVE_ORDER - uint256(s), v == 27 ? uint8(28) : uint8(27));
        // The twin is good for the curve: only the rule refuses it.
        assertEq(
            ecrecover(digestOf(dollarChannel, amount), v == 27 ? 28 : 27, r, bytes32(CURVE_ORDER - uint256(s))), payer
        );
        expectInvalidSignature(dollarChannel, amount);
        escrow.redeem(dollarChannel, uint128(amount), malleated);
    }

    /// Loss 10: in the compact form a high s would need the bit that holds the parity.
    function testFuzz_RevertWhen_CompactAboveHalfOrder(uint256 s, bool odd) external {
        s = bound(s, Vouchers.LOW_S_MAX + 1, type(uint256).max >> 1);
        fund(dollarChannel, 5, 0);
        (bytes32 r,,) = split(sign(dollarChannel, 5));
        expectInvalidSignature(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, abi.encodePacked(r, s | (odd ? 1 << 255 : 0)));
    }

    /// Loss 10: half the order is the last s that is good. Nobody knows how to sign with a certain s, so the precompile is
    /// told whom to find.
    function test_WhenSAtHalfOrder() external {
        fund(dollarChannel, 5, 0);
        vm.mockCall(address(1), abi.encode(digestOf(dollarChannel, 5)), abi.encode(payer));
        bytes32 r = bytes32(uint256(1));
        expectInvalidSignature(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, abi.encodePacked(r, CURVE_ORDER / 2 + 1, uint8(27)));
        expectInvalidSignature(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, abi.encodePacked(r, CURVE_ORDER / 2 + 1));
        uint256 snapshot = vm.snapshotState();
        assertEq(escrow.redeem(dollarChannel, 5, abi.encodePacked(r, CURVE_ORDER / 2, uint8(27))), 5);
        vm.revertToState(snapshot);
        assertEq(escrow.redeem(dollarChannel, 5, abi.encodePacked(r, CURVE_ORDER / 2)), 5);
    }

    /// Loss 10
    function testFuzz_RevertWhen_VNeither27Nor28(uint8 v) external {
        vm.assume(v != 27 && v != 28);
        fund(dollarChannel, 5, 0);
        (bytes32 r, bytes32 s,) = split(sign(dollarChannel, 5));
        expectInvalidSignature(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, abi.encodePacked(r, s, v));
    }

    /// Loss 10: every length but 64 and 65, the empty signature included.
    function testFuzz_RevertWhen_LengthNeither64Nor65(uint8 length) external {
        vm.assume(length != 64 && length != 65);
        fund(dollarChannel, 5, 0);
        bytes memory whole = sign(dollarChannel, 5);
        bytes memory signature = new bytes(length);
        for (uint256 i; i < length; ++i) {
            signature[i] = whole[i % 65];
        }
        expectInvalidSignature(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, signature);
    }

    /// Loss 10
    function test_RevertWhen_SignatureZero() external {
        fund(dollarChannel, 5, 0);
        expectInvalidSignature(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, new bytes(65));
        expectInvalidSignature(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, new bytes(64));
    }

    /// Loss 10: one flipped bit anywhere.
    function testFuzz_RevertWhen_AnyBitFlipped(uint256 bit) external {
        bit = bound(bit, 0, 65 * 8 - 1);
        fund(dollarChannel, 5, 0);
        bytes memory signature = sign(dollarChannel, 5);
        signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        expectInvalidSignature(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, signature);
    }

    /// Loss 12: the signature counts at low amounts as well, also where nothing is left to pay.
    function test_RevertWhen_SignatureBadAndAmountStale() external {
        fund(dollarChannel, 5, 0);
        escrow.redeem(dollarChannel, 5, sign(dollarChannel, 5));
        expectInvalidSignature(dollarChannel, 0);
        escrow.redeem(dollarChannel, 0, new bytes(65));
    }

    /// Loss 2: a voucher is good for one channel: any other term gives another.
    function test_RevertWhen_VoucherOfAnotherChannel() external {
        bytes memory signature = sign(dollarChannel, 5);
        Channel[4] memory others = [dollarChannel, dollarChannel, dollarChannel, dollarChannel];
        others[0].payee = outsider;
        others[1].token = ETH;
        others[2].salt = "reopened";
        others[3].payer = outsider;
        for (uint256 i; i < others.length; ++i) {
            deposit(outsider, purseOf(others[i]), 10);
            expectInvalidSignature(others[i], 5);
            escrow.redeem(others[i], 5, signature);
        }
    }

    /// Loss 5: one key that signs for two payers spends from each only what it signed for each.
    function test_RevertWhen_VoucherOfAnotherPayerOfSameKey() external {
        Channel memory theirs = sessionChannel;
        theirs.payer = outsider;
        fund(sessionChannel, 10, 0);
        fund(theirs, 10, 0);
        bytes memory signature = sign(sessionChannel, 5);
        expectInvalidSignature(theirs, 5);
        escrow.redeem(theirs, 5, signature);
        escrow.redeem(sessionChannel, 5, signature);
        assertEq(balanceOf(purseOf(theirs)), 10);
        assertEq(balanceOf(purseOf(sessionChannel)), 5);
    }

    /* AMOUNTS */

    function test_RevertWhen_AmountZero() external {
        fund(dollarChannel, 5, 5);
        expectNothingToRedeem(dollarChannel, 0, 0);
    }

    /// Loss 11: same, lower, equal: a voucher at or below the counter pays nothing.
    function testFuzz_RevertWhen_AmountAtOrBelowRedeemed(uint256 redeemed, uint256 amount) external {
        redeemed = bound(redeemed, 1, AMOUNT_MAX);
        amount = bound(amount, 0, redeemed);
        fund(dollarChannel, redeemed, 0);
        escrow.redeem(dollarChannel, uint128(redeemed), sign(dollarChannel, redeemed));
        fund(dollarChannel, AMOUNT_MAX, AMOUNT_MAX);
        expectNothingToRedeem(dollarChannel, redeemed, amount);
    }

    function testFuzz_RevertGiven_NoMoney(uint128 amount) external {
        expectNothingToRedeem(dollarChannel, 0, amount);
    }

    /// Loss 34: a channel that has counted to the end is spent, whatever more is promised.
    function testFuzz_RevertGiven_RedeemedAtMaximum(uint128 amount) external {
        fund(dollarChannel, 0, AMOUNT_MAX);
        escrow.redeem(dollarChannel, type(uint128).max, sign(dollarChannel, type(uint128).max));
        fund(dollarChannel, AMOUNT_MAX, AMOUNT_MAX);
        expectNothingToRedeem(dollarChannel, AMOUNT_MAX, amount);
    }

    /// Rule 5 and loss 6: whatever is promised, reserved and held, the reservation pays first, the account second, and
    /// what neither can pay stays owed. Anyone may call.
    function testFuzz_WhenVoucherGood(
        bool native,
        bool isCompact,
        uint128 cumulativeAmount,
        uint256 reserved,
        uint256 balance,
        address caller
    ) external {
        cumulativeAmount = uint128(bound(cumulativeAmount, 1, type(uint128).max));
        reserved = bound(reserved, 0, AMOUNT_MAX);
        balance = bound(balance, reserved == 0 ? 1 : 0, AMOUNT_MAX);
        Channel memory channel = channelIn(native);
        fund(channel, balance, reserved);
        uint256 owed = cumulativeAmount > AMOUNT_MAX ? AMOUNT_MAX : cumulativeAmount;
        uint256 fromReservation = owed < reserved ? owed : reserved;
        uint256 fromAccount = owed - fromReservation < balance ? owed - fromReservation : balance;
        uint256 paid = fromReservation + fromAccount;
        bytes memory signature = sign(channel, cumulativeAmount);
        if (isCompact) signature = compact(signature);

        vm.expectEmit();
        if (fromAccount == 0) emit IEscrow.Redeemed(idOf(channel), payee, paid);
        else emit IEscrow.RedeemedFromAccount(idOf(channel), payee, idOf(purseOf(channel)), paid, fromAccount);
        vm.prank(caller);
        assertEq(escrow.redeem(channel, cumulativeAmount, signature), paid);

        assertChannel(channel, paid, reserved - fromReservation, 0);
        assertEq(balanceOf(purseOf(channel)), balance - fromAccount);
        assertEq(holdings(payee, channel.token), paid);
        assertEq(held(channel.token), reserved + balance - paid);
    }

    /// Loss 6: short, partial, topped up, the rest; the same voucher throughout.
    function testFuzz_GivenBalanceShort(uint256 amount, uint256 first, uint256 second) external {
        amount = bound(amount, 3, AMOUNT_MAX);
        first = bound(first, 1, amount - 2);
        second = bound(second, 1, amount - first - 1);
        bytes memory signature = sign(dollarChannel, amount);
        fund(dollarChannel, first, 0);
        assertEq(escrow.redeem(dollarChannel, uint128(amount), signature), first);
        expectNothingToRedeem(dollarChannel, first, amount);
        fund(dollarChannel, 0, second);
        assertEq(escrow.redeem(dollarChannel, uint128(amount), signature), second);
        fund(dollarChannel, AMOUNT_MAX, 0);
        assertEq(escrow.redeem(dollarChannel, uint128(amount), signature), amount - first - second);
        expectNothingToRedeem(dollarChannel, amount, amount);
        assertEq(dollar.balanceOf(payee), amount);
    }

    /// Loss 6: one base unit is money as well.
    function test_GivenBalanceOneUnit() external {
        fund(dollarChannel, 1, 0);
        assertEq(escrow.redeem(dollarChannel, 2, sign(dollarChannel, 2)), 1);
        assertEq(balanceOf(purseOf(dollarChannel)), 0);
        expectNothingToRedeem(dollarChannel, 1, 2);
    }

    /// Loss 11: out of order, repeated, interleaved: what is paid is the highest amount shown.
    function testFuzz_WhenVouchersOutOfOrder(uint128[8] memory amounts) external {
        fund(dollarChannel, AMOUNT_MAX, 0);
        uint256 highest;
        for (uint256 i; i < amounts.length; ++i) {
            uint256 amount = bound(amounts[i], 0, AMOUNT_MAX);
            if (amount > highest) {
                assertEq(escrow.redeem(dollarChannel, uint128(amount), sign(dollarChannel, amount)), amount - highest);
                highest = amount;
            }
            expectNothingToRedeem(dollarChannel, highest, amount);
        }
        assertEq(redeemedOf(dollarChannel), highest);
        assertEq(dollar.balanceOf(payee), highest);
    }

    /// Loss 10: the same promise in its other encoding is the same promise.
    function test_RevertWhen_OtherEncodingRedeemed() external {
        fund(dollarChannel, 20, 0);
        bytes memory signature = sign(dollarChannel, 5);
        escrow.redeem(dollarChannel, 5, signature);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 5, 5));
        escrow.redeem(dollarChannel, 5, compact(signature));
    }

    /// Loss 34: an amount beyond 104 bits is clamped and never spills into the reservation or the clock.
    function testFuzz_WhenAmountAbove104Bits(uint128 amount, uint256 redeemed, uint256 more) external {
        amount = uint128(bound(amount, AMOUNT_MAX + 1, type(uint128).max));
        redeemed = bound(redeemed, 1, AMOUNT_MAX - 2);
        more = bound(more, 1, AMOUNT_MAX);
        fund(dollarChannel, 0, redeemed);
        escrow.redeem(dollarChannel, uint128(redeemed), sign(dollarChannel, redeemed));
        fund(dollarChannel, AMOUNT_MAX, more);
        uint256 closeAt = requestClose(dollarChannel);

        assertEq(escrow.redeem(dollarChannel, amount, sign(dollarChannel, amount)), AMOUNT_MAX - redeemed);

        uint256 owed = AMOUNT_MAX - redeemed;
        uint256 reserved = owed < more ? more - owed : 0;
        assertChannel(dollarChannel, AMOUNT_MAX, reserved, closeAt);
        assertEq(balanceOf(purseOf(dollarChannel)), AMOUNT_MAX - (owed - (more - reserved)));
    }

    /* OTHERS */

    /// Loss 4: a payer that pays itself moves its account's money and no reservation.
    function testFuzz_GivenPayeeIsPayer(uint128 amount) external {
        amount = uint128(bound(amount, 1, type(uint128).max));
        fund(dollarChannel, 50, 100);
        Channel memory own = dollarChannel;
        own.payee = payer;
        escrow.redeem(own, amount, sign(own, amount));
        assertChannel(dollarChannel, 0, 100, 0);
        assertEq(escrow.redeem(dollarChannel, 100, sign(dollarChannel, 100)), 100);
    }

    /// Loss 4: so does one that pays a second self.
    function test_GivenPayeeIsSybil() external {
        fund(dollarChannel, 50, 100);
        Channel memory sybil = dollarChannel;
        sybil.payee = makeAddr("sybil");
        escrow.redeem(sybil, type(uint128).max, sign(sybil, type(uint128).max));
        assertEq(balanceOf(purseOf(dollarChannel)), 0);
        assertEq(escrow.redeem(dollarChannel, 100, sign(dollarChannel, 100)), 100);
    }

    /// Loss 5: once served against a reservation, nothing the payer does voids the voucher.
    function test_GivenPayerDidAllItCan() external {
        fund(dollarChannel, 50, 100);
        bytes memory signature = sign(dollarChannel, 100);
        Channel memory sybil = dollarChannel;
        sybil.payee = makeAddr("sybil");
        escrow.redeem(sybil, 20, sign(sybil, 20));
        vm.startPrank(payer);
        escrow.withdraw(purseOf(dollarChannel), 30, payer);
        escrow.requestClose(dollarChannel);
        vm.stopPrank();
        vm.warp(vm.getBlockTimestamp() + EXIT_DELAY - 1);
        assertEq(escrow.redeem(dollarChannel, 100, signature), 100);
    }

    /// Loss 2: closed and reopened in the same block, or later, an old voucher pays nothing.
    function testFuzz_RevertGiven_ChannelReopened(uint256 elapsed) external {
        bytes memory signature = sign(dollarChannel, 60);
        fund(dollarChannel, 0, 100);
        vm.prank(payee);
        escrow.close(dollarChannel, 60, signature);
        vm.warp(vm.getBlockTimestamp() + bound(elapsed, 0, 10 * EXIT_DELAY));
        fund(dollarChannel, 100, 100);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 60, 60));
        escrow.redeem(dollarChannel, 60, signature);
    }

    /// Loss 7: a payee that refuses its money loses nothing, and can have it elsewhere.
    function test_RevertWhen_PayeeRefuses() external {
        OddReceiver odd = new OddReceiver();
        etherChannel.payee = address(odd);
        fund(etherChannel, 0, 100);
        bytes memory signature = sign(etherChannel, 60);
        odd.setConduct(OddReceiver.Conduct.RevertsWithBomb);
        vm.expectRevert(bytes4(keccak256("ETHTransferFailed()")));
        escrow.redeem(etherChannel, 60, signature);
        assertChannel(etherChannel, 0, 100, 0);
        odd.act(address(escrow), 0, abi.encodeCall(IEscrow.redeemTo, (etherChannel, 60, signature, outsider)));
        assertEq(outsider.balance, 60);
    }

    /// Rule 6: redeeming makes no call to the payer, so a payer can't stand in the way.
    function test_GivenPayerRefuses() external {
        OddReceiver odd = new OddReceiver();
        odd.setConduct(OddReceiver.Conduct.BurnsGas);
        Channel memory channel = Channel(address(odd), payee, ETH, NO_SALT, payer);
        open(outsider, channel, 100);
        deposit(outsider, purseOf(channel), 100);
        assertEq(escrow.redeem{gas: 200_000}(channel, 150, sign(channel, 150)), 150);
        assertEq(payee.balance, 150);
    }

    function test_WhenTokenReturnsNothing() external {
        dollarChannel.token = address(new SilentDollar());
        fund(dollarChannel, 10, 0);
        assertEq(escrow.redeem(dollarChannel, 5, sign(dollarChannel, 5)), 5);
        assertEq(holdings(payee, dollarChannel.token), 5);
    }

    /// Invariant 5: every other channel and account stays as it was.
    function test_GivenOtherChannels() external {
        fund(dollarChannel, 10, 10);
        fund(sessionChannel, 10, 10);
        fund(etherChannel, 10, 10);
        Purse memory purse = purseOf(dollarChannel);
        escrow.redeem(dollarChannel, 15, sign(dollarChannel, 15));
        assertChannel(sessionChannel, 0, 10, 0);
        assertChannel(etherChannel, 0, 10, 0);
        assertEq(balanceOf(purseOf(sessionChannel)), 10);
        assertEq(balanceOf(purseOf(etherChannel)), 10);
        assertEq(balanceOf(purse), 5);
    }

    /* HELPERS */

    function expectInvalidSignature(Channel memory channel, uint256 amount) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                IEscrow.InvalidSignature.selector, digestOf(channel, amount), channel.authorizedSigner
            )
        );
    }

    /// @dev Shows a good voucher and expects it to pay nothing.
    function expectNothingToRedeem(Channel memory channel, uint256 redeemed, uint256 amount) private {
        bytes memory signature = sign(channel, amount);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, redeemed, amount));
        escrow.redeem(channel, uint128(amount), signature);
    }
}
