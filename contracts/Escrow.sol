// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {EIP712} from "solady/utils/EIP712.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {Account, AccountState, Channel, ChannelState, IEscrow} from "./IEscrow.sol";
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

    mapping(bytes32 accountId => uint256 slot) private accounts;
    mapping(bytes32 channelId => uint256 slot) private channels;

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
        if (account.payer == address(0)) revert ZeroPayer();
        if (account.authorizedSigner == address(0)) revert ZeroAuthorizedSigner();
        bytes32 id = Vouchers.accountId(account.payer, account.authorizedSigner, account.token);
        _credit(id, amount);
        emit Deposited(id, account.payer, account.authorizedSigner, account.token, amount);
        _pull(account.token, amount);
    }

    /// @inheritdoc IEscrow
    function open(Channel calldata channel, uint256 amount) external payable {
        if (channel.payer == address(0)) revert ZeroPayer();
        bytes32 id = _addToReservation(channel, amount);
        emit Opened(id, channel.payer, channel.payee, channel.token, channel.salt, channel.authorizedSigner, amount);
        _pull(channel.token, amount);
    }

    /* GUARANTEE */

    /// @inheritdoc IEscrow
    function reserve(Channel calldata channel, uint256 amount) external {
        _onlyPayer(channel.payer);
        _debit(Vouchers.accountId(channel.payer, channel.authorizedSigner, channel.token), amount);
        bytes32 id = _addToReservation(channel, amount);
        emit Reserved(id, channel.payer, channel.payee, channel.token, channel.salt, channel.authorizedSigner, amount);
    }

    /* EARN */

    /// @inheritdoc IEscrow
    function redeem(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature)
        external
        returns (uint256 paid)
    {
        paid = _redeem(channel, channelId(channel), cumulativeAmount, signature);
        _push(channel.token, channel.payee, paid);
    }

    /// @inheritdoc IEscrow
    function redeemTo(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature, address to)
        external
        returns (uint256 paid)
    {
        _onlyPayee(channel.payee);
        _onlyRecipient(to);
        paid = _redeem(channel, channelId(channel), cumulativeAmount, signature);
        _push(channel.token, to, paid);
    }

    /// @inheritdoc IEscrow
    function redeemBatch(address payee, address token, bytes calldata rows) external returns (uint256 total) {
        Rows.Reader memory row = Rows.reader(payee, token, address(this), chainIdAtDeployment, rows.length);
        bytes32 domainSeparator = _domainSeparator();
        for (uint256 offset; offset < rows.length;) {
            offset = Rows.read(row, rows, offset);
            bytes32 digest = Vouchers.digest(domainSeparator, row.channelId, row.cumulativeAmount);
            address signer = Vouchers.recover(digest, row.r, row.vs);
            if (signer == address(0) || signer != row.authorizedSigner) continue;
            uint256 redeemed = channels[row.channelId].redeemedOf();
            if (row.cumulativeAmount <= redeemed) continue;
            bytes32 account = Vouchers.accountId(row.payer, row.authorizedSigner, token);
            (uint256 fromReservation, uint256 fromAccount) = _settle(row.channelId, account, row.cumulativeAmount);
            uint256 paid = fromReservation + fromAccount;
            if (paid == 0) continue;
            total += paid;
            Rows.record(row, rows, redeemed + paid);
        }
        if (total == 0) revert NothingToRedeem(0, 0);
        emit BatchRedeemed(payee, token, total, Rows.entries(row));
        _push(token, payee, total);
    }

    /* END */

    /// @inheritdoc IEscrow
    function close(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature)
        external
        returns (uint256 paid, uint256 refunded)
    {
        _onlyPayee(channel.payee);
        bytes32 id = channelId(channel);
        if (cumulativeAmount > channels[id].redeemedOf()) {
            paid = _redeem(channel, id, cumulativeAmount, signature);
        } else if (channels[id].reservedOf() == 0) {
            revert NothingReserved(id);
        }
        refunded = _close(channel, id);
        // Last, so that the payee's receiving side can't spend the gas that the payer's refund needs.
        if (paid > 0) _push(channel.token, channel.payee, paid);
    }

    /// @inheritdoc IEscrow
    function requestClose(Channel calldata channel) external returns (uint256 closeAt) {
        _onlyPayer(channel.payer);
        bytes32 id = channelId(channel);
        uint256 slot = channels[id];
        if (slot.closeAtOf() != 0) revert CloseAlreadyRequested(slot.closeAtOf());
        if (slot.reservedOf() == 0) revert NothingReserved(id);
        closeAt = block.timestamp + exitDelay;
        channels[id] = Slots.packChannel(slot.redeemedOf(), slot.reservedOf(), closeAt);
        emit CloseRequested(id, channel.payer, channel.payee, closeAt);
    }

    /// @inheritdoc IEscrow
    function finalizeClose(Channel calldata channel) external returns (uint256 refunded) {
        bytes32 id = channelId(channel);
        uint256 closeAt = channels[id].closeAtOf();
        if (closeAt == 0) revert CloseNotRequested(id);
        if (block.timestamp < closeAt) revert ExitDelayRunning(closeAt, block.timestamp);
        refunded = _close(channel, id);
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

    /* READ */

    /// @inheritdoc IEscrow
    function accountId(Account calldata account) external pure returns (bytes32) {
        return Vouchers.accountId(account.payer, account.authorizedSigner, account.token);
    }

    /// @inheritdoc IEscrow
    function channelId(Channel calldata channel) public view returns (bytes32) {
        return keccak256(
            abi.encode(
                channel.payer,
                channel.payee,
                channel.token,
                channel.salt,
                channel.authorizedSigner,
                address(this),
                chainIdAtDeployment
            )
        );
    }

    /// @inheritdoc IEscrow
    function voucherDigest(bytes32 id, uint128 cumulativeAmount) public view returns (bytes32) {
        return Vouchers.digest(_domainSeparator(), id, cumulativeAmount);
    }

    /// @inheritdoc IEscrow
    function accountState(bytes32 id) public view returns (AccountState memory) {
        uint256 slot = accounts[id];
        return AccountState(uint104(slot.balanceOf()), uint64(slot.nonceOf()));
    }

    /// @inheritdoc IEscrow
    function channelState(bytes32 id) public view returns (ChannelState memory) {
        uint256 slot = channels[id];
        return ChannelState(uint104(slot.redeemedOf()), uint104(slot.reservedOf()), uint40(slot.closeAtOf()));
    }

    /// @inheritdoc IEscrow
    function fundsOf(Channel calldata channel) external view returns (ChannelState memory, AccountState memory) {
        return (
            channelState(channelId(channel)),
            accountState(Vouchers.accountId(channel.payer, channel.authorizedSigner, channel.token))
        );
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

    function _credit(bytes32 id, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        uint256 slot = accounts[id];
        accounts[id] = slot.withBalance(_add(slot.balanceOf(), amount));
    }

    function _debit(bytes32 id, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        uint256 slot = accounts[id];
        uint256 balance = slot.balanceOf();
        if (amount > balance) revert InsufficientBalance(balance, amount);
        accounts[id] = slot.withBalance(balance - amount);
    }

    /// @dev Refuses while the clock runs: otherwise a payer could start it on one unit, wait, add money, be served
    /// against it and take it back in the same block.
    function _addToReservation(Channel calldata channel, uint256 amount) private returns (bytes32 id) {
        if (amount == 0) revert ZeroAmount();
        if (channel.payee == address(0)) revert ZeroPayee();
        if (channel.authorizedSigner == address(0)) revert ZeroAuthorizedSigner();
        id = channelId(channel);
        uint256 slot = channels[id];
        if (slot.closeAtOf() != 0) revert CloseAlreadyRequested(slot.closeAtOf());
        channels[id] = Slots.packChannel(slot.redeemedOf(), _add(slot.reservedOf(), amount), 0);
    }

    function _redeem(Channel calldata channel, bytes32 id, uint128 cumulativeAmount, bytes calldata signature)
        private
        returns (uint256 paid)
    {
        bytes32 digest = voucherDigest(id, cumulativeAmount);
        address signer = Vouchers.recover(digest, signature);
        if (signer == address(0) || signer != channel.authorizedSigner) {
            revert InvalidSignature(digest, channel.authorizedSigner);
        }
        uint256 redeemed = channels[id].redeemedOf();
        bytes32 account = Vouchers.accountId(channel.payer, channel.authorizedSigner, channel.token);
        (uint256 fromReservation, uint256 fromAccount) = _settle(id, account, cumulativeAmount);
        paid = fromReservation + fromAccount;
        if (paid == 0) revert NothingToRedeem(redeemed, cumulativeAmount);
        emit Redeemed(id, channel.payee, account, redeemed + paid, fromReservation, fromAccount);
    }

    /// @dev Moves what the channel still owes out of its reservation, then out of its account; a shortage stays owed,
    /// because `redeemed` rises only by what is paid. Writes nothing if nothing is paid.
    function _settle(bytes32 id, bytes32 account, uint256 cumulativeAmount)
        private
        returns (uint256 fromReservation, uint256 fromAccount)
    {
        uint256 channelSlot = channels[id];
        uint256 redeemed = channelSlot.redeemedOf();
        // Clamped, so that a promise beyond what the slot can count never spills into the neighbouring field.
        uint256 target = cumulativeAmount > Slots.AMOUNT_MAX ? Slots.AMOUNT_MAX : cumulativeAmount;
        if (target <= redeemed) return (0, 0);
        uint256 reserved = channelSlot.reservedOf();
        // Every subtraction below takes a minimum from its own bound, and redeemed rises at most to target.
        unchecked {
            uint256 owed = target - redeemed;
            fromReservation = owed < reserved ? owed : reserved;
            if (owed > fromReservation) {
                uint256 accountSlot = accounts[account];
                uint256 balance = accountSlot.balanceOf();
                fromAccount = owed - fromReservation;
                if (fromAccount > balance) fromAccount = balance;
                if (fromAccount > 0) accounts[account] = accountSlot.withBalance(balance - fromAccount);
            }
            uint256 paid = fromReservation + fromAccount;
            if (paid > 0) {
                channels[id] = Slots.packChannel(redeemed + paid, reserved - fromReservation, channelSlot.closeAtOf());
            }
        }
    }

    /// @dev Ends the reservation and refunds it. The event comes before the refund: a payer that re-enters from it could
    /// otherwise open the channel again and start its clock, and the log would seem to end that clock. A refund that the
    /// payer does not take is the second exception to the order: only the transfer can tell.
    function _close(Channel calldata channel, bytes32 id) private returns (uint256 refunded) {
        uint256 slot = channels[id];
        refunded = slot.reservedOf();
        channels[id] = Slots.packChannel(slot.redeemedOf(), 0, 0);
        emit Closed(id, channel.payer, channel.payee, refunded);
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
        if (fundingInProgress) revert FundingInProgress();
        fundingInProgress = true;
        uint256 before = SafeTransferLib.balanceOf(token, address(this));
        SafeTransferLib.safeTransferFrom(token, msg.sender, address(this), amount);
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
