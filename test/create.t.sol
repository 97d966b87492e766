// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Vm} from "forge-std/Vm.sol";

import {IEscrow} from "../contracts/IEscrow.sol";
import {IRevenueSplit, IRevenueSplitFactory, Member, SplitTerms} from "../contracts/IRevenueSplit.sol";
import {SplitBase} from "./SplitBase.t.sol";

contract CreateTest is SplitBase {
    /// @dev The longest code of a contract (EIP-170).
    uint256 private constant CODE_MAX = 24_576;
    /// @dev The clone's 45 bytes and six words of terms leave room for as many pairs of words.
    uint256 private constant MEMBERS_MAX = 380;

    function test_RevertWhen_TermsIncomplete() external {
        for (uint256 which; which < 3; ++which) {
            SplitTerms memory terms_ = bandTerms();
            if (which == 0) terms_.escrow = address(0);
            else if (which == 1) terms_.operator = address(0);
            else terms_.receiptKey = address(0);
            vm.expectRevert(IRevenueSplitFactory.IncompleteTerms.selector);
            factory.create(terms_);
        }
    }

    function test_RevertWhen_MembersFewerThanTwo() external {
        for (uint256 count; count < 2; ++count) {
            SplitTerms memory terms_ = bandTerms();
            terms_.members = new Member[](count);
            if (count == 1) terms_.members[0] = Member(payee, 1);
            vm.expectRevert(abi.encodeWithSelector(IRevenueSplitFactory.TooFewMembers.selector, count));
            factory.create(terms_);
        }
    }

    /// In one order only, so that the same people have the same split; and nobody twice, or who is asked for would be found
    /// once and paid once.
    function testFuzz_RevertWhen_MembersNotAscending(address first, address second) external {
        if (first < second) (first, second) = (second, first);
        SplitTerms memory terms_ = bandTerms();
        terms_.members = new Member[](2);
        (terms_.members[0], terms_.members[1]) = (Member(first, 1), Member(second, 1));
        vm.expectRevert(
            abi.encodeWithSelector(IRevenueSplitFactory.MembersNotAscending.selector, first == address(0) ? 0 : 1)
        );
        factory.create(terms_);
    }

    function test_RevertWhen_MemberZero() external {
        SplitTerms memory terms_ = bandTerms();
        terms_.members[0].account = address(0);
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplitFactory.MembersNotAscending.selector, 0));
        factory.create(terms_);
    }

    function test_RevertWhen_SharesZero() external {
        for (uint256 i; i < 3; ++i) {
            SplitTerms memory terms_ = bandTerms();
            terms_.members[i].shares = 0;
            vm.expectRevert(abi.encodeWithSelector(IRevenueSplitFactory.ZeroShares.selector, players[i]));
            factory.create(terms_);
        }
    }

    /// However large a share is, no sum overflows past the limit.
    function testFuzz_RevertWhen_SharesAboveTenThousand(uint256 first, uint256 second) external {
        first = bound(first, 1, 9_999);
        second = bound(second, 10_001 - first, type(uint256).max);
        SplitTerms memory terms_ = bandTerms();
        terms_.members[0].shares = first;
        terms_.members[1].shares = second;
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplitFactory.TooManyShares.selector, players[1], 10_000));
        factory.create(terms_);
    }

    function test_WhenSharesTenThousand() external {
        SplitTerms memory terms_ = bandTerms();
        terms_.members[1].shares = 10_000 - 50 - 20;
        assertGt(factory.create(terms_).code.length, 0);
        ++terms_.members[2].shares;
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplitFactory.TooManyShares.selector, players[2], 10_000));
        factory.create(terms_);
    }

    /// As many members as a contract's code has room for: a chain creates the split of 380, and can't that of 381. The test
    /// machine knows no limit, so the length is looked at instead.
    function test_WhenMembersFillCode() external {
        uint256[] memory many = new uint256[](MEMBERS_MAX);
        for (uint256 i; i < many.length; ++i) {
            many[i] = 1;
        }
        IRevenueSplit large = splitOf(many);
        assertLe(address(large).code.length, CODE_MAX);
        assertGt(address(large).code.length + 64, CODE_MAX);
        give(large, ETH, MEMBERS_MAX);
        assertEq(large.release{gas: 1_000_000}(ETH, accountAt(MEMBERS_MAX - 1)), 1);
    }

    /// A split whose escrow is not there could never be paid.
    function test_RevertWhen_EscrowHasNoCode() external {
        SplitTerms memory terms_ = bandTerms();
        terms_.escrow = makeAddr("no escrow");
        vm.expectRevert();
        factory.create(terms_);
    }

    function testFuzz_WhenTermsGood(address operator_, address receiptKey_, uint256 seed) external {
        vm.assume(operator_ != address(0) && receiptKey_ != address(0));
        uint256[] memory drawn = drawShares(seed);
        SplitTerms memory terms_ = SplitTerms(address(escrow), operator_, receiptKey_, new Member[](drawn.length));
        for (uint256 i; i < drawn.length; ++i) {
            terms_.members[i] = Member(accountAt(i), drawn[i]);
        }
        address expected = factory.addressOf(terms_);
        assertEq(expected.code.length, 0);
        vm.expectEmit(address(factory));
        emit IRevenueSplitFactory.SplitCreated(expected, terms_);
        vm.expectEmit(address(escrow));
        emit IEscrow.OperatorSet(expected, operator_, true);
        address split_ = factory.create(terms_);

        assertEq(split_, expected);
        assertEq(factory.addressOf(terms_), expected);
        assertEq(abi.encode(IRevenueSplit(split_).terms()), abi.encode(terms_));
        assertEq(IRevenueSplit(split_).receiptKey(), receiptKey_);
        assertTrue(escrow.isOperator(split_, operator_));
    }

    /// Created again by anyone, it is what it was, with all that it holds.
    function test_GivenCreated() external {
        give(band, ETH, 100);
        band.release(ETH, players[0]);
        vm.recordLogs();
        vm.prank(outsider);
        assertEq(factory.create(bandTerms()), address(band));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 0);
        assertEq(band.released(ETH, players[0]), 50);
        assertEq(address(band).balance, 50);
    }

    /// Whoever creates it first has created the very split that its members wanted: nothing in it is the creator's.
    function test_GivenCreateFrontRun() external {
        shares[0] = 51;
        SplitTerms memory terms_ = bandTerms();
        vm.prank(outsider);
        address split_ = factory.create(terms_);
        vm.prank(players[0]);
        assertEq(factory.create(terms_), split_);
        assertEq(abi.encode(IRevenueSplit(split_).terms()), abi.encode(terms_));
        assertTrue(escrow.isOperator(split_, operator));
        assertFalse(escrow.isOperator(split_, outsider));
    }

    /// What is sent to the address before anything is there is the members' as well.
    function test_GivenMoneySentBefore() external {
        shares[0] = 51;
        address split_ = factory.addressOf(bandTerms());
        vm.deal(split_, 101);
        dollar.mint(split_, 202);
        factory.create(bandTerms());
        assertEq(IRevenueSplit(split_).release(ETH, players[0]), 51);
        assertEq(IRevenueSplit(split_).release(address(dollar), players[2]), 40);
    }

    function test_WhenAnyTermDiffers() external view {
        SplitTerms[8] memory variants;
        for (uint256 i; i < variants.length; ++i) {
            variants[i] = bandTerms();
        }
        variants[1].escrow = outsider;
        variants[2].operator = outsider;
        variants[3].receiptKey = outsider;
        variants[4].members[0].account = address(1);
        ++variants[5].members[2].shares;
        (variants[6].members[0].shares, variants[6].members[1].shares) = (30, 50);
        variants[7].members = new Member[](2);
        (variants[7].members[0], variants[7].members[1]) = (Member(players[0], 50), Member(players[1], 30));
        for (uint256 i; i < variants.length; ++i) {
            for (uint256 j; j < i; ++j) {
                assertNotEq(factory.addressOf(variants[i]), factory.addressOf(variants[j]));
            }
        }
    }

    /// Another factory makes another split: who looks for a genuine one asks the genuine factory.
    function test_WhenAnotherFactory() external {
        IRevenueSplitFactory other = IRevenueSplitFactory(deployCode("RevenueSplitFactory.sol:RevenueSplitFactory"));
        assertNotEq(other.addressOf(bandTerms()), address(band));
    }

    /// The code that all splits share has no terms of its own and so nothing to say.
    function test_RevertWhen_ImplementationIsCalled() external {
        IRevenueSplit bare = IRevenueSplit(factory.implementation());
        vm.deal(address(bare), 5);
        dollar.mint(address(bare), 5);
        bytes[7] memory calls = [
            abi.encodeCall(IRevenueSplit.release, (ETH, players[0])),
            abi.encodeCall(IRevenueSplit.release, (address(dollar), players[0])),
            abi.encodeCall(IRevenueSplit.releaseTo, (ETH, outsider)),
            abi.encodeCall(IRevenueSplit.appointOperator, ()),
            abi.encodeCall(IRevenueSplit.releasable, (ETH, players[0])),
            abi.encodeCall(IRevenueSplit.terms, ()),
            abi.encodeCall(IRevenueSplit.receiptKey, ())
        ];
        for (uint256 i; i < calls.length; ++i) {
            (bool done,) = address(bare).call{gas: 1_000_000}(calls[i]);
            assertFalse(done, vm.toString(i));
        }
        give(band, ETH, 100);
        assertEq(band.release(ETH, players[0]), 50);
    }

    /* OPERATOR */

    /// Anyone may have it appointed again; it is always the one of the terms.
    function testFuzz_WhenAnyoneAppoints(address caller) external {
        vm.expectEmit(address(escrow));
        emit IEscrow.OperatorSet(address(band), operator, true);
        vm.prank(caller);
        band.appointOperator();
        if (caller != operator) assertFalse(escrow.isOperator(address(band), caller));
    }

    /* VECTORS */

    /// The address that viem and Rust compute without asking a chain.
    function test_WhenAddressIsComputedElsewhere() external {
        string memory json = vm.readFile("test/vectors/splits.json");
        uint256 count;
        for (string memory path = ".cases[0]"; vm.keyExistsJson(json, path); path = pathAt(++count)) {
            address where = vm.parseJsonAddress(json, string.concat(path, ".factory"));
            if (count == 0) {
                // As every contract begins (EIP-161); from it follows where its implementation is.
                vm.setNonce(where, 1);
                deployCodeTo("RevenueSplitFactory.sol:RevenueSplitFactory", where);
            }
            IRevenueSplitFactory there = IRevenueSplitFactory(where);
            SplitTerms memory terms_ = readTerms(json, path);
            assertEq(there.addressOf(terms_), vm.parseJsonAddress(json, string.concat(path, ".split")), path);
        }
        assertEq(count, 6);
    }

    function readTerms(string memory json, string memory path) private pure returns (SplitTerms memory terms_) {
        address[] memory accounts = vm.parseJsonAddressArray(json, string.concat(path, ".accounts"));
        uint256[] memory shares_ = vm.parseJsonUintArray(json, string.concat(path, ".shares"));
        terms_.escrow = vm.parseJsonAddress(json, string.concat(path, ".escrow"));
        terms_.operator = vm.parseJsonAddress(json, string.concat(path, ".operator"));
        terms_.receiptKey = vm.parseJsonAddress(json, string.concat(path, ".receiptKey"));
        terms_.members = new Member[](accounts.length);
        for (uint256 i; i < accounts.length; ++i) {
            terms_.members[i] = Member(accounts[i], shares_[i]);
        }
    }

    function pathAt(uint256 index) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(index), "]");
    }
}
