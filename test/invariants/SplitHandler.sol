// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../../contracts/IEscrow.sol";
import {IRevenueSplit} from "../../contracts/IRevenueSplit.sol";
import {Toolbox} from "../Toolbox.t.sol";
import {OddReceiver} from "../receivers/OddReceiver.sol";
import {DemoDollar} from "../tokens/DemoDollar.sol";

/// @dev Pays a split in every way there is, and takes money out for its members; one member is a contract that may refuse the
/// native coin. It keeps its own books and never asks the split what it has to expect.
contract SplitHandler is Toolbox {
    IRevenueSplit private immutable SPLIT;
    OddReceiver private immutable CONTRACT_MEMBER;
    address private immutable BANK;
    address[] private members;
    uint256[] private shares;
    address[2] private tokens;
    /// @dev To the split: signed by the payer, one in each kind of money.
    Channel[2] private channels;
    uint256[2] private promised;

    mapping(address token => uint256) public received;
    mapping(address token => mapping(address member => uint256)) public sent;
    mapping(string verb => uint256) public succeeded;
    mapping(string verb => uint256) public refused;

    constructor(IEscrow escrow_, IRevenueSplit split_, OddReceiver contractMember, DemoDollar dollar) {
        (escrow, SPLIT, CONTRACT_MEMBER) = (escrow_, split_, contractMember);
        chainIdAtDeployment = block.chainid;
        tokens = [ETH, address(dollar)];
        BANK = makeAddr("bank");
        for (uint256 i; i < split_.terms().members.length; ++i) {
            members.push(split_.terms().members[i].account);
            shares.push(split_.terms().members[i].shares);
        }
        address payer = newSigner("payer");
        for (uint256 i; i < 2; ++i) {
            channels[i] = Channel(payer, address(split_), tokens[i], NO_SALT, payer);
        }
    }

    function setConduct(uint256 seed) external {
        CONTRACT_MEMBER.setConduct(OddReceiver.Conduct(seed % 5));
    }

    /// @dev A plain transfer, as a tip would be.
    function give(uint256 seed, uint256 amount) external {
        address token = tokens[seed % 2];
        amount = amountOf(seed, amount);
        if (token == ETH) {
            vm.deal(address(this), amount);
            (bool done,) = address(SPLIT).call{value: amount}("");
            assertTrue(done, "give");
        } else {
            DemoDollar(token).mint(address(SPLIT), amount);
        }
        received[token] += amount;
    }

    /// @dev By a voucher, alone or in a batch.
    function redeem(uint256 seed, uint256 amount) external {
        uint256 which = seed % 2;
        Channel memory channel = channels[which];
        amount = amountOf(seed, amount);
        if (promised[which] + amount > AMOUNT_MAX) return;
        promised[which] += amount;
        uint256 value = endow(channel.payer, channel.token, amount);
        vm.prank(channel.payer);
        escrow.deposit{value: value}(purseOf(channel), amount);
        if (draw(seed, "batch") % 2 == 0) {
            escrow.redeem(channel, uint128(promised[which]), sign(channel, promised[which]));
        } else {
            escrow.redeemBatch(channel.payee, channel.token, row(channel, promised[which]));
        }
        received[channel.token] += amount;
    }

    function release(uint256 seed) external {
        address token = tokens[seed % 2];
        uint256 index = draw(seed, "member") % (members.length + 1);
        // Sometimes for somebody who is none.
        address member = index < members.length ? members[index] : BANK;
        uint256 due = index < members.length ? dueTo(token, index) : 0;
        bool refuses = token == ETH && member == address(CONTRACT_MEMBER) && refusing();
        uint256 before = holdings(member, token);
        (bool done,) = address(SPLIT).call{gas: 1_000_000}(abi.encodeCall(IRevenueSplit.release, (token, member)));
        count("release", done);
        assertEq(done, due > 0 && !refuses, "release");
        if (!done) return;
        assertEq(holdings(member, token) - before, due, "what a release pays");
        sent[token][member] += due;
    }

    function releaseTo(uint256 seed) external {
        address token = tokens[seed % 2];
        uint256 index = draw(seed, "member") % (members.length + 1);
        address member = index < members.length ? members[index] : BANK;
        uint256 due = index < members.length ? dueTo(token, index) : 0;
        uint256 before = holdings(BANK, token);
        vm.prank(member);
        (bool done,) = address(SPLIT).call(abi.encodeCall(IRevenueSplit.releaseTo, (token, BANK)));
        count("releaseTo", done);
        // Whether it takes money itself does not matter.
        assertEq(done, due > 0, "releaseTo");
        if (!done) return;
        assertEq(holdings(BANK, token) - before, due, "what a release elsewhere pays");
        sent[token][member] += due;
    }

    /// @dev What is the member's of all that came, less what it had: dealt out share by share.
    function dueTo(address token, uint256 index) public view returns (uint256) {
        uint256 total;
        uint256 first;
        for (uint256 i; i < members.length; ++i) {
            if (i < index) first += shares[i];
            total += shares[i];
        }
        uint256 rounds = received[token] / total;
        uint256 begun = received[token] - rounds * total;
        uint256 part = rounds * shares[index];
        if (begun >= first + shares[index]) part += shares[index];
        else if (begun > first) part += begun - first;
        return part - sent[token][members[index]];
    }

    function refusing() private view returns (bool) {
        OddReceiver.Conduct conduct = CONTRACT_MEMBER.conduct();
        return conduct != OddReceiver.Conduct.Accepts && conduct != OddReceiver.Conduct.ReturnsBomb;
    }

    function count(string memory verb, bool done) private {
        if (done) ++succeeded[verb];
        else ++refused[verb];
    }

    function draw(uint256 seed, bytes32 what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what)));
    }

    /// @dev Mostly less than a round, so that rounds stay unfinished; now and then a lot.
    function amountOf(uint256 seed, uint256 amount) private pure returns (uint256) {
        return draw(seed, "large") % 20 == 0 ? bound(amount, 1, 1e24) : bound(amount, 1, 150);
    }
}
