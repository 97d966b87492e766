// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IRevenueSplit} from "../contracts/IRevenueSplit.sol";
import {SplitBase} from "./SplitBase.t.sol";
import {OddReceiver} from "./receivers/OddReceiver.sol";
import {Reentrant} from "./receivers/Reentrant.sol";
import {BlocklistDollar} from "./tokens/BlocklistDollar.sol";
import {FalseDollar} from "./tokens/FalseDollar.sol";
import {HookDollar} from "./tokens/HookDollar.sol";
import {RebasingDollar} from "./tokens/RebasingDollar.sol";
import {SilentDollar} from "./tokens/SilentDollar.sol";

contract ReleaseTest is SplitBase {
    bytes1 private constant TLOAD = 0x5c;
    bytes1 private constant SLOAD = 0x54;
    bytes1 private constant PUSH1 = 0x60;
    bytes1 private constant PUSH32 = 0x7f;

    /* WHO */

    function testFuzz_RevertWhen_AccountNotMember(address account, address caller) external {
        vm.assume(account != players[0] && account != players[1] && account != players[2]);
        give(band, ETH, 100);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplit.NotMember.selector, account));
        band.release(ETH, account);
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplit.NotMember.selector, account));
        band.releasable(ETH, account);
    }

    function test_RevertGiven_NothingDue() external {
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplit.NothingToRelease.selector, ETH, players[0]));
        band.release(ETH, players[0]);
        // The first fifty base units are the first member's.
        give(band, address(dollar), 50);
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplit.NothingToRelease.selector, dollar, players[1]));
        band.release(address(dollar), players[1]);
        band.release(address(dollar), players[0]);
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplit.NothingToRelease.selector, dollar, players[0]));
        band.release(address(dollar), players[0]);
    }

    function test_RevertWhen_TokenHasNoCode() external {
        address token = makeAddr("no token");
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplit.NothingToRelease.selector, token, players[0]));
        band.release(token, players[0]);
    }

    function testFuzz_WhenAnyoneReleases(bool native, uint256 received, address caller) external {
        received = bound(received, 81, type(uint128).max);
        address token = native ? ETH : address(dollar);
        give(band, token, received);
        uint256[] memory parts = dealOut(shares, received);
        for (uint256 order; order < 3; ++order) {
            // Whose turn it is changes nothing.
            uint256 i = (received + order) % 3;
            assertEq(band.releasable(token, players[i]), parts[i]);
            vm.expectEmit(address(band));
            emit IRevenueSplit.Released(token, players[i], players[i], parts[i]);
            vm.prank(caller);
            assertEq(band.release(token, players[i]), parts[i]);
            assertEq(holdings(players[i], token), parts[i]);
            assertEq(band.released(token, players[i]), parts[i]);
            assertEq(band.releasable(token, players[i]), 0);
        }
        assertEq(band.totalReleased(token), received);
        assertEq(holdings(address(band), token), 0, "dust");
    }

    /// One token's releases say nothing of another's.
    function test_WhenTokensDiffer() external {
        give(band, ETH, 100);
        give(band, address(dollar), 200);
        band.release(ETH, players[0]);
        assertEq(band.releasable(address(dollar), players[0]), 100);
        assertEq(band.released(address(dollar), players[0]), 0);
        assertEq(band.totalReleased(address(dollar)), 0);
    }

    /* DEALING OUT */

    /// What the members are due is what there is, to the base unit, and is what dealing out unit after unit gives.
    function testFuzz_WhenDealtOut(uint256 seed, uint256 received) external {
        uint256[] memory drawn = drawShares(seed);
        IRevenueSplit split_ = splitOf(drawn);
        received = bound(received, 0, seed % 2 == 0 ? 3 * sum(drawn) : type(uint256).max / 2);
        vm.deal(address(split_), received);
        uint256[] memory parts = dealOut(drawn, received);
        uint256 total;
        for (uint256 i; i < drawn.length; ++i) {
            uint256 due = split_.releasable(ETH, accountAt(i));
            assertEq(due, parts[i]);
            total += due;
        }
        assertEq(total, received);
    }

    /// As more comes in, nobody is due less.
    function testFuzz_WhenMoreArrives(uint256 seed, uint256 received, uint256 more) external {
        uint256[] memory drawn = drawShares(seed);
        IRevenueSplit split_ = splitOf(drawn);
        received = bound(received, 0, type(uint128).max);
        more = bound(more, 0, seed % 2 == 0 ? 2 * sum(drawn) : type(uint128).max);
        vm.deal(address(split_), received);
        uint256[] memory before = new uint256[](drawn.length);
        for (uint256 i; i < drawn.length; ++i) {
            before[i] = split_.releasable(ETH, accountAt(i));
        }
        vm.deal(address(split_), received + more);
        for (uint256 i; i < drawn.length; ++i) {
            uint256 due = split_.releasable(ETH, accountAt(i));
            assertGe(due, before[i]);
            // Of each round no member waits for more than all the others' shares.
            assertLe(due - before[i], (more / sum(drawn) + 1) * drawn[i]);
        }
    }

    /// Whenever each takes its part, in whatever order, all get what they would have got at the end, and nothing stays behind.
    function testFuzz_WhenReleasesAndIncomeMix(uint256 seed) external {
        uint256[] memory drawn = drawShares(seed);
        IRevenueSplit split_ = splitOf(drawn);
        uint256 received;
        for (uint256 step; step < 24; ++step) {
            uint256 die = uint256(keccak256(abi.encode(seed, "step", step)));
            uint256 income = (die >> 16) % (die % 3 == 0 ? 5 : 5000);
            dollar.mint(address(split_), income);
            received += income;
            address member = accountAt((die >> 8) % drawn.length);
            if (split_.releasable(address(dollar), member) > 0) split_.release(address(dollar), member);
            assertLe(split_.totalReleased(address(dollar)), received);
            assertEq(dollar.balanceOf(address(split_)), received - split_.totalReleased(address(dollar)));
        }
        uint256[] memory parts = dealOut(drawn, received);
        for (uint256 i; i < drawn.length; ++i) {
            if (split_.releasable(address(dollar), accountAt(i)) > 0) split_.release(address(dollar), accountAt(i));
            assertEq(dollar.balanceOf(accountAt(i)), parts[i]);
            assertEq(split_.released(address(dollar), accountAt(i)), parts[i]);
        }
        assertEq(dollar.balanceOf(address(split_)), 0, "dust");
    }

    /// The parts that viem's script and Rust compute.
    function test_WhenDealtOutElsewhere() external {
        string memory json = vm.readFile("test/vectors/splits.json");
        uint256 count;
        for (string memory path = ".cases[0]"; vm.keyExistsJson(json, path);) {
            IRevenueSplit split_ = splitOf(vm.parseJsonUintArray(json, string.concat(path, ".shares")));
            uint256[] memory received = vm.parseJsonUintArray(json, string.concat(path, ".received"));
            for (uint256 i; i < received.length; ++i) {
                string memory which = string.concat(path, ".entitlements[", vm.toString(i), "]");
                uint256[] memory parts = vm.parseJsonUintArray(json, which);
                vm.deal(address(split_), received[i]);
                for (uint256 j; j < parts.length; ++j) {
                    assertEq(split_.releasable(ETH, accountAt(j)), parts[j], which);
                }
            }
            path = string.concat(".cases[", vm.toString(++count), "]");
        }
        assertEq(count, 6);
    }

    /* MEMBERS THAT DON'T TAKE IT */

    /// Loss 7: whatever a member's receiving side does, it waits alone, and can have its part elsewhere.
    function test_RevertWhen_MemberRefuses() external {
        OddReceiver.Conduct[3] memory conducts =
            [OddReceiver.Conduct.Reverts, OddReceiver.Conduct.RevertsWithBomb, OddReceiver.Conduct.BurnsGas];
        for (uint256 i; i < conducts.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            OddReceiver odd = new OddReceiver();
            odd.setConduct(conducts[i]);
            IRevenueSplit split_ = splitWith(address(odd));
            give(split_, ETH, 200);
            vm.expectRevert(bytes4(keccak256("ETHTransferFailed()")));
            split_.release(ETH, address(odd));
            assertReleasesElsewhere(split_, odd, ETH);
            vm.revertToState(snapshot);
        }
    }

    /// Loss 7: 64 kB of answer are not read.
    function test_WhenMemberReturnsBomb() external {
        OddReceiver odd = new OddReceiver();
        odd.setConduct(OddReceiver.Conduct.ReturnsBomb);
        IRevenueSplit split_ = splitWith(address(odd));
        give(split_, ETH, 200);
        assertEq(split_.release(ETH, address(odd)), 100);
        assertEq(address(odd).balance, 100);
    }

    /// Loss 7: a member with a plain key that lets code run in its name (EIP-7702) and refuses.
    function test_RevertWhen_MemberDelegatesToRefuser() external {
        OddReceiver refuser = new OddReceiver();
        refuser.setConduct(OddReceiver.Conduct.Reverts);
        give(band, ETH, 100);
        vm.etch(players[1], address(refuser).code);
        vm.store(players[1], 0, vm.load(address(refuser), 0));
        vm.expectRevert(bytes4(keccak256("ETHTransferFailed()")));
        band.release(ETH, players[1]);
        assertEq(band.release(ETH, players[0]), 50);
        assertEq(band.release(ETH, players[2]), 20);
        vm.prank(players[1]);
        assertEq(band.releaseTo(ETH, outsider), 30);
        assertEq(address(band).balance, 0);
    }

    /// Loss 7: a member on a token's list.
    function test_RevertWhen_MemberBlocked() external {
        BlocklistDollar odd = new BlocklistDollar();
        odd.mint(address(band), 100);
        odd.setBlocked(players[0], true);
        vm.expectRevert(bytes4(keccak256("TransferFailed()")));
        band.release(address(odd), players[0]);
        assertEq(band.release(address(odd), players[1]), 30);
        assertEq(band.release(address(odd), players[2]), 20);
        assertEq(band.releasable(address(odd), players[0]), 50);
        vm.prank(players[0]);
        assertEq(band.releaseTo(address(odd), outsider), 50);
        assertEq(odd.balanceOf(outsider), 50);
        assertEq(odd.balanceOf(address(band)), 0);
    }

    /* ODD TOKENS */

    function test_RevertWhen_TokenReturnsFalse() external {
        FalseDollar odd = new FalseDollar();
        odd.mint(address(band), 100);
        odd.setRefusing(true);
        vm.expectRevert(bytes4(keccak256("TransferFailed()")));
        band.release(address(odd), players[0]);
        assertEq(band.released(address(odd), players[0]), 0);
        odd.setRefusing(false);
        assertEq(band.release(address(odd), players[0]), 50);
    }

    function test_WhenTokenReturnsNothing() external {
        SilentDollar odd = new SilentDollar();
        odd.mint(address(band), 100);
        assertEq(band.release(address(odd), players[0]), 50);
        assertEq(odd.balanceOf(players[0]), 50);
    }

    /// A token whose balances shrink leaves less for those who waited, and no call that can't be answered.
    function test_GivenTokenShrank() external {
        RebasingDollar odd = new RebasingDollar();
        odd.mint(address(band), 200);
        assertEq(band.release(address(odd), players[0]), 100);
        odd.setPercent(10);
        // A hundred left became ten: 110 in all, of which the first member is due 60 and has had 100.
        assertEq(band.releasable(address(odd), players[0]), 0);
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplit.NothingToRelease.selector, odd, players[0]));
        band.release(address(odd), players[0]);
        // The others' thirty and twenty are more than the ten that are left: whoever comes first has to wait for more.
        vm.expectRevert(bytes4(keccak256("TransferFailed()")));
        band.release(address(odd), players[1]);
        give(band, ETH, 100);
        assertEq(band.release(ETH, players[1]), 30);
        odd.setPercent(100);
        assertEq(band.release(address(odd), players[1]), 60);
        assertEq(band.release(address(odd), players[2]), 40);
        assertEq(odd.balanceOf(address(band)), 0);
    }

    function test_GivenTokenGrew() external {
        RebasingDollar odd = new RebasingDollar();
        odd.mint(address(band), 100);
        odd.setPercent(300);
        assertEq(band.release(address(odd), players[0]), 150);
        assertEq(band.release(address(odd), players[1]), 90);
        assertEq(band.release(address(odd), players[2]), 60);
        assertEq(odd.balanceOf(address(band)), 0);
    }

    /* RE-ENTRANCY */

    /// Loss 1: from inside a transfer whose balance has not moved yet, the other members' parts look larger. The control
    /// is the same code with its lock read from where it never is: there the accomplice is paid what is a third member's.
    function test_RevertWhen_ReleasedFromTransfer() external {
        (IRevenueSplit split_, Reentrant thief, HookDollar hooked) = arrangeTheft();
        assertEq(split_.release(address(hooked), address(thief)), 100);
        assertTrue(thief.entered());
        assertFalse(thief.succeeded());
        assertEq(split_.release(address(hooked), accountAt(0)), 100);
        assertEq(split_.release(address(hooked), accountAt(1)), 100);
        assertEq(hooked.balanceOf(address(split_)), 0);
    }

    function test_WhenLockIsTakenOut() external {
        (IRevenueSplit split_, Reentrant thief, HookDollar hooked) = arrangeTheft();
        takeOutLock();
        split_.release(address(hooked), address(thief));
        assertTrue(thief.succeeded());
        // Of 300 the accomplice was due 100.
        assertGt(hooked.balanceOf(accountAt(0)), 100);
        vm.expectRevert(bytes4(keccak256("TransferFailed()")));
        split_.release(address(hooked), accountAt(1));
    }

    /// The reason comes through to a receiver that asks for it, in ETH as well.
    function test_RevertWhen_ReleasedFromReceive() external {
        Reentrant thief = new Reentrant();
        IRevenueSplit split_ = splitWith(address(thief));
        give(split_, ETH, 200);
        thief.arm(address(split_), 0, abi.encodeCall(IRevenueSplit.release, (ETH, accountAt(0))), 0);
        assertEq(split_.release(ETH, address(thief)), 100);
        assertTrue(thief.entered());
        assertFalse(thief.succeeded());
        assertEq(thief.refusal(), IRevenueSplit.ReleaseInProgress.selector);
        // It is over when the call is.
        assertEq(split_.release(ETH, accountAt(0)), 100);
    }

    /* HELPERS */

    /// @dev Half to the account 1001, half to `member`.
    function splitWith(address member) private returns (IRevenueSplit) {
        (players, shares) = (new address[](2), new uint256[](2));
        (players[0], players[1], shares[0], shares[1]) = (accountAt(0), member, 100, 100);
        return IRevenueSplit(factory.create(bandTerms()));
    }

    function assertReleasesElsewhere(IRevenueSplit split_, OddReceiver odd, address token) private {
        assertEq(split_.released(token, address(odd)), 0);
        assertEq(split_.release(token, accountAt(0)), 100);
        assertEq(split_.releasable(token, address(odd)), 100);
        odd.act(address(split_), 0, abi.encodeCall(IRevenueSplit.releaseTo, (token, outsider)));
        assertEq(holdings(outsider, token), 100);
        assertEq(holdings(address(split_), token), 0);
    }

    /// @dev A split of three equal parts, 300 of a token with hooks, and one member that releases another's part from inside.
    function arrangeTheft() private returns (IRevenueSplit split_, Reentrant thief, HookDollar hooked) {
        thief = new Reentrant();
        hooked = new HookDollar();
        (players, shares) = (new address[](3), new uint256[](3));
        (players[0], players[1], players[2]) = (accountAt(0), accountAt(1), address(thief));
        (shares[0], shares[1], shares[2]) = (100, 100, 100);
        split_ = IRevenueSplit(factory.create(bandTerms()));
        hooked.mint(address(split_), 300);
        thief.arm(address(split_), 0, abi.encodeCall(IRevenueSplit.release, (address(hooked), accountAt(0))), 0);
    }

    /// @dev Transient storage is written and storage is read, at a slot that is always zero.
    function takeOutLock() private {
        bytes memory code = factory.implementation().code;
        uint256 replaced;
        for (uint256 i; i < code.length; ++i) {
            if (code[i] >= PUSH1 && code[i] <= PUSH32) {
                i += uint8(code[i]) - uint8(PUSH1) + 1;
            } else if (code[i] == TLOAD) {
                code[i] = SLOAD;
                ++replaced;
            }
        }
        assertGt(replaced, 0);
        vm.etch(factory.implementation(), code);
    }
}
