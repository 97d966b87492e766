// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Base, Purse} from "./Base.t.sol";
import {OddReceiver} from "./receivers/OddReceiver.sol";
import {BlocklistDollar} from "./tokens/BlocklistDollar.sol";
import {FalseDollar} from "./tokens/FalseDollar.sol";
import {HostileDollar} from "./tokens/HostileDollar.sol";
import {SilentDollar} from "./tokens/SilentDollar.sol";

/// @dev What `close` and `finalizeClose` have in common: the refund. Each runs all of it.
abstract contract Refunds is Base {
    uint256 private constant REFUND_GAS = 200_000;

    /// @dev A call gets 63 of 64 parts of what is left; the rest has to write the fall-back.
    uint256 private constant GAS_REQUIRED = REFUND_GAS + REFUND_GAS / 63 + 40_000;

    /// @dev Ends a channel with 100 reserved and nothing redeemed.
    function end(Channel memory channel) internal virtual;

    /// @dev Makes `end` ready to be called, whatever the receiver is told to do next.
    function prepare(Channel memory channel) internal virtual;

    function test_WhenPayerAccepts() external {
        Channel memory channel = channelOfContract(new OddReceiver());
        expectClosed(channel, 0, 100);
        end(channel);
        assertEq(channel.payer.balance, 100);
        assertChannel(channel, 0, 0, 0);
    }

    /// Loss 7
    function test_WhenPayerReverts() external {
        assertFallsBack(OddReceiver.Conduct.Reverts);
    }

    /// Loss 7
    function test_WhenPayerRevertsWithBomb() external {
        assertFallsBack(OddReceiver.Conduct.RevertsWithBomb);
    }

    /// Loss 7: all the gas of its refund and none of the rest.
    function test_WhenPayerBurnsGas() external {
        assertFallsBack(OddReceiver.Conduct.BurnsGas);
    }

    /// Loss 7: 64 kB of answer are not read.
    function test_WhenPayerReturnsBomb() external {
        OddReceiver odd = new OddReceiver();
        Channel memory channel = channelOfContract(odd);
        odd.setConduct(OddReceiver.Conduct.ReturnsBomb);
        end(channel);
        assertEq(channel.payer.balance, 100);
    }

    /// Loss 32: not into the session key's account, which that key could spend.
    function test_WhenPayerOfSessionReverts() external {
        OddReceiver odd = new OddReceiver();
        Channel memory channel = Channel(address(odd), payee, ETH, NO_SALT, session);
        open(outsider, channel, 100);
        prepare(channel);
        odd.setConduct(OddReceiver.Conduct.Reverts);
        end(channel);
        assertEq(balanceOf(purseOf(channel)), 0);
        assertEq(balanceOf(Purse(address(odd), address(odd), ETH)), 100);
    }

    /// Loss 7: a payer on the token's list.
    function test_WhenPayerBlocked() external {
        BlocklistDollar odd = new BlocklistDollar();
        dollarChannel.token = address(odd);
        open(payer, dollarChannel, 100);
        prepare(dollarChannel);
        odd.setBlocked(payer, true);
        expectFallBack(dollarChannel);
        end(dollarChannel);
        vm.prank(payer);
        escrow.withdraw(purseOf(dollarChannel), 100, outsider);
        assertEq(odd.balanceOf(outsider), 100);
    }

    function test_WhenTokenReturnsFalse() external {
        FalseDollar odd = new FalseDollar();
        dollarChannel.token = address(odd);
        open(payer, dollarChannel, 100);
        prepare(dollarChannel);
        odd.setRefusing(true);
        expectFallBack(dollarChannel);
        end(dollarChannel);
        odd.setRefusing(false);
        vm.prank(payer);
        escrow.withdraw(purseOf(dollarChannel), 100, outsider);
        assertEq(odd.balanceOf(outsider), 100);
    }

    function test_WhenTokenReturnsNothing() external {
        dollarChannel.token = address(new SilentDollar());
        open(payer, dollarChannel, 100);
        prepare(dollarChannel);
        expectClosed(dollarChannel, 0, 100);
        end(dollarChannel);
        assertEq(holdings(payer, dollarChannel.token), 100);
    }

    function test_WhenTokenReturnsBomb() external {
        HostileDollar odd = hostile();
        odd.setConduct(HostileDollar.Conduct.ReturnsBomb);
        end(dollarChannel);
        assertEq(odd.balanceOf(payer), 100);
    }

    function test_WhenTokenRevertsWithBomb() external {
        hostile().setConduct(HostileDollar.Conduct.RevertsWithBomb);
        expectFallBack(dollarChannel);
        end(dollarChannel);
    }

    function test_WhenTokenBurnsGas() external {
        hostile().setConduct(HostileDollar.Conduct.BurnsGas);
        expectFallBack(dollarChannel);
        end(dollarChannel);
    }

    /// Loss 9: a token without code can't be told from one that paid silently, so its refund stays.
    function test_WhenTokenLostItsCode() external {
        HostileDollar odd = hostile();
        vm.etch(address(odd), "");
        expectFallBack(dollarChannel);
        end(dollarChannel);
    }

    /// Whatever the caller leaves, a receiver has the same gas for a refund, and a token for moving it.
    function test_WhenReceiverMeasuresGas() external {
        // Writes down how much gas it has, and answers that all is well.
        bytes memory gauge = hex"5a5f5560015f5260205ff3";
        uint256 spentOnAsking = 2;
        HostileDollar odd = hostile();
        vm.etch(address(odd), gauge);
        end(dollarChannel);
        assertEq(uint256(vm.load(address(odd), 0)), REFUND_GAS - spentOnAsking);

        Channel memory channel = channelOfContract(new OddReceiver());
        vm.etch(channel.payer, gauge);
        end(channel);
        // The machine itself adds what a call with value always has.
        assertEq(uint256(vm.load(channel.payer, 0)), REFUND_GAS + 2300 - spentOnAsking);
    }

    /// A caller can't make a refund fail by leaving it little gas: whatever it leaves, the payer has its money or the
    /// whole call reverts. This payer needs most of what it is promised, and the caller has warmed up the payer's account, so
    /// that the fall-back would cost next to nothing.
    function test_RevertWhen_GasTooLittle() external {
        OddReceiver odd = new OddReceiver();
        Channel memory channel = channelOfContract(odd);
        odd.setConduct(OddReceiver.Conduct.BurnsMostGas);
        deposit(outsider, Purse(address(odd), address(odd), ETH), 1);
        bool refused;
        bool sent;
        for (uint256 gasLimit = 30_000; gasLimit < 500_000; gasLimit += 1009) {
            uint256 snapshot = vm.snapshotState();
            try this.endWithGas(channel, gasLimit) {
                assertEq(channel.payer.balance, 100, "a refund was starved");
                sent = true;
            } catch (bytes memory reason) {
                assertFalse(sent, "more gas made it fail");
                if (bytes4(reason) == IEscrow.InsufficientGas.selector) {
                    refused = true;
                    assertEq(requiredIn(reason), GAS_REQUIRED);
                }
            }
            vm.revertToState(snapshot);
        }
        assertTrue(refused, "never refused for want of gas");
        assertTrue(sent, "never sent");
    }

    /// The same for a payer that takes all it gets: the fall-back is written, or the whole call reverts.
    function test_RevertWhen_GasTooLittleToFallBack() external {
        OddReceiver odd = new OddReceiver();
        Channel memory channel = channelOfContract(odd);
        odd.setConduct(OddReceiver.Conduct.BurnsGas);
        bool done;
        for (uint256 gasLimit = 200_000; gasLimit < 500_000; gasLimit += 1009) {
            uint256 snapshot = vm.snapshotState();
            try this.endWithGas(channel, gasLimit) {
                assertEq(balanceOf(Purse(address(odd), address(odd), ETH)), 100);
                done = true;
            } catch {
                assertFalse(done, "more gas made it fail");
                assertChannel(channel, 0, 100, closeAtOf(channel));
            }
            vm.revertToState(snapshot);
        }
        assertTrue(done, "never done");
    }

    function endWithGas(Channel memory channel, uint256 gasLimit) external virtual;

    function requiredIn(bytes memory insufficientGas) private pure returns (uint256 required) {
        assembly ("memory-safe") {
            required := mload(add(insufficientGas, 0x44))
        }
    }

    function assertFallsBack(OddReceiver.Conduct conduct) private {
        OddReceiver odd = new OddReceiver();
        Channel memory channel = channelOfContract(odd);
        odd.setConduct(conduct);
        expectFallBack(channel);
        end(channel);
        assertChannel(channel, 0, 0, 0);
        assertEq(channel.payer.balance, 0);
        Purse memory own = Purse(address(odd), address(odd), ETH);
        assertEq(balanceOf(own), 100);
        // What it refused it can still have, where it likes.
        odd.act(address(escrow), 0, abi.encodeCall(IEscrow.withdraw, (own, 100, outsider)));
        assertEq(outsider.balance, 100);
    }

    function channelOfContract(OddReceiver odd) private returns (Channel memory channel) {
        channel = Channel(address(odd), payee, ETH, NO_SALT, payer);
        open(outsider, channel, 100);
        prepare(channel);
    }

    function hostile() private returns (HostileDollar odd) {
        odd = new HostileDollar();
        dollarChannel.token = address(odd);
        open(payer, dollarChannel, 100);
        prepare(dollarChannel);
    }

    function expectClosed(Channel memory channel, uint256 redeemed, uint256 refunded) internal {
        vm.expectEmit();
        emit IEscrow.Closed(idOf(channel), channel.payee, redeemed, refunded);
    }

    function expectFallBack(Channel memory channel) internal {
        Purse memory own = Purse(channel.payer, channel.payer, channel.token);
        expectClosed(channel, 0, 100);
        vm.expectEmit();
        emit IEscrow.Deposited(idOf(own), channel.payer, channel.payer, channel.token, 100);
    }
}
