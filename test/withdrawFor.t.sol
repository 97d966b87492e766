// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccountState, IEscrow} from "../contracts/IEscrow.sol";
import {Base, Purse} from "./Base.t.sol";
import {OddReceiver} from "./receivers/OddReceiver.sol";
import {Reentrant} from "./receivers/Reentrant.sol";

contract WithdrawForTest is Base {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    address private bank;
    uint256 private deadline;

    function setUp() public override {
        super.setUp();
        bank = makeAddr("bank");
        deadline = vm.getBlockTimestamp() + 1 hours;
    }

    function purse() private view returns (Purse memory) {
        return purseOf(sessionChannel);
    }

    function nonceOf(Purse memory purse_) private view returns (uint256) {
        return escrow.accountState(idOf(purse_)).nonce;
    }

    function expectInvalidSignature(Purse memory purse_, uint256 amount, address to, uint256 nonce) private {
        bytes32 digest = withdrawalDigestOf(purse_, amount, to, nonce, deadline);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidSignature.selector, digest, purse_.payer));
    }

    /* DEADLINE */

    function testFuzz_RevertWhen_DeadlinePassed(uint256 late) external {
        fund(sessionChannel, 10, 0);
        late = bound(late, 1, 10_000 days);
        bytes memory signature = signWithdrawal(purse(), 5, bank, 0, deadline);
        vm.warp(deadline + late);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.DeadlinePassed.selector, deadline, deadline + late));
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
    }

    /// The deadline is the last second in which it is good.
    function test_WhenDeadlineIsNow() external {
        fund(sessionChannel, 10, 0);
        bytes memory signature = signWithdrawal(purse(), 5, bank, 0, deadline);
        vm.warp(deadline);
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
        assertEq(dollar.balanceOf(bank), 5);
    }

    function test_WhenDeadlineIsNever() external {
        fund(sessionChannel, 10, 0);
        bytes memory signature = signWithdrawal(purse(), 5, bank, 0, type(uint256).max);
        vm.warp(type(uint64).max);
        escrow.withdrawFor(purse(), 5, bank, type(uint256).max, signature);
        assertEq(dollar.balanceOf(bank), 5);
    }

    /* RECIPIENT AND AMOUNT */

    function test_RevertWhen_RecipientZero() external {
        fund(sessionChannel, 10, 0);
        bytes memory signature = signWithdrawal(purse(), 5, address(0), 0, deadline);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidRecipient.selector, address(0)));
        escrow.withdrawFor(purse(), 5, address(0), deadline, signature);
    }

    function test_RevertWhen_RecipientEscrow() external {
        fund(sessionChannel, 10, 0);
        bytes memory signature = signWithdrawal(purse(), 5, address(escrow), 0, deadline);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidRecipient.selector, escrow));
        escrow.withdrawFor(purse(), 5, address(escrow), deadline, signature);
    }

    function test_RevertWhen_AmountZero() external {
        fund(sessionChannel, 10, 0);
        bytes memory signature = signWithdrawal(purse(), 0, bank, 0, deadline);
        vm.expectRevert(IEscrow.ZeroAmount.selector);
        escrow.withdrawFor(purse(), 0, bank, deadline, signature);
        assertEq(nonceOf(purse()), 0);
    }

    function testFuzz_RevertWhen_AmountAboveBalance(uint256 balance, uint256 amount) external {
        balance = bound(balance, 0, AMOUNT_MAX);
        amount = bound(amount, balance + 1, type(uint256).max);
        fund(sessionChannel, balance, 0);
        bytes memory signature = signWithdrawal(purse(), amount, bank, 0, deadline);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InsufficientBalance.selector, balance, amount));
        escrow.withdrawFor(purse(), amount, bank, deadline, signature);
        assertEq(nonceOf(purse()), 0);
    }

    /// Rule 3: what is reserved is not in the account.
    function test_RevertGiven_MoneyReserved() external {
        fund(sessionChannel, 0, 10);
        bytes memory signature = signWithdrawal(purse(), 1, bank, 0, deadline);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InsufficientBalance.selector, 0, 1));
        escrow.withdrawFor(purse(), 1, bank, deadline, signature);
        assertChannel(sessionChannel, 0, 10, 0);
    }

    /* SIGNATURES */

    /// The session key may spend the account by vouchers, and can't take the money itself.
    function test_RevertWhen_SessionSigned() external {
        fund(sessionChannel, 10, 0);
        bytes32 digest = withdrawalDigestOf(purse(), 5, bank, 0, deadline);
        bytes memory signature = signDigest(session, digest);
        expectInvalidSignature(purse(), 5, bank, 0);
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
    }

    function testFuzz_RevertWhen_SignerAnother(uint256 key) external {
        key = bound(key, 1, CURVE_ORDER - 1);
        vm.assume(vm.addr(key) != payer);
        fund(sessionChannel, 10, 0);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, withdrawalDigestOf(purse(), 5, bank, 0, deadline));
        expectInvalidSignature(purse(), 5, bank, 0);
        escrow.withdrawFor(purse(), 5, bank, deadline, abi.encodePacked(r, s, v));
    }

    /// Loss 5: an account of the zero address is not signed for by whoever recovers to zero.
    function test_RevertWhen_PayerZero() external {
        Purse memory nobodys = Purse(address(0), session, address(dollar));
        expectInvalidSignature(nobodys, 5, bank, 0);
        escrow.withdrawFor(nobodys, 5, bank, deadline, new bytes(65));
        expectInvalidSignature(nobodys, 5, bank, 0);
        escrow.withdrawFor(nobodys, 5, bank, deadline, new bytes(64));
    }

    /// Each field another than was signed, one at a time.
    function test_RevertWhen_FieldChanged() external {
        fund(sessionChannel, 100, 0);
        fund(dollarChannel, 100, 0);
        fund(etherChannel, 100, 0);
        deposit(outsider, Purse(outsider, session, address(dollar)), 100);
        bytes memory signature = signWithdrawal(purse(), 5, bank, 0, deadline);

        Purse memory other = Purse(outsider, session, address(dollar));
        expectInvalidSignature(other, 5, bank, 0);
        escrow.withdrawFor(other, 5, bank, deadline, signature);
        other = Purse(payer, payer, address(dollar));
        expectInvalidSignature(other, 5, bank, 0);
        escrow.withdrawFor(other, 5, bank, deadline, signature);
        other = Purse(payer, payer, ETH);
        expectInvalidSignature(other, 5, bank, 0);
        escrow.withdrawFor(other, 5, bank, deadline, signature);

        expectInvalidSignature(purse(), 6, bank, 0);
        escrow.withdrawFor(purse(), 6, bank, deadline, signature);
        expectInvalidSignature(purse(), 5, outsider, 0);
        escrow.withdrawFor(purse(), 5, outsider, deadline, signature);
        ++deadline;
        expectInvalidSignature(purse(), 5, bank, 0);
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
        --deadline;

        // Control: as it was signed it is good.
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
        assertEq(dollar.balanceOf(bank), 5);
    }

    /// Loss 10
    function testFuzz_RevertWhen_HighS(uint256 amount) external {
        amount = bound(amount, 1, AMOUNT_MAX);
        fund(sessionChannel, amount, 0);
        (bytes32 r, bytes32 s, uint8 v) = split(signWithdrawal(purse(), amount, bank, 0, deadline));
        expectInvalidSignature(purse(), amount, bank, 0);
        escrow.withdrawFor(
            purse(),
            amount,
            bank,
            deadline,
            abi.encodePacked(r, CURVE_ORDER - uint256(s), v == 27 ? uint8(28) : uint8(27))
        );
    }

    /// Loss 10: every length but 64 and 65, the empty signature included.
    function testFuzz_RevertWhen_LengthNeither64Nor65(uint8 length) external {
        vm.assume(length != 64 && length != 65);
        fund(sessionChannel, 5, 0);
        bytes memory whole = signWithdrawal(purse(), 5, bank, 0, deadline);
        bytes memory signature = new bytes(length);
        for (uint256 i; i < length; ++i) {
            signature[i] = whole[i % 65];
        }
        expectInvalidSignature(purse(), 5, bank, 0);
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
    }

    /// Loss 10: one flipped bit anywhere.
    function testFuzz_RevertWhen_AnyBitFlipped(uint256 bit) external {
        bit = bound(bit, 0, 65 * 8 - 1);
        fund(sessionChannel, 5, 0);
        bytes memory signature = signWithdrawal(purse(), 5, bank, 0, deadline);
        signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        expectInvalidSignature(purse(), 5, bank, 0);
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
    }

    /* REPLAY */

    /// Loss 30: once, in either encoding.
    function test_RevertWhen_Replayed() external {
        fund(sessionChannel, 100, 0);
        bytes memory signature = signWithdrawal(purse(), 5, bank, 0, deadline);
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
        expectInvalidSignature(purse(), 5, bank, 1);
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
        expectInvalidSignature(purse(), 5, bank, 1);
        escrow.withdrawFor(purse(), 5, bank, deadline, compact(signature));
        assertEq(balanceOf(purse()), 95);
    }

    /// Losses 1 and 30: nor from inside the very transfer that it pays.
    function test_RevertWhen_ReplayedFromTransfer() external {
        Reentrant thief = new Reentrant();
        Purse memory account = purseOf(etherChannel);
        deposit(payer, account, 100);
        bytes memory signature = signWithdrawal(account, 5, address(thief), 0, deadline);
        bytes memory again = abi.encodeCall(IEscrow.withdrawFor, (account, 5, address(thief), deadline, signature));
        thief.arm(address(escrow), 0, again, 0);
        escrow.withdrawFor(account, 5, address(thief), deadline, signature);
        assertTrue(thief.entered());
        assertEq(thief.refusal(), IEscrow.InvalidSignature.selector);
        assertEq(address(thief).balance, 5);
        assertEq(balanceOf(account), 95);
        assertEq(nonceOf(account), 1);
    }

    /// Loss 30: nor after the account was emptied and filled again, by whichever function.
    function test_RevertGiven_AccountEmptiedAndFilled() external {
        fund(sessionChannel, 5, 0);
        bytes memory signature = signWithdrawal(purse(), 5, bank, 0, deadline);
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
        fund(sessionChannel, 50, 0);
        vm.prank(payer);
        escrow.reserve(sessionChannel, 10);
        vm.prank(payer);
        escrow.withdraw(purse(), 10, bank);
        escrow.redeem(sessionChannel, 15, sign(sessionChannel, 15));
        assertEq(nonceOf(purse()), 1, "only a relayed withdrawal moves the nonce");
        expectInvalidSignature(purse(), 5, bank, 1);
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
    }

    /// One signed for a later nonce waits for its turn, and the turns can't be changed.
    function test_WhenNoncesInOrder() external {
        fund(sessionChannel, 100, 0);
        bytes memory second = signWithdrawal(purse(), 7, bank, 1, deadline);
        expectInvalidSignature(purse(), 7, bank, 0);
        escrow.withdrawFor(purse(), 7, bank, deadline, second);
        escrow.withdrawFor(purse(), 5, bank, deadline, signWithdrawal(purse(), 5, bank, 0, deadline));
        escrow.withdrawFor(purse(), 7, bank, deadline, second);
        assertEq(nonceOf(purse()), 2);
        assertEq(balanceOf(purse()), 88);
    }

    /// Loss 3: signed for one chain, one escrow.
    function test_RevertWhen_AnotherChainOrEscrow() external {
        fund(sessionChannel, 10, 0);
        bytes memory signature = signWithdrawal(purse(), 5, bank, 0, deadline);
        uint256 chainId = block.chainid;
        vm.chainId(chainId + 1);
        expectInvalidSignature(purse(), 5, bank, 0);
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
        vm.chainId(chainId);
        IEscrow first = escrow;
        escrow = IEscrow(deployCode("Escrow.sol:Escrow", abi.encode(EXIT_DELAY)));
        fund(sessionChannel, 10, 0);
        expectInvalidSignature(purse(), 5, bank, 0);
        escrow.withdrawFor(purse(), 5, bank, deadline, signature);
        first.withdrawFor(purse(), 5, bank, deadline, signature);
        assertEq(dollar.balanceOf(bank), 5);
    }

    /// A chain that is renumbered strands nobody: the payer signs anew.
    function test_WhenChainForks() external {
        fund(sessionChannel, 10, 0);
        vm.chainId(block.chainid + 1);
        escrow.withdrawFor(purse(), 10, bank, deadline, signWithdrawal(purse(), 10, bank, 0, deadline));
        assertEq(dollar.balanceOf(bank), 10);
    }

    /* TRANSFERS */

    /// Loss 7: a refused withdrawal moves nothing and uses no nonce, so it may be sent again.
    function test_RevertWhen_RecipientRefuses() external {
        OddReceiver odd = new OddReceiver();
        odd.setConduct(OddReceiver.Conduct.Reverts);
        fund(etherChannel, 10, 0);
        bytes memory signature = signWithdrawal(purseOf(etherChannel), 10, address(odd), 0, deadline);
        vm.expectRevert(bytes4(keccak256("ETHTransferFailed()")));
        escrow.withdrawFor(purseOf(etherChannel), 10, address(odd), deadline, signature);
        assertEq(nonceOf(purseOf(etherChannel)), 0);
        odd.setConduct(OddReceiver.Conduct.Accepts);
        escrow.withdrawFor(purseOf(etherChannel), 10, address(odd), deadline, signature);
        assertEq(address(odd).balance, 10);
    }

    function testFuzz_WhenAnyoneRelays(bool native, bool isCompact, uint256 balance, uint256 amount, address relayer)
        external
    {
        balance = bound(balance, 1, AMOUNT_MAX);
        amount = bound(amount, 1, balance);
        Purse memory account = purseOf(channelIn(native));
        deposit(payer, account, balance);
        fund(sessionChannel, 3, 4);
        bytes memory signature = signWithdrawal(account, amount, bank, 0, deadline);
        if (isCompact) signature = compact(signature);

        vm.expectEmit(address(escrow));
        emit IEscrow.WithdrawnFor(idOf(account), bank, amount, 0);
        vm.prank(relayer);
        escrow.withdrawFor(account, amount, bank, deadline, signature);

        AccountState memory state = escrow.accountState(idOf(account));
        assertEq(state.balance, balance - amount);
        assertEq(state.nonce, 1);
        assertEq(holdings(bank, account.token), amount);
        assertEq(held(account.token), balance - amount + (native ? 0 : 7));
        assertEq(balanceOf(purse()), 3);
        assertEq(nonceOf(purse()), 0);
        assertChannel(sessionChannel, 0, 4, 0);
    }

    /// The nonce lies beside the balance in one slot: neither touches the other, however full they are.
    function testFuzz_GivenSlotFull(uint256 nonce, uint256 amount) external {
        nonce = bound(nonce, 0, type(uint64).max - 1);
        amount = bound(amount, 1, AMOUNT_MAX);
        deposit(payer, purse(), AMOUNT_MAX);
        vm.store(address(escrow), idOf(purse()), bytes32(nonce << 104 | AMOUNT_MAX));
        escrow.withdrawFor(purse(), amount, bank, deadline, signWithdrawal(purse(), amount, bank, nonce, deadline));
        assertEq(nonceOf(purse()), nonce + 1);
        assertEq(balanceOf(purse()), AMOUNT_MAX - amount);
        deposit(outsider, purse(), amount);
        assertEq(nonceOf(purse()), nonce + 1);
        assertEq(balanceOf(purse()), AMOUNT_MAX);
    }

    /* DIGEST */

    /// Loss 3
    function testFuzz_WhenDigestIsRead(Purse calldata account, uint256 amount, address to, uint256 nonce, uint256 until)
        external
        view
    {
        assertEq(
            escrow.withdrawalDigest(account, amount, to, nonce, until),
            withdrawalDigestOf(account, amount, to, nonce, until)
        );
    }

    /// A withdrawal's digest is no voucher's, and the other way round, whatever is in them.
    function testFuzz_WhenVoucherIsShown(uint256 amount) external {
        amount = bound(amount, 1, AMOUNT_MAX);
        fund(dollarChannel, AMOUNT_MAX, 0);
        bytes memory voucher = sign(dollarChannel, amount);
        expectInvalidSignature(purseOf(dollarChannel), amount, bank, 0);
        escrow.withdrawFor(purseOf(dollarChannel), amount, bank, deadline, voucher);
    }
}
