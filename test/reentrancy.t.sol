// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Authorization, Channel, IEscrow, Permit} from "../contracts/IEscrow.sol";
import {IRevenueSplit} from "../contracts/IRevenueSplit.sol";
import {Purse} from "./Base.t.sol";
import {SplitBase} from "./SplitBase.t.sol";
import {Reentrant} from "./receivers/Reentrant.sol";
import {HookDollar} from "./tokens/HookDollar.sol";

/// @dev Loss 1: payer, payee and member of a split in one, which from inside every transfer and every permit calls every
/// function. Whatever succeeds, it ends no richer than it began, the ledger is covered, and its victims' money is where it
/// was. It has a key and code (EIP-7702), so that it signs what it calls back from.
contract ReentrancyTest is SplitBase {
    uint256 private constant VERBS = 20;
    /// @dev The first four fund by a signature, which the native coin knows nothing of.
    uint256 private constant SIGNED_FUNDING_VERBS = 4;
    /// @dev The first six pull tokens.
    uint256 private constant FUNDING_VERBS = 6;
    /// @dev Before the first hook, before the second, before the third; no verb has more than four.
    uint256 private constant PATIENCES = 3;
    uint256 private constant WEALTH = 10_000;

    Reentrant private attacker;
    HookDollar private hooked;
    IRevenueSplit private both;

    /// @dev The attacker pays itself; the second channel's clock has run.
    Channel private own;
    Channel private ripe;
    /// @dev The victim's money in the same token.
    Channel private victim;

    uint256[VERBS] private innerSucceeded;
    uint256[VERBS] private outerEntered;
    uint256 private enteredCount;
    /// @dev Whether the call outside is a relayed withdrawal, which counts the nonce.
    uint256 private relayedBefore;

    function setUp() public override {
        super.setUp();
        attacker = Reentrant(payable(newSigner("attacker")));
        vm.etch(address(attacker), address(new Reentrant()).code);
        hooked = new HookDollar();
        players = outsider < address(attacker) ? [outsider, address(attacker)] : [address(attacker), outsider];
        shares = [uint256(1), 1];
        both = IRevenueSplit(factory.create(bandTerms()));
    }

    function test_WhenNativeCoin() external {
        arrange(ETH);
        runMatrix(SIGNED_FUNDING_VERBS);
        // Ten verbs send to it once, and closing with a voucher twice: the refund and the pay.
        assertEq(enteredCount, 11 * VERBS);
    }

    function test_WhenTokenHooks() external {
        arrange(address(hooked));
        runMatrix(0);
        // Ten verbs send tokens, each with a call before and after. A funding that is robbed from inside reverts with all that
        // happened in it, and is not counted.
        assertGt(enteredCount, 10 * VERBS * 2);
    }

    /// With a fee besides, a nested funding could make up what the fee took and be counted twice. No funding succeeds.
    function test_WhenTokenHooksAndTakesFee() external {
        arrange(address(hooked));
        hooked.setFee(5);
        runMatrix(FUNDING_VERBS);
        for (uint256 outer; outer < FUNDING_VERBS; ++outer) {
            assertEq(outerEntered[outer], 0);
        }
    }

    /// A permit is asked for inside the lock: from inside it no funding can be nested, and what is nested otherwise is seen.
    function test_WhenPermitHooks() external {
        arrange(address(hooked));
        (, bytes memory inner) = verb(4, 40);
        attacker.arm(address(escrow), 0, inner, 0);
        (, bytes memory outer) = verb(0, 30);
        assertTrue(attacker.act(address(escrow), 0, outer));
        assertTrue(attacker.entered());
        assertEq(attacker.refusal(), IEscrow.FundingInProgress.selector);
        assertEq(balanceOf(purseOf(own)), 1030);
    }

    /// The same from inside an authorization.
    function test_WhenAuthorizationHooks() external {
        arrange(address(hooked));
        (, bytes memory inner) = verb(3, 40);
        attacker.arm(address(escrow), 0, inner, 0);
        (, bytes memory outer) = verb(2, 30);
        assertTrue(attacker.act(address(escrow), 0, outer));
        assertTrue(attacker.entered());
        assertEq(attacker.refusal(), IEscrow.FundingInProgress.selector);
        assertEq(balanceOf(purseOf(own)), 1030);
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
        if (token == ETH) vm.deal(address(both), 200);
        else hooked.mint(address(both), 200);
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
                for (uint256 patience; patience < PATIENCES; ++patience) {
                    uint256 snapshot = vm.snapshotState();
                    (bool entered, bool succeeded) = attack(outer, inner, patience);
                    vm.revertToState(snapshot);
                    if (entered) ++enteredCount;
                    if (entered) ++outerEntered[outer];
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
        relayedBefore = outer == 15 ? 1 : 0;
        (uint256 value, bytes memory data) = verb(inner, 40);
        attacker.arm(targetOf(inner), value, data, patience);
        (value, data) = verb(outer, 30);
        attacker.act(targetOf(outer), value, data);

        string memory which = string.concat(vm.toString(outer), " / ", vm.toString(inner));
        assertLe(wealth(), before, which);
        assertGe(held(own.token), ledger(), which);
        assertChannel(victim, 0, 1000, 0);
        assertEq(balanceOf(purseOf(victim)), 1000, which);
        // As much comes to the other member as before.
        assertEq(both.releasable(own.token, outsider), 100, which);
        assertGe(holdings(address(both), own.token), 100, which);
        return (attacker.entered(), attacker.succeeded());
    }

    /// @dev The last three are the split's.
    function targetOf(uint256 which) private view returns (address) {
        return which < VERBS - 3 ? address(escrow) : address(both);
    }

    function verb(uint256 which, uint256 amount) private view returns (uint256 value, bytes memory data) {
        if (which < FUNDING_VERBS) return fundingVerb(which, amount);
        uint128 cumulative = uint128(amount);
        if (which == 6) data = abi.encodeCall(IEscrow.reserve, (own, amount));
        if (which == 7) data = abi.encodeCall(IEscrow.requestClose, (own));
        if (which == 8) data = abi.encodeCall(IEscrow.redeem, (own, cumulative, sign(own, amount)));
        if (which == 9) {
            data = abi.encodeCall(IEscrow.redeemTo, (own, cumulative, sign(own, amount), address(attacker)));
        }
        if (which == 10) data = abi.encodeCall(IEscrow.redeemBatch, (own.payee, own.token, row(own, amount)));
        if (which == 11) data = abi.encodeCall(IEscrow.close, (own, cumulative, sign(own, amount)));
        if (which == 12) data = abi.encodeCall(IEscrow.close, (ripe, 0, ""));
        if (which == 13) data = abi.encodeCall(IEscrow.finalizeClose, (ripe));
        if (which == 14) data = abi.encodeCall(IEscrow.withdraw, (purseOf(own), amount, address(attacker)));
        if (which == 15) data = relayedWithdrawal(amount);
        if (which == 16) data = abi.encodeCall(IEscrow.setOperator, (address(this), true));
        if (which == 17) data = abi.encodeCall(IRevenueSplit.release, (own.token, address(attacker)));
        if (which == 18) data = abi.encodeCall(IRevenueSplit.releaseTo, (own.token, address(attacker)));
        if (which == 19) data = abi.encodeCall(IRevenueSplit.appointOperator, ());
        assertGt(data.length, 0);
    }

    function fundingVerb(uint256 which, uint256 amount) private view returns (uint256 value, bytes memory data) {
        bool native = own.token == ETH;
        value = native ? amount : 0;
        if (which == 4) return (value, abi.encodeCall(IEscrow.deposit, (purseOf(own), amount)));
        if (which == 5) return (value, abi.encodeCall(IEscrow.open, (own, amount)));
        // What can't be signed in the native coin is called all the same.
        address token = native ? address(dollar) : own.token;
        Permit memory permit = signPermit(address(attacker), token, amount, type(uint256).max);
        if (which == 0) return (0, abi.encodeCall(IEscrow.depositWithPermit, (purseOf(own), amount, permit)));
        if (which == 1) return (0, abi.encodeCall(IEscrow.openWithPermit, (own, amount, permit)));
        bytes32 id = which == 2 ? idOf(purseOf(own)) : idOf(own);
        Authorization memory authorization =
            signAuthorization(Transfer(address(attacker), token, amount, id), 0, type(uint256).max, bytes32(amount));
        if (which == 2) {
            return (0, abi.encodeCall(IEscrow.depositWithAuthorization, (purseOf(own), amount, authorization)));
        }
        return (0, abi.encodeCall(IEscrow.openWithAuthorization, (own, amount, authorization)));
    }

    function relayedWithdrawal(uint256 amount) private view returns (bytes memory) {
        Purse memory purse = purseOf(own);
        // Signed for the nonce it will meet: inside another relayed withdrawal, that one's successor.
        uint256 nonce = escrow.accountState(idOf(purse)).nonce + (amount == 40 ? relayedBefore : 0);
        bytes memory signature = signWithdrawal(purse, amount, address(attacker), nonce, type(uint256).max);
        return abi.encodeCall(IEscrow.withdrawFor, (purse, amount, address(attacker), type(uint256).max, signature));
    }

    /* SUMS */

    /// @dev All that the attacker owns: inside the escrow, inside the split, and outside.
    function wealth() private view returns (uint256) {
        return holdings(address(attacker), own.token) + claims() + both.releasable(own.token, address(attacker));
    }

    function claims() private view returns (uint256) {
        Purse memory fallBack = Purse(address(attacker), address(attacker), own.token);
        return balanceOf(purseOf(own)) + balanceOf(fallBack) + reservedOf(own) + reservedOf(ripe);
    }

    function ledger() private view returns (uint256) {
        return claims() + balanceOf(purseOf(victim)) + reservedOf(victim);
    }
}
