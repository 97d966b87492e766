// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Vm} from "forge-std/Vm.sol";

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Base} from "./Base.t.sol";
import {ReopeningPayer} from "./receivers/ReopeningPayer.sol";

contract FinalizeCloseTest is Base {
    /// Failure 1: a payer that re-enters from its refund can't put a new clock before the end of the old one in the log,
    /// where a payee that replays events would overlook it.
    function test_WhenPayerReopensFromRefund() external {
        ReopeningPayer reopening = new ReopeningPayer(escrow);
        Channel memory channel = Channel(address(reopening), payee, ETH, NO_SALT, payer);
        open(outsider, channel, 100);
        reopening.requestClose(channel);
        vm.warp(vm.getBlockTimestamp() + EXIT_DELAY);

        vm.recordLogs();
        escrow.finalizeClose(channel);

        assertChannel(channel, 0, 100, vm.getBlockTimestamp() + EXIT_DELAY);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 3);
        assertEq(logs[0].topics[0], IEscrow.Closed.selector);
        assertEq(logs[1].topics[0], IEscrow.Opened.selector);
        assertEq(logs[2].topics[0], IEscrow.CloseRequested.selector);
    }
}
