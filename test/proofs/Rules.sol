// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Account as Purse, Channel, IEscrow} from "../../contracts/IEscrow.sol";
import {halmos} from "./Halmos.sol";
import {Call, World} from "./World.sol";

/// @dev The escrow's invariants, each as one step: from any state, after any call. Conditions are joined without branches
/// where that is easily read, because halmos follows each branch.
abstract contract Rules is World {
    uint256 private constant LOW_S_MAX = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// The control of the rules below, which would hold of calls that never succeed: this must fail.
    function check_Reach() external {
        Call memory any = anyCall();
        make(any);
        assert(false);
    }

    /* CHANNELS */

    /// Invariant 5 of any channel that the call does not name: nothing changes, and so the rules below hold of it.
    function check_OtherChannel() external {
        Channel memory channel = anyChannel();
        Call memory any = anyCall();
        vm.assume(!names(any, channel));
        uint256 before = slotOf(idOf(channel));
        make(any);
        assert(slotOf(idOf(channel)) == before);
    }

    /// Invariants 2, 4 and 5 of a channel that the call names.
    function check_Channel() external {
        Call memory any = anyCall();
        if (any.channels == 0) return;
        Channel memory channel = anyNamed(any);
        bytes32 id = idOf(channel);
        uint256 before = slotOf(id);
        vm.assume(before >> 248 == 0);
        bool ends = mayEnd(any, channel, before);
        make(any);
        uint256 later = slotOf(id);
        bool signed = isSignedFor(any, channel, redeemedIn(later));

        assert(later >> 248 == 0);
        assert(redeemedIn(later) >= redeemedIn(before));
        assert(either(redeemedIn(later) == redeemedIn(before), signed));
        bool requests = any.selector == IEscrow.requestClose.selector && any.caller == channel.payer;
        _checkClock(before, later, requests, ends);
    }

    function _checkClock(uint256 before, uint256 later, bool requests, bool ends) private view {
        uint256 closeAt = closeAtIn(later);
        bool starts = both(requests, both(closeAtIn(before) == 0, closeAt == block.timestamp + EXIT_DELAY));
        assert(either(closeAt == closeAtIn(before), either(starts, both(ends, closeAt == 0))));
    }

    /// Invariants 3 and 4 of a channel that the call names. By itself, because solvers find its sums hard.
    function check_Reservation() external {
        Call memory any = anyCall();
        if (any.channels == 0) return;
        Channel memory channel = anyNamed(any);
        bytes32 id = idOf(channel);
        uint256 before = slotOf(id);
        vm.assume(before >> 248 == 0);
        bool ends = mayEnd(any, channel, before);
        make(any);
        uint256 later = slotOf(id);
        uint256 reserved = reservedIn(before);
        unchecked {
            // It falls by no more than was redeemed, or it ends altogether. The total does not fall, as shown above.
            bool isPaid = reserved <= reservedIn(later) + (redeemedIn(later) - redeemedIn(before));
            bool isGuaranteed = either(isPaid, both(ends, reservedIn(later) == 0));
            assert(both(isGuaranteed, either(reservedIn(later) <= reserved, closeAtIn(before) == 0)));
        }
    }

    /// @dev A channel that the call names; of a batch of two rows either one.
    function anyNamed(Call memory any) internal pure returns (Channel memory) {
        return any.channel[any.channels > 1 && halmos.createUint256("row") == 1 ? 1 : 0];
    }

    /// @dev Whether the call may end the reservation: the payee's or its operator's close, or a close after the delay.
    function mayEnd(Call memory any, Channel memory channel, uint256 slot) internal view returns (bool) {
        if (any.selector == IEscrow.close.selector) {
            return either(any.caller == channel.payee, escrow.isOperator(channel.payee, any.caller));
        }
        if (any.selector != IEscrow.finalizeClose.selector) return false;
        return both(closeAtIn(slot) != 0, block.timestamp >= closeAtIn(slot));
    }

    function names(Call memory any, Channel memory channel) internal pure returns (bool) {
        return
            either(any.channels > 0 && same(channel, any.channel[0]), any.channels > 1 && same(channel, any.channel[1]));
    }

    /// @dev Whether the call shows the authorized signer's signature over at least this much of this channel.
    function isSignedFor(Call memory any, Channel memory channel, uint256 amount)
        internal
        view
        returns (bool isSigned)
    {
        for (uint256 index; index < any.channels; ++index) {
            if (any.signature[index] == 0) continue;
            bytes32 digest = voucherDigest(idOf(any.channel[index]), any.cumulativeAmount[index]);
            address signer = recover(any, index, digest);
            bool isEnough = both(same(channel, any.channel[index]), any.cumulativeAmount[index] >= amount);
            bool isSigners = both(signer != address(0), signer == channel.authorizedSigner);
            isSigned = either(isSigned, both(isEnough, isSigners));
        }
    }

    /* ACCOUNTS */

    /// Invariants 3 and 5 of any account, whether the call names it or not.
    function check_Account() external {
        Purse memory purse = anyPurse();
        Call memory any = anyCall();
        bytes32 id = idOf(purse);
        uint256 before = slotOf(id);
        // A nonce counts transactions and never comes to 2^64 - 1.
        vm.assume(nonceIn(before) < type(uint64).max);
        uint256[2] memory redeemedBefore = redeemedFrom(any, purse);
        make(any);
        uint256 later = slotOf(id);
        uint256 redeemed = growth(redeemedBefore, redeemedFrom(any, purse));

        assert(later == before || touches(any, purse));
        bool withdrawsFor = any.selector == IEscrow.withdrawFor.selector && same(purse, any.purse);
        assert(nonceIn(later) == nonceIn(before) + (withdrawsFor ? 1 : 0));
        bool gains = any.namesAccount || (refunds(any) && same(purse, refundPurseOf(any.channel[0])));
        assert(balanceIn(later) <= balanceIn(before) || gains);
        if (balanceIn(later) >= balanceIn(before)) return;
        uint256 spent = balanceIn(before) - balanceIn(later);
        assert(spent <= redeemed || _mayTake(any, purse, nonceIn(before), spent));
    }

    /// @dev Whether the call is the payer's own reservation or withdrawal of just this much, or shows its signature over it.
    function _mayTake(Call memory any, Purse memory purse, uint256 nonce, uint256 amount) private view returns (bool) {
        if (any.selector == IEscrow.reserve.selector) {
            return any.caller == purse.payer && same(purse, purseOf(any.channel[0])) && amount == _word(any, 5);
        }
        if (any.selector == IEscrow.withdraw.selector) {
            return any.caller == purse.payer && same(purse, any.purse) && amount == _word(any, 3);
        }
        if (any.selector != IEscrow.withdrawFor.selector) return false;
        bytes32 digest = withdrawalDigest(purse, amount, any.to, nonce, _word(any, 5));
        address signer = recover(any, 0, digest);
        return
            amount == _word(any, 3) && block.timestamp <= _word(any, 5) && signer != address(0) && signer == purse.payer;
    }

    /// @dev What the channels which the call names and this account pays have redeemed, each channel once.
    function redeemedFrom(Call memory any, Purse memory purse) internal view returns (uint256[2] memory redeemed) {
        redeemed = redeemedBy(any);
        for (uint256 index; index < any.channels; ++index) {
            redeemed[index] = only(same(purse, purseOf(any.channel[index])), redeemed[index]);
        }
    }

    /// @dev What the channels which the call names have redeemed, each channel once.
    function redeemedBy(Call memory any) internal view returns (uint256[2] memory redeemed) {
        if (any.channels > 0) redeemed[0] = redeemedIn(slotOf(idOf(any.channel[0])));
        if (any.channels > 1) {
            redeemed[1] = only(!same(any.channel[0], any.channel[1]), redeemedIn(slotOf(idOf(any.channel[1]))));
        }
    }

    /// @dev Each difference by itself: that a sum of differences is a difference of sums is what a solver finds hard.
    function growth(uint256[2] memory before, uint256[2] memory later) internal pure returns (uint256) {
        unchecked {
            return (later[0] - before[0]) + (later[1] - before[1]);
        }
    }

    /// @dev Whether the call names the account, a channel that it pays, or a channel whose refund it may take.
    function touches(Call memory any, Purse memory purse) internal pure returns (bool) {
        if (any.namesAccount) return same(purse, any.purse);
        return (any.channels > 0 && same(purse, purseOf(any.channel[0])))
            || (any.channels > 1 && same(purse, purseOf(any.channel[1])))
            || (refunds(any) && same(purse, refundPurseOf(any.channel[0])));
    }

    /* VALUE */

    /// Invariant 1: what the escrow holds changes by at least what the sums over its accounts and channels change. By
    /// invariant 5 no other account or channel changes than those that are summed.
    function check_Solvency() external {
        Call memory any = anyCall();
        address token = _token(any);
        vm.assume(token == address(0) || token == address(dollar));
        address other = token == address(0) ? address(dollar) : address(0);
        uint256 held = holdings(token, address(escrow));
        uint256 heldOfOther = holdings(other, address(escrow));
        uint256[] memory owedBefore = owed(any);
        uint256[2] memory redeemedBefore = redeemedBy(any);
        make(any);
        uint256 paid = growth(redeemedBefore, redeemedBy(any));
        assert(holdings(other, address(escrow)) >= heldOfOther);
        unchecked {
            uint256 received = holdings(token, address(escrow)) - held;
            uint256 grown = _sumOfDifferences(owedBefore, owed(any));
            if (redeems(any)) {
                // What leaves is at most what was redeemed, and what was redeemed is what is owed less. In two steps,
                // because of sums on both sides of an inequality a solver finds no proof.
                assert(grown + paid == 0);
                assert(0 - received <= paid);
            } else {
                // forge-lint: disable-next-line(unsafe-typecast)
                assert(int256(received) >= int256(grown));
            }
        }
    }

    function _sumOfDifferences(uint256[] memory before, uint256[] memory later) private pure returns (uint256 sum) {
        unchecked {
            for (uint256 index; index < later.length; ++index) {
                sum += later[index] - before[index];
            }
        }
    }

    /// @dev Whether the call can do nothing else with what is owed than redeem it.
    function redeems(Call memory any) internal pure returns (bool) {
        return any.selector == IEscrow.redeem.selector || any.selector == IEscrow.redeemTo.selector
            || any.selector == IEscrow.redeemBatch.selector;
    }

    /// Invariant 8: nobody gets anything but the payer, the payee and whom one of them named.
    function check_Recipients() external {
        address other = halmos.createAddress("other");
        Call memory any = anyCall();
        vm.assume(!_receives(any, other) && other != any.caller && other != address(escrow));
        uint256 ether_ = other.balance;
        uint256 dollars = dollar.balanceOf(other);
        make(any);
        assert(other.balance <= ether_);
        assert(dollar.balanceOf(other) <= dollars);
    }

    function _token(Call memory any) private pure returns (address) {
        return any.namesAccount ? any.purse.token : any.channel[0].token;
    }

    /// @dev The payers, the payees and the recipient that the call names.
    function _receives(Call memory any, address who) private pure returns (bool) {
        return who == any.to || (any.namesAccount && who == any.purse.payer)
            || (any.channels > 0 && (who == any.channel[0].payer || who == any.channel[0].payee))
            || (any.channels > 1 && who == any.channel[1].payer);
    }

    function holdings(address token, address who) internal view returns (uint256) {
        return token == address(0) ? who.balance : dollar.balanceOf(who);
    }

    /// @dev What is owed on each channel and account that the call may change, each once: its channels' reservations and
    /// the accounts behind them, and where a refund may go.
    function owed(Call memory any) internal view returns (uint256[] memory amounts) {
        if (any.namesAccount) {
            amounts = new uint256[](1);
            amounts[0] = balanceIn(slotOf(idOf(any.purse)));
            return amounts;
        }
        amounts = new uint256[](2 * any.channels + (refunds(any) ? 1 : 0));
        if (any.channels == 0) return amounts;
        Purse memory purse = purseOf(any.channel[0]);
        amounts[0] = reservedIn(slotOf(idOf(any.channel[0])));
        amounts[1] = balanceIn(slotOf(idOf(purse)));
        if (refunds(any)) {
            Purse memory refund = refundPurseOf(any.channel[0]);
            amounts[2] = only(!same(refund, purse), balanceIn(slotOf(idOf(refund))));
        } else if (any.channels > 1) {
            Purse memory second = purseOf(any.channel[1]);
            amounts[2] = only(!same(any.channel[0], any.channel[1]), reservedIn(slotOf(idOf(any.channel[1]))));
            amounts[3] = only(!same(second, purse), balanceIn(slotOf(idOf(second))));
        }
    }

    function refunds(Call memory any) internal pure returns (bool) {
        return any.selector == IEscrow.close.selector || any.selector == IEscrow.finalizeClose.selector;
    }

    /* SIGNATURES */

    function voucherDigest(bytes32 id, uint256 cumulativeAmount) internal view returns (bytes32) {
        bytes32 typehash = keccak256("Voucher(bytes32 channelId,uint128 cumulativeAmount)");
        return typed(keccak256(abi.encode(typehash, id, cumulativeAmount)));
    }

    function withdrawalDigest(Purse memory purse, uint256 amount, address to, uint256 nonce, uint256 deadline)
        internal
        view
        returns (bytes32)
    {
        bytes32 typehash = keccak256(
            "Withdrawal(address payer,address authorizedSigner,address token,uint256 amount,address to,uint256 nonce,uint256 deadline)"
        );
        return typed(
            keccak256(
                abi.encode(typehash, purse.payer, purse.authorizedSigner, purse.token, amount, to, nonce, deadline)
            )
        );
    }

    function typed(bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Farthing Escrow"),
                keccak256("1"),
                block.chainid,
                address(escrow)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    /// @dev Who signed, or nobody if the signature is malleable. What ecrecover answers is any function of its arguments.
    function recover(Call memory any, uint256 index, bytes32 digest) internal pure returns (address) {
        uint256 begin = any.signature[index];
        uint256 s = _at(any, begin + 32);
        uint256 v = _at(any, begin + 64) >> 248;
        if (any.signatureLength == 64) {
            v = 27 + (s >> 255);
            s = s & (type(uint256).max >> 1);
        }
        address signer = ecrecover(digest, uint8(v), bytes32(_at(any, begin)), bytes32(s));
        return address(uint160(only(s <= LOW_S_MAX, uint160(signer))));
    }

    /// @dev Conditions that are joined without a branch: halmos follows each branch, and a path has its own query.
    function both(bool a, bool b) internal pure returns (bool result) {
        assembly {
            result := and(a, b)
        }
    }

    function either(bool a, bool b) internal pure returns (bool result) {
        assembly {
            result := or(a, b)
        }
    }

    /// @dev The value if the condition holds, else zero, without a branch.
    function only(bool condition, uint256 value) internal pure returns (uint256 result) {
        assembly {
            result := and(sub(0, condition), value)
        }
    }
}

abstract contract RedeemingRules is Rules {
    /// What a redemption pays is what its channels' totals rise by, to the base unit, and it goes to the payee or where the
    /// payee says.
    function check_Paid() external {
        Call memory any = anyCall();
        Channel memory channel = any.channel[0];
        vm.assume(channel.token == address(0) || channel.token == address(dollar));
        address recipient = any.selector == IEscrow.redeemTo.selector ? any.to : channel.payee;
        // Who pays itself or is paid a refund at once is not told apart by its holdings.
        vm.assume(recipient != channel.payer && recipient != address(escrow) && recipient != any.caller);
        uint256[2] memory redeemed = redeemedBy(any);
        uint256 held = holdings(channel.token, recipient);
        make(any);
        unchecked {
            assert(holdings(channel.token, recipient) - held == growth(redeemed, redeemedBy(any)));
        }
        assert(any.selector != IEscrow.redeemTo.selector || any.caller == channel.payee);
    }
}
