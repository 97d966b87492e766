// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {EIP712} from "solady/utils/EIP712.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {Account, AccountState, Authorization, Channel, ChannelState, IEscrow, Permit} from "./IEscrow.sol";
import {IERC2612, IERC3009} from "./IFundingTokens.sol";
import {Rows} from "./libraries/Rows.sol";
import {Slots} from "./libraries/Slots.sol";
import {Terms} from "./libraries/Terms.sol";
import {Vouchers} from "./libraries/Vouchers.sol";

/// @title Escrow
/// @dev Every function is checks, effects, event, transfer, in that order; the two exceptions are marked.
contract Escrow is IEscrow, EIP712 {
    using Slots for uint256;
    using Terms for Account;
    using Terms for Channel;

    /* CONSTANTS */

    uint256 private constant EXIT_DELAY_MIN = 1 hours;
    uint256 private constant EXIT_DELAY_MAX = 30 days;

    /// @dev Enough for a smart account or a proxied token to receive; what it leaves unspent goes back to the caller.
    uint256 private constant REFUND_GAS = 200_000;

    /// @dev A call gets at most 63/64 of what is left (EIP-150), and the fall-back after it writes one slot.
    uint256 private constant REFUND_GAS_REQUIRED = REFUND_GAS + REFUND_GAS / 63 + 40_000;

    /* STORAGE */

    /// @inheritdoc IEscrow
    uint256 public immutable exitDelay;

    /// @inheritdoc IEscrow
    uint256 public immutable chainIdAtDeployment;

    /// @dev The packed slot of an account or a channel. It lies at its id: ids are hashes of preimages of two different
    /// lengths, so that no two meet, and hashing them once more into a mapping's place would only cost gas.
    struct Word {
        uint256 slot;
    }

    /// @inheritdoc IEscrow
    mapping(address payee => mapping(address operator => bool)) public isOperator;

    /// @dev Set while an ERC-20 is pulled. Without it a token that takes a fee and calls its sender could make up the
    /// missing part with a second, nested funding and have it counted twice.
    bool private transient fundingInProgress;

    constructor(uint256 exitDelay_) {
        if (exitDelay_ < EXIT_DELAY_MIN || exitDelay_ > EXIT_DELAY_MAX) {
            revert ExitDelayOutOfRange(exitDelay_, EXIT_DELAY_MIN, EXIT_DELAY_MAX);
        }
        exitDelay = exitDelay_;
        chainIdAtDeployment = block.chainid;
    }

    /* FUND */

    /// @inheritdoc IEscrow
    function deposit(Account calldata account, uint256 amount) external payable paidBy(account.tokenOf(), amount) {
        _addToAccount(account, amount);
    }

    /// @inheritdoc IEscrow
    function open(Channel calldata channel, uint256 amount) external payable paidBy(channel.tokenOf(), amount) {
        _addToReservation(channel, amount, 0);
    }

    /// @inheritdoc IEscrow
    function depositWithPermit(Account calldata account, uint256 amount, Permit calldata permit) external {
        _addToAccount(account, amount);
        _pullWithPermit(account.tokenOf(), amount, permit);
    }

    /// @inheritdoc IEscrow
    function openWithPermit(Channel calldata channel, uint256 amount, Permit calldata permit) external {
        _addToReservation(channel, amount, 0);
        _pullWithPermit(channel.tokenOf(), amount, permit);
    }

    /// @inheritdoc IEscrow
    function depositWithAuthorization(Account calldata account, uint256 amount, Authorization calldata authorization)
        external
    {
        bytes32 id = _addToAccount(account, amount);
        _pullWithAuthorization(account.payerOf(), account.tokenOf(), amount, id, authorization);
    }

    /// @inheritdoc IEscrow
    function openWithAuthorization(Channel calldata channel, uint256 amount, Authorization calldata authorization)
        external
    {
        bytes32 id = _addToReservation(channel, amount, 0);
        _pullWithAuthorization(channel.payerOf(), channel.tokenOf(), amount, id, authorization);
    }

    /* GUARANTEE */

    /// @inheritdoc IEscrow
    function reserve(Channel calldata channel, uint256 amount) external {
        _onlyPayer(channel.payerOf());
        bytes32 account = _accountIdOf(channel);
        Word storage word = _at(account);
        word.slot = _debited(word.slot, amount);
        _addToReservation(channel, amount, account);
    }

    /* EARN */

    /// @inheritdoc IEscrow
    function redeem(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature)
        external
        returns (uint256 paid)
    {
        paid = _redeem(channel, cumulativeAmount, signature);
        _push(channel.tokenOf(), channel.payeeOf(), paid);
    }

    /// @inheritdoc IEscrow
    function redeemTo(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature, address to)
        external
        returns (uint256 paid)
    {
        if (msg.sender != channel.payeeOf()) revert NotPayee(msg.sender, channel.payeeOf());
        _onlyRecipient(to);
        paid = _redeem(channel, cumulativeAmount, signature);
        _push(channel.tokenOf(), to, paid);
    }

    /// @inheritdoc IEscrow
    function redeemBatch(address payee, address token, bytes calldata rows) external returns (uint256 total) {
        uint256 entry = Rows.begin(payee, token, chainIdAtDeployment, _domainSeparator(), rows);
        (uint256 position, uint256 end) = Rows.bounds(rows);
        while (position < end) {
            (uint256 next, bytes32 id, uint256 cumulativeAmount, bool isSigned) = Rows.read(position);
            if (next > end) revert MalformedRows(rows.length - (end - position));
            if (isSigned) {
                uint256 slot = _at(id).slot;
                (uint256 paid, uint256 beyond) = slot.owed(cumulativeAmount);
                uint256 fromReservation = paid;
                // A row pays at most 104 bits, and there are fewer rows than bytes.
                unchecked {
                    if (beyond > 0) {
                        uint256 taken = _take(Rows.accountId(), beyond);
                        paid += taken;
                        beyond -= taken;
                    }
                    if (paid > 0) {
                        _at(id).slot = slot.moved(fromReservation, paid);
                        total += paid;
                        // What is still beyond is what the row falls short of its voucher.
                        entry = Rows.record(entry, position, next, beyond);
                    }
                }
            }
            position = next;
        }
        if (total == 0) revert NothingToRedeem(0, 0);
        Rows.emitRedeemed(entry, payee, token, total);
        _push(token, payee, total);
    }

    /* END */

    /// @inheritdoc IEscrow
    function close(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature)
        external
        returns (uint256 paid, uint256 refunded)
    {
        address payee = channel.payeeOf();
        if (msg.sender != payee && !isOperator[payee][msg.sender]) revert NotPayee(msg.sender, payee);
        bytes32 id = channelId(channel);
        uint256 slot = _at(id).slot;
        if (cumulativeAmount > slot.redeemedOf()) {
            _onlySigned(channel, id, cumulativeAmount, signature);
            uint256 fromAccount;
            (slot, paid, fromAccount) = _settle(channel, slot, cumulativeAmount);
            if (fromAccount > 0) _emitRedeemedFromAccount(channel, id, slot.redeemedOf(), fromAccount);
        } else if (slot.reservedOf() == 0) {
            revert NothingReserved(id);
        }
        refunded = _close(channel, id, slot);
        // Last, so that the payee's receiving side can't spend the gas that the payer's refund needs.
        if (paid > 0) _push(channel.tokenOf(), payee, paid);
    }

    /// @inheritdoc IEscrow
    function setOperator(address operator, bool allowed) external {
        isOperator[msg.sender][operator] = allowed;
        emit OperatorSet(msg.sender, operator, allowed);
    }

    /// @inheritdoc IEscrow
    function requestClose(Channel calldata channel) external returns (uint256 closeAt) {
        _onlyPayer(channel.payerOf());
        bytes32 id = channelId(channel);
        uint256 slot = _at(id).slot;
        if (slot.closeAtOf() != 0) revert CloseAlreadyRequested(slot.closeAtOf());
        if (slot.reservedOf() == 0) revert NothingReserved(id);
        // Both far below 40 bits.
        unchecked {
            closeAt = block.timestamp + exitDelay;
        }
        _at(id).slot = slot.withCloseAt(closeAt);
        emit CloseRequested(id, channel.payeeOf(), closeAt);
    }

    /// @inheritdoc IEscrow
    function finalizeClose(Channel calldata channel) external returns (uint256 refunded) {
        bytes32 id = channelId(channel);
        uint256 slot = _at(id).slot;
        uint256 closeAt = slot.closeAtOf();
        if (closeAt == 0) revert CloseNotRequested(id);
        if (block.timestamp < closeAt) revert ExitDelayRunning(closeAt, block.timestamp);
        refunded = _close(channel, id, slot);
    }

    /// @inheritdoc IEscrow
    function withdraw(Account calldata account, uint256 amount, address to) external {
        _onlyPayer(account.payerOf());
        _onlyRecipient(to);
        bytes32 id = Terms.accountId(account);
        Word storage word = _at(id);
        word.slot = _debited(word.slot, amount);
        emit Withdrawn(id, to, amount);
        _push(account.tokenOf(), to, amount);
    }

    /// @inheritdoc IEscrow
    function withdrawFor(
        Account calldata account,
        uint256 amount,
        address to,
        uint256 deadline,
        bytes calldata signature
    ) external {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp);
        _onlyRecipient(to);
        bytes32 id = Terms.accountId(account);
        uint256 slot = _at(id).slot;
        bytes32 digest = withdrawalDigest(account, amount, to, slot.nonceOf(), deadline);
        _onlySigner(account.payerOf(), digest, signature);
        _at(id).slot = _debited(slot, amount).withNextNonce();
        emit WithdrawnFor(id, to, amount, slot.nonceOf());
        _push(account.tokenOf(), to, amount);
    }

    /* READ */

    /// @inheritdoc IEscrow
    function accountId(Account calldata account) external pure returns (bytes32) {
        return Terms.accountId(account);
    }

    /// @inheritdoc IEscrow
    function channelId(Channel calldata channel) public view returns (bytes32) {
        return Terms.channelId(channel, chainIdAtDeployment);
    }

    /// @inheritdoc IEscrow
    function voucherDigest(bytes32 id, uint128 cumulativeAmount) public view returns (bytes32) {
        return Vouchers.digest(_domainSeparator(), id, cumulativeAmount);
    }

    /// @inheritdoc IEscrow
    function withdrawalDigest(Account calldata account, uint256 amount, address to, uint256 nonce, uint256 deadline)
        public
        view
        returns (bytes32)
    {
        return _hashTypedData(Vouchers.withdrawalHash(account, amount, to, nonce, deadline));
    }

    /// @inheritdoc IEscrow
    function authorizationNonce(bytes32 id, bytes32 salt) external pure returns (bytes32) {
        return Vouchers.authorizationNonce(id, salt);
    }

    /// @inheritdoc IEscrow
    function accountState(bytes32 id) public view returns (AccountState memory) {
        uint256 slot = _at(id).slot;
        return AccountState(uint104(slot.balanceOf()), uint64(slot.nonceOf()));
    }

    /// @inheritdoc IEscrow
    function channelState(bytes32 id) public view returns (ChannelState memory) {
        uint256 slot = _at(id).slot;
        return ChannelState(uint104(slot.redeemedOf()), uint104(slot.reservedOf()), uint40(slot.closeAtOf()));
    }

    /// @inheritdoc IEscrow
    function fundsOf(Channel calldata channel) external view returns (ChannelState memory, AccountState memory) {
        return (
            channelState(channelId(channel)),
            accountState(Terms.accountId(channel.payer, channel.authorizedSigner, channel.token))
        );
    }

    /* STATE */

    function _at(bytes32 id) private pure returns (Word storage word) {
        assembly {
            word.slot := id
        }
    }

    /* CHECKS */

    function _onlyPayer(address payer) private view {
        if (msg.sender != payer) revert NotPayer(msg.sender, payer);
    }

    function _onlyRecipient(address to) private view {
        if (to == address(0) || to == address(this)) revert InvalidRecipient(to);
    }

    function _onlySigned(Channel calldata channel, bytes32 id, uint128 cumulativeAmount, bytes calldata signature)
        private
        view
    {
        _onlySigner(channel.authorizedSignerOf(), voucherDigest(id, cumulativeAmount), signature);
    }

    function _onlySigner(address expected, bytes32 digest, bytes calldata signature) private view {
        address signer = Vouchers.recover(digest, signature);
        if (signer == address(0) || signer != expected) revert InvalidSignature(digest, expected);
    }

    /// @dev Says why no money may enter a channel, and never returns. The id refuses dirty upper bits; else something
    /// is zero.
    function _refuseFunding(Channel calldata channel, uint256 amount) private view {
        channelId(channel);
        if (channel.payerOf() == address(0)) revert ZeroPayer();
        if (amount == 0) revert ZeroAmount();
        if (channel.payeeOf() == address(0)) revert ZeroPayee();
        revert ZeroAuthorizedSigner();
    }

    /// @dev Says why a channel's reservation may not grow, and never returns. While the clock runs it may not, or a
    /// payer could start it on one unit, wait, add money, be served against it and take it back in the same block.
    function _refuseReserving(uint256 slot, uint256 amount) private pure {
        if (slot.closeAtOf() != 0) revert CloseAlreadyRequested(slot.closeAtOf());
        _refuseTooLarge(slot.reservedOf(), amount);
    }

    /// @dev Never returns.
    function _refuseTooLarge(uint256 held, uint256 amount) private pure {
        // An amount that is too large by itself may overflow the sum.
        revert AmountTooLarge(amount > Slots.AMOUNT_MAX ? amount : held + amount, Slots.AMOUNT_MAX);
    }

    /* EFFECTS */

    function _addToAccount(Account calldata account, uint256 amount) private returns (bytes32 id) {
        if (account.payerOf() == address(0)) revert ZeroPayer();
        if (account.authorizedSignerOf() == address(0)) revert ZeroAuthorizedSigner();
        id = Terms.accountId(account);
        _credit(id, amount);
        emit Deposited(id, account.payerOf(), account.authorizedSignerOf(), account.tokenOf(), amount);
    }

    function _credit(bytes32 id, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        Word storage word = _at(id);
        uint256 slot = word.slot;
        // No balance is above the maximum, so that the sum has room once the amount has.
        unchecked {
            if (amount > Slots.AMOUNT_MAX - slot.balanceOf()) _refuseTooLarge(slot.balanceOf(), amount);
            word.slot = slot + amount;
        }
    }

    /// @dev An account's slot after it gave `amount`; its nonce stays.
    function _debited(uint256 slot, uint256 amount) private pure returns (uint256 slotAfter) {
        if (amount == 0) revert ZeroAmount();
        if (amount > slot.balanceOf()) revert InsufficientBalance(slot.balanceOf(), amount);
        unchecked {
            // Just checked, and the balance is the low end of the slot.
            slotAfter = slot - amount;
        }
    }

    /// @dev Takes what there is, up to `wanted`, out of an account.
    function _take(bytes32 account, uint256 wanted) private returns (uint256 taken) {
        Word storage word = _at(account);
        uint256 slot = word.slot;
        uint256 balance = slot.balanceOf();
        taken = wanted < balance ? wanted : balance;
        unchecked {
            // Not more than the balance, which is the low end of the slot.
            if (taken > 0) word.slot = slot - taken;
        }
    }

    /// @dev Adds money to a channel's reservation: from `account`, or from outside the escrow if that is zero.
    function _addToReservation(Channel calldata channel, uint256 amount, bytes32 account) private returns (bytes32 id) {
        bool isFundable;
        (id, isFundable) = channel.fundableId(amount, chainIdAtDeployment);
        if (!isFundable) _refuseFunding(channel, amount);
        uint256 slot = _at(id).slot;
        (uint256 slotAfter, bool isAllowed) = slot.reserving(amount);
        if (!isAllowed) _refuseReserving(slot, amount);
        _at(id).slot = slotAfter;
        if (slot != 0) {
            if (account == 0) emit ToppedUp(id, amount);
            else emit ToppedUpFromAccount(id, account, amount);
            return id;
        }
        (address payer, address payee, address token) = (channel.payerOf(), channel.payeeOf(), channel.tokenOf());
        address authorizedSigner = channel.authorizedSignerOf();
        if (account == 0) emit Opened(id, payer, payee, token, channel.salt, authorizedSigner, amount);
        else emit Reserved(id, payer, payee, token, channel.salt, authorizedSigner, amount);
    }

    /// @dev Pays a voucher if its signature is the authorized signer's and there is something to pay.
    function _redeem(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature)
        private
        returns (uint256 paid)
    {
        bytes32 id = channelId(channel);
        _onlySigned(channel, id, cumulativeAmount, signature);
        uint256 slotAfter;
        uint256 fromAccount;
        (slotAfter, paid, fromAccount) = _settle(channel, _at(id).slot, cumulativeAmount);
        _at(id).slot = slotAfter;
        if (fromAccount == 0) emit Redeemed(id, channel.payeeOf(), slotAfter.redeemedOf());
        else _emitRedeemedFromAccount(channel, id, slotAfter.redeemedOf(), fromAccount);
    }

    /// @dev Works out what a channel's slot becomes when what it still owes moves out of its reservation, then out of
    /// its account, whose slot is written if it was needed. A shortage stays owed, because `redeemed` rises only by
    /// what is paid. The caller writes the channel's slot.
    function _settle(Channel calldata channel, uint256 slot, uint256 cumulativeAmount)
        private
        returns (uint256 slotAfter, uint256 paid, uint256 fromAccount)
    {
        // Clamped, so that a promise beyond what the slot can count never spills into the neighbouring field.
        uint256 target = cumulativeAmount > Slots.AMOUNT_MAX ? Slots.AMOUNT_MAX : cumulativeAmount;
        (uint256 fromReservation, uint256 beyond) = slot.owed(target);
        if (beyond > 0) fromAccount = _take(_accountIdOf(channel), beyond);
        // Both are parts of an amount of 104 bits.
        unchecked {
            paid = fromReservation + fromAccount;
        }
        if (paid == 0) revert NothingToRedeem(slot.redeemedOf(), cumulativeAmount);
        slotAfter = slot.moved(fromReservation, paid);
    }

    /// @dev Ends the reservation and refunds it. The event comes before the refund: a payer that re-enters from it
    /// could otherwise open the channel again and start its clock, and the log would seem to end that clock. A refund
    /// that the payer does not take is the second exception to the order: only the transfer can tell.
    function _close(Channel calldata channel, bytes32 id, uint256 slot) private returns (uint256 refunded) {
        refunded = slot.reservedOf();
        uint256 redeemed = slot.redeemedOf();
        // No reservation and no clock.
        _at(id).slot = redeemed;
        emit Closed(id, channel.payeeOf(), redeemed, refunded);
        if (refunded == 0) return 0;
        (address payer, address token) = (channel.payerOf(), channel.tokenOf());
        if (_tryPush(token, payer, refunded)) return refunded;
        // Never into a session key's account: the refund is the payer's alone.
        bytes32 account = Terms.accountId(payer, payer, token);
        _credit(account, refunded);
        emit Deposited(account, payer, payer, token, refunded);
    }

    function _accountIdOf(Channel calldata channel) private pure returns (bytes32) {
        return Terms.accountId(channel.payerOf(), channel.authorizedSignerOf(), channel.tokenOf());
    }

    function _emitRedeemedFromAccount(Channel calldata channel, bytes32 id, uint256 redeemed, uint256 fromAccount)
        private
    {
        emit RedeemedFromAccount(id, channel.payeeOf(), _accountIdOf(channel), redeemed, fromAccount);
    }

    /* TRANSFERS */

    /// @dev Takes exactly `amount` from the caller, after the effects. A modifier, because the compiler puts it where
    /// it is used, and a function it would call.
    modifier paidBy(address token, uint256 amount) {
        _;
        if (token == address(0)) {
            if (msg.value != amount) revert WrongValue(msg.value, amount);
        } else {
            _pull(token, amount);
        }
    }

    /// @dev The check after the transfer is the first exception to the order: effects are already written, and a
    /// shortfall reverts them.
    function _pull(address token, uint256 amount) private {
        if (msg.value != 0) revert WrongValue(msg.value, 0);
        uint256 before = _beginFunding(token);
        SafeTransferLib.safeTransferFrom(token, msg.sender, address(this), amount);
        _endFunding(token, before, amount);
    }

    /// @dev The permit is the caller's, whoever the payer is: to tolerate a permit that fails and then pull from
    /// somebody the terms name would spend whatever allowance that somebody once gave.
    function _pullWithPermit(address token, uint256 amount, Permit calldata permit) private {
        if (token == address(0)) revert WrongValue(0, amount);
        uint256 before = _beginFunding(token);
        // Whoever saw the permit may have used it first. If the allowance is not there, the transfer says so.
        try IERC2612(token).permit(msg.sender, address(this), amount, permit.deadline, permit.v, permit.r, permit.s) {}
            catch {}
        SafeTransferLib.safeTransferFrom(token, msg.sender, address(this), amount);
        _endFunding(token, before, amount);
    }

    function _pullWithAuthorization(
        address payer,
        address token,
        uint256 amount,
        bytes32 id,
        Authorization calldata authorization
    ) private {
        if (token == address(0)) revert WrongValue(0, amount);
        uint256 before = _beginFunding(token);
        IERC3009(token)
            .receiveWithAuthorization(
                payer,
                address(this),
                amount,
                authorization.validAfter,
                authorization.validBefore,
                Vouchers.authorizationNonce(id, authorization.salt),
                authorization.v,
                authorization.r,
                authorization.s
            );
        _endFunding(token, before, amount);
    }

    function _beginFunding(address token) private returns (uint256 before) {
        if (fundingInProgress) revert FundingInProgress();
        fundingInProgress = true;
        before = SafeTransferLib.balanceOf(token, address(this));
    }

    function _endFunding(address token, uint256 before, uint256 amount) private {
        uint256 held = SafeTransferLib.balanceOf(token, address(this));
        if (held < before || held - before != amount) {
            revert TransferMismatch(held < before ? 0 : held - before, amount);
        }
        fundingInProgress = false;
    }

    function _push(address token, address to, uint256 amount) private {
        if (token == address(0)) SafeTransferLib.safeTransferETH(to, amount);
        else SafeTransferLib.safeTransfer(token, to, amount);
    }

    /// @dev Sends without trusting the receiver: bounded gas, at most one word of what it returns is looked at, and a
    /// failure is an answer. Refuses to try with too little gas, or the caller could make any refund fail.
    function _tryPush(address token, address to, uint256 amount) private returns (bool sent) {
        if (gasleft() < REFUND_GAS_REQUIRED) revert InsufficientGas(gasleft(), REFUND_GAS_REQUIRED);
        if (token == address(0)) return SafeTransferLib.trySafeTransferETH(to, amount, REFUND_GAS);
        uint256 gasLimit = REFUND_GAS;
        assembly ("memory-safe") {
            mstore(0x00, 0xa9059cbb000000000000000000000000) // transfer(address,uint256), then its two arguments
            mstore(0x14, to)
            mstore(0x34, amount)
            sent := call(gasLimit, token, 0, 0x10, 0x44, 0x00, 0x20)
            // True, or nothing at all from something that has code.
            let accepted :=
                or(
                    and(eq(mload(0x00), 1), gt(returndatasize(), 0x1f)),
                    and(iszero(returndatasize()), gt(extcodesize(token), 0))
                )
            sent := and(sent, accepted)
            // The part of the free memory pointer that the amount overwrote.
            mstore(0x34, 0)
        }
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Farthing Escrow", "1");
    }
}
