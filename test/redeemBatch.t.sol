// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Vm} from "forge-std/Vm.sol";

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Base} from "./Base.t.sol";
import {OddReceiver} from "./receivers/OddReceiver.sol";

contract RedeemBatchTest is Base {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// @dev Dollar channels of one payee with every combination of flags, and a second payer.
    Channel[5] private channels;

    function setUp() public override {
        super.setUp();
        channels[0] = dollarChannel;
        channels[1] = dollarChannel;
        channels[1].authorizedSigner = session;
        channels[2] = dollarChannel;
        channels[2].salt = "tablet";
        channels[3] = sessionChannel;
        channels[4] = dollarChannel;
        channels[4].payer = outsider;
        channels[4].authorizedSigner = outsider;
    }

    /* MALFORMED */

    function test_RevertWhen_RowsEmpty() external {
        expectNothing("");
    }

    /// Cut at every byte, the first row or the second, with every combination of flags.
    function test_RevertWhen_RowsTruncated() external {
        for (uint256 i; i < channels.length; ++i) {
            fund(channels[i], 100, 0);
            bytes memory whole = row(channels[i], 5);
            for (uint256 length = 1; length < whole.length; ++length) {
                bytes memory cut = new bytes(length);
                for (uint256 j; j < length; ++j) {
                    cut[j] = whole[j];
                }
                expectMalformed(cut, 0);
                expectMalformed(bytes.concat(row(dollarChannel, 1), cut), row(dollarChannel, 1).length);
            }
        }
    }

    function testFuzz_RevertWhen_BytesTrail(bytes memory trail) external {
        // Shorter than the shortest row.
        vm.assume(trail.length > 0 && trail.length < 98);
        fund(dollarChannel, 100, 0);
        bytes memory whole = row(dollarChannel, 5);
        expectMalformed(bytes.concat(whole, trail), whole.length);
    }

    function testFuzz_RevertWhen_FlagUnknown(uint8 flags) external {
        flags = uint8(bound(flags, 4, type(uint8).max));
        fund(dollarChannel, 100, 0);
        bytes memory good = row(dollarChannel, 5);
        bytes memory bad = bytes.concat(terms(sessionChannel, 3, 5), compact(sign(sessionChannel, 5)));
        bad[0] = bytes1(flags);
        expectMalformed(bytes.concat(good, bad), good.length);
    }

    /// No bytes at all make it pay what was not signed, or fail in another way than these two.
    function testFuzz_WhenRowsAreNoise(bytes memory rows) external {
        fund(dollarChannel, 100, 100);
        try escrow.redeemBatch(payee, address(dollar), rows) {
            fail();
        } catch (bytes memory reason) {
            bytes4 selector = bytes4(reason);
            assertTrue(selector == IEscrow.MalformedRows.selector || selector == IEscrow.NothingToRedeem.selector);
        }
    }

    /* SKIPPED */

    /// Losses 11 and 16: a stale row is skipped, and alone it reverts.
    function testFuzz_WhenRowStale(uint256 redeemed, uint256 stale) external {
        redeemed = bound(redeemed, 1, AMOUNT_MAX);
        stale = bound(stale, 0, redeemed);
        fund(dollarChannel, redeemed, 0);
        escrow.redeem(dollarChannel, uint128(redeemed), sign(dollarChannel, redeemed));
        fund(dollarChannel, AMOUNT_MAX, 0);
        expectSkipped(row(dollarChannel, stale));
    }

    /// Loss 16
    function test_WhenRowHasNoMoney() external {
        expectSkipped(row(dollarChannel, 5));
    }

    function test_WhenRowOfAmountZero() external {
        fund(dollarChannel, 5, 5);
        expectSkipped(row(dollarChannel, 0));
    }

    /// Losses 5 and 16
    function testFuzz_WhenRowSignedByAnother(uint256 key, uint256 amount) external {
        key = bound(key, 1, CURVE_ORDER - 1);
        vm.assume(vm.addr(key) != payer);
        amount = bound(amount, 1, AMOUNT_MAX);
        fund(dollarChannel, amount, 0);
        expectSkipped(rowWith(dollarChannel, amount, signAs(key, dollarChannel, amount)));
    }

    /// Loss 10
    function testFuzz_WhenRowSignatureHighS(uint256 amount) external {
        amount = bound(amount, 1, AMOUNT_MAX);
        fund(dollarChannel, amount, 0);
        (bytes32 r, bytes32 s, uint8 v) = split(sign(dollarChannel, amount));
        uint256 high = CURVE_ORDER - uint256(s);
        // A high s of more than 255 bits would collide with the parity; below that only the rule refuses it.
        bytes memory signature = abi.encodePacked(r, high | (v == 27 ? 1 << 255 : 0));
        expectSkipped(bytes.concat(terms(dollarChannel, 0, amount), signature));
    }

    /// Loss 10: half the order is the last s that is good. Nobody knows how to sign with a certain s, so the precompile is
    /// told whom to find.
    function test_WhenRowSignatureAtHalfOrder() external {
        fund(dollarChannel, 5, 0);
        vm.mockCall(address(1), abi.encode(digestOf(dollarChannel, 5)), abi.encode(payer));
        bytes memory unsigned = abi.encodePacked(terms(dollarChannel, 0, 5), uint256(1));
        expectSkipped(abi.encodePacked(unsigned, CURVE_ORDER / 2 + 1));
        assertEq(escrow.redeemBatch(payee, address(dollar), abi.encodePacked(unsigned, CURVE_ORDER / 2)), 5);
    }

    /// Loss 10: one flipped bit anywhere after the flags.
    function testFuzz_WhenAnyBitOfRowFlipped(uint256 bit, uint256 which) external {
        Channel memory channel = channels[bound(which, 0, 4)];
        fund(channel, 5, 0);
        bytes memory flipped = row(channel, 5);
        bit = bound(bit, 8, flipped.length * 8 - 1);
        flipped[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        expectSkipped(flipped);
    }

    /// Loss 5: a row whose signer is the zero address is signed by nobody.
    function test_WhenRowSignerZero() external {
        Channel memory channel = dollarChannel;
        channel.authorizedSigner = address(0);
        expectSkipped(bytes.concat(terms(channel, 1, 5), new bytes(64)));
    }

    /// A signature that recovers nobody is answered with nothing; what was answered about the row before, by the same
    /// signer, must not count for it.
    function test_WhenRowSignatureRecoversNobody() external {
        Channel memory other = dollarChannel;
        other.salt = "other";
        fund(dollarChannel, 1000, 1000);
        bytes memory nobody = bytes.concat(terms(other, 2, 20), abi.encodePacked(uint256(0), uint256(1)));
        assertEq(escrow.redeemBatch(payee, address(dollar), bytes.concat(row(dollarChannel, 10), nobody)), 10);
        assertChannel(other, 0, 0, 0);
    }

    function test_WhenRowPayerZero() external {
        Channel memory channel = dollarChannel;
        channel.payer = address(0);
        channel.authorizedSigner = address(0);
        expectSkipped(bytes.concat(terms(channel, 0, 5), new bytes(64)));
    }

    /// Loss 2: what was signed for one payee or token pays no other.
    function test_WhenRowOfAnotherPayeeOrToken() external {
        fund(dollarChannel, 5, 5);
        fund(etherChannel, 5, 5);
        bytes memory rows = row(dollarChannel, 5);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 0, 0));
        escrow.redeemBatch(outsider, address(dollar), rows);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 0, 0));
        escrow.redeemBatch(payee, ETH, rows);
    }

    /* PAID */

    /// Every combination of flags, shortest terms or spelled out: the channel is the same, and so is what is paid.
    function testFuzz_WhenTermsSpelledOut(uint256 which, uint256 amount) external {
        Channel memory channel = channels[bound(which, 0, 4)];
        amount = bound(amount, 1, AMOUNT_MAX);
        fund(channel, amount, 0);
        bytes memory signature = compact(sign(channel, amount));
        for (uint8 flags; flags < 4; ++flags) {
            // Leaving out what is not implied names another channel.
            if (flags & flagsOf(channel) != flagsOf(channel)) continue;
            uint256 snapshot = vm.snapshotState();
            vm.expectEmit();
            emit IEscrow.BatchRedeemed(payee, address(dollar), amount, terms(channel, flags, amount));
            escrow.redeemBatch(payee, address(dollar), bytes.concat(terms(channel, flags, amount), signature));
            assertChannel(channel, amount, 0, 0);
            vm.revertToState(snapshot);
        }
    }

    /// Rule 5 and loss 6: one short row pays what there is and hurts nobody.
    function test_WhenRowShort() external {
        fund(channels[0], 3, 0);
        fund(channels[3], 100, 0);
        bytes memory rows = bytes.concat(row(channels[0], 10), row(channels[3], 20));
        vm.expectEmit();
        emit IEscrow.BatchRedeemed(
            payee, address(dollar), 23, bytes.concat(entry(channels[0], 3), entry(channels[3], 20))
        );
        assertEq(escrow.redeemBatch(payee, address(dollar), rows), 23);
        fund(channels[0], 100, 0);
        assertEq(escrow.redeemBatch(payee, address(dollar), rows), 7);
    }

    /// Loss 11: the same row twice, or a lower one after a higher, pays once.
    function testFuzz_WhenChannelTwice(uint256 first, uint256 second, uint256 balance) external {
        first = bound(first, 1, AMOUNT_MAX);
        second = bound(second, 0, AMOUNT_MAX);
        balance = bound(balance, 1, AMOUNT_MAX);
        fund(dollarChannel, balance, 0);
        uint256 highest = first > second ? first : second;
        uint256 due = highest < balance ? highest : balance;
        bytes memory rows = bytes.concat(row(dollarChannel, first), row(dollarChannel, second));
        assertEq(escrow.redeemBatch(payee, address(dollar), rows), due);
        assertEq(dollar.balanceOf(payee), due);
        assertChannel(dollarChannel, due, 0, 0);
    }

    function test_WhenNativeCoin() external {
        fund(etherChannel, 5, 5);
        assertEq(escrow.redeemBatch(payee, ETH, row(etherChannel, 8)), 8);
        assertEq(payee.balance, 8);
    }

    /// Vouchers redeem throughout a clock, and a batch does not stop it.
    function test_GivenCloseRequested() external {
        fund(dollarChannel, 0, 10);
        uint256 closeAt = requestClose(dollarChannel);
        assertEq(escrow.redeemBatch(payee, address(dollar), row(dollarChannel, 4)), 4);
        assertChannel(dollarChannel, 4, 6, closeAt);
    }

    /// Loss 7: a batch to a payee that refuses its money moves nothing.
    function test_RevertWhen_PayeeRefuses() external {
        OddReceiver odd = new OddReceiver();
        odd.setConduct(OddReceiver.Conduct.Reverts);
        etherChannel.payee = address(odd);
        fund(etherChannel, 0, 10);
        vm.expectRevert(bytes4(keccak256("ETHTransferFailed()")));
        escrow.redeemBatch(address(odd), ETH, row(etherChannel, 5));
        assertChannel(etherChannel, 0, 10, 0);
    }

    /// Rule 10 and loss 16: any mixture of good, stale, bad, short and repeated rows pays exactly the sum of what the
    /// rows would pay one by one, and its entries replay to the state.
    function testFuzz_WhenRowsMixed(uint256 seed) external {
        for (uint256 i; i < channels.length; ++i) {
            fund(channels[i], draw(seed, i) % 100, draw(seed, i + 10) % 100);
        }
        bytes memory rows;
        uint256 due;
        uint256 expectedCount;
        uint256 snapshot = vm.snapshotState();
        for (uint256 i; i < 12; ++i) {
            Channel memory channel = channels[draw(seed, i + 20) % channels.length];
            uint256 amount = draw(seed, i + 40) % 300;
            bool forged = draw(seed, i + 60) % 4 == 0;
            uint256 key = forged ? keyOf(payee) : keyOf(channel.authorizedSigner);
            bytes memory signature = signAs(key, channel, amount);
            rows = bytes.concat(rows, rowWith(channel, amount, signature));
            try escrow.redeem(channel, uint128(amount), signature) returns (uint256 paid) {
                due += paid;
                ++expectedCount;
            } catch {}
        }
        uint256[5] memory redeemed;
        uint256[5] memory reserved;
        uint256[5] memory balances;
        for (uint256 i; i < channels.length; ++i) {
            redeemed[i] = redeemedOf(channels[i]);
            reserved[i] = reservedOf(channels[i]);
            balances[i] = balanceOf(purseOf(channels[i]));
        }
        vm.revertToState(snapshot);
        if (due == 0) return expectNothing(rows);

        vm.recordLogs();
        assertEq(escrow.redeemBatch(payee, address(dollar), rows), due);

        assertEq(dollar.balanceOf(payee), due);
        for (uint256 i; i < channels.length; ++i) {
            assertChannel(channels[i], redeemed[i], reserved[i], 0);
            assertEq(balanceOf(purseOf(channels[i])), balances[i]);
        }
        assertEntriesReplay(expectedCount);
    }

    /* HELPERS */

    function draw(uint256 seed, uint256 index) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, index)));
    }

    /// @dev Each entry names a channel and a total; the last one of each channel is its state.
    function assertEntriesReplay(uint256 expectedCount) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        // The token's own log comes after ours.
        assertEq(logs[0].topics[0], IEscrow.BatchRedeemed.selector);
        (, bytes memory entries) = abi.decode(logs[0].data, (uint256, bytes));
        uint256[5] memory replayed;
        uint256 count;
        for (uint256 offset; offset < entries.length; ++count) {
            (Channel memory channel, uint256 redeemed, uint256 next) = readEntry(entries, offset);
            offset = next;
            for (uint256 i; i < channels.length; ++i) {
                if (idOf(channels[i]) != idOf(channel)) continue;
                assertGt(redeemed, replayed[i]);
                replayed[i] = redeemed;
            }
        }
        assertEq(count, expectedCount);
        for (uint256 i; i < channels.length; ++i) {
            assertEq(replayed[i], redeemedOf(channels[i]));
        }
    }

    function readEntry(bytes memory entries, uint256 offset)
        private
        view
        returns (Channel memory channel, uint256 redeemed, uint256 next)
    {
        uint8 flags = uint8(entries[offset]);
        channel = Channel(address(uint160(number(entries, offset + 1, 20))), payee, address(dollar), 0, address(0));
        redeemed = number(entries, offset + 21, 13);
        next = offset + 34;
        channel.authorizedSigner = channel.payer;
        if (flags & 1 != 0) {
            channel.authorizedSigner = address(uint160(number(entries, next, 20)));
            next += 20;
        }
        if (flags & 2 != 0) {
            channel.salt = bytes32(number(entries, next, 32));
            next += 32;
        }
    }

    function number(bytes memory data, uint256 offset, uint256 length) private pure returns (uint256 value) {
        for (uint256 i; i < length; ++i) {
            value = (value << 8) | uint8(data[offset + i]);
        }
    }

    function expectMalformed(bytes memory rows, uint256 offset) private {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.MalformedRows.selector, offset));
        escrow.redeemBatch(payee, address(dollar), rows);
    }

    function expectNothing(bytes memory rows) private {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 0, 0));
        escrow.redeemBatch(payee, address(dollar), rows);
    }

    /// @dev Alone the row reverts; before, between and after good ones it changes nothing.
    function expectSkipped(bytes memory skipped) private {
        expectNothing(skipped);
        Channel memory first = sessionChannel;
        first.salt = "first";
        Channel memory second = sessionChannel;
        second.salt = "second";
        fund(first, 1000, 0);
        bytes memory rows = bytes.concat(skipped, row(first, 10), skipped, row(second, 20), skipped);
        uint256 before = dollar.balanceOf(payee);
        vm.expectEmit();
        emit IEscrow.BatchRedeemed(payee, address(dollar), 30, bytes.concat(entry(first, 10), entry(second, 20)));
        assertEq(escrow.redeemBatch(payee, address(dollar), rows), 30);
        assertEq(dollar.balanceOf(payee) - before, 30);
    }
}
