// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {EIP712} from "solady/utils/EIP712.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {Account, AccountState, Authorization, Channel, ChannelState, IEscrow, Permit} from "./IEscrow.sol";
import {IERC2612, IERC3009} from "./IFundingTokens.sol";
import {Rows} from "./libraries/Rows.sol";
import {Slots} from "./libraries/Slots.sol";
import {Vouchers} from "./libraries/Vouchers.sol";

/// @title Escrow
/// @dev Every function is checks, effects, event, transfer, in that order; the two exceptions are marked.
contract Escrow is IEscrow, EIP712 {
    using Slots for uint256;

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
    function deposit(Account calldata account, uint256 amount) external payable {
        _addToAccount(account, amount);
        _pull(account.token, amount);
    }

    /// @inheritdoc IEscrow
    function open(Channel calldata channel, uint256 amount) external payable {
        _addToChannel(channel, amount);
        _pull(channel.token, amount);
    }

    /// @inheritdoc IEscrow
    function depositWithPermit(Account calldata account, uint256 amount, Permit calldata permit) external {
        _addToAccount(account, amount);
        _pullWithPermit(account.token, amount, permit);
    }

    /// @inheritdoc IEscrow
    function openWithPermit(Channel calldata channel, uint256 amount, Permit calldata permit) external {
        _addToChannel(channel, amount);
        _pullWithPermit(channel.token, amount, permit);
    }

    /// @inheritdoc IEscrow
    function depositWithAuthorization(Account calldata account, uint256 amount, Authorization calldata authorization)
        external
    {
        bytes32 id = _addToAccount(account, amount);
        _pullWithAuthorization(account.payer, account.token, amount, id, authorization);
    }

    /// @inheritdoc IEscrow
    function openWithAuthorization(Channel calldata channel, uint256 amount, Authorization calldata authorization)
        external
    {
        bytes32 id = _addToChannel(channel, amount);
        _pullWithAuthorization(channel.payer, channel.token, amount, id, authorization);
    }

    /* GUARANTEE */

    /// @inheritdoc IEscrow
    function reserve(Channel calldata channel, uint256 amount) external {
        _onlyPayer(channel.payer);
        bytes32 account = Vouchers.accountId(channel.payer, channel.authorizedSigner, channel.token);
        _debit(account, amount);
        (bytes32 id, bool isNew) = _addToReservation(channel, amount);
        if (isNew) {
            emit Reserved(
                id, channel.payer, channel.payee, channel.token, channel.salt, channel.authorizedSigner, amount
            );
        } else {
            emit ToppedUpFromAccount(id, account, amount);
        }
    }

    /* EARN */

    /// @inheritdoc IEscrow
    function redeem(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature)
        external
        returns (uint256 paid)
    {
        paid = _redeem(channel, cumulativeAmount, signature);
        _push(channel.token, channel.payee, paid);
    }

    /// @inheritdoc IEscrow
    function redeemTo(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature, address to)
        external
        returns (uint256 paid)
    {
        _onlyPayee(channel.payee);
        _onlyRecipient(to);
        paid = _redeem(channel, cumulativeAmount, signature);
        _push(channel.token, to, paid);
    }

    /// @inheritdoc IEscrow
    function redeemBatch(address payee, address token, bytes calldata rows) external returns (uint256 total) {
        Rows.Reader memory row = Rows.reader(payee, token, address(this), chainIdAtDeployment, _domainSeparator());
        // An entry is shorter than its row by the signature, so they all fit.
        bytes memory entries = new bytes(rows.length);
        uint256 entry;
        assembly ("memory-safe") {
            entry := add(entries, 0x20)
        }
        for (uint256 offset; offset < rows.length;) {
            (uint256 next, bytes32 id, uint256 cumulativeAmount, bool isSigned) = Rows.read(row, rows, offset);
            if (isSigned) {
                Word storage word = _at(id);
                uint256 slot = word.slot;
                (uint256 slotAfter,,) = _settle(slot, cumulativeAmount, row.payer, row.authorizedSigner, token);
                if (slotAfter != slot) {
                    word.slot = slotAfter;
                    uint256 redeemed = slotAfter.redeemedOf();
                    // Settling only adds to what was redeemed, at most 104 bits a row, and rows are fewer than bytes.
                    unchecked {
                        total += redeemed - slot.redeemedOf();
                    }
                    entry = Rows.record(entry, rows, offset, next, redeemed);
                }
            }
            offset = next;
        }
        if (total == 0) revert NothingToRedeem(0, 0);
        assembly ("memory-safe") {
            mstore(entries, sub(sub(entry, entries), 0x20))
        }
        emit BatchRedeemed(payee, token, total, entries);
        _push(token, payee, total);
    }

    /* END */

    /// @inheritdoc IEscrow
    function close(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature)
        external
        returns (uint256 paid, uint256 refunded)
    {
        if (msg.sender != channel.payee && !isOperator[channel.payee][msg.sender]) {
            revert NotPayee(msg.sender, channel.payee);
        }
        bytes32 id = channelId(channel);
        Word storage word = _at(id);
        uint256 slot = word.slot;
        uint256 redeemed = slot.redeemedOf();
        if (cumulativeAmount > redeemed) {
            uint256 fromAccount;
            bytes32 account;
            (slot, fromAccount, account) = _settleSigned(channel, id, slot, cumulativeAmount, signature);
            paid = slot.redeemedOf() - redeemed;
            redeemed += paid;
            if (fromAccount > 0) emit RedeemedFromAccount(id, channel.payee, account, redeemed, fromAccount);
        } else if (slot.reservedOf() == 0) {
            revert NothingReserved(id);
        }
        refunded = _close(channel, id, word, slot);
        // Last, so that the payee's receiving side can't spend the gas that the payer's refund needs.
        if (paid > 0) _push(channel.token, channel.payee, paid);
    }

    /// @inheritdoc IEscrow
    function setOperator(address operator, bool allowed) external {
        isOperator[msg.sender][operator] = allowed;
        emit OperatorSet(msg.sender, operator, allowed);
    }

    /// @inheritdoc IEscrow
    function requestClose(Channel calldata channel) external returns (uint256 closeAt) {
        _onlyPayer(channel.payer);
        bytes32 id = channelId(channel);
        Word storage word = _at(id);
        uint256 slot = word.slot;
        if (slot.closeAtOf() != 0) revert CloseAlreadyRequested(slot.closeAtOf());
        if (slot.reservedOf() == 0) revert NothingReserved(id);
        closeAt = block.timestamp + exitDelay;
        word.slot = Slots.packChannel(slot.redeemedOf(), slot.reservedOf(), closeAt);
        emit CloseRequested(id, channel.payee, closeAt);
    }

    /// @inheritdoc IEscrow
    function finalizeClose(Channel calldata channel) external returns (uint256 refunded) {
        bytes32 id = channelId(channel);
        Word storage word = _at(id);
        uint256 slot = word.slot;
        uint256 closeAt = slot.closeAtOf();
        if (closeAt == 0) revert CloseNotRequested(id);
        if (block.timestamp < closeAt) revert ExitDelayRunning(closeAt, block.timestamp);
        refunded = _close(channel, id, word, slot);
    }

    /// @inheritdoc IEscrow
    function withdraw(Account calldata account, uint256 amount, address to) external {
        _onlyPayer(account.payer);
        _onlyRecipient(to);
        bytes32 id = Vouchers.accountId(account.payer, account.authorizedSigner, account.token);
        _debit(id, amount);
        emit Withdrawn(id, to, amount);
        _push(account.token, to, amount);
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
        bytes32 id = Vouchers.accountId(account.payer, account.authorizedSigner, account.token);
        uint256 nonce = _at(id).slot.nonceOf();
        bytes32 digest = withdrawalDigest(account, amount, to, nonce, deadline);
        address signer = Vouchers.recover(digest, signature);
        if (signer == address(0) || signer != account.payer) revert InvalidSignature(digest, account.payer);
        _debit(id, amount);
        Word storage word = _at(id);
        word.slot = word.slot.withNextNonce();
        emit WithdrawnFor(id, to, amount, nonce);
        _push(account.token, to, amount);
    }

    /* READ */

    /// @inheritdoc IEscrow
    function accountId(Account calldata account) external pure returns (bytes32) {
        return Vouchers.accountId(account.payer, account.authorizedSigner, account.token);
    }

    /// @inheritdoc IEscrow
    function channelId(Channel calldata channel) public view returns (bytes32) {
        return Vouchers.channelId(channel, chainIdAtDeployment);
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
            accountState(Vouchers.accountId(channel.payer, channel.authorizedSigner, channel.token))
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

    function _onlyPayee(address payee) private view {
        if (msg.sender != payee) revert NotPayee(msg.sender, payee);
    }

    function _onlyRecipient(address to) private view {
        if (to == address(0) || to == address(this)) revert InvalidRecipient(to);
    }

    /* EFFECTS */

    function _addToAccount(Account calldata account, uint256 amount) private returns (bytes32 id) {
        if (account.payer == address(0)) revert ZeroPayer();
        if (account.authorizedSigner == address(0)) revert ZeroAuthorizedSigner();
        id = Vouchers.accountId(account.payer, account.authorizedSigner, account.token);
        _credit(id, amount);
        emit Deposited(id, account.payer, account.authorizedSigner, account.token, amount);
    }

    function _addToChannel(Channel calldata channel, uint256 amount) private returns (bytes32 id) {
        if (channel.payer == address(0)) revert ZeroPayer();
        bool isNew;
        (id, isNew) = _addToReservation(channel, amount);
        if (isNew) {
            emit Opened(id, channel.payer, channel.payee, channel.token, channel.salt, channel.authorizedSigner, amount);
        } else {
            emit ToppedUp(id, amount);
        }
    }

    function _credit(bytes32 id, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        Word storage word = _at(id);
        uint256 slot = word.slot;
        word.slot = slot.withBalance(_add(slot.balanceOf(), amount));
    }

    function _debit(bytes32 id, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        Word storage word = _at(id);
        uint256 slot = word.slot;
        uint256 balance = slot.balanceOf();
        if (amount > balance) revert InsufficientBalance(balance, amount);
        unchecked {
            // Just checked.
            word.slot = slot.withBalance(balance - amount);
        }
    }

    /// @dev Refuses while the clock runs: otherwise a payer could start it on one unit, wait, add money, be served
    /// against it and take it back in the same block.
    function _addToReservation(Channel calldata channel, uint256 amount) private returns (bytes32 id, bool isNew) {
        if (amount == 0) revert ZeroAmount();
        if (channel.payee == address(0)) revert ZeroPayee();
        if (channel.authorizedSigner == address(0)) revert ZeroAuthorizedSigner();
        id = channelId(channel);
        Word storage word = _at(id);
        uint256 slot = word.slot;
        isNew = slot == 0;
        if (slot.closeAtOf() != 0) revert CloseAlreadyRequested(slot.closeAtOf());
        word.slot = Slots.packChannel(slot.redeemedOf(), _add(slot.reservedOf(), amount), 0);
    }

    function _redeem(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature)
        private
        returns (uint256 paid)
    {
        bytes32 id = channelId(channel);
        Word storage word = _at(id);
        uint256 slot = word.slot;
        (uint256 slotAfter, uint256 fromAccount, bytes32 account) =
            _settleSigned(channel, id, slot, cumulativeAmount, signature);
        word.slot = slotAfter;
        uint256 redeemed = slotAfter.redeemedOf();
        // Settling only adds to what was redeemed.
        unchecked {
            paid = redeemed - slot.redeemedOf();
        }
        if (fromAccount == 0) emit Redeemed(id, channel.payee, redeemed);
        else emit RedeemedFromAccount(id, channel.payee, account, redeemed, fromAccount);
    }

    /// @dev Settles a voucher if its signature is the authorized signer's and it pays something.
    function _settleSigned(
        Channel calldata channel,
        bytes32 id,
        uint256 slot,
        uint128 cumulativeAmount,
        bytes calldata signature
    ) private returns (uint256 slotAfter, uint256 fromAccount, bytes32 account) {
        bytes32 digest = voucherDigest(id, cumulativeAmount);
        address authorizedSigner = channel.authorizedSigner;
        address signer = Vouchers.recover(digest, signature);
        if (signer == address(0) || signer != authorizedSigner) revert InvalidSignature(digest, authorizedSigner);
        (slotAfter, fromAccount, account) =
            _settle(slot, cumulativeAmount, channel.payer, authorizedSigner, channel.token);
        if (slotAfter == slot) revert NothingToRedeem(slot.redeemedOf(), cumulativeAmount);
    }

    /// @dev Works out what a channel's slot becomes when what it still owes moves out of its reservation, then out of its
    /// account, whose slot is written and which is named only if it was needed. A shortage stays owed, because `redeemed`
    /// rises only by what is paid; if nothing is paid, the slot is as it was. The caller writes the channel's slot.
    function _settle(uint256 slot, uint256 cumulativeAmount, address payer, address authorizedSigner, address token)
        private
        returns (uint256 slotAfter, uint256 fromAccount, bytes32 account)
    {
        uint256 redeemed = slot.redeemedOf();
        // Clamped, so that a promise beyond what the slot can count never spills into the neighbouring field.
        uint256 target = cumulativeAmount > Slots.AMOUNT_MAX ? Slots.AMOUNT_MAX : cumulativeAmount;
        if (target <= redeemed) return (slot, 0, 0);
        // No subtraction below takes more than there is, and redeemed rises at most to target.
        unchecked {
            uint256 owed = target - redeemed;
            uint256 reserved = slot.reservedOf();
            if (owed <= reserved) return (slot.moved(owed, owed), 0, 0);
            account = Vouchers.accountId(payer, authorizedSigner, token);
            Word storage word = _at(account);
            uint256 accountSlot = word.slot;
            uint256 balance = accountSlot.balanceOf();
            fromAccount = owed - reserved;
            if (fromAccount > balance) fromAccount = balance;
            if (fromAccount > 0) word.slot = accountSlot.withBalance(balance - fromAccount);
            slotAfter = slot.moved(reserved, reserved + fromAccount);
        }
    }

    /// @dev Ends the reservation and refunds it. The event comes before the refund: a payer that re-enters from it could
    /// otherwise open the channel again and start its clock, and the log would seem to end that clock. A refund that the
    /// payer does not take is the second exception to the order: only the transfer can tell.
    function _close(Channel calldata channel, bytes32 id, Word storage word, uint256 slot)
        private
        returns (uint256 refunded)
    {
        refunded = slot.reservedOf();
        word.slot = Slots.packChannel(slot.redeemedOf(), 0, 0);
        emit Closed(id, channel.payee, slot.redeemedOf(), refunded);
        if (refunded == 0 || _tryPush(channel.token, channel.payer, refunded)) return refunded;
        // Never into a session key's account: the refund is the payer's alone.
        bytes32 account = Vouchers.accountId(channel.payer, channel.payer, channel.token);
        _credit(account, refunded);
        emit Deposited(account, channel.payer, channel.payer, channel.token, refunded);
    }

    function _add(uint256 held, uint256 amount) private pure returns (uint256 sum) {
        // Checked against the maximum first, so the sum of two such values can't overflow.
        if (amount > Slots.AMOUNT_MAX) revert AmountTooLarge(amount, Slots.AMOUNT_MAX);
        unchecked {
            sum = held + amount;
        }
        if (sum > Slots.AMOUNT_MAX) revert AmountTooLarge(sum, Slots.AMOUNT_MAX);
    }

    /* TRANSFERS */

    /// @dev Takes exactly `amount` from the caller. The check after the transfer is the first exception to the
    /// order: effects are already written, and a shortfall reverts them.
    function _pull(address token, uint256 amount) private {
        if (token == address(0)) {
            if (msg.value != amount) revert WrongValue(msg.value, amount);
            return;
        }
        if (msg.value != 0) revert WrongValue(msg.value, 0);
        uint256 before = _beginFunding(token);
        SafeTransferLib.safeTransferFrom(token, msg.sender, address(this), amount);
        _endFunding(token, before, amount);
    }

    /// @dev The permit is the caller's, whoever the payer is: to tolerate a permit that fails and then pull from somebody
    /// the terms name would spend whatever allowance that somebody once gave.
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
        bytes memory data = abi.encodeWithSignature("transfer(address,uint256)", to, amount);
        uint256 gasLimit = REFUND_GAS;
        assembly ("memory-safe") {
            mstore(0x00, 0)
            sent := call(gasLimit, token, 0, add(data, 0x20), mload(data), 0x00, 0x20)
            // True, or nothing at all from something that has code.
            let accepted :=
                or(
                    and(eq(mload(0x00), 1), gt(returndatasize(), 0x1f)),
                    and(iszero(returndatasize()), gt(extcodesize(token), 0))
                )
            sent := and(sent, accepted)
        }
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Farthing Escrow", "1");
    }
}
