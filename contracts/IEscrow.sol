// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice A payer's prepaid purse for one authorized signer and one token.
/// @dev Its id is `keccak256(abi.encode(payer, authorizedSigner, token))`.
/// @param payer Who may withdraw and reserve.
/// @param authorizedSigner The key whose vouchers are paid from this account; often the payer itself, never zero.
/// @param token The ERC-20, or zero for the native coin.
struct Account {
    address payer;
    address authorizedSigner;
    address token;
}

/// @notice The terms of a payment channel from one payer to one payee.
/// @dev Its id is `keccak256(abi.encode(payer, payee, token, salt, authorizedSigner, escrow, chainIdAtDeployment))`:
/// whoever shows terms that hash to the id has proven them, so they are never stored.
/// @param payer Whose money it is until it is redeemed.
/// @param payee Who is paid.
/// @param token The ERC-20, or zero for the native coin.
/// @param salt Tells channels between the same two parties apart; each device and each restored backup draws its own.
/// @param authorizedSigner The key whose vouchers are good; never zero.
struct Channel {
    address payer;
    address payee;
    address token;
    bytes32 salt;
    address authorizedSigner;
}

/// @notice A holder's signed allowance for the escrow, as in EIP-2612, over exactly the amount that is funded.
/// @param deadline Unix time in seconds after which the token refuses it.
struct Permit {
    uint256 deadline;
    uint8 v;
    bytes32 r;
    bytes32 s;
}

/// @notice A payer's signed transfer to the escrow, as in EIP-3009 (`receiveWithAuthorization`), of exactly the amount
/// that is funded.
/// @param validAfter Unix time in seconds after which the token accepts it.
/// @param validBefore Unix time in seconds before which the token accepts it.
/// @param salt Tells apart authorizations for one account or channel: the signed nonce is
/// `keccak256(abi.encode(id, salt))`, so that whoever relays it can fund nothing else with it.
struct Authorization {
    uint256 validAfter;
    uint256 validBefore;
    bytes32 salt;
    uint8 v;
    bytes32 r;
    bytes32 s;
}

/// @notice What the escrow stores for an account, in one slot.
/// @param balance Base units of the token that any channel of this account can be paid from.
/// @param nonce Number of relayed withdrawals.
struct AccountState {
    uint104 balance;
    uint64 nonce;
}

/// @notice What the escrow stores for a channel, in one slot.
/// @param redeemed Base units paid to the payee so far; never falls and is never deleted.
/// @param reserved Base units that only the payee can have until the exit delay has run.
/// @param closeAt Unix time in seconds from which the close can be finalized; zero while no close is requested.
struct ChannelState {
    uint104 redeemed;
    uint104 reserved;
    uint40 closeAt;
}

/// @title Escrow
/// @notice Holds prepaid money and pays it out against vouchers: signed promises that say "in total, this channel owes
/// you N".
/// @dev Nobody owns it, nothing in it can be paused or changed. Assumptions about tokens: a balance moves only by a
/// transfer, and a transfer of `n` moves `n`. A token that breaks them can hurt its own holders, nobody else.
interface IEscrow {
    /* ERRORS */

    /// @notice Thrown when the exit delay named at deployment is outside its bounds, all in seconds.
    error ExitDelayOutOfRange(uint256 exitDelay, uint256 minimum, uint256 maximum);

    /// @notice Thrown when an account or channel names no payer.
    error ZeroPayer();

    /// @notice Thrown when a channel names no payee.
    error ZeroPayee();

    /// @notice Thrown when an account or channel names no authorized signer.
    error ZeroAuthorizedSigner();

    /// @notice Thrown when nothing would move.
    error ZeroAmount();

    /// @notice Thrown when a caller names the zero address or the escrow itself as the one to be paid, where money
    /// would be lost. A voucher's payee is the signer's choice, and is paid whoever it is.
    error InvalidRecipient(address recipient);

    /// @notice Thrown when an amount or a sum does not fit the escrow's 104 bits.
    error AmountTooLarge(uint256 amount, uint256 maximum);

    /// @notice Thrown when the native coin sent is not what the call says.
    error WrongValue(uint256 sent, uint256 expected);

    /// @notice Thrown when a token delivered another amount than it was asked to (a fee on transfer, for instance).
    error TransferMismatch(uint256 received, uint256 expected);

    /// @notice Thrown when a token calls back into a funding function while it is being pulled.
    error FundingInProgress();

    /// @notice Thrown when somebody else calls what only the payer may call.
    error NotPayer(address caller, address payer);

    /// @notice Thrown when somebody else calls what only the payee may call, or to close, the payee and its operators.
    error NotPayee(address caller, address payee);

    /// @notice Thrown when an account holds less than it is asked for.
    error InsufficientBalance(uint256 balance, uint256 requested);

    /// @notice Thrown when a voucher promises nothing beyond what was redeemed, or there is no money behind it, and
    /// when no row of a batch pays.
    error NothingToRedeem(uint256 redeemed, uint256 cumulativeAmount);

    /// @notice Thrown when a channel without a reservation is asked to close.
    error NothingReserved(bytes32 channelId);

    /// @notice Thrown when a signature is malformed, malleable, or by another key than `signer`: the authorized signer
    /// for a voucher, the payer for a withdrawal.
    error InvalidSignature(bytes32 digest, address signer);

    /// @notice Thrown when a relayed withdrawal comes too late, both in Unix seconds.
    error DeadlinePassed(uint256 deadline, uint256 timestamp);

    /// @notice Thrown when the clock of a channel already runs: money can't be added and it can't be started again.
    error CloseAlreadyRequested(uint256 closeAt);

    /// @notice Thrown when a close is finalized that nobody requested.
    error CloseNotRequested(bytes32 channelId);

    /// @notice Thrown when a close is finalized before its time, both in Unix seconds.
    error ExitDelayRunning(uint256 closeAt, uint256 timestamp);

    /// @notice Thrown when the rows of a batch end inside a row or carry an unknown flag; `offset` is where the row
    /// begins.
    error MalformedRows(uint256 offset);

    /// @notice Thrown when a caller leaves so little gas that a refund would fail for want of it.
    error InsufficientGas(uint256 available, uint256 required);

    /* EVENTS */

    /// @notice Emitted when money enters an account: a deposit, or a refund that its payer did not take.
    event Deposited(
        bytes32 indexed accountId,
        address indexed payer,
        address authorizedSigner,
        address indexed token,
        uint256 amount
    );

    /// @notice Emitted when money enters a channel's reservation from outside the escrow, if its slot is empty: it was
    /// never used, or closed before anything was redeemed.
    event Opened(
        bytes32 indexed channelId,
        address indexed payer,
        address indexed payee,
        address token,
        bytes32 salt,
        address authorizedSigner,
        uint256 amount
    );

    /// @notice Emitted when more money enters a channel's reservation from outside the escrow.
    event ToppedUp(bytes32 indexed channelId, uint256 amount);

    /// @notice Emitted when money moves from an account into the reservation of a channel of the same payer, signer and
    /// token, if the channel's slot is empty.
    event Reserved(
        bytes32 indexed channelId,
        address indexed payer,
        address indexed payee,
        address token,
        bytes32 salt,
        address authorizedSigner,
        uint256 amount
    );

    /// @notice Emitted when more money moves from an account into a channel's reservation.
    event ToppedUpFromAccount(bytes32 indexed channelId, bytes32 indexed accountId, uint256 amount);

    /// @notice Emitted when a voucher is paid out of its channel's reservation; `redeemed` is the channel's new total.
    event Redeemed(bytes32 indexed channelId, address indexed payee, uint256 redeemed);

    /// @notice Emitted when a voucher is paid out of an account as well; what the new total grows by beyond
    /// `fromAccount` came from the reservation.
    event RedeemedFromAccount(
        bytes32 indexed channelId,
        address indexed payee,
        bytes32 indexed accountId,
        uint256 redeemed,
        uint256 fromAccount
    );

    /// @notice Emitted when a batch is paid. `entries` is the rows that paid, in order, each without its signature and
    /// with the channel's new `redeemed` in place of the cumulative amount; each paid from its reservation first.
    event BatchRedeemed(address indexed payee, address indexed token, uint256 total, bytes entries);

    /// @notice Emitted when a payer starts a channel's clock.
    event CloseRequested(bytes32 indexed channelId, address indexed payee, uint256 closeAt);

    /// @notice Emitted when the unused reservation goes back; `redeemed` is the channel's total, with what this close
    /// paid out of the reservation. If the payer does not take the refund, a `Deposited` into the account (payer,
    /// payer, token) follows in the same transaction.
    event Closed(bytes32 indexed channelId, address indexed payee, uint256 redeemed, uint256 refunded);

    /// @notice Emitted when a payer takes money out of an account.
    event Withdrawn(bytes32 indexed accountId, address indexed to, uint256 amount);

    /// @notice Emitted when a payer's signature takes money out of an account; `nonce` is the one it used up.
    event WithdrawnFor(bytes32 indexed accountId, address indexed to, uint256 amount, uint256 nonce);

    /// @notice Emitted when a payee says whether a key may close its channels.
    event OperatorSet(address indexed payee, address indexed operator, bool allowed);

    /* FUND */

    /// @notice Adds the caller's money to an account.
    /// @dev Anyone may fund any account; the money is the account payer's from then on. The native coin is sent with
    /// the call and must equal `amount`; an ERC-20 is pulled from the caller only.
    function deposit(Account calldata account, uint256 amount) external payable;

    /// @notice Adds the caller's money to a channel's reservation, opening the channel if it is new.
    /// @dev Reverts while the channel's clock runs, so that nothing is added that is about to leave.
    function open(Channel calldata channel, uint256 amount) external payable;

    /// @notice Adds the caller's tokens to an account, with the caller's EIP-2612 permit instead of an earlier
    /// approval.
    /// @dev The permit may fail: somebody else may have shown it to the token before, which leaves the same allowance.
    /// It is the caller's own permit and the caller's own tokens, whatever the account says.
    function depositWithPermit(Account calldata account, uint256 amount, Permit calldata permit) external;

    /// @notice Adds the caller's tokens to a channel's reservation, with the caller's EIP-2612 permit instead of an
    /// earlier approval.
    function openWithPermit(Channel calldata channel, uint256 amount, Permit calldata permit) external;

    /// @notice Adds the payer's tokens to the payer's account; anyone may send the payer's EIP-3009 authorization.
    /// @dev The signed nonce commits to the account, so that nobody can send the money elsewhere.
    function depositWithAuthorization(Account calldata account, uint256 amount, Authorization calldata authorization)
        external;

    /// @notice Adds the payer's tokens to a channel's reservation; anyone may send the payer's EIP-3009 authorization.
    /// @dev The signed nonce commits to the channel, and so to its payee.
    function openWithAuthorization(Channel calldata channel, uint256 amount, Authorization calldata authorization)
        external;

    /* GUARANTEE */

    /// @notice Moves money from the payer's account into a channel's reservation; only the payer may.
    function reserve(Channel calldata channel, uint256 amount) external;

    /* EARN */

    /// @notice Pays a voucher to its payee: from the reservation first, then from the account. Pays what there is and
    /// keeps the rest owed. Anyone may call it.
    /// @param cumulativeAmount All that the channel owes since it exists, as signed.
    /// @param signature 65 bytes, or 64 as in EIP-2098; low `s` only.
    /// @return paid Base units sent to the payee.
    function redeem(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature)
        external
        returns (uint256 paid);

    /// @notice Pays a voucher to an address of the payee's choice; only the payee may call it.
    /// @return paid Base units sent to `to`.
    function redeemTo(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature, address to)
        external
        returns (uint256 paid);

    /// @notice Pays vouchers of many channels of one payee and one token with a single transfer. Anyone may call it.
    /// @dev A row is `flags (1) | payer (20) | cumulativeAmount (13) | authorizedSigner (20, if flag 1) | salt (32, if
    /// flag 2) | signature (64, EIP-2098)`; without flag 1 the signer is the payer, without flag 2 the salt is zero. A
    /// row that is stale, badly signed or without money behind it is skipped; a short one pays what there is. Reverts
    /// on bytes that are not rows and when nothing at all would be paid.
    /// @return total Base units sent to the payee.
    function redeemBatch(address payee, address token, bytes calldata rows) external returns (uint256 total);

    /* END */

    /// @notice Redeems a voucher and gives the unused reservation back to the payer at once; only the payee and its
    /// operators may.
    /// @dev A cumulative amount at or below what was redeemed closes without redeeming and needs no signature: the
    /// payee gives up only what is its own.
    /// @return paid Base units sent to the payee.
    /// @return refunded Base units given back to the payer.
    function close(Channel calldata channel, uint128 cumulativeAmount, bytes calldata signature)
        external
        returns (uint256 paid, uint256 refunded);

    /// @notice Lets a key close the caller's channels, or forbids it.
    /// @dev For a payee whose own key is kept offline. An operator can give up the payee's guarantees, by closing; it
    /// can never say where money goes.
    function setOperator(address operator, bool allowed) external;

    /// @notice Starts the exit delay of a channel with a reservation; only the payer may. Vouchers redeem throughout.
    /// @return closeAt Unix time in seconds from which `finalizeClose` succeeds.
    function requestClose(Channel calldata channel) external returns (uint256 closeAt);

    /// @notice Gives the unused reservation back to the payer once the exit delay has run. Anyone may call it.
    /// @dev A payer that does not take its refund, and whose own account would pass 104 bits with it, withdraws first.
    /// The payee can redeem all the same.
    /// @return refunded Base units given back to the payer.
    function finalizeClose(Channel calldata channel) external returns (uint256 refunded);

    /// @notice Takes money out of an account, at once; only the payer may.
    function withdraw(Account calldata account, uint256 amount, address to) external;

    /// @notice Takes money out of an account with the payer's signature; anyone may send it, once, until the deadline.
    /// @param deadline Last Unix second in which it is good.
    /// @param signature The payer's, over `withdrawalDigest` with the account's present nonce: 65 bytes, or 64 as in
    /// EIP-2098; low `s` only.
    function withdrawFor(
        Account calldata account,
        uint256 amount,
        address to,
        uint256 deadline,
        bytes calldata signature
    ) external;

    /* READ */

    /// @notice Seconds between the request of a close and its finalization.
    function exitDelay() external view returns (uint256);

    /// @notice The chain id inside every channel id: the one this escrow was deployed on, whatever the chain calls
    /// itself later.
    function chainIdAtDeployment() external view returns (uint256);

    /// @notice Returns an account's id.
    function accountId(Account calldata account) external pure returns (bytes32);

    /// @notice Returns a channel's id.
    function channelId(Channel calldata channel) external view returns (bytes32);

    /// @notice Returns the EIP-712 digest that the authorized signer signs.
    function voucherDigest(bytes32 channelId, uint128 cumulativeAmount) external view returns (bytes32);

    /// @notice Returns the EIP-712 digest that a payer signs to have money sent out of an account: of
    /// `Withdrawal(address payer,address authorizedSigner,address token,uint256 amount,address to,uint256 nonce,uint256
    /// deadline)`.
    function withdrawalDigest(Account calldata account, uint256 amount, address to, uint256 nonce, uint256 deadline)
        external
        view
        returns (bytes32);

    /// @notice Returns the nonce of an EIP-3009 authorization that funds this account or channel:
    /// `keccak256(abi.encode(id, salt))`.
    function authorizationNonce(bytes32 id, bytes32 salt) external pure returns (bytes32);

    /// @notice Returns whether a key may close a payee's channels.
    function isOperator(address payee, address operator) external view returns (bool);

    /// @notice Returns an account's state.
    function accountState(bytes32 accountId) external view returns (AccountState memory);

    /// @notice Returns a channel's state.
    function channelState(bytes32 channelId) external view returns (ChannelState memory);

    /// @notice Returns the state of a channel and of the account behind it, read in one call.
    function fundsOf(Channel calldata channel) external view returns (ChannelState memory, AccountState memory);
}
