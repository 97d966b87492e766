// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Vm} from "forge-std/Vm.sol";

import {AccountState, Authorization, Channel, ChannelState, IEscrow, Permit} from "../../contracts/IEscrow.sol";
import {Purse} from "../Base.t.sol";
import {Toolbox} from "../Toolbox.t.sol";
import {OddReceiver} from "../receivers/OddReceiver.sol";
import {DemoDollar} from "../tokens/DemoDollar.sol";
import {Store} from "./Store.sol";

/// @dev Who there is, how one call is made and checked, what is drawn, and what the store says must come of it.
abstract contract World is Toolbox {
    uint256 internal constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    Store public immutable STORE;
    DemoDollar internal immutable DOLLAR;
    uint256 internal immutable EXIT_DELAY;

    /// @dev Payers: one that signs for itself, the same with a session key, one with a session key only, and a contract
    /// that may refuse its refund and shares that session key.
    Purse[] internal purses;
    Channel[] internal channels;
    OddReceiver internal immutable CONTRACT_PAYER;
    address internal immutable OUTSIDER;
    address internal immutable BANK;
    /// @dev Keys that payees let close for them, now and then.
    address[2] internal managers;

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
        managers = [newSigner("manager"), newSigner("gateway")];
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

    function managerAt(uint256 index) external view returns (address) {
        return managers[index];
    }

    function channelAt(uint256 index) external view returns (Channel memory) {
        return channels[index];
    }

    function purseAt(uint256 index) external view returns (Purse memory) {
        return purses[index];
    }

    /* ONE CALL */

    /// @dev Makes the call, replays its events, and checks the rules that compare before and after.
    function call(string memory verb, address from, uint256 value, bytes memory data) internal returns (bool success) {
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

    function _replay(Vm.Log[] memory logs, bytes4 verb, address from) internal {
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

    function _checkChannel(Channel memory channel, ChannelState memory before, bytes4 verb, address from)
        internal
        view
    {
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
                drop <= rise || (verb == IEscrow.close.selector && mayClose(channel, from))
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
    function _name(Purse memory purse) internal {
        bytes32 id = idOf(purse);
        named[id] = calls + 1;
        namedAccounts.push(id);
    }

    /// @dev Allows the call under way to write a channel.
    function _name(Channel memory channel) internal {
        named[idOf(channel)] = calls + 1;
        namedChannels.push(channel);
    }

    /// @dev Allows the call under way to write whether a payee's key may close; the mapping is the first in the storage.
    function _nameOperator(address payee, address operator) internal {
        named[keccak256(abi.encode(operator, keccak256(abi.encode(payee, uint256(0)))))] = calls + 1;
    }

    /* REFUNDS */

    function fallBackOf(Channel memory channel) internal pure returns (Purse memory) {
        return Purse(channel.payer, channel.payer, channel.token);
    }

    /// @dev What a refund adds to, wherever it lands: the payer's pocket, or the contract payer's own account, which no
    /// key signs for and so nothing else moves.
    function wholeOf(Channel memory channel) internal view returns (uint256) {
        uint256 pocket = holdings(channel.payer, channel.token);
        if (channel.payer != address(CONTRACT_PAYER)) return pocket;
        return pocket + STORE.accountState(idOf(fallBackOf(channel))).balance;
    }

    function _checkRefund(Channel memory channel, uint256 before, uint256 refund) internal {
        assertEq(wholeOf(channel) - before, refund, "invariant 8: refund");
        if (!_landsInAccount(channel)) STORE.noteReturned(channel.token, refund);
    }

    function _landsInAccount(Channel memory channel) internal view returns (bool) {
        return channel.payer == address(CONTRACT_PAYER) && channel.token == ETH && _refuses();
    }

    /// @dev A payer that refuses its refund, and whose own account is full to the last bit, has to empty that first.
    function _fits(Channel memory channel, uint256 refund) internal view returns (bool) {
        if (!_landsInAccount(channel)) return true;
        return uint256(STORE.accountState(idOf(fallBackOf(channel))).balance) + refund <= AMOUNT_MAX;
    }

    function _refuses() internal view returns (bool) {
        OddReceiver.Conduct conduct = CONTRACT_PAYER.conduct();
        return conduct != OddReceiver.Conduct.Accepts && conduct != OddReceiver.Conduct.ReturnsBomb;
    }

    /* DRAWING */

    function draw(uint256 seed, bytes32 what) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what)));
    }

    function channelOf(uint256 seed) internal view returns (Channel memory) {
        return channels[draw(seed, "channel") % channels.length];
    }

    /// @dev Mostly small change; now and then an amount that fills the slot.
    function amountOf(uint256 seed, uint256 amount) internal pure returns (uint256) {
        return draw(seed, "large") % 200 == 0 ? bound(amount, AMOUNT_MAX / 2, AMOUNT_MAX) : bound(amount, 1, 1_000_000);
    }

    /// @dev Seven times of eight the one who may; else somebody close to it, or a stranger.
    function callerOr(uint256 seed, address rightful, address close_) internal view returns (address) {
        uint256 die = draw(seed, "caller") % 16;
        if (die == 0) return close_;
        if (die == 1) return OUTSIDER;
        return rightful;
    }

    /// @dev A new promise, an old one, or one that another key signed.
    function voucherOf(uint256 seed, Channel memory channel, uint256 amount)
        internal
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
    function forge(uint256 seed, Channel memory channel, uint128 cumulative) internal view returns (bytes memory) {
        uint256 die = draw(seed, "forge") % 3;
        if (die == 0) return signAs(keyOf(OUTSIDER), channel, cumulative);
        if (die == 1) return sign(channel, uint256(cumulative) + 1);
        (bytes32 r, bytes32 s, uint8 v) = split(sign(channel, cumulative));
        return abi.encodePacked(r, CURVE_ORDER - uint256(s), v == 27 ? uint8(28) : uint8(27));
    }

    /// @dev Of eight closings four are the payee's, two a manager's, who may or may not be its operator.
    function closerOf(uint256 seed, Channel memory channel) internal view returns (address) {
        uint256 die = draw(seed, "closer") % 8;
        if (die < 3) return managers[die % 2];
        return callerOr(seed, channel.payee, channel.payer);
    }

    /* SIGNING */

    /// @dev Seven times of eight in the token that knows signatures, and mostly of a payer that can sign.
    function signingPurseOf(uint256 seed) internal view returns (Purse memory purse) {
        purse = purses[draw(seed, "purse") % 8];
        if (purse.payer == address(CONTRACT_PAYER)) purse = purses[draw(seed, "another") % 8];
        if (draw(seed, "native") % 8 != 0) purse.token = address(DOLLAR);
    }

    function signingChannelOf(uint256 seed) internal view returns (Channel memory channel) {
        channel = channelOf(seed);
        if (channel.payer == address(CONTRACT_PAYER)) channel = channelOf(draw(seed, "another"));
        if (draw(seed, "native") % 8 != 0) channel.token = address(DOLLAR);
    }

    /// @dev Somebody with a key: the payer, unless it is a contract.
    function callerWithKey(uint256 seed, address payer) internal view returns (address) {
        return draw(seed, "from") % 3 == 0 || payer == address(CONTRACT_PAYER) ? OUTSIDER : payer;
    }

    function permitOf(uint256 seed, address from, address token, uint256 amount)
        internal
        returns (Permit memory permit, bool good)
    {
        if (token == ETH) return (permit, false);
        DOLLAR.mint(from, amount);
        vm.prank(from);
        DOLLAR.approve(address(escrow), 0);
        uint256 die = draw(seed, "permit") % 32;
        uint256 deadline = die == 0 ? vm.getBlockTimestamp() - 1 : vm.getBlockTimestamp();
        permit = signPermit(die == 1 ? managers[0] : from, token, amount, deadline);
        if (die == 2) {
            // Somebody shows it first.
            DOLLAR.permit(from, address(escrow), amount, deadline, permit.v, permit.r, permit.s);
        }
        return (permit, die > 1);
    }

    function authorizationOf(uint256 seed, Transfer memory transfer, bytes32 other)
        internal
        returns (Authorization memory authorization, bool good)
    {
        if (transfer.token == ETH) return (authorization, false);
        DOLLAR.mint(transfer.from, transfer.amount);
        // Few salts, so that some come again.
        bytes32 salt = bytes32(draw(seed, "salt") % 200);
        uint256 die = draw(seed, "authorization") % 32;
        uint256 validBefore = die == 0 ? vm.getBlockTimestamp() : vm.getBlockTimestamp() + 1;
        bytes32 id = transfer.id;
        good = die != 0 && transfer.from != address(CONTRACT_PAYER)
            && !DOLLAR.authorizationState(transfer.from, keccak256(abi.encode(id, salt)));
        if (die == 1) {
            transfer.id = other;
            good = good && other == id;
        }
        // A contract signs nothing; somebody else signs in its place.
        address from = transfer.from;
        if (from == address(CONTRACT_PAYER)) transfer.from = OUTSIDER;
        authorization = signAuthorization(transfer, 0, validBefore, salt);
        (transfer.from, transfer.id) = (from, id);
    }

    function withdrawalOf(uint256 seed, Purse memory purse, uint256 amount, uint256 nonce)
        internal
        view
        returns (uint256 deadline, bytes memory signature, bool good)
    {
        uint256 die = draw(seed, "withdrawal") % 32;
        deadline = die == 0 ? vm.getBlockTimestamp() - 1 : vm.getBlockTimestamp();
        good = die > 3 && purse.payer != address(CONTRACT_PAYER);
        // What was good before, when there was a before.
        if (die == 1 && nonce > 0) --nonce;
        else if (die == 1) ++nonce;
        address to = die == 2 ? OUTSIDER : BANK;
        address signer = die == 3 || purse.payer == address(CONTRACT_PAYER) ? purse.authorizedSigner : purse.payer;
        if (signer == address(CONTRACT_PAYER)) signer = OUTSIDER;
        // Some payers sign for themselves.
        good = good || (die == 3 && signer == purse.payer);
        signature = signDigest(signer, withdrawalDigestOf(purse, amount, to, nonce, deadline));
        if (draw(seed, "compact") % 2 == 0) signature = compact(signature);
    }

    /* THE MODEL */

    function mayClose(Channel memory channel, address from) internal view returns (bool) {
        return from == channel.payee || STORE.isOperator(channel.payee, from);
    }

    /// @dev Rule 5: from the reservation first, then from the account, what there is.
    function payable_(Channel memory channel, uint256 cumulative) internal view returns (uint256) {
        ChannelState memory state = STORE.channelState(idOf(channel));
        uint256 target = _min(cumulative, AMOUNT_MAX);
        if (target <= state.redeemed) return 0;
        uint256 balance = STORE.accountState(idOf(purseOf(channel))).balance;
        return _min(target - state.redeemed, uint256(state.reserved) + balance);
    }

    /// @dev The same within a batch, after the rows before: they may have used up the reservation, the account, or both.
    function previewRow(uint256[] memory due, uint256 which, uint256 cumulative) internal view returns (uint256) {
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

    function _min(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }
}
