// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Base, Purse} from "./Base.t.sol";
import {Reentrant} from "./receivers/Reentrant.sol";
import {HookDollar} from "./tokens/HookDollar.sol";

/// @dev Failure 1: payer and payee in one, which from inside every transfer calls every function. Whatever succeeds, it
/// ends no richer than it began, the ledger is covered, and its victim's money is where it was.
contract ReentrancyTest is Base {
    uint256 private constant VERBS = 11;
    /// @dev The first two, `deposit` and `open`, pull tokens.
    uint256 private constant FUNDING_VERBS = 2;
    uint256 private constant WEALTH = 10_000;

    Reentrant private attacker;
    HookDollar private hooked;

    /// @dev The attacker pays itself; the second channel's clock has run.
    Channel private own;
    Channel private ripe;
    /// @dev The victim's money in the same token.
    Channel private victim;

    uint256[VERBS] private innerSucceeded;
    uint256 private enteredCount;

    function setUp() public override {
        super.setUp();
        attacker = new Reentrant();
        hooked = new HookDollar();
    }

    function test_WhenNativeCoin() external {
        arrange(ETH);
        runMatrix(0);
        // Seven verbs send to it once, closing with a voucher twice: the refund and the pay.
        assertEq(enteredCount, 8 * VERBS);
    }

    function test_WhenTokenHooks() external {
        arrange(address(hooked));
        runMatrix(0);
        // Nine verbs move tokens, each with a call before and after. A funding that is robbed from inside reverts with
        // all that happened in it, and is not counted.
        assertGt(enteredCount, 7 * VERBS * 2);
    }

    /// With a fee besides, a nested funding could make up what the fee took and be counted twice. No funding succeeds.
    function test_WhenTokenHooksAndTakesFee() external {
        arrange(address(hooked));
        hooked.setFee(5);
        runMatrix(FUNDING_VERBS);
        assertEq(enteredCount, 7 * VERBS * 2);
    }

    /// The attack in full: the fee on 100 is 5, and a nested deposit of 5 pays none. Both would be counted in full.
    function test_RevertWhen_NestedFundingMakesUpFee() external {
        arrange(address(hooked));
        hooked.setFee(5);
        bytes memory nested = abi.encodeCall(IEscrow.deposit, (purseOf(own), 5));
        attacker.arm(address(escrow), 0, nested, 0);
        assertFalse(attacker.act(address(escrow), 0, abi.encodeCall(IEscrow.deposit, (purseOf(own), 100))));
        nested = abi.encodeCall(IEscrow.open, (own, 5));
        attacker.arm(address(escrow), 0, nested, 1);
        assertFalse(attacker.act(address(escrow), 0, abi.encodeCall(IEscrow.open, (own, 100))));

        // Made up by a gift, nothing is counted twice.
        uint256 before = ledger();
        bytes memory gift = abi.encodeCall(hooked.transfer, (address(escrow), 5));
        attacker.arm(address(hooked), 0, gift, 0);
        assertTrue(attacker.act(address(escrow), 0, abi.encodeCall(IEscrow.deposit, (purseOf(own), 100))));
        assertGe(held(address(hooked)), ledger());
        assertEq(ledger(), before + 100);
    }

    /// A hostile token touches no other: funding the native coin from inside its transfer is sound.
    function test_WhenHookFundsAnotherToken() external {
        arrange(address(hooked));
        vm.deal(address(attacker), 100);
        Purse memory ether_ = Purse(address(attacker), address(attacker), ETH);
        attacker.arm(address(escrow), 100, abi.encodeCall(IEscrow.deposit, (ether_, 100)), 0);
        assertTrue(attacker.act(address(escrow), 0, abi.encodeCall(IEscrow.deposit, (purseOf(own), 100))));
        assertTrue(attacker.succeeded());
        assertEq(balanceOf(ether_), 100);
        assertEq(held(ETH), 100);
        assertGe(held(address(hooked)), ledger());
    }

    /* THE MATRIX */

    function arrange(address token) private {
        own = Channel(address(attacker), address(attacker), token, "own", payer);
        ripe = Channel(address(attacker), address(attacker), token, "ripe", payer);
        victim = Channel(outsider, payee, token, NO_SALT, outsider);
        fund(victim, 1000, 1000);
        deposit(outsider, purseOf(own), 1000);
        open(outsider, own, 500);
        open(outsider, ripe, 500);
        attacker.act(address(escrow), 0, abi.encodeCall(IEscrow.requestClose, (ripe)));
        vm.warp(vm.getBlockTimestamp() + EXIT_DELAY);
        endow(address(attacker), token, WEALTH);
        vm.prank(address(attacker));
        hooked.approve(address(escrow), type(uint256).max);
    }

    /// @param failing How many of the first verbs can't succeed.
    function runMatrix(uint256 failing) private {
        for (uint256 outer; outer < VERBS; ++outer) {
            for (uint256 inner; inner < VERBS; ++inner) {
                for (uint256 patience; patience < 2; ++patience) {
                    uint256 snapshot = vm.snapshotState();
                    (bool entered, bool succeeded) = attack(outer, inner, patience);
                    vm.revertToState(snapshot);
                    if (entered) ++enteredCount;
                    if (succeeded) ++innerSucceeded[inner];
                }
            }
        }
        // A matrix whose calls all fail shows nothing.
        for (uint256 inner = failing; inner < VERBS; ++inner) {
            assertGt(innerSucceeded[inner], 0, vm.toString(inner));
        }
    }

    function attack(uint256 outer, uint256 inner, uint256 patience) private returns (bool entered, bool succeeded) {
        uint256 before = wealth();
        // Other amounts inside than outside, or the inner voucher would always be stale.
        (uint256 value, bytes memory data) = verb(inner, 40);
        attacker.arm(address(escrow), value, data, patience);
        (value, data) = verb(outer, 30);
        attacker.act(address(escrow), value, data);

        string memory which = string.concat(vm.toString(outer), " / ", vm.toString(inner));
        assertLe(wealth(), before, which);
        assertGe(held(own.token), ledger(), which);
        assertChannel(victim, 0, 1000, 0);
        assertEq(balanceOf(purseOf(victim)), 1000, which);
        return (attacker.entered(), attacker.succeeded());
    }

    function verb(uint256 which, uint256 amount) private view returns (uint256 value, bytes memory data) {
        uint256 fresh = own.token == ETH ? amount : 0;
        uint128 cumulative = uint128(amount);
        if (which == 0) return (fresh, abi.encodeCall(IEscrow.deposit, (purseOf(own), amount)));
        if (which == 1) return (fresh, abi.encodeCall(IEscrow.open, (own, amount)));
        if (which == 2) return (0, abi.encodeCall(IEscrow.reserve, (own, amount)));
        if (which == 3) return (0, abi.encodeCall(IEscrow.requestClose, (own)));
        if (which == 4) return (0, abi.encodeCall(IEscrow.redeem, (own, cumulative, sign(own, amount))));
        if (which == 5) {
            return (0, abi.encodeCall(IEscrow.redeemTo, (own, cumulative, sign(own, amount), address(attacker))));
        }
        if (which == 6) {
            return (0, abi.encodeCall(IEscrow.redeemBatch, (own.payee, own.token, row(own, amount))));
        }
        if (which == 7) return (0, abi.encodeCall(IEscrow.close, (own, cumulative, sign(own, amount))));
        if (which == 8) return (0, abi.encodeCall(IEscrow.close, (ripe, 0, "")));
        if (which == 9) return (0, abi.encodeCall(IEscrow.finalizeClose, (ripe)));
        return (0, abi.encodeCall(IEscrow.withdraw, (purseOf(own), amount, address(attacker))));
    }

    /* SUMS */

    /// @dev All that the attacker owns, inside the escrow and outside.
    function wealth() private view returns (uint256) {
        return holdings(address(attacker), own.token) + claims();
    }

    function claims() private view returns (uint256) {
        Purse memory fallBack = Purse(address(attacker), address(attacker), own.token);
        return balanceOf(purseOf(own)) + balanceOf(fallBack) + reservedOf(own) + reservedOf(ripe);
    }

    function ledger() private view returns (uint256) {
        return claims() + balanceOf(purseOf(victim)) + reservedOf(victim);
    }
}
