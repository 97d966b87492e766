// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Authorization, Channel, IEscrow, Permit} from "../contracts/IEscrow.sol";
import {Purse} from "./Base.t.sol";
import {SplitBase} from "./SplitBase.t.sol";
import {OddReceiver} from "./receivers/OddReceiver.sol";
import {Reentrant} from "./receivers/Reentrant.sol";
import {BlocklistDollar} from "./tokens/BlocklistDollar.sol";
import {FallbackDollar} from "./tokens/FallbackDollar.sol";
import {FeeDollar} from "./tokens/FeeDollar.sol";
import {HookDollar} from "./tokens/HookDollar.sol";

/// @dev Losses that other payment systems had, each made here by the attacker's own hand; README.md beside this file tells
/// what happened to them, by number, and where the same rule is tested in full. What is missing here concerns the programs
/// around the contract.
contract LossesTest is SplitBase {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// Called back before its account was debited, the contract paid again and again.
    function test_Loss01_PaidAgainFromInsideATransfer() external {
        HookDollar hooked = new HookDollar();
        address[2] memory tokens = [ETH, address(hooked)];
        for (uint256 i; i < tokens.length; ++i) {
            Reentrant thief = new Reentrant();
            Purse memory own = Purse(address(thief), session, tokens[i]);
            deposit(outsider, own, 100);
            deposit(payer, Purse(payer, payer, tokens[i]), 100);
            bytes memory withdrawal = abi.encodeCall(IEscrow.withdraw, (own, 100, address(thief)));
            thief.arm(address(escrow), 0, withdrawal, 0);
            assertTrue(thief.act(address(escrow), 0, withdrawal));
            assertTrue(thief.entered());
            assertEq(thief.refusal(), IEscrow.InsufficientBalance.selector);
            assertEq(holdings(address(thief), tokens[i]), 100);
            assertEq(held(tokens[i]), 100);
        }
    }

    /// A channel was closed and opened again, and its old vouchers paid once more.
    function test_Loss02_OldVoucherPaysAfterReopening() external {
        bytes memory old = sign(dollarChannel, 60);
        for (uint256 i; i < 3; ++i) {
            fund(dollarChannel, 0, 100);
            vm.prank(payee);
            if (i == 0) escrow.close(dollarChannel, 60, old);
            else escrow.close(dollarChannel, 0, "");
            // In the same block, then a second and an exit delay later.
            vm.warp(vm.getBlockTimestamp() + (i == 1 ? 1 : i * EXIT_DELAY));
            fund(dollarChannel, 100, 100);
            vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 60, 60));
            escrow.redeem(dollarChannel, 60, old);
            vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 0, 0));
            escrow.redeemBatch(payee, address(dollar), rowWith(dollarChannel, 60, old));
            vm.prank(payee);
            escrow.close(dollarChannel, 0, "");
        }
        assertEq(dollar.balanceOf(payee), 60);
    }

    /// What was hashed was not what the type said: a stray space, another name, a field or the chain left out.
    function test_Loss03_DigestIsNotWhatItSeems() external {
        fund(dollarChannel, 100, 0);
        bytes32 id = idOf(dollarChannel);
        bytes32 good = keccak256(abi.encode(keccak256("Voucher(bytes32 channelId,uint128 cumulativeAmount)"), id, 5));
        bytes32[5] memory digests = [
            typed(separator("Farthing Escrow", true), spaced(id, 5)),
            typed(separator("Farthing", true), good),
            typed(separator("Farthing Escrow", false), good),
            typed(
                separator("Farthing Escrow", true), keccak256(abi.encode(keccak256("Voucher(bytes32 channelId)"), id))
            ),
            typed(separator("Farthing Escrow", true), good)
        ];
        for (uint256 i; i < digests.length; ++i) {
            bytes memory signature = signDigest(payer, digests[i]);
            if (i < digests.length - 1) vm.expectPartialRevert(IEscrow.InvalidSignature.selector);
            escrow.redeem(dollarChannel, 5, signature);
        }
        assertEq(dollar.balanceOf(payee), 5);
    }

    /// A payer signed a voucher to itself and so took back what it had reserved for others.
    function test_Loss04_PayerPaysItselfFromReservation() external {
        fund(dollarChannel, 50, 100);
        address[2] memory selves = [payer, makeAddr("second self")];
        for (uint256 i; i < selves.length; ++i) {
            Channel memory own = dollarChannel;
            own.payee = selves[i];
            uint256 all = type(uint128).max;
            bytes memory signature = sign(own, all);
            // Of the account there is no more than the account.
            if (i > 0) vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 0, all));
            escrow.redeem(own, uint128(all), signature);
            vm.prank(selves[i]);
            vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayee.selector, selves[i], payee));
            escrow.close(dollarChannel, 0, "");
        }
        assertEq(dollar.balanceOf(payer), 50);
        assertEq(escrow.redeem(dollarChannel, 100, sign(dollarChannel, 100)), 100);
    }

    /// A signature was good under another authority than the one that was meant, and revoking a key voided what was earned.
    function test_Loss05_KeyCountsForAnotherPayer() external {
        // One key for two payers; and the key itself is the second's payer.
        Channel memory first = sessionChannel;
        Channel memory second = Channel(session, payee, address(dollar), "phone", session);
        fund(first, 100, 100);
        fund(second, 100, 100);
        bytes memory signature = sign(first, 150);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidSignature.selector, digestOf(second, 150), session));
        escrow.redeem(second, 150, signature);

        // All that the payer can do after it was served.
        vm.startPrank(payer);
        escrow.requestClose(first);
        escrow.withdraw(purseOf(first), 100, payer);
        vm.stopPrank();
        vm.warp(vm.getBlockTimestamp() + EXIT_DELAY - 1);
        assertEq(escrow.redeem(first, 150, signature), 100);
        assertEq(balanceOf(purseOf(second)), 100);
    }

    /// A voucher shown against a short balance was used up, and what it could not pay was lost.
    function test_Loss06_ShortBalanceBurnsTheRest() external {
        Channel memory whole = sessionChannel;
        bytes memory signature = sign(dollarChannel, 100);
        fund(dollarChannel, 30, 0);
        fund(whole, 50, 0);
        bytes memory rows = bytes.concat(rowWith(dollarChannel, 100, signature), row(whole, 50));
        assertEq(escrow.redeemBatch(payee, address(dollar), rows), 80);
        fund(dollarChannel, 20, 15);
        assertEq(escrow.redeem(dollarChannel, 100, signature), 35);
        fund(dollarChannel, 1000, 0);
        assertEq(escrow.redeem(dollarChannel, 100, signature), 35);
        assertEq(dollar.balanceOf(payee), 150);
    }

    /// A payer with a plain key let code run in its name, refused its refund, and so stopped the payee's close; with the clock
    /// run out it took everything back.
    function test_Loss07_OneSideRefusesAndBlocksTheOther() external {
        fund(etherChannel, 0, 100);
        OddReceiver refuser = new OddReceiver();
        refuser.setConduct(OddReceiver.Conduct.Reverts);
        vm.etch(payer, address(refuser).code);
        vm.store(payer, 0, vm.load(address(refuser), 0));
        bytes memory signature = sign(etherChannel, 60);
        vm.prank(payee);
        escrow.close(etherChannel, 60, signature);
        assertEq(payee.balance, 60);
        assertEq(balanceOf(purseOf(etherChannel)), 40);
        vm.prank(payer);
        escrow.withdraw(purseOf(etherChannel), 40, outsider);
        assertEq(outsider.balance, 40);
    }

    /// The same on a token's list: the payee, then the payer, then a member.
    function test_Loss07_BlockedPartyBlocksTheOthers() external {
        BlocklistDollar odd = new BlocklistDollar();
        Channel memory channel = Channel(payer, payee, address(odd), NO_SALT, payer);
        fund(channel, 0, 100);
        odd.mint(address(band), 100);
        address[3] memory blocked = [payee, payer, players[0]];
        for (uint256 i; i < 3; ++i) {
            odd.setBlocked(blocked[i], true);
        }
        bytes memory signature = sign(channel, 60);
        vm.startPrank(payee);
        escrow.redeemTo(channel, 60, signature, outsider);
        (, uint256 refunded) = escrow.close(channel, 0, "");
        vm.stopPrank();
        assertEq(refunded, 40);
        vm.prank(payer);
        escrow.withdraw(purseOf(channel), 40, outsider);
        assertEq(odd.balanceOf(outsider), 100);
        assertEq(band.release(address(odd), players[1]), 30);
        vm.prank(players[0]);
        assertEq(band.releaseTo(address(odd), outsider), 50);
    }

    /// Closed below what was redeemed, a channel kept the rest for ever.
    function test_Loss08_StateWithoutExit() external {
        for (uint256 i; i < 2; ++i) {
            Channel memory channel = channelIn(i == 0);
            fund(channel, 0, 100);
            escrow.redeem(channel, 60, sign(channel, 60));
            vm.prank(payee);
            (, uint256 refunded) = escrow.close(channel, 50, "");
            assertEq(refunded, 40);
            // And with nothing left of it there is nothing to get stuck in, and it can be used again.
            assertEq(held(channel.token), 0);
            fund(channel, 0, 10);
            vm.warp(requestClose(channel));
            assertEq(escrow.finalizeClose(channel), 10);
            assertEq(held(channel.token), 0);
        }
    }

    /// A stranger's deposit of nothing cancelled a victim's exit; a date beyond the largest came out as the past.
    function test_Loss09_OthersMoveTheClock() external {
        fund(dollarChannel, 0, 100);
        uint256 closeAt = requestClose(dollarChannel);
        endow(outsider, address(dollar), 100);
        vm.startPrank(outsider);
        uint256[3] memory dust = [uint256(0), 1, type(uint256).max];
        for (uint256 i; i < dust.length; ++i) {
            vm.expectRevert();
            escrow.open(dollarChannel, dust[i]);
        }
        escrow.deposit(purseOf(dollarChannel), 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayer.selector, outsider, payer));
        escrow.requestClose(dollarChannel);
        vm.stopPrank();
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.CloseAlreadyRequested.selector, closeAt));
        escrow.requestClose(dollarChannel);
        assertChannel(dollarChannel, 0, 100, closeAt);
        vm.warp(closeAt);
        assertEq(escrow.finalizeClose(dollarChannel), 100);
    }

    /// One signature in two spellings was two payments.
    function test_Loss10_TwoEncodingsCountTwice() external {
        fund(dollarChannel, 100, 0);
        bytes memory signature = sign(dollarChannel, 5);
        (bytes32 r, bytes32 s, uint8 v) = split(signature);
        escrow.redeem(dollarChannel, 5, signature);
        bytes memory twin = abi.encodePacked(r, CURVE_ORDER - uint256(s), v == 27 ? uint8(28) : uint8(27));
        vm.expectPartialRevert(IEscrow.InvalidSignature.selector);
        escrow.redeem(dollarChannel, 5, twin);
        vm.expectPartialRevert(IEscrow.NothingToRedeem.selector);
        escrow.redeem(dollarChannel, 5, compact(signature));
        vm.expectPartialRevert(IEscrow.NothingToRedeem.selector);
        escrow.redeemBatch(payee, address(dollar), rowWith(dollarChannel, 5, signature));
        assertEq(dollar.balanceOf(payee), 5);
    }

    /// An off-by-one let the same ticket be shown many times.
    function test_Loss11_WatermarkOffByOne() external {
        fund(dollarChannel, 1000, 0);
        uint256[6] memory shown = [uint256(7), 7, 6, 8, 8, 7];
        uint256[6] memory pays = [uint256(7), 0, 0, 1, 0, 0];
        for (uint256 i; i < shown.length; ++i) {
            bytes memory signature = sign(dollarChannel, shown[i]);
            if (pays[i] == 0) vm.expectPartialRevert(IEscrow.NothingToRedeem.selector);
            uint256 paid = escrow.redeem(dollarChannel, uint128(shown[i]), signature);
            if (pays[i] > 0) assertEq(paid, pays[i]);
        }
        assertEq(dollar.balanceOf(payee), 8);
        assertEq(redeemedOf(dollarChannel), 8);
    }

    /// One dead channel reverted the whole batch, and its retry as well.
    function test_Loss16_DeadRowRevertsTheBatch() external {
        fund(dollarChannel, 0, 100);
        fund(sessionChannel, 0, 100);
        vm.prank(payee);
        escrow.close(sessionChannel, 0, "");
        bytes memory rows = bytes.concat(row(sessionChannel, 40), row(dollarChannel, 60));
        assertEq(escrow.redeemBatch(payee, address(dollar), rows), 60);
        bytes memory forged = rowWith(dollarChannel, 90, signAs(keyOf(outsider), dollarChannel, 90));
        assertEq(escrow.redeemBatch(payee, address(dollar), bytes.concat(forged, row(dollarChannel, 70))), 10);
    }

    /// The close took what was signed for, or all that was reserved, instead of what was owed.
    function test_Loss19_CloseTakesMoreThanIsOwed() external {
        fund(dollarChannel, 500, 400);
        bytes memory signature = sign(dollarChannel, 3);
        vm.prank(payee);
        (uint256 paid, uint256 refunded) = escrow.close(dollarChannel, 3, signature);
        assertEq(paid, 3);
        assertEq(refunded, 397);
        assertEq(balanceOf(purseOf(dollarChannel)), 500);
    }

    /// A permit that failed was passed over, and whoever was named as payer paid by an allowance it had once given.
    function test_Loss26_StandingAllowanceIsDrained() external {
        address[2] memory tokens = [address(dollar), address(new FallbackDollar())];
        for (uint256 i; i < tokens.length; ++i) {
            endow(payer, tokens[i], 100);
            Purse memory stolen = Purse(payer, outsider, tokens[i]);
            Channel memory toThief = Channel(payer, outsider, tokens[i], NO_SALT, outsider);
            Permit memory permit;
            Authorization memory authorization;
            bytes[6] memory attempts = [
                abi.encodeCall(IEscrow.deposit, (stolen, 100)),
                abi.encodeCall(IEscrow.open, (toThief, 100)),
                abi.encodeCall(IEscrow.depositWithPermit, (stolen, 100, permit)),
                abi.encodeCall(IEscrow.openWithPermit, (toThief, 100, permit)),
                abi.encodeCall(IEscrow.depositWithAuthorization, (stolen, 100, authorization)),
                abi.encodeCall(IEscrow.openWithAuthorization, (toThief, 100, authorization))
            ];
            for (uint256 j; j < attempts.length; ++j) {
                vm.prank(outsider);
                (bool done,) = address(escrow).call(attempts[j]);
                assertFalse(done);
            }
            assertEq(holdings(payer, tokens[i]), 100);
        }
    }

    /// A close was requested on one unit; when the time had come the payer topped up, was served, and left, all in one block.
    function test_Loss27_ClockArmedInAdvance() external {
        fund(dollarChannel, 0, 1);
        fund(dollarChannel, 500, 0);
        uint256 closeAt = requestClose(dollarChannel);
        vm.warp(closeAt);
        endow(payer, address(dollar), 500);
        dollar.mint(payer, 500);
        Permit memory permit = signPermit(payer, address(dollar), 500, closeAt);
        Authorization memory authorization = signAuthorization(
            Transfer(payer, address(dollar), 500, idOf(dollarChannel)), 0, type(uint256).max, NO_SALT
        );
        bytes[4] memory topUps = [
            abi.encodeCall(IEscrow.open, (dollarChannel, 500)),
            abi.encodeCall(IEscrow.openWithPermit, (dollarChannel, 500, permit)),
            abi.encodeCall(IEscrow.openWithAuthorization, (dollarChannel, 500, authorization)),
            abi.encodeCall(IEscrow.reserve, (dollarChannel, 500))
        ];
        for (uint256 i; i < topUps.length; ++i) {
            vm.prank(payer);
            (bool done, bytes memory reason) = address(escrow).call(topUps[i]);
            assertFalse(done);
            assertEq(reason, abi.encodeWithSelector(IEscrow.CloseAlreadyRequested.selector, closeAt));
        }
        // Control: with the clock over, the same top-up is taken, and leaves after a whole delay only.
        escrow.finalizeClose(dollarChannel);
        vm.prank(payer);
        escrow.open(dollarChannel, 500);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.CloseNotRequested.selector, idOf(dollarChannel)));
        escrow.finalizeClose(dollarChannel);
    }

    /// Money put in under a victim's name, with the thief's own key as signer, made the thief pass for the victim.
    function test_Loss29_FundedInAVictimsName() external {
        deposit(payer, Purse(payer, payer, address(dollar)), 100);
        deposit(outsider, Purse(payer, outsider, address(dollar)), 10);
        Channel memory asVictim = Channel(payer, payee, address(dollar), NO_SALT, outsider);
        // The thief's key spends the thief's gift and nothing else; its channel is another than the victim's.
        assertEq(escrow.redeem(asVictim, 100, sign(asVictim, 100)), 10);
        assertNotEq(idOf(asVictim), idOf(dollarChannel));
        assertEq(balanceOf(purseOf(dollarChannel)), 100);
        vm.expectPartialRevert(IEscrow.InvalidSignature.selector);
        escrow.redeem(dollarChannel, 5, signAs(keyOf(outsider), dollarChannel, 5));
    }

    /// Whoever relayed a withdrawal sent it again.
    function test_Loss30_RelayedWithdrawalReplayed() external {
        Purse memory purse = purseOf(sessionChannel);
        deposit(payer, purse, 100);
        uint256 deadline = vm.getBlockTimestamp() + 1 hours;
        bytes memory signature = signWithdrawal(purse, 30, payer, 0, deadline);
        escrow.withdrawFor(purse, 30, payer, deadline, signature);
        for (uint256 i; i < 2; ++i) {
            vm.expectPartialRevert(IEscrow.InvalidSignature.selector);
            escrow.withdrawFor(purse, 30, payer, deadline, i == 0 ? signature : compact(signature));
        }
        // One that was never sent is not good for ever.
        signature = signWithdrawal(purse, 30, payer, 1, deadline);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.DeadlinePassed.selector, deadline, deadline + 1));
        escrow.withdrawFor(purse, 30, payer, deadline, signature);
        assertEq(balanceOf(purse), 70);
    }

    /// To redeem less than was signed, the larger signature was shown, and a stranger redeemed the rest. Here whoever shows a
    /// signature shows exactly what it signs, so there is nothing more to be had from it.
    function test_Loss31_LessRedeemedThanSigned() external {
        fund(dollarChannel, 100, 100);
        bytes memory signature = sign(dollarChannel, 80);
        vm.startPrank(payee);
        vm.expectPartialRevert(IEscrow.InvalidSignature.selector);
        escrow.redeem(dollarChannel, 50, signature);
        vm.expectPartialRevert(IEscrow.InvalidSignature.selector);
        escrow.redeemTo(dollarChannel, 50, signature, payee);
        vm.expectPartialRevert(IEscrow.InvalidSignature.selector);
        escrow.close(dollarChannel, 50, signature);
        vm.expectPartialRevert(IEscrow.NothingToRedeem.selector);
        escrow.redeemBatch(payee, address(dollar), rowWith(dollarChannel, 50, signature));
        vm.stopPrank();
        assertEq(escrow.redeem(dollarChannel, 80, signature), 80);
    }

    /// A refund that failed fell back into the account of a session key, which spent it.
    function test_Loss32_RefundFallsToTheSessionKey() external {
        OddReceiver refuser = new OddReceiver();
        Channel memory channel = Channel(address(refuser), payee, ETH, "phone", session);
        open(outsider, channel, 100);
        refuser.setConduct(OddReceiver.Conduct.Reverts);
        vm.prank(payee);
        escrow.close(channel, 0, "");
        assertEq(balanceOf(purseOf(channel)), 0);
        assertEq(balanceOf(Purse(address(refuser), address(refuser), ETH)), 100);
        vm.expectPartialRevert(IEscrow.NothingToRedeem.selector);
        escrow.redeem(channel, 100, sign(channel, 100));
    }

    /// Ether went to the right address before anything was there. It is in no account, for anyone, ever: so clients look for code
    /// before they send, and here only the ledger is shown to be sound all the same.
    function test_Loss33_EtherSentBeforeDeployment() external {
        bytes memory code = abi.encodePacked(vm.getCode("Escrow.sol:Escrow"), EXIT_DELAY);
        address where = vm.computeCreate2Address(0, keccak256(code), address(this));
        vm.deal(payer, 100);
        vm.prank(payer);
        (bool done,) = where.call{value: 100}(abi.encodeCall(IEscrow.deposit, (purseOf(etherChannel), 100)));
        assertTrue(done, "an address without code takes everything");
        assembly ("memory-safe") {
            where := create2(0, add(code, 0x20), mload(code), 0)
        }
        escrow = IEscrow(where);
        assertEq(balanceOf(purseOf(etherChannel)), 0);
        deposit(payer, purseOf(etherChannel), 30);
        assertEq(escrow.redeem(etherChannel, 100, sign(etherChannel, 100)), 30);
        assertEq(where.balance, 100);
    }

    /// A promise beyond what a field counts flowed over into the field beside it.
    function test_Loss34_AmountSpillsIntoItsNeighbour() external {
        fund(dollarChannel, 0, 10);
        fund(dollarChannel, AMOUNT_MAX, 0);
        uint256 closeAt = requestClose(dollarChannel);
        bytes memory signature = sign(dollarChannel, type(uint128).max);
        assertEq(escrow.redeem(dollarChannel, type(uint128).max, signature), AMOUNT_MAX);
        assertChannel(dollarChannel, AMOUNT_MAX, 0, closeAt);
        assertEq(balanceOf(purseOf(dollarChannel)), 10);
        assertEq(escrow.accountState(idOf(purseOf(dollarChannel))).nonce, 0);
        vm.expectPartialRevert(IEscrow.NothingToRedeem.selector);
        escrow.redeem(dollarChannel, type(uint128).max, signature);
    }

    /// An operator's key is stolen. The thief gains nothing; the payee loses its guarantees until it dismisses the key.
    function test_Loss35_OperatorKeyStolen() external {
        vm.prank(payee);
        escrow.setOperator(operator, true);
        fund(dollarChannel, 0, 100);
        fund(sessionChannel, 100, 100);
        bytes memory newest = sign(dollarChannel, 80);
        vm.startPrank(operator);
        escrow.close(dollarChannel, 5, sign(dollarChannel, 5));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayee.selector, operator, payee));
        escrow.redeemTo(sessionChannel, 80, sign(sessionChannel, 80), operator);
        vm.stopPrank();
        assertEq(dollar.balanceOf(operator), 0);
        assertEq(dollar.balanceOf(payee), 5);
        // What was signed is owed still, by an account that may be empty.
        vm.expectPartialRevert(IEscrow.NothingToRedeem.selector);
        escrow.redeem(dollarChannel, 80, newest);
        vm.prank(payee);
        escrow.setOperator(operator, false);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotPayee.selector, operator, payee));
        escrow.close(sessionChannel, 0, "");
    }

    /* OTHERS */

    /// A caller's name at the end of the call's data was believed.
    function test_LossOther_CallerIdentityForged() external {
        fund(dollarChannel, 100, 100);
        bytes[3] memory calls = [
            abi.encodeCall(IEscrow.withdraw, (purseOf(dollarChannel), 100, outsider)),
            abi.encodeCall(IEscrow.requestClose, (dollarChannel)),
            abi.encodeCall(IEscrow.close, (dollarChannel, 0, ""))
        ];
        for (uint256 i; i < calls.length; ++i) {
            vm.prank(outsider);
            (bool done,) = address(escrow).call(abi.encodePacked(calls[i], i < 2 ? payer : payee));
            assertFalse(done);
        }
        assertChannel(dollarChannel, 0, 100, 0);
        assertEq(balanceOf(purseOf(dollarChannel)), 100);
    }

    /// Zero meant "the payer itself" in one place and "nobody" in another.
    function test_LossOther_ZeroHasTwoMeanings() external {
        vm.expectRevert(IEscrow.ZeroAuthorizedSigner.selector);
        escrow.deposit(Purse(payer, address(0), ETH), 1);
        etherChannel.authorizedSigner = address(0);
        vm.expectRevert(IEscrow.ZeroAuthorizedSigner.selector);
        escrow.open(etherChannel, 1);
        vm.expectPartialRevert(IEscrow.InvalidSignature.selector);
        escrow.redeem(etherChannel, 1, new bytes(65));
    }

    /// Parts were rounded down, and what was left over was nobody's.
    function test_LossOther_SplitLeavesDust() external {
        for (uint256 received = 1; received < 250; received += 31) {
            uint256 snapshot = vm.snapshotState();
            give(band, address(dollar), received);
            for (uint256 i; i < 3; ++i) {
                if (band.releasable(address(dollar), players[i]) > 0) band.release(address(dollar), players[i]);
            }
            assertEq(dollar.balanceOf(address(band)), 0);
            vm.revertToState(snapshot);
        }
    }

    /// A signature of odd length made the program panic.
    function test_LossOther_MalformedSignature() external {
        fund(dollarChannel, 100, 0);
        for (uint256 length; length < 130; ++length) {
            bytes memory noise = new bytes(length);
            vm.expectPartialRevert(IEscrow.InvalidSignature.selector);
            escrow.redeem(dollarChannel, 5, noise);
            vm.expectPartialRevert(IEscrow.InvalidSignature.selector);
            escrow.withdrawFor(purseOf(dollarChannel), 5, payer, type(uint256).max, noise);
        }
    }

    /// What was asked for was counted, not what arrived.
    function test_LossOther_FeeOnTransferCountedInFull() external {
        FeeDollar odd = new FeeDollar();
        endow(payer, address(odd), 1000);
        vm.startPrank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TransferMismatch.selector, 494, 500));
        escrow.deposit(Purse(payer, payer, address(odd)), 500);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TransferMismatch.selector, 494, 500));
        escrow.open(Channel(payer, payee, address(odd), NO_SALT, payer), 500);
    }

    /* HASHING, WRONGLY */

    function typed(bytes32 separator_, bytes32 structHash) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", separator_, structHash));
    }

    function spaced(bytes32 id, uint256 amount) private pure returns (bytes32) {
        return keccak256(abi.encode(keccak256("Voucher(bytes32 channelId, uint128 cumulativeAmount)"), id, amount));
    }

    function separator(string memory name, bool withChain) private view returns (bytes32) {
        if (withChain) {
            bytes32 typehash =
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
            return keccak256(abi.encode(typehash, keccak256(bytes(name)), keccak256("1"), block.chainid, escrow));
        }
        bytes32 chainless = keccak256("EIP712Domain(string name,string version,address verifyingContract)");
        return keccak256(abi.encode(chainless, keccak256(bytes(name)), keccak256("1"), escrow));
    }
}
