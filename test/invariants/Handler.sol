// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Vm} from "forge-std/Vm.sol";

import {AccountState, Channel, ChannelState, IEscrow} from "../../contracts/IEscrow.sol";
import {Purse} from "../Base.t.sol";
import {Toolbox} from "../Toolbox.t.sol";
import {OddReceiver} from "../receivers/OddReceiver.sol";
import {DemoDollar} from "../tokens/DemoDollar.sol";
import {Store} from "./Store.sol";

/// @dev Acts for everybody. Before each call it works out from the store alone, never from the escrow, whether the call
/// must succeed and what it must pay; after it, it checks every rule that speaks of a single call. A rule that is broken
/// reverts, and a revert fails the campaign.
contract Handler is Toolbox {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    Store public immutable STORE;
    DemoDollar private immutable DOLLAR;
    uint256 private immutable EXIT_DELAY;

    /// @dev Payers: one that signs for itself, the same with a session key, one with a session key only, and a contract
    /// that may refuse its refund and shares that session key.
    Purse[] private purses;
    Channel[] private channels;
    OddReceiver private immutable CONTRACT_PAYER;
    address private immutable OUTSIDER;
    address private immutable BANK;

    /// @dev What may be written by the call under way.
    /// @dev The slots that a call may write: an account or a channel lies at its id.
    mapping(bytes32 slot => uint256 call) private named;
    Channel[] private namedChannels;
    bytes32[] private namedAccounts;
    uint256 private calls;

    constructor(IEscrow escrow_, Store store, DemoDollar dollar) {
        escrow = escrow_;
        STORE = store;
        DOLLAR = dollar;
        chainIdAtDeployment = block.chainid;
        EXIT_DELAY = escrow_.exitDelay();
        CONTRACT_PAYER = new OddReceiver();
        OUTSIDER = newSigner("outsider");
        BANK = makeAddr("bank");
        address alice = newSigner("alice");
        address bob = newSigner("bob");
        address phone = newSigner("alice's phone");
        address tablet = newSigner("a shared tablet");
        address[2] memory creators = [newSigner("singer"), newSigner("writer")];
        address[2] memory tokens = [ETH, address(dollar)];
        for (uint256 i; i < tokens.length; ++i) {
            uint256 first = purses.length;
            purses.push(Purse(alice, alice, tokens[i]));
            purses.push(Purse(alice, phone, tokens[i]));
            purses.push(Purse(bob, tablet, tokens[i]));
            purses.push(Purse(address(CONTRACT_PAYER), tablet, tokens[i]));
            for (uint256 j = first; j < first + 4; ++j) {
                _addChannel(purses[j], creators[0], NO_SALT);
                _addChannel(purses[j], creators[1], "second device");
            }
            // Pays itself.
            _addChannel(purses[first], alice, NO_SALT);
            // Two devices of one payer at one creator.
            _addChannel(purses[first], creators[0], "second device");
        }
        // Where refused refunds go; no key signs for them.
        purses.push(Purse(address(CONTRACT_PAYER), address(CONTRACT_PAYER), ETH));
        purses.push(Purse(address(CONTRACT_PAYER), address(CONTRACT_PAYER), address(dollar)));
        vm.label(address(escrow_), "Escrow");
    }

    function _addChannel(Purse memory purse, address payee, bytes32 salt) private {
        channels.push(Channel(purse.payer, payee, purse.token, salt, purse.authorizedSigner));
    }

    function channelCount() external view returns (uint256) {
        return channels.length;
    }

    function purseCount() external view returns (uint256) {
        return purses.length;
    }

    function channelAt(uint256 index) external view returns (Channel memory) {
        return channels[index];
    }

    function purseAt(uint256 index) external view returns (Purse memory) {
        return purses[index];
    }

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
        address from = callerOr(seed, channel.payee, channel.payer);
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
        plan.expected = from == channel.payee && (stale ? before.reserved > 0 : plan.due > 0);
        plan.refund = before.reserved - _min(plan.due, before.reserved);
        plan.expected = plan.expected && _fits(channel, plan.refund);
        plan.payeeBefore = holdings(channel.payee, channel.token);
        plan.payerBefore = wholeOf(channel);
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

    /* ONE CALL */

    /// @dev Makes the call, replays its events, and checks the rules that compare before and after.
    function call(string memory verb, address from, uint256 value, bytes memory data) private returns (bool success) {
        vm.recordLogs();
        vm.record();
        vm.prank(from);
        (success,) = address(escrow).call{value: value}(data);
        (, bytes32[] memory writes) = vm.accesses(address(escrow));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        STORE.count(verb, success);
        ++calls;
        if (success) {
            for (uint256 i; i < writes.length; ++i) {
                assertEq(named[writes[i]], calls, "invariant 5: wrote what it did not name");
            }
            _replay(logs, bytes4(data), from);
        } else if (value > 0) {
            // What it was given for the call it can't carry into the next one.
            vm.deal(from, from.balance - value);
        }
        delete namedChannels;
        delete namedAccounts;
    }

    function _replay(Vm.Log[] memory logs, bytes4 verb, address from) private {
        ChannelState[] memory before = new ChannelState[](namedChannels.length);
        for (uint256 i; i < before.length; ++i) {
            before[i] = STORE.channelState(idOf(namedChannels[i]));
        }
        STORE.replay(logs);
        for (uint256 i; i < before.length; ++i) {
            _checkChannel(namedChannels[i], before[i], verb, from);
        }
        for (uint256 i; i < namedAccounts.length; ++i) {
            bytes32 id = namedAccounts[i];
            assertEq(abi.encode(STORE.accountState(id)), abi.encode(escrow.accountState(id)), "invariant 9: account");
        }
    }

    function _checkChannel(Channel memory channel, ChannelState memory before, bytes4 verb, address from) private view {
        bytes32 id = idOf(channel);
        ChannelState memory now_ = escrow.channelState(id);
        assertEq(abi.encode(STORE.channelState(id)), abi.encode(now_), "invariant 9: channel");
        // Underflows, and so fails, if the counter fell.
        uint256 rise = uint256(now_.redeemed) - before.redeemed;
        assertLe(now_.redeemed, STORE.promised(id), "invariant 2: paid more than was signed");
        if (now_.reserved < before.reserved) {
            uint256 drop = before.reserved - now_.reserved;
            bool ripe = before.closeAt != 0 && vm.getBlockTimestamp() >= before.closeAt;
            assertTrue(
                drop <= rise || (verb == IEscrow.close.selector && from == channel.payee)
                    || (verb == IEscrow.finalizeClose.selector && ripe),
                "invariant 3: a reservation shrank early"
            );
        }
        if (now_.reserved > before.reserved) {
            assertEq(before.closeAt, 0, "invariant 3: a reservation grew while the clock ran");
        }
        if (now_.closeAt == before.closeAt) return;
        if (now_.closeAt == 0) {
            assertTrue(
                verb == IEscrow.close.selector || verb == IEscrow.finalizeClose.selector,
                "invariant 4: a clock stopped early"
            );
        } else {
            assertEq(before.closeAt, 0, "invariant 4: a clock moved");
            assertEq(now_.closeAt, vm.getBlockTimestamp() + EXIT_DELAY, "invariant 4: a clock is wrong");
            assertEq(from, channel.payer, "invariant 4: a clock was started by another");
        }
    }

    /// @dev Allows the call under way to write an account.
    function _name(Purse memory purse) private {
        bytes32 id = idOf(purse);
        named[id] = calls + 1;
        namedAccounts.push(id);
    }

    /// @dev Allows the call under way to write a channel.
    function _name(Channel memory channel) private {
        named[idOf(channel)] = calls + 1;
        namedChannels.push(channel);
    }

    /* REFUNDS */

    function fallBackOf(Channel memory channel) private pure returns (Purse memory) {
        return Purse(channel.payer, channel.payer, channel.token);
    }

    /// @dev What a refund adds to, wherever it lands: the payer's pocket, or the contract payer's own account, which no
    /// key signs for and so nothing else moves.
    function wholeOf(Channel memory channel) private view returns (uint256) {
        uint256 pocket = holdings(channel.payer, channel.token);
        if (channel.payer != address(CONTRACT_PAYER)) return pocket;
        return pocket + STORE.accountState(idOf(fallBackOf(channel))).balance;
    }

    function _checkRefund(Channel memory channel, uint256 before, uint256 refund) private {
        assertEq(wholeOf(channel) - before, refund, "invariant 8: refund");
        if (!_landsInAccount(channel)) STORE.noteReturned(channel.token, refund);
    }

    function _landsInAccount(Channel memory channel) private view returns (bool) {
        return channel.payer == address(CONTRACT_PAYER) && channel.token == ETH && _refuses();
    }

    /// @dev A payer that refuses its refund, and whose own account is full to the last bit, has to empty that first.
    function _fits(Channel memory channel, uint256 refund) private view returns (bool) {
        if (!_landsInAccount(channel)) return true;
        return uint256(STORE.accountState(idOf(fallBackOf(channel))).balance) + refund <= AMOUNT_MAX;
    }

    function _refuses() private view returns (bool) {
        OddReceiver.Conduct conduct = CONTRACT_PAYER.conduct();
        return conduct != OddReceiver.Conduct.Accepts && conduct != OddReceiver.Conduct.ReturnsBomb;
    }

    /* DRAWING */

    function draw(uint256 seed, bytes32 what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what)));
    }

    function channelOf(uint256 seed) private view returns (Channel memory) {
        return channels[draw(seed, "channel") % channels.length];
    }

    /// @dev Mostly small change; now and then an amount that fills the slot.
    function amountOf(uint256 seed, uint256 amount) private pure returns (uint256) {
        return draw(seed, "large") % 200 == 0 ? bound(amount, AMOUNT_MAX / 2, AMOUNT_MAX) : bound(amount, 1, 1_000_000);
    }

    /// @dev Seven times of eight the one who may; else somebody close to it, or a stranger.
    function callerOr(uint256 seed, address rightful, address close_) private view returns (address) {
        uint256 die = draw(seed, "caller") % 16;
        if (die == 0) return close_;
        if (die == 1) return OUTSIDER;
        return rightful;
    }

    /// @dev A new promise, an old one, or one that another key signed.
    function voucherOf(uint256 seed, Channel memory channel, uint256 amount)
        private
        returns (uint128 cumulative, bytes memory signature, bool good)
    {
        bytes32 id = idOf(channel);
        uint128 promised = STORE.promised(id);
        uint256 die = draw(seed, "voucher") % 16;
        if (die == 0) cumulative = uint128(bound(amount, 0, promised));
        else if (die == 1) cumulative = promised;
        else if (draw(seed, "extreme") % 2000 == 0) cumulative = uint128(bound(amount, AMOUNT_MAX, type(uint128).max));
        else cumulative = uint128(_min(uint256(promised) + bound(amount, 1, 100_000), type(uint128).max));
        good = die != 2;
        signature = good ? sign(channel, cumulative) : forge(seed, channel, cumulative);
        if (good) STORE.notePromise(id, cumulative);
    }

    /// @dev By a stranger, over another amount, or the right one malleated, which no form of packing makes good.
    function forge(uint256 seed, Channel memory channel, uint128 cumulative) private view returns (bytes memory) {
        uint256 die = draw(seed, "forge") % 3;
        if (die == 0) return signAs(keyOf(OUTSIDER), channel, cumulative);
        if (die == 1) return sign(channel, uint256(cumulative) + 1);
        (bytes32 r, bytes32 s, uint8 v) = split(sign(channel, cumulative));
        return abi.encodePacked(r, CURVE_ORDER - uint256(s), v == 27 ? uint8(28) : uint8(27));
    }

    /* THE MODEL */

    /// @dev Rule 5: from the reservation first, then from the account, what there is.
    function payable_(Channel memory channel, uint256 cumulative) private view returns (uint256) {
        ChannelState memory state = STORE.channelState(idOf(channel));
        uint256 target = _min(cumulative, AMOUNT_MAX);
        if (target <= state.redeemed) return 0;
        uint256 balance = STORE.accountState(idOf(purseOf(channel))).balance;
        return _min(target - state.redeemed, uint256(state.reserved) + balance);
    }

    /// @dev The same within a batch, after the rows before: they may have used up the reservation, the account, or both.
    function previewRow(uint256[] memory due, uint256 which, uint256 cumulative) private view returns (uint256) {
        Channel memory channel = channels[which];
        ChannelState memory state = STORE.channelState(idOf(channel));
        uint256 redeemed = state.redeemed + due[which];
        if (cumulative <= redeemed) return 0;
        uint256 balance = STORE.accountState(idOf(purseOf(channel))).balance;
        for (uint256 i; i < channels.length; ++i) {
            if (due[i] == 0 || idOf(purseOf(channels[i])) != idOf(purseOf(channel))) continue;
            uint256 reservedThere = STORE.channelState(idOf(channels[i])).reserved;
            if (due[i] > reservedThere) balance -= due[i] - reservedThere;
        }
        uint256 reserved = state.reserved - _min(due[which], state.reserved);
        return _min(cumulative - redeemed, reserved + balance);
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
