// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {console} from "forge-std/console.sol";

import {ChannelState} from "../../contracts/IEscrow.sol";
import {Base} from "../Base.t.sol";
import {Handler} from "./Handler.sol";
import {Store} from "./Store.sol";

/// @dev README.md beside this file states the invariants as formulas. Those about a single call are checked by the
/// handler, in every campaign; those about sums are checked here.
contract EscrowInvariants is Base {
    Handler private handler;
    Store private store;
    address[2] private tokens;
    string[16] private verbNames = [
        "deposit",
        "open",
        "depositWithPermit",
        "openWithPermit",
        "depositWithAuthorization",
        "openWithAuthorization",
        "reserve",
        "redeem",
        "redeemTo",
        "redeemBatch",
        "close",
        "setOperator",
        "requestClose",
        "finalizeClose",
        "withdraw",
        "withdrawFor"
    ];
    bytes32[] private channelIds;
    bytes32[] private accountIds;

    function setUp() public override {
        super.setUp();
        store = new Store(address(escrow));
        handler = new Handler(escrow, store, dollar);
        tokens = [ETH, address(dollar)];
        for (uint256 i; i < handler.channelCount(); ++i) {
            channelIds.push(idOf(handler.channelAt(i)));
        }
        for (uint256 i; i < handler.purseCount(); ++i) {
            accountIds.push(idOf(handler.purseAt(i)));
        }
        targetContract(address(handler));
        bytes4[] memory verbs = new bytes4[](19);
        verbs[0] = Handler.warp.selector;
        verbs[1] = Handler.setConduct.selector;
        verbs[2] = Handler.give.selector;
        verbs[3] = Handler.deposit.selector;
        verbs[4] = Handler.open.selector;
        verbs[5] = Handler.reserve.selector;
        verbs[6] = Handler.redeem.selector;
        verbs[7] = Handler.redeemTo.selector;
        verbs[8] = Handler.redeemBatch.selector;
        verbs[9] = Handler.close.selector;
        verbs[10] = Handler.requestClose.selector;
        verbs[11] = Handler.finalizeClose.selector;
        verbs[12] = Handler.withdraw.selector;
        verbs[13] = Handler.depositWithPermit.selector;
        verbs[14] = Handler.openWithPermit.selector;
        verbs[15] = Handler.depositWithAuthorization.selector;
        verbs[16] = Handler.openWithAuthorization.selector;
        verbs[17] = Handler.withdrawFor.selector;
        verbs[18] = Handler.setOperator.selector;
        targetSelector(FuzzSelector({addr: address(handler), selectors: verbs}));
    }

    /// One campaign for all: campaigns apart would repeat the same calls.
    function invariant_LedgerIsWhatHappened() external view {
        checkSums();
        checkChannels();
        checkAccounts();
        checkOperators();
    }

    /// @dev Invariant 1
    function checkSums() private view {
        for (uint256 i; i < tokens.length; ++i) {
            address token = tokens[i];
            uint256 owed = store.balanceSum(token) + store.reservationSum(token);
            assertEq(held(token), owed + store.given(token), "invariant 1: held");
            assertEq(owed + store.earned(token) + store.returned(token), store.funded(token), "invariant 1: in and out");
        }
    }

    /// @dev Invariants 2 and 9
    function checkChannels() private view {
        for (uint256 i; i < channelIds.length; ++i) {
            bytes32 id = channelIds[i];
            ChannelState memory state = escrow.channelState(id);
            assertEq(state.redeemed, store.received(id), "invariant 2: redeemed is not what was paid");
            assertEq(abi.encode(state), abi.encode(store.channelState(id)), "invariant 9: channel");
        }
    }

    /// @dev Invariant 9
    function checkAccounts() private view {
        for (uint256 i; i < accountIds.length; ++i) {
            bytes32 id = accountIds[i];
            assertEq(abi.encode(escrow.accountState(id)), abi.encode(store.accountState(id)), "invariant 9: account");
        }
    }

    /// @dev Invariant 9
    function checkOperators() private view {
        for (uint256 i; i < channelIds.length; ++i) {
            address to = handler.channelAt(i).payee;
            for (uint256 j; j < 2; ++j) {
                address manager = handler.managerAt(j);
                assertEq(escrow.isOperator(to, manager), store.isOperator(to, manager), "invariant 9: operator");
            }
        }
    }

    /// Invariants 6 and 7, from whatever state the campaign reached: each party alone gets its due within the delay, and
    /// nothing is left but what nobody owns.
    function afterInvariant() external {
        exitEverybody();
    }

    /// A handler whose calls mostly fail, or never reach a verb, would show nothing. The same calls on every run.
    function test_WhenHandlerActs() external {
        bytes4[] memory verbs = targetSelectors()[0].selectors;
        for (uint256 i; i < 4000; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            bytes memory data = abi.encodeWithSelector(verbs[seed % verbs.length], seed >> 8, seed << 8);
            (bool done,) = address(handler).call(data);
            assertTrue(done);
        }
        uint256 acted = store.succeededCount() + store.refusedCount();
        assertGt(store.succeededCount() * 10, acted * 6, "of ten calls, more than six succeed");
        for (uint256 i; i < verbNames.length; ++i) {
            uint256 tried = store.succeeded(verbNames[i]) + store.refused(verbNames[i]);
            console.log("%s: %d of %d", verbNames[i], store.succeeded(verbNames[i]), tried);
            assertGt(store.succeeded(verbNames[i]) * 20, tried, verbNames[i]);
        }
        checkSums();
        checkChannels();
        checkAccounts();
        exitEverybody();
    }

    function exitEverybody() private {
        uint256 channels = channelIds.length;
        for (uint256 i; i < channels; ++i) {
            handler.exitPayee(handler.channelAt(i));
        }
        for (uint256 i; i < channels; ++i) {
            handler.exitRequest(handler.channelAt(i));
        }
        vm.warp(vm.getBlockTimestamp() + EXIT_DELAY);
        for (uint256 i; i < channels; ++i) {
            // Emptied before each, so that a refused refund finds room in its payer's own account.
            withdrawEverything();
            handler.exitFinalize(handler.channelAt(i));
        }
        withdrawEverything();
        for (uint256 i; i < tokens.length; ++i) {
            assertEq(held(tokens[i]), store.given(tokens[i]), "something stays behind");
        }
        checkSums();
        checkChannels();
        checkAccounts();
    }

    function withdrawEverything() private {
        for (uint256 i; i < accountIds.length; ++i) {
            handler.exitWithdraw(handler.purseAt(i));
        }
    }
}
