// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Authorization, Channel, IEscrow, Permit} from "../contracts/IEscrow.sol";
import {Purse} from "./Base.t.sol";
import {SplitBase} from "./SplitBase.t.sol";

/// @dev Rule 4 and loss 9: whatever anybody but the payer does, with whatever amount, to the second, no clock starts, stops
/// or moves; only the payee, by closing, and the time itself end one.
contract ClocksTest is SplitBase {
    /// @dev One unit, and the most.
    uint256 private constant DUST = 1;

    /// @dev The payer signed both; anyone may send them.
    Authorization private forAccount;
    Authorization private forChannel;

    function setUp() public override {
        super.setUp();
        fund(dollarChannel, 1000, 500);
        fund(etherChannel, 1000, 500);
        endow(outsider, address(dollar), 1_000_000);
        vm.deal(outsider, 1_000_000);
        dollar.mint(payer, 1000);
        uint256 never = type(uint256).max;
        Transfer memory transfer = Transfer(payer, address(dollar), DUST, idOf(purseOf(dollarChannel)));
        forAccount = signAuthorization(transfer, 0, never, "dust");
        transfer.id = idOf(dollarChannel);
        forChannel = signAuthorization(transfer, 0, never, "dust");
        dollar.mint(address(band), 100);
    }

    /// @dev All that outsiders, relayers and the payee can send about a channel without closing it.
    function others(uint256 amount) private view returns (address[] memory callers, bytes[] memory calls) {
        (callers, calls) = (new address[](16), new bytes[](16));
        Purse memory purse = purseOf(dollarChannel);
        Permit memory permit;
        calls[0] = abi.encodeCall(IEscrow.deposit, (purse, amount));
        calls[1] = abi.encodeCall(IEscrow.open, (dollarChannel, amount));
        calls[2] = abi.encodeCall(IEscrow.depositWithPermit, (purse, amount, permit));
        calls[3] = abi.encodeCall(IEscrow.openWithPermit, (dollarChannel, amount, permit));
        calls[4] = abi.encodeCall(IEscrow.depositWithAuthorization, (purse, DUST, forAccount));
        calls[5] = abi.encodeCall(IEscrow.openWithAuthorization, (dollarChannel, DUST, forChannel));
        calls[6] = abi.encodeCall(IEscrow.reserve, (dollarChannel, amount));
        calls[7] = abi.encodeCall(IEscrow.redeem, (dollarChannel, uint128(DUST), sign(dollarChannel, DUST)));
        calls[8] = abi.encodeCall(IEscrow.redeemBatch, (payee, address(dollar), row(dollarChannel, DUST)));
        calls[9] = abi.encodeCall(IEscrow.close, (dollarChannel, 0, ""));
        calls[10] = abi.encodeCall(IEscrow.requestClose, (dollarChannel));
        calls[11] = abi.encodeCall(IEscrow.finalizeClose, (dollarChannel));
        calls[12] = abi.encodeCall(IEscrow.withdraw, (purse, amount, outsider));
        bytes memory signature = signWithdrawal(purse, DUST, outsider, 0, type(uint256).max);
        calls[13] = abi.encodeCall(IEscrow.withdrawFor, (purse, DUST, outsider, type(uint256).max, signature));
        calls[14] = abi.encodeCall(IEscrow.setOperator, (outsider, true));
        calls[15] =
            abi.encodeCall(IEscrow.redeemTo, (dollarChannel, uint128(DUST), sign(dollarChannel, DUST), outsider));
        for (uint256 i; i < calls.length; ++i) {
            callers[i] = i == 15 ? payee : outsider;
        }
    }

    function amountAt(uint256 index) private pure returns (uint256) {
        uint256[6] memory amounts = [0, DUST, AMOUNT_MAX, AMOUNT_MAX + 1, type(uint128).max, type(uint256).max];
        return amounts[index];
    }

    /// Not one of them starts a clock.
    function test_GivenNoClock() external {
        (uint256 accepted,) = tryAll(0);
        assertGt(accepted, 30, "most of them say nothing");
    }

    /// Not one of them stops or moves one, in its first second, half way, and in its last.
    function test_GivenClockRuns() external {
        uint256 closeAt = requestClose(dollarChannel);
        uint256[3] memory times = [vm.getBlockTimestamp(), vm.getBlockTimestamp() + EXIT_DELAY / 2, closeAt - 1];
        for (uint256 i; i < times.length; ++i) {
            vm.warp(times[i]);
            (uint256 accepted, uint256 ended) = tryAll(closeAt);
            assertGt(accepted, 20, "most of them say nothing");
            assertEq(ended, 0);
        }
    }

    /// Once it has run, `finalizeClose` alone ends it, whoever calls, and the others still don't.
    function test_GivenClockRan() external {
        uint256 closeAt = requestClose(dollarChannel);
        vm.warp(closeAt);
        (, uint256 ended) = tryAll(closeAt);
        // Once for each amount, by the call that takes none.
        assertEq(ended, 6);
    }

    /// @return accepted How many were not refused.
    /// @return ended How many ended the clock: what must have been `finalizeClose`, when it was allowed.
    function tryAll(uint256 closeAt) private returns (uint256 accepted, uint256 ended) {
        for (uint256 i; i < 6; ++i) {
            (address[] memory callers, bytes[] memory calls) = others(amountAt(i));
            for (uint256 j; j < calls.length; ++j) {
                uint256 snapshot = vm.snapshotState();
                vm.prank(callers[j]);
                (bool done,) = address(escrow).call(calls[j]);
                if (done) ++accepted;
                if (closeAtOf(dollarChannel) != closeAt) {
                    ++ended;
                    assertEq(bytes4(calls[j]), IEscrow.finalizeClose.selector, vm.toString(j));
                    assertEq(closeAtOf(dollarChannel), 0);
                    assertGe(vm.getBlockTimestamp(), closeAt);
                }
                assertChannel(etherChannel, 0, 500, 0);
                vm.revertToState(snapshot);
            }
        }
    }

    /// A close one second early is refused and on the second granted, however long the delay and whatever the date: the clock's
    /// field holds dates of the next thirty thousand years.
    function testFuzz_WhenSecondComes(uint256 exitDelay, uint256 timestamp) external {
        exitDelay = bound(exitDelay, 1 hours, 30 days);
        timestamp = bound(timestamp, vm.getBlockTimestamp(), type(uint40).max - 30 days);
        escrow = IEscrow(deployCode("Escrow.sol:Escrow", abi.encode(exitDelay)));
        fund(dollarChannel, 0, 5);
        vm.warp(timestamp);
        uint256 closeAt = requestClose(dollarChannel);
        assertEq(closeAt, timestamp + exitDelay);
        assertChannel(dollarChannel, 0, 5, closeAt);
        vm.warp(closeAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.ExitDelayRunning.selector, closeAt, closeAt - 1));
        escrow.finalizeClose(dollarChannel);
        vm.warp(closeAt);
        assertEq(escrow.finalizeClose(dollarChannel), 5);
    }

    /// Another channel's clock is another's: same parties, another salt, another signer, another token.
    function test_WhenAnotherChannelsClockRuns() external {
        Channel[3] memory near = [dollarChannel, dollarChannel, dollarChannel];
        near[0].salt = "beside";
        near[1].authorizedSigner = session;
        near[2].token = ETH;
        for (uint256 i; i < near.length; ++i) {
            if (i < 2) fund(near[i], 0, 5);
            uint256 closeAt = requestClose(near[i]);
            assertEq(closeAtOf(dollarChannel), 0);
            vm.warp(closeAt);
            escrow.finalizeClose(near[i]);
            assertChannel(dollarChannel, 0, 500, 0);
        }
    }
}
