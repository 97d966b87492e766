// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccountState, Authorization, Channel, ChannelState, IEscrow, Permit} from "../../contracts/IEscrow.sol";
import {Purse} from "../Base.t.sol";
import {OddReceiver} from "../receivers/OddReceiver.sol";
import {DemoDollar} from "../tokens/DemoDollar.sol";
import {Store} from "./Store.sol";
import {World} from "./World.sol";

/// @dev Acts for everybody. Before each call it works out from the store alone, never from the escrow, whether the call
/// must succeed and what it must pay; after it, it checks every rule that speaks of a single call. A rule that is broken
/// reverts, and a revert fails the campaign.
contract Handler is World {
    constructor(IEscrow escrow_, Store store, DemoDollar dollar) World(escrow_, store, dollar) {}

    /* THE WORLD */

    function warp(uint256 elapsed) external {
        vm.warp(vm.getBlockTimestamp() + bound(elapsed, 0, EXIT_DELAY / 2));
    }

    /// @dev The contract payer takes its refunds, or does not.
    function setConduct(uint256 seed) external {
        CONTRACT_PAYER.setConduct(OddReceiver.Conduct(seed % 5));
    }

    /// @dev Dollars that nobody accounts for. ETH can't be sent so: the escrow receives none without a call.
    function give(uint256 amount) external {
        amount = bound(amount, 1, 1000);
        DOLLAR.mint(address(escrow), amount);
        STORE.noteGiven(address(DOLLAR), amount);
    }

    /* FUND */

    function deposit(uint256 seed, uint256 amount) external {
        Purse memory purse = purses[draw(seed, "purse") % purses.length];
        amount = amountOf(seed, amount);
        address from = draw(seed, "from") % 3 == 0 ? OUTSIDER : purse.payer;
        uint256 value = endow(from, purse.token, amount);
        _name(purse);

        AccountState memory before = STORE.accountState(idOf(purse));
        bool expected = uint256(before.balance) + amount <= AMOUNT_MAX;
        bool success = call("deposit", from, value, abi.encodeCall(IEscrow.deposit, (purse, amount)));

        assertEq(success, expected, "deposit");
        if (success) STORE.noteFunded(purse.token, amount);
    }

    function open(uint256 seed, uint256 amount) external {
        Channel memory channel = channelOf(seed);
        amount = amountOf(seed, amount);
        address from = draw(seed, "from") % 3 == 0 ? OUTSIDER : channel.payer;
        uint256 value = endow(from, channel.token, amount);
        _name(channel);

        ChannelState memory before = STORE.channelState(idOf(channel));
        bool expected = before.closeAt == 0 && uint256(before.reserved) + amount <= AMOUNT_MAX;
        bool success = call("open", from, value, abi.encodeCall(IEscrow.open, (channel, amount)));

        assertEq(success, expected, "open");
        if (success) STORE.noteFunded(channel.token, amount);
    }

    /// @dev A permit by the caller, for its own tokens; sometimes one that somebody showed before, one by somebody else, or one
    /// too late. Nothing but the permit allows it, though the payer has often allowed everything.
    function depositWithPermit(uint256 seed, uint256 amount) external {
        Purse memory purse = signingPurseOf(seed);
        amount = amountOf(seed, amount);
        address from = callerWithKey(seed, purse.payer);
        (Permit memory permit, bool good) = permitOf(seed, from, purse.token, amount);
        _name(purse);

        uint256 balance = STORE.accountState(idOf(purse)).balance;
        bool expected = good && purse.token != ETH && balance + amount <= AMOUNT_MAX;
        bytes memory data = abi.encodeCall(IEscrow.depositWithPermit, (purse, amount, permit));
        checkFunding("depositWithPermit", from, purse.token, amount, expected, from, data);
    }

    function openWithPermit(uint256 seed, uint256 amount) external {
        Channel memory channel = signingChannelOf(seed);
        amount = amountOf(seed, amount);
        address from = callerWithKey(seed, channel.payer);
        (Permit memory permit, bool good) = permitOf(seed, from, channel.token, amount);
        _name(channel);

        bytes memory data = abi.encodeCall(IEscrow.openWithPermit, (channel, amount, permit));
        checkFunding("openWithPermit", from, channel.token, amount, good && accepts(channel, amount), from, data);
    }

    /// @dev The payer's authorization, whoever relays it; sometimes one for another account or channel, one that was used
    /// before, or one too late.
    function depositWithAuthorization(uint256 seed, uint256 amount) external {
        Purse memory purse = signingPurseOf(seed);
        amount = amountOf(seed, amount);
        bytes32 other = idOf(purses[draw(seed, "other") % purses.length]);
        Transfer memory transfer = Transfer(purse.payer, purse.token, amount, idOf(purse));
        (Authorization memory authorization, bool good) = authorizationOf(seed, transfer, other);
        _name(purse);

        uint256 balance = STORE.accountState(idOf(purse)).balance;
        bool expected = good && purse.token != ETH && balance + amount <= AMOUNT_MAX;
        bytes memory data = abi.encodeCall(IEscrow.depositWithAuthorization, (purse, amount, authorization));
        checkFunding("depositWithAuthorization", OUTSIDER, purse.token, amount, expected, purse.payer, data);
    }

    function openWithAuthorization(uint256 seed, uint256 amount) external {
        Channel memory channel = signingChannelOf(seed);
        amount = amountOf(seed, amount);
        bytes32 other = idOf(channels[draw(seed, "other") % channels.length]);
        Transfer memory transfer = Transfer(channel.payer, channel.token, amount, idOf(channel));
        (Authorization memory authorization, bool good) = authorizationOf(seed, transfer, other);
        _name(channel);

        bool expected = good && accepts(channel, amount);
        bytes memory data = abi.encodeCall(IEscrow.openWithAuthorization, (channel, amount, authorization));
        checkFunding("openWithAuthorization", OUTSIDER, channel.token, amount, expected, channel.payer, data);
    }

    /// @dev Whose tokens they are decides: the caller's for a permit, the payer's for an authorization.
    function checkFunding(
        string memory verb,
        address from,
        address token,
        uint256 amount,
        bool expected,
        address source,
        bytes memory data
    ) private {
        uint256 before = holdings(source, token);
        assertEq(call(verb, from, 0, data), expected, verb);
        if (!expected) return;
        assertEq(before - holdings(source, token), amount, "what a funding takes");
        STORE.noteFunded(token, amount);
    }

    function accepts(Channel memory channel, uint256 amount) private view returns (bool) {
        ChannelState memory state = STORE.channelState(idOf(channel));
        return channel.token != ETH && state.closeAt == 0 && uint256(state.reserved) + amount <= AMOUNT_MAX;
    }

    /* GUARANTEE */

    function reserve(uint256 seed, uint256 amount) external {
        Channel memory channel = channelOf(seed);
        address from = callerOr(seed, channel.payer, channel.authorizedSigner);
        AccountState memory account = STORE.accountState(idOf(purseOf(channel)));
        // Mostly what there is, sometimes a little more.
        amount = bound(amount, 1, uint256(account.balance) + account.balance / 8 + 1);
        _name(channel);
        _name(purseOf(channel));

        ChannelState memory before = STORE.channelState(idOf(channel));
        bool expected = from == channel.payer && amount <= account.balance && before.closeAt == 0
            && uint256(before.reserved) + amount <= AMOUNT_MAX;
        assertEq(call("reserve", from, 0, abi.encodeCall(IEscrow.reserve, (channel, amount))), expected, "reserve");
    }

    /* EARN */

    function redeem(uint256 seed, uint256 amount) external {
        Channel memory channel = channelOf(seed);
        (uint128 cumulative, bytes memory signature, bool good) = voucherOf(seed, channel, amount);
        uint256 due = good ? payable_(channel, cumulative) : 0;
        _name(channel);
        _name(purseOf(channel));
        uint256 before = holdings(channel.payee, channel.token);

        address from = draw(seed, "from") % 2 == 0 ? OUTSIDER : channel.payee;
        if (draw(seed, "compact") % 2 == 0) signature = compact(signature);
        bytes memory data = abi.encodeCall(IEscrow.redeem, (channel, cumulative, signature));
        assertEq(call("redeem", from, 0, data), due > 0, "redeem");

        assertEq(holdings(channel.payee, channel.token) - before, due, "what a redemption pays");
        STORE.noteReceived(idOf(channel), channel.token, due);
    }

    function redeemTo(uint256 seed, uint256 amount) external {
        Channel memory channel = channelOf(seed);
        (uint128 cumulative, bytes memory signature, bool good) = voucherOf(seed, channel, amount);
        address from = callerOr(seed, channel.payee, channel.payer);
        uint256 due = good && from == channel.payee ? payable_(channel, cumulative) : 0;
        _name(channel);
        _name(purseOf(channel));
        uint256 before = holdings(BANK, channel.token);

        bytes memory data = abi.encodeCall(IEscrow.redeemTo, (channel, cumulative, signature, BANK));
        assertEq(call("redeemTo", from, 0, data), due > 0, "redeemTo");

        assertEq(holdings(BANK, channel.token) - before, due, "what a redemption elsewhere pays");
        STORE.noteReceived(idOf(channel), channel.token, due);
    }

    /// @dev Up to five rows of one payee and token: good, stale, forged, short, and some channel twice.
    function redeemBatch(uint256 seed, uint256 amount) external {
        Channel memory first = channelOf(seed);
        bytes memory rows;
        uint256[] memory due = new uint256[](channels.length);
        uint256 total;
        for (uint256 i; i < 5; ++i) {
            uint256 which = draw(seed, bytes32(i)) % channels.length;
            Channel memory channel = channels[which];
            if (channel.payee != first.payee || channel.token != first.token) continue;
            uint256 rowSeed = draw(seed, bytes32(i + 100));
            (uint128 cumulative, bytes memory signature, bool good) = voucherOf(rowSeed, channel, amount >> i);
            if (cumulative > AMOUNT_MAX) continue;
            rows = bytes.concat(rows, rowWith(channel, cumulative, signature));
            _name(channel);
            _name(purseOf(channel));
            uint256 paid = good ? previewRow(due, which, cumulative) : 0;
            due[which] += paid;
            total += paid;
        }
        uint256 before = holdings(first.payee, first.token);

        bytes memory data = abi.encodeCall(IEscrow.redeemBatch, (first.payee, first.token, rows));
        assertEq(call("redeemBatch", OUTSIDER, 0, data), total > 0, "redeemBatch");

        assertEq(holdings(first.payee, first.token) - before, total, "what a batch pays");
        for (uint256 i; i < due.length; ++i) {
            if (due[i] > 0) STORE.noteReceived(idOf(channels[i]), first.token, due[i]);
        }
    }

    /* END */

    struct Closing {
        bool expected;
        uint256 due;
        uint256 refund;
        uint256 payeeBefore;
        uint256 payerBefore;
    }

    function close(uint256 seed, uint256 amount) external {
        // Half as often as the others, or little would stay open.
        if (draw(seed, "rarely") % 2 != 0) return;
        Channel memory channel = channelOf(seed);
        (uint128 cumulative, bytes memory signature, bool good) = voucherOf(seed, channel, amount);
        address from = closerOf(seed, channel);
        Closing memory plan = planClose(channel, cumulative, good, from);
        _name(channel);
        _name(purseOf(channel));
        _name(fallBackOf(channel));

        bytes memory data = abi.encodeCall(IEscrow.close, (channel, cumulative, signature));
        assertEq(call("close", from, 0, data), plan.expected, "close");

        if (!plan.expected) return;
        STORE.noteReceived(idOf(channel), channel.token, plan.due);
        if (channel.payee == channel.payer) {
            STORE.noteReturned(channel.token, plan.refund);
            plan.due += plan.refund;
        } else {
            _checkRefund(channel, plan.payerBefore, plan.refund);
        }
        assertEq(holdings(channel.payee, channel.token) - plan.payeeBefore, plan.due, "what a close pays");
    }

    function planClose(Channel memory channel, uint128 cumulative, bool good, address from)
        private
        view
        returns (Closing memory plan)
    {
        ChannelState memory before = STORE.channelState(idOf(channel));
        bool stale = cumulative <= before.redeemed;
        if (good && !stale) plan.due = payable_(channel, cumulative);
        plan.expected = mayClose(channel, from) && (stale ? before.reserved > 0 : plan.due > 0);
        plan.refund = before.reserved - _min(plan.due, before.reserved);
        plan.expected = plan.expected && _fits(channel, plan.refund);
        plan.payeeBefore = holdings(channel.payee, channel.token);
        plan.payerBefore = wholeOf(channel);
    }

    function setOperator(uint256 seed) external {
        Channel memory channel = channelOf(seed);
        address operator = managers[draw(seed, "manager") % 2];
        bool allowed = draw(seed, "allowed") % 3 != 0;
        // The payee says so itself; what anyone else says is about its own channels.
        address from = callerOr(seed, channel.payee, channel.payer);
        _nameOperator(from, operator);
        assertTrue(
            call("setOperator", from, 0, abi.encodeCall(IEscrow.setOperator, (operator, allowed))), "setOperator"
        );
        assertEq(STORE.isOperator(from, operator), allowed, "setOperator");
    }

    function requestClose(uint256 seed) external {
        Channel memory channel = channelOf(seed);
        address from = callerOr(seed, channel.payer, channel.authorizedSigner);
        ChannelState memory before = STORE.channelState(idOf(channel));
        bool expected = from == channel.payer && before.closeAt == 0 && before.reserved > 0;
        _name(channel);
        bool success = call("requestClose", from, 0, abi.encodeCall(IEscrow.requestClose, (channel)));
        assertEq(success, expected, "requestClose");
    }

    function finalizeClose(uint256 seed) external {
        Channel memory channel = channelOf(seed);
        ChannelState memory before = STORE.channelState(idOf(channel));
        bool expected =
            before.closeAt != 0 && vm.getBlockTimestamp() >= before.closeAt && _fits(channel, before.reserved);
        _name(channel);
        _name(fallBackOf(channel));
        uint256 whole = wholeOf(channel);

        address from = draw(seed, "from") % 2 == 0 ? OUTSIDER : channel.payer;
        bool success = call("finalizeClose", from, 0, abi.encodeCall(IEscrow.finalizeClose, (channel)));

        assertEq(success, expected, "finalizeClose");
        if (success) _checkRefund(channel, whole, before.reserved);
    }

    function withdraw(uint256 seed, uint256 amount) external {
        Purse memory purse = purses[draw(seed, "purse") % purses.length];
        address from = callerOr(seed, purse.payer, purse.authorizedSigner);
        AccountState memory before = STORE.accountState(idOf(purse));
        // Mostly a small part, sometimes more than there is.
        amount = draw(seed, "greed") % 8 == 0
            ? bound(amount, 1, uint256(before.balance) * 2 + 1)
            : bound(amount, 1, before.balance / 4 + 1);
        _name(purse);
        uint256 heldByBank = holdings(BANK, purse.token);

        bool expected = from == purse.payer && amount <= before.balance;
        bytes memory data = abi.encodeCall(IEscrow.withdraw, (purse, amount, BANK));
        assertEq(call("withdraw", from, 0, data), expected, "withdraw");

        if (!expected) return;
        assertEq(holdings(BANK, purse.token) - heldByBank, amount, "what a withdrawal pays");
        STORE.noteReturned(purse.token, amount);
    }

    /// @dev With the payer's signature; sometimes one that was used before, one too late, one by the session key, or one that
    /// names somebody else.
    function withdrawFor(uint256 seed, uint256 amount) external {
        Purse memory purse = purses[draw(seed, "purse") % purses.length];
        if (purse.payer == address(CONTRACT_PAYER)) purse = purses[draw(seed, "another") % purses.length];
        AccountState memory before = STORE.accountState(idOf(purse));
        amount = draw(seed, "greed") % 8 == 0
            ? bound(amount, 1, uint256(before.balance) * 2 + 1)
            : bound(amount, 1, before.balance / 4 + 1);
        (uint256 deadline, bytes memory signature, bool good) = withdrawalOf(seed, purse, amount, before.nonce);
        _name(purse);
        uint256 heldByBank = holdings(BANK, purse.token);

        bool expected = good && amount <= before.balance;
        bytes memory data = abi.encodeCall(IEscrow.withdrawFor, (purse, amount, BANK, deadline, signature));
        assertEq(call("withdrawFor", OUTSIDER, 0, data), expected, "withdrawFor");

        if (!expected) return;
        assertEq(holdings(BANK, purse.token) - heldByBank, amount, "what a relayed withdrawal pays");
        assertEq(STORE.accountState(idOf(purse)).nonce, before.nonce + 1, "a nonce counts by one");
        STORE.noteReturned(purse.token, amount);
    }

    /* EXIT */

    /// @dev The payee alone: shows the best voucher it has, and must be paid all there is for it.
    function exitPayee(Channel memory channel) external {
        uint128 promised = STORE.promised(idOf(channel));
        uint256 due = payable_(channel, promised);
        if (due == 0) return;
        _name(channel);
        _name(purseOf(channel));
        uint256 before = holdings(channel.payee, channel.token);
        bytes memory data = abi.encodeCall(IEscrow.redeem, (channel, promised, sign(channel, promised)));
        assertTrue(call("exit", channel.payee, 0, data), "a payee can't exit");
        assertEq(holdings(channel.payee, channel.token) - before, due, "what an exit pays");
        STORE.noteReceived(idOf(channel), channel.token, due);
    }

    /// @dev The payer alone: requests what is not requested yet.
    function exitRequest(Channel memory channel) external {
        ChannelState memory state = STORE.channelState(idOf(channel));
        if (state.reserved == 0 || state.closeAt != 0) return;
        _name(channel);
        bytes memory data = abi.encodeCall(IEscrow.requestClose, (channel));
        assertTrue(call("exit", channel.payer, 0, data), "a payer can't request");
    }

    function exitFinalize(Channel memory channel) external {
        ChannelState memory state = STORE.channelState(idOf(channel));
        if (state.closeAt == 0) return;
        _name(channel);
        _name(fallBackOf(channel));
        uint256 whole = wholeOf(channel);
        bytes memory data = abi.encodeCall(IEscrow.finalizeClose, (channel));
        assertTrue(call("exit", channel.payer, 0, data), "a payer can't finalize");
        _checkRefund(channel, whole, state.reserved);
    }

    function exitWithdraw(Purse memory purse) external {
        uint256 balance = STORE.accountState(idOf(purse)).balance;
        if (balance == 0) return;
        _name(purse);
        bytes memory data = abi.encodeCall(IEscrow.withdraw, (purse, balance, BANK));
        assertTrue(call("exit", purse.payer, 0, data), "a payer can't withdraw");
        STORE.noteReturned(purse.token, balance);
    }
}
