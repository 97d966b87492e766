// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEscrow, Permit} from "../contracts/IEscrow.sol";
import {Base} from "./Base.t.sol";
import {DemoDollar} from "./tokens/DemoDollar.sol";
import {FallbackDollar} from "./tokens/FallbackDollar.sol";
import {FalseDollar} from "./tokens/FalseDollar.sol";
import {FeeDollar} from "./tokens/FeeDollar.sol";
import {SilentDollar} from "./tokens/SilentDollar.sol";

/// @dev What `depositWithPermit` and `openWithPermit` have in common: whose permit, whose tokens. Each runs all of it.
abstract contract Permits is Base {
    bytes4 private constant TRANSFER_FROM_FAILED = bytes4(keccak256("TransferFromFailed()"));

    /// @dev Funds what is the payer's, in this token.
    function fundWithPermit(address token, uint256 amount, Permit memory permit) internal virtual;

    /// @dev What is there of what was funded so.
    function funded(address token) internal view virtual returns (uint256);

    /// @dev The event of the first funding.
    function expectFunded(address token, uint256 amount) internal virtual;

    /// @dev The same call for another payer, so that only the name beside the money differs.
    function fundForWithPermit(address payer_, address token, uint256 amount, Permit memory permit) internal virtual;

    function soon() internal view returns (uint256) {
        return vm.getBlockTimestamp() + 1 hours;
    }

    function test_RevertWhen_AmountZero() external {
        Permit memory permit = signPermit(payer, address(dollar), 0, soon());
        vm.prank(payer);
        vm.expectRevert(IEscrow.ZeroAmount.selector);
        fundWithPermit(address(dollar), 0, permit);
    }

    function testFuzz_RevertWhen_AmountAbove104Bits(uint256 amount) external {
        amount = bound(amount, AMOUNT_MAX + 1, type(uint256).max);
        Permit memory permit = signPermit(payer, address(dollar), amount, soon());
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountTooLarge.selector, amount, AMOUNT_MAX));
        fundWithPermit(address(dollar), amount, permit);
    }

    /// The native coin knows no permits, and a call without value brings none of it.
    function test_RevertWhen_NativeCoin() external {
        Permit memory permit;
        vm.deal(payer, 5);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.WrongValue.selector, 0, 5));
        fundWithPermit(ETH, 5, permit);
    }

    /// A permit for an address without code is taken by nobody, and nothing is credited for it.
    function test_RevertWhen_TokenHasNoCode() external {
        Permit memory permit;
        address token = makeAddr("no token");
        vm.prank(payer);
        vm.expectRevert();
        fundWithPermit(token, 5, permit);
        assertEq(funded(token), 0);
    }

    function test_RevertWhen_TokenTakesFee() external {
        FeeDollar odd = new FeeDollar();
        odd.mint(payer, 500);
        Permit memory permit = signPermit(payer, address(odd), 500, soon());
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TransferMismatch.selector, 494, 500));
        fundWithPermit(address(odd), 500, permit);
        assertEq(odd.nonces(payer), 0, "the permit is still good");
    }

    function test_RevertWhen_TokenReturnsFalse() external {
        FalseDollar odd = new FalseDollar();
        odd.mint(payer, 5);
        Permit memory permit = signPermit(payer, address(odd), 5, soon());
        odd.setRefusing(true);
        vm.prank(payer);
        vm.expectRevert(TRANSFER_FROM_FAILED);
        fundWithPermit(address(odd), 5, permit);
    }

    function test_RevertWhen_PermitExpired() external {
        dollar.mint(payer, 5);
        uint256 deadline = soon();
        Permit memory permit = signPermit(payer, address(dollar), 5, deadline);
        vm.warp(deadline + 1);
        vm.prank(payer);
        vm.expectRevert(TRANSFER_FROM_FAILED);
        fundWithPermit(address(dollar), 5, permit);
        vm.warp(deadline);
        vm.prank(payer);
        fundWithPermit(address(dollar), 5, permit);
        assertEq(funded(address(dollar)), 5);
    }

    /// One field of the permit changed, one at a time, and the allowance is not there.
    function testFuzz_RevertWhen_PermitAltered(uint256 field, uint256 bit) external {
        dollar.mint(payer, 5);
        Permit memory permit = signPermit(payer, address(dollar), 5, soon());
        bit = bound(bit, 0, 255);
        field = bound(field, 0, 3);
        if (field == 0) permit.deadline ^= 1 << bit;
        else if (field == 1) permit.v ^= uint8(1 << (bit % 8));
        else if (field == 2) permit.r ^= bytes32(1 << bit);
        else permit.s ^= bytes32(1 << bit);
        vm.prank(payer);
        vm.expectRevert(TRANSFER_FROM_FAILED);
        fundWithPermit(address(dollar), 5, permit);
    }

    /// A permit is over exactly the amount that is funded: one over less or more does not count.
    function testFuzz_RevertWhen_PermitOverAnotherAmount(uint256 amount, uint256 permitted) external {
        amount = bound(amount, 1, AMOUNT_MAX);
        vm.assume(permitted != amount);
        dollar.mint(payer, amount);
        Permit memory permit = signPermit(payer, address(dollar), permitted, soon());
        vm.prank(payer);
        vm.expectRevert(TRANSFER_FROM_FAILED);
        fundWithPermit(address(dollar), amount, permit);
    }

    function test_RevertWhen_PermitReplayed() external {
        dollar.mint(payer, 10);
        Permit memory permit = signPermit(payer, address(dollar), 5, soon());
        vm.startPrank(payer);
        fundWithPermit(address(dollar), 5, permit);
        vm.expectRevert(TRANSFER_FROM_FAILED);
        fundWithPermit(address(dollar), 5, permit);
        assertEq(dollar.balanceOf(payer), 5);
    }

    /// Loss 26: whoever sends somebody else's permit funds with its own tokens or not at all.
    function test_RevertWhen_PermitOfAnother() external {
        dollar.mint(payer, 5);
        Permit memory permit = signPermit(payer, address(dollar), 5, soon());
        vm.prank(outsider);
        vm.expectRevert(TRANSFER_FROM_FAILED);
        fundWithPermit(address(dollar), 5, permit);
        assertEq(dollar.balanceOf(payer), 5);
        assertEq(dollar.nonces(payer), 0, "the permit is still good");
    }

    /// Loss 26: neither a permit that fails nor one that the token swallows reaches the allowance of whoever is named payer.
    function test_RevertWhen_OnlyPayerHasAllowed() external {
        address[2] memory tokens = [address(dollar), address(new FallbackDollar())];
        for (uint256 i; i < tokens.length; ++i) {
            endow(payer, tokens[i], 5);
            Permit memory permit;
            vm.prank(outsider);
            vm.expectRevert(TRANSFER_FROM_FAILED);
            fundForWithPermit(payer, tokens[i], 5, permit);
            assertEq(holdings(payer, tokens[i]), 5);
        }
    }

    /// Somebody shows the permit to the token first; the allowance is the same, and the payer's own call goes through.
    function testFuzz_GivenPermitFrontRun(uint256 amount) external {
        amount = bound(amount, 1, AMOUNT_MAX);
        dollar.mint(payer, amount);
        Permit memory permit = signPermit(payer, address(dollar), amount, soon());
        vm.prank(outsider);
        dollar.permit(payer, address(escrow), amount, permit.deadline, permit.v, permit.r, permit.s);
        vm.prank(payer);
        fundWithPermit(address(dollar), amount, permit);
        assertEq(funded(address(dollar)), amount);
        assertEq(dollar.allowance(payer, address(escrow)), 0);
    }

    /// Old tokens without permits still fund by an earlier approval of the caller.
    function test_GivenTokenKnowsNoPermit() external {
        address[2] memory tokens = [address(new SilentDollar()), address(new FallbackDollar())];
        for (uint256 i; i < tokens.length; ++i) {
            endow(payer, tokens[i], 5);
            Permit memory permit;
            vm.prank(payer);
            fundWithPermit(tokens[i], 5, permit);
            assertEq(funded(tokens[i]), 5);
            assertEq(held(tokens[i]), 5);
        }
    }

    function testFuzz_WhenCallerPermits(uint256 amount, uint256 before) external {
        amount = bound(amount, 1, AMOUNT_MAX);
        before = bound(before, 0, type(uint128).max);
        dollar.mint(address(escrow), before);
        dollar.mint(payer, amount);
        Permit memory permit = signPermit(payer, address(dollar), amount, soon());
        expectFunded(address(dollar), amount);
        vm.prank(payer);
        fundWithPermit(address(dollar), amount, permit);
        assertEq(funded(address(dollar)), amount);
        assertEq(dollar.balanceOf(payer), 0);
        assertEq(held(address(dollar)), before + amount);
        assertEq(dollar.allowance(payer, address(escrow)), 0);
    }

    /// Anyone may fund what is another's, with a permit of its own.
    function test_WhenCallerIsOutsider() external {
        dollar.mint(outsider, 7);
        Permit memory permit = signPermit(outsider, address(dollar), 7, soon());
        vm.prank(outsider);
        fundWithPermit(address(dollar), 7, permit);
        assertEq(funded(address(dollar)), 7);
        assertEq(DemoDollar(dollar).balanceOf(outsider), 0);
    }
}
