// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Vm} from "forge-std/Vm.sol";

import {AccountState, ChannelState, IEscrow} from "../../contracts/IEscrow.sol";

/// @dev What the escrow's events say, and what the handler saw with its own eyes. It never asks the escrow, so that the
/// invariants compare two things.
contract Store {
    /* WHAT EVENTS SAY */

    mapping(bytes32 accountId => AccountState) private accounts;
    mapping(bytes32 channelId => ChannelState) private channels;
    mapping(address payee => mapping(address operator => bool)) public isOperator;
    mapping(address token => uint256) public balanceSum;
    mapping(address token => uint256) public reservationSum;

    /// @dev Learned from the events that fund an account or a channel; the others don't name the token.
    mapping(bytes32 id => address) private tokens;
    address private immutable ESCROW;

    /* WHAT THE HANDLER SAW */

    /// @dev The highest amount that the channel's own signer signed.
    mapping(bytes32 channelId => uint128) public promised;
    /// @dev What arrived at the payee, or where the payee had it sent.
    mapping(bytes32 channelId => uint256) public received;
    mapping(address token => uint256) public funded;
    mapping(address token => uint256) public returned;
    mapping(address token => uint256) public earned;
    /// @dev Sent to the escrow by a plain transfer: in no account, for nobody.
    mapping(address token => uint256) public given;

    mapping(string verb => uint256) public succeeded;
    mapping(string verb => uint256) public refused;
    uint256 public succeededCount;
    uint256 public refusedCount;

    error UnknownEvent(bytes32 topic);

    constructor(address escrow) {
        ESCROW = escrow;
    }

    function accountState(bytes32 id) external view returns (AccountState memory) {
        return accounts[id];
    }

    function channelState(bytes32 id) external view returns (ChannelState memory) {
        return channels[id];
    }

    /* RECORDING */

    function notePromise(bytes32 id, uint128 cumulativeAmount) external {
        if (cumulativeAmount > promised[id]) promised[id] = cumulativeAmount;
    }

    function noteReceived(bytes32 id, address token, uint256 amount) external {
        received[id] += amount;
        earned[token] += amount;
    }

    function noteFunded(address token, uint256 amount) external {
        funded[token] += amount;
    }

    function noteReturned(address token, uint256 amount) external {
        returned[token] += amount;
    }

    function noteGiven(address token, uint256 amount) external {
        given[token] += amount;
    }

    function count(string calldata verb, bool success) external {
        if (success) {
            ++succeeded[verb];
            ++succeededCount;
        } else {
            ++refused[verb];
            ++refusedCount;
        }
    }

    /* REPLAYING */

    function replay(Vm.Log[] calldata logs) external {
        for (uint256 i; i < logs.length; ++i) {
            // The tokens and the receivers log as well.
            if (logs[i].emitter == ESCROW) _replay(logs[i].topics, logs[i].data);
        }
    }

    function _replay(bytes32[] calldata topics, bytes calldata data) private {
        bytes32 kind = topics[0];
        bytes32 id = topics[1];
        if (kind == IEscrow.Deposited.selector) {
            (, uint256 amount) = abi.decode(data, (address, uint256));
            tokens[id] = address(uint160(uint256(topics[3])));
            _credit(id, amount);
        } else if (kind == IEscrow.Opened.selector) {
            (address token,,, uint256 amount) = abi.decode(data, (address, bytes32, address, uint256));
            tokens[id] = token;
            _reserve(id, amount);
        } else if (kind == IEscrow.Reserved.selector) {
            (address token,, address signer, uint256 amount) = abi.decode(data, (address, bytes32, address, uint256));
            tokens[id] = token;
            _debit(keccak256(abi.encode(topics[2], signer, token)), amount);
            _reserve(id, amount);
        } else if (kind == IEscrow.ToppedUp.selector) {
            _reserve(id, abi.decode(data, (uint256)));
        } else if (kind == IEscrow.ToppedUpFromAccount.selector) {
            uint256 amount = abi.decode(data, (uint256));
            _debit(topics[2], amount);
            _reserve(id, amount);
        } else if (kind == IEscrow.Redeemed.selector) {
            _redeem(id, 0, abi.decode(data, (uint256)), 0);
        } else if (kind == IEscrow.RedeemedFromAccount.selector) {
            (uint256 redeemed, uint256 fromAccount) = abi.decode(data, (uint256, uint256));
            // A channel whose first event this is has its account's token.
            tokens[id] = tokens[topics[3]];
            _redeem(id, topics[3], redeemed, fromAccount);
        } else if (kind == IEscrow.BatchRedeemed.selector) {
            _redeemBatch(address(uint160(uint256(id))), address(uint160(uint256(topics[2]))), data);
        } else if (kind == IEscrow.CloseRequested.selector) {
            channels[id].closeAt = uint40(abi.decode(data, (uint256)));
        } else if (kind == IEscrow.Closed.selector) {
            (uint256 redeemed, uint256 refunded) = abi.decode(data, (uint256, uint256));
            _redeem(id, 0, redeemed, 0);
            // What was not redeemed is refunded, all of it.
            require(channels[id].reserved == refunded, "refund of Closed");
            channels[id].reserved = 0;
            channels[id].closeAt = 0;
            reservationSum[tokens[id]] -= refunded;
        } else if (kind == IEscrow.Withdrawn.selector) {
            _debit(id, abi.decode(data, (uint256)));
        } else if (kind == IEscrow.WithdrawnFor.selector) {
            (uint256 amount, uint256 nonce) = abi.decode(data, (uint256, uint256));
            require(accounts[id].nonce == nonce, "nonce of WithdrawnFor");
            ++accounts[id].nonce;
            _debit(id, amount);
        } else if (kind == IEscrow.OperatorSet.selector) {
            isOperator[address(uint160(uint256(id)))][address(uint160(uint256(topics[2])))] = abi.decode(data, (bool));
        } else {
            revert UnknownEvent(kind);
        }
    }

    function _credit(bytes32 id, uint256 amount) private {
        accounts[id].balance += uint104(amount);
        balanceSum[tokens[id]] += amount;
    }

    function _debit(bytes32 id, uint256 amount) private {
        accounts[id].balance -= uint104(amount);
        balanceSum[tokens[id]] -= amount;
    }

    function _reserve(bytes32 id, uint256 amount) private {
        channels[id].reserved += uint104(amount);
        reservationSum[tokens[id]] += amount;
    }

    function _redeem(bytes32 id, bytes32 account, uint256 redeemed, uint256 fromAccount) private {
        // Underflows, and so fails, if the account paid more than the total grew by, or the total fell.
        uint256 fromReservation = redeemed - channels[id].redeemed - fromAccount;
        channels[id].redeemed = uint104(redeemed);
        if (fromReservation > 0) {
            channels[id].reserved -= uint104(fromReservation);
            reservationSum[tokens[id]] -= fromReservation;
        }
        if (fromAccount > 0) _debit(account, fromAccount);
    }

    struct Entry {
        address payer;
        address signer;
        uint256 salt;
        uint256 redeemed;
        uint256 next;
    }

    /// @dev Each entry paid from its reservation first.
    function _redeemBatch(address payee, address token, bytes calldata data) private {
        (uint256 total, bytes memory entries) = abi.decode(data, (uint256, bytes));
        uint256 sum;
        Entry memory entry;
        while (entry.next < entries.length) {
            entry = _entry(entries, entry.next);
            bytes32 id =
                keccak256(abi.encode(entry.payer, payee, token, entry.salt, entry.signer, ESCROW, block.chainid));
            uint256 paid = entry.redeemed - channels[id].redeemed;
            uint256 fromReservation = paid < channels[id].reserved ? paid : channels[id].reserved;
            bytes32 account = keccak256(abi.encode(entry.payer, entry.signer, token));
            tokens[id] = token;
            _redeem(id, account, entry.redeemed, paid - fromReservation);
            sum += paid;
        }
        require(sum == total, "total of BatchRedeemed");
    }

    /// @dev `flags (1) | payer (20) | redeemed (13) | signer (20, if flag 1) | salt (32, if flag 2)`.
    function _entry(bytes memory entries, uint256 offset) private pure returns (Entry memory entry) {
        uint256 flags = _number(entries, offset, 1);
        entry.payer = address(uint160(_number(entries, offset + 1, 20)));
        entry.redeemed = _number(entries, offset + 21, 13);
        entry.signer = entry.payer;
        entry.next = offset + 34;
        if (flags & 1 != 0) {
            entry.signer = address(uint160(_number(entries, entry.next, 20)));
            entry.next += 20;
        }
        if (flags & 2 != 0) {
            entry.salt = _number(entries, entry.next, 32);
            entry.next += 32;
        }
    }

    function _number(bytes memory data, uint256 offset, uint256 length) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(sub(256, mul(8, length)), mload(add(add(data, 0x20), offset)))
        }
    }
}
