// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Authorization, Channel, IEscrow, Permit} from "../contracts/IEscrow.sol";
import {Base, Purse} from "./Base.t.sol";

/// @dev The escrow reads terms from calldata by itself in places. Whatever it reads, an address with dirty upper bits is
/// refused: otherwise one account would have several ids, or a name that is checked would not be the one that is used. And a
/// call that ends before its arguments do is refused as well.
contract CalldataTest is Base {
    struct Case {
        address caller;
        bytes data;
        /// The words after the selector that are addresses, as bits.
        uint256 addresses;
        /// How many words all arguments of fixed length take.
        uint256 words;
    }

    uint256 private constant ACCOUNT = 7; // payer, authorizedSigner, token
    uint256 private constant CHANNEL = 23; // payer, payee, token, not the salt, authorizedSigner

    Case[] private cases;

    function setUp() public override {
        super.setUp();
        fund(dollarChannel, 1000, 500);
        endow(payer, address(dollar), 1000);
        vm.prank(payee);
        escrow.setOperator(outsider, true);
        listFunding();
        listRest();
    }

    function add(address caller, bytes memory data, uint256 addresses, uint256 words) private {
        cases.push(Case(caller, data, addresses, words));
    }

    function listFunding() private {
        Purse memory purse = purseOf(dollarChannel);
        add(payer, abi.encodeCall(IEscrow.deposit, (purse, 5)), ACCOUNT, 4);
        add(payer, abi.encodeCall(IEscrow.open, (dollarChannel, 5)), CHANNEL, 6);
        // The allowance stands, so the permit is not needed.
        Permit memory permit;
        add(payer, abi.encodeCall(IEscrow.depositWithPermit, (purse, 5, permit)), ACCOUNT, 8);
        add(payer, abi.encodeCall(IEscrow.openWithPermit, (dollarChannel, 5, permit)), CHANNEL, 10);
        Transfer memory transfer = Transfer(payer, address(dollar), 5, idOf(purse));
        Authorization memory signed = signAuthorization(transfer, 0, type(uint256).max, "once");
        add(outsider, abi.encodeCall(IEscrow.depositWithAuthorization, (purse, 5, signed)), ACCOUNT, 10);
        transfer.id = idOf(dollarChannel);
        signed = signAuthorization(transfer, 0, type(uint256).max, "once");
        add(outsider, abi.encodeCall(IEscrow.openWithAuthorization, (dollarChannel, 5, signed)), CHANNEL, 12);
    }

    function listRest() private {
        Purse memory purse = purseOf(dollarChannel);
        bytes memory signature = sign(dollarChannel, 5);
        add(payer, abi.encodeCall(IEscrow.reserve, (dollarChannel, 5)), CHANNEL, 6);
        add(outsider, abi.encodeCall(IEscrow.redeem, (dollarChannel, 5, signature)), CHANNEL, 7);
        add(payee, abi.encodeCall(IEscrow.redeemTo, (dollarChannel, 5, signature, outsider)), CHANNEL | 1 << 7, 8);
        add(outsider, abi.encodeCall(IEscrow.redeemBatch, (payee, address(dollar), row(dollarChannel, 5))), 3, 3);
        add(payee, abi.encodeCall(IEscrow.close, (dollarChannel, 5, signature)), CHANNEL, 7);
        add(outsider, abi.encodeCall(IEscrow.close, (dollarChannel, 0, "")), CHANNEL, 7);
        add(payee, abi.encodeCall(IEscrow.setOperator, (outsider, true)), 1, 2);
        add(payer, abi.encodeCall(IEscrow.requestClose, (dollarChannel)), CHANNEL, 5);
        add(payer, abi.encodeCall(IEscrow.withdraw, (purse, 5, outsider)), ACCOUNT | 1 << 4, 5);
        uint256 never = type(uint256).max;
        signature = signWithdrawal(purse, 5, outsider, 0, never);
        add(outsider, abi.encodeCall(IEscrow.withdrawFor, (purse, 5, outsider, never, signature)), ACCOUNT | 1 << 4, 7);
        add(outsider, abi.encodeCall(IEscrow.accountId, (purse)), ACCOUNT, 3);
        add(outsider, abi.encodeCall(IEscrow.channelId, (dollarChannel)), CHANNEL, 5);
        add(outsider, abi.encodeCall(IEscrow.fundsOf, (dollarChannel)), CHANNEL, 5);
        add(outsider, abi.encodeCall(IEscrow.isOperator, (payee, outsider)), 3, 2);
        add(outsider, abi.encodeCall(IEscrow.withdrawalDigest, (purse, 5, outsider, 0, never)), ACCOUNT | 1 << 4, 7);
    }

    function attempt(Case memory one, bytes memory data) private returns (bool done) {
        uint256 snapshot = vm.snapshotState();
        vm.prank(one.caller);
        (done,) = address(escrow).call(data);
        vm.revertToState(snapshot);
    }

    function testFuzz_RevertWhen_AddressDirty(uint96 dirt) external {
        vm.assume(dirt != 0);
        for (uint256 i; i < cases.length; ++i) {
            Case memory one = cases[i];
            assertTrue(attempt(one, one.data), string.concat("control ", vm.toString(i)));
            for (uint256 word; word < one.words; ++word) {
                if (one.addresses & (1 << word) == 0) continue;
                bytes memory dirty = bytes.concat(one.data);
                assembly ("memory-safe") {
                    let place := add(add(dirty, 0x24), mul(word, 0x20))
                    mstore(place, or(mload(place), shl(160, dirt)))
                }
                assertFalse(attempt(one, dirty), string.concat(vm.toString(i), " word ", vm.toString(word)));
            }
        }
    }

    /// The same of a close that has run its time.
    function testFuzz_RevertWhen_AddressDirtyInFinalizeClose(uint96 dirt) external {
        vm.assume(dirt != 0);
        vm.warp(requestClose(dollarChannel));
        Case memory one = Case(outsider, abi.encodeCall(IEscrow.finalizeClose, (dollarChannel)), CHANNEL, 5);
        assertTrue(attempt(one, one.data));
        for (uint256 word; word < 5; ++word) {
            if (word == 3) continue;
            bytes memory dirty = bytes.concat(one.data);
            assembly ("memory-safe") {
                let place := add(add(dirty, 0x24), mul(word, 0x20))
                mstore(place, or(mload(place), shl(160, dirt)))
            }
            assertFalse(attempt(one, dirty));
        }
    }

    /// What is not there is not read as zero.
    function test_RevertWhen_CalldataEndsEarly() external {
        for (uint256 i; i < cases.length; ++i) {
            Case memory one = cases[i];
            for (uint256 length = 4; length < 4 + 32 * one.words; length += 4) {
                bytes memory cut = bytes.concat(one.data);
                assembly ("memory-safe") {
                    mstore(cut, length)
                }
                assertFalse(attempt(one, cut), string.concat(vm.toString(i), " cut at ", vm.toString(length)));
            }
        }
    }

    /// An amount of more than the type's bits is no smaller amount.
    function testFuzz_RevertWhen_CumulativeAmountDirty(uint128 dirt) external {
        vm.assume(dirt != 0);
        bytes memory signature = sign(dollarChannel, 5);
        bytes[3] memory calls = [
            abi.encodeCall(IEscrow.redeem, (dollarChannel, 5, signature)),
            abi.encodeCall(IEscrow.redeemTo, (dollarChannel, 5, signature, outsider)),
            abi.encodeCall(IEscrow.close, (dollarChannel, 5, signature))
        ];
        for (uint256 i; i < calls.length; ++i) {
            Case memory one = Case(payee, calls[i], 0, 0);
            assertTrue(attempt(one, calls[i]));
            bytes memory dirty = calls[i];
            assembly ("memory-safe") {
                let place := add(dirty, add(0x24, 0xa0))
                mstore(place, or(mload(place), shl(128, dirt)))
            }
            assertFalse(attempt(one, dirty));
        }
    }
}
