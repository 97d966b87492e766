// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Vm} from "forge-std/Vm.sol";
import {LibClone} from "solady/utils/LibClone.sol";

import {IRevenueSplit, Member, SplitTerms} from "../../contracts/IRevenueSplit.sol";
import {halmos} from "./Halmos.sol";
import {Person} from "./Person.sol";
import {PlainDollar} from "./PlainDollar.sol";

/// @dev One payment out of a split: by whom, of what, out of whose part, to whom.
struct Payment {
    address caller;
    address token;
    address member;
    address to;
    bytes data;
}

/// @dev A split of three members in any state, holding any amount, and one payment out of it.
///
/// The shares add up to a power of two, by which solvers divide easily. No rule needs to know what a division comes to:
/// each holds whatever a member's part of an amount is, so long as it is the same for the same amount.
abstract contract SplitRules {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    IRevenueSplit internal split;
    PlainDollar internal dollar;
    Person internal person;

    function setUp() public {
        bytes memory code = vm.getCode("RevenueSplit.sol:RevenueSplit");
        address implementation;
        assembly {
            implementation := create(0, add(code, 0x20), mload(code))
        }
        dollar = new PlainDollar();
        person = new Person();
        Member[] memory members = new Member[](3);
        members[0] = Member(address(0x1111), 4);
        members[1] = Member(address(0x2222), 3);
        members[2] = Member(address(person), 1);
        SplitTerms memory terms = SplitTerms(address(0x3333), address(0x4444), address(0x5555), members);
        split = IRevenueSplit(LibClone.clone(implementation, abi.encode(terms)));
        halmos.enableSymbolicStorage(address(split));
        halmos.enableSymbolicStorage(address(dollar));
        halmos.enableSymbolicStorage(address(person));
    }

    function anyPayment() internal virtual returns (Payment memory);

    function anyToken() internal returns (address token) {
        token = halmos.createAddress("token");
        vm.assume(token == address(0) || token == address(dollar));
        vm.deal(address(split), halmos.createUint256("held"));
    }

    /// @dev Makes the payment. One that reverts changes nothing, so there is nothing to show about it.
    function make(Payment memory any) internal returns (uint256 amount) {
        vm.prank(any.caller);
        (bool success, bytes memory answer) = address(split).call(any.data);
        vm.assume(success);
        amount = abi.decode(answer, (uint256));
    }

    function holdings(address token, address who) internal view returns (uint256) {
        return token == address(0) ? who.balance : dollar.balanceOf(who);
    }

    /// The control of the rules below, which would hold of payments that never succeed: this must fail.
    function check_Reach() external {
        make(anyPayment());
        assert(false);
    }

    /// What leaves arrives, and is what the member's books and the split's rise by; they never fall.
    function check_Books() external {
        Payment memory any = anyPayment();
        uint256 sent = split.released(any.token, any.member);
        uint256 total = split.totalReleased(any.token);
        uint256 held = holdings(any.token, address(split));
        uint256 had = holdings(any.token, any.to);
        uint256 amount = make(any);
        assert(amount > 0);
        assert(split.released(any.token, any.member) - sent == amount);
        assert(split.totalReleased(any.token) - total == amount);
        assert(held - holdings(any.token, address(split)) == amount);
        assert(holdings(any.token, any.to) - had == amount);
    }

    /// Nobody else's books change, and no other token leaves.
    function check_Strangers() external {
        Payment memory any = anyPayment();
        address stranger = halmos.createAddress("stranger");
        vm.assume(stranger != any.member);
        uint256 sent = split.released(any.token, stranger);
        address other = any.token == address(0) ? address(dollar) : address(0);
        uint256 held = holdings(other, address(split));
        uint256 total = split.totalReleased(other);
        make(any);
        assert(split.released(any.token, stranger) == sent);
        assert(holdings(other, address(split)) == held);
        assert(split.totalReleased(other) == total);
    }

    /// What another member is due does not depend on who was paid before.
    function check_Others() external {
        Payment memory any = anyPayment();
        address other = halmos.createAddress("other");
        vm.assume(other != any.member);
        uint256 due = split.releasable(any.token, other);
        make(any);
        assert(split.releasable(any.token, other) == due);
    }

    /// Who was paid is due nothing until more arrives.
    function check_Own() external {
        Payment memory any = anyPayment();
        make(any);
        assert(split.releasable(any.token, any.member) == 0);
    }
}

contract Release is SplitRules {
    function anyPayment() internal override returns (Payment memory any) {
        any.caller = halmos.createAddress("caller");
        any.token = anyToken();
        any.member = halmos.createAddress("member");
        any.to = any.member;
        any.data = abi.encodeCall(IRevenueSplit.release, (any.token, any.member));
    }
}

contract ReleaseTo is SplitRules {
    function anyPayment() internal override returns (Payment memory any) {
        any.caller = halmos.createAddress("caller");
        any.token = anyToken();
        any.member = any.caller;
        any.to = halmos.createAddress("to");
        any.data = abi.encodeCall(IRevenueSplit.releaseTo, (any.token, any.to));
    }
}
