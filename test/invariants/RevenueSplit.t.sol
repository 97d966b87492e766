// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {console} from "forge-std/console.sol";

import {IRevenueSplit} from "../../contracts/IRevenueSplit.sol";
import {SplitBase} from "../SplitBase.t.sol";
import {OddReceiver} from "../receivers/OddReceiver.sol";
import {SplitHandler} from "./SplitHandler.sol";

/// @dev README.md beside this file states the invariants as formulas.
contract RevenueSplitInvariants is SplitBase {
    SplitHandler private handler;
    OddReceiver private contractMember;
    address[2] private tokens;

    function setUp() public override {
        super.setUp();
        contractMember = new OddReceiver();
        players = sorted([players[0], players[1], address(contractMember)]);
        shares = [uint256(50), 31, 19];
        band = IRevenueSplit(factory.create(bandTerms()));
        tokens = [ETH, address(dollar)];
        handler = new SplitHandler(escrow, band, contractMember, dollar);
        targetContract(address(handler));
        bytes4[] memory verbs = new bytes4[](5);
        verbs[0] = SplitHandler.setConduct.selector;
        verbs[1] = SplitHandler.give.selector;
        verbs[2] = SplitHandler.redeem.selector;
        verbs[3] = SplitHandler.release.selector;
        verbs[4] = SplitHandler.releaseTo.selector;
        targetSelector(FuzzSelector({addr: address(handler), selectors: verbs}));
    }

    function invariant_EveryUnitIsSomebodys() external view {
        checkSums();
    }

    /// @dev Invariants 10 to 12
    function checkSums() private view {
        for (uint256 i; i < tokens.length; ++i) {
            address token = tokens[i];
            uint256 due;
            uint256 sent;
            for (uint256 j; j < players.length; ++j) {
                assertEq(band.releasable(token, players[j]), handler.dueTo(token, j), "invariant 11: due");
                assertEq(band.released(token, players[j]), handler.sent(token, players[j]), "invariant 11: released");
                due += band.releasable(token, players[j]);
                sent += band.released(token, players[j]);
            }
            assertEq(band.totalReleased(token), sent, "invariant 10: total released");
            assertEq(holdings(address(band), token), due, "invariant 10: held is not what is due");
            assertEq(sent + due, handler.received(token), "invariant 10: in and out");
        }
    }

    /// Invariant 12, from whatever state the campaign reached: each member alone takes what it is due, and nothing is left.
    function afterInvariant() external {
        exitEverybody();
    }

    function exitEverybody() private {
        address bank = makeAddr("bank");
        for (uint256 i; i < tokens.length; ++i) {
            for (uint256 j; j < players.length; ++j) {
                uint256 due = handler.dueTo(tokens[i], j);
                if (due == 0) continue;
                vm.prank(players[j]);
                assertEq(band.releaseTo(tokens[i], bank), due, "invariant 12: exit");
            }
            assertEq(holdings(address(band), tokens[i]), 0, "invariant 12: dust");
        }
    }

    /// A handler whose calls mostly fail would show nothing. The same calls on every run.
    function test_WhenSplitHandlerActs() external {
        bytes4[] memory verbs = targetSelectors()[0].selectors;
        for (uint256 i; i < 2000; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            bytes memory data = abi.encodeWithSelector(verbs[seed % verbs.length], seed >> 8, seed << 8);
            (bool done,) = address(handler).call(data);
            assertTrue(done);
        }
        string[2] memory names = ["release", "releaseTo"];
        for (uint256 i; i < names.length; ++i) {
            uint256 tried = handler.succeeded(names[i]) + handler.refused(names[i]);
            console.log("%s: %d of %d", names[i], handler.succeeded(names[i]), tried);
            assertGt(handler.succeeded(names[i]) * 3, tried, names[i]);
            assertGt(handler.refused(names[i]) * 10, tried, names[i]);
        }
        checkSums();
        exitEverybody();
    }
}
