// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Authorization, IEscrow, Permit} from "../contracts/IEscrow.sol";
import {Base, Purse} from "./Base.t.sol";

/// @dev The escrow reads terms without Solidity's own check of their upper bits and relies on the ids to refuse dirty
/// ones. So every function that takes terms is tried here with one dirty bit in each of their addresses.
contract TermsTest is Base {
    /// @dev What a permit or an authorization moves; its signature matters only to a call that succeeds.
    uint256 private constant AMOUNT = 7;

    function setUp() public override {
        super.setUp();
        fund(dollarChannel, 1000, 1000);
        endow(payer, address(dollar), 1000);
    }

    function test_RevertWhen_AddressDirty_deposit() external {
        expectAccountChecked(payer, abi.encodeCall(IEscrow.deposit, (purseOf(dollarChannel), AMOUNT)));
    }

    function test_RevertWhen_AddressDirty_open() external {
        expectChannelChecked(payer, abi.encodeCall(IEscrow.open, (dollarChannel, AMOUNT)));
    }

    function test_RevertWhen_AddressDirty_openNative() external {
        vm.deal(payer, AMOUNT);
        expectChecked(payer, AMOUNT, abi.encodeCall(IEscrow.open, (etherChannel, AMOUNT)), channelWords());
    }

    function test_RevertWhen_AddressDirty_depositWithPermit() external {
        // Refused by the token, which changes nothing: the allowance is there.
        Permit memory permit;
        expectAccountChecked(payer, abi.encodeCall(IEscrow.depositWithPermit, (purseOf(dollarChannel), AMOUNT, permit)));
    }

    function test_RevertWhen_AddressDirty_openWithPermit() external {
        Permit memory permit;
        expectChannelChecked(payer, abi.encodeCall(IEscrow.openWithPermit, (dollarChannel, AMOUNT, permit)));
    }

    function test_RevertWhen_AddressDirty_depositWithAuthorization() external {
        Authorization memory authorization = authorizationFor(idOf(purseOf(dollarChannel)));
        expectAccountChecked(
            outsider, abi.encodeCall(IEscrow.depositWithAuthorization, (purseOf(dollarChannel), AMOUNT, authorization))
        );
    }

    function test_RevertWhen_AddressDirty_openWithAuthorization() external {
        Authorization memory authorization = authorizationFor(idOf(dollarChannel));
        expectChannelChecked(
            outsider, abi.encodeCall(IEscrow.openWithAuthorization, (dollarChannel, AMOUNT, authorization))
        );
    }

    function test_RevertWhen_AddressDirty_reserve() external {
        expectChannelChecked(payer, abi.encodeCall(IEscrow.reserve, (dollarChannel, AMOUNT)));
    }

    function test_RevertWhen_AddressDirty_redeem() external {
        bytes memory signature = sign(dollarChannel, AMOUNT);
        expectChannelChecked(outsider, abi.encodeCall(IEscrow.redeem, (dollarChannel, uint128(AMOUNT), signature)));
    }

    function test_RevertWhen_AddressDirty_redeemTo() external {
        bytes memory signature = sign(dollarChannel, AMOUNT);
        expectChannelChecked(
            payee, abi.encodeCall(IEscrow.redeemTo, (dollarChannel, uint128(AMOUNT), signature, outsider))
        );
    }

    function test_RevertWhen_AddressDirty_redeemBatch() external {
        bytes memory rows = row(dollarChannel, AMOUNT);
        uint256[] memory words = new uint256[](2);
        (words[0], words[1]) = (0, 1);
        expectChecked(outsider, 0, abi.encodeCall(IEscrow.redeemBatch, (payee, address(dollar), rows)), words);
    }

    function test_RevertWhen_AddressDirty_close() external {
        bytes memory signature = sign(dollarChannel, AMOUNT);
        expectChannelChecked(payee, abi.encodeCall(IEscrow.close, (dollarChannel, uint128(AMOUNT), signature)));
    }

    function test_RevertWhen_AddressDirty_closeWithoutVoucher() external {
        expectChannelChecked(payee, abi.encodeCall(IEscrow.close, (dollarChannel, 0, "")));
    }

    function test_RevertWhen_AddressDirty_requestClose() external {
        expectChannelChecked(payer, abi.encodeCall(IEscrow.requestClose, (dollarChannel)));
    }

    function test_RevertWhen_AddressDirty_finalizeClose() external {
        vm.warp(requestClose(dollarChannel));
        expectChannelChecked(outsider, abi.encodeCall(IEscrow.finalizeClose, (dollarChannel)));
    }

    function test_RevertWhen_AddressDirty_withdraw() external {
        expectAccountChecked(payer, abi.encodeCall(IEscrow.withdraw, (purseOf(dollarChannel), AMOUNT, payer)));
    }

    function test_RevertWhen_AddressDirty_withdrawFor() external {
        uint256 deadline = block.timestamp;
        bytes32 digest = escrow.withdrawalDigest(purseOf(dollarChannel), AMOUNT, payer, 0, deadline);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf(payer), digest);
        bytes memory signature = abi.encodePacked(r, s, v);
        expectAccountChecked(
            outsider, abi.encodeCall(IEscrow.withdrawFor, (purseOf(dollarChannel), AMOUNT, payer, deadline, signature))
        );
    }

    function test_RevertWhen_AddressDirty_reads() external {
        Purse memory purse = purseOf(dollarChannel);
        expectAccountChecked(outsider, abi.encodeCall(IEscrow.accountId, (purse)));
        expectAccountChecked(outsider, abi.encodeCall(IEscrow.withdrawalDigest, (purse, AMOUNT, payer, 0, 0)));
        expectChannelChecked(outsider, abi.encodeCall(IEscrow.channelId, (dollarChannel)));
        expectChannelChecked(outsider, abi.encodeCall(IEscrow.fundsOf, (dollarChannel)));
    }

    /* HELPERS */

    /// @dev The words of the arguments that are addresses: the salt of a channel is none.
    function channelWords() private pure returns (uint256[] memory words) {
        words = new uint256[](4);
        (words[0], words[1], words[2], words[3]) = (0, 1, 2, 4);
    }

    function expectChannelChecked(address caller, bytes memory call) private {
        expectChecked(caller, 0, call, channelWords());
    }

    function expectAccountChecked(address caller, bytes memory call) private {
        uint256[] memory words = new uint256[](3);
        (words[0], words[1], words[2]) = (0, 1, 2);
        expectChecked(caller, 0, call, words);
    }

    /// @dev The call fails with any of these words dirty, in the lowest or the highest bit above an address, and
    /// succeeds as it is, so that it is the bit which fails it.
    function expectChecked(address caller, uint256 value, bytes memory call, uint256[] memory words) private {
        for (uint256 i; i < words.length; ++i) {
            for (uint256 bit = 160; bit < 256; bit += 95) {
                flip(call, words[i], bit);
                (bool accepted, bytes memory reason) = send(caller, value, call);
                assertFalse(accepted, "accepted");
                // As Solidity refuses it, without a word.
                assertEq(reason.length, 0, "said something");
                flip(call, words[i], bit);
            }
        }
        (bool done,) = send(caller, value, call);
        assertTrue(done, "refused as it is");
    }

    function flip(bytes memory call, uint256 word, uint256 bit) private pure {
        call[4 + 32 * word + (255 - bit) / 8] ^= bytes1(uint8(1 << (bit % 8)));
    }

    function send(address caller, uint256 value, bytes memory call) private returns (bool done, bytes memory answer) {
        vm.prank(caller);
        (done, answer) = address(escrow).call{value: value}(call);
    }

    function authorizationFor(bytes32 id) private view returns (Authorization memory authorization) {
        authorization.validBefore = block.timestamp + 1;
        bytes32 nonce = keccak256(abi.encode(id, authorization.salt));
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                ),
                payer,
                escrow,
                AMOUNT,
                0,
                authorization.validBefore,
                nonce
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", dollar.DOMAIN_SEPARATOR(), structHash));
        (authorization.v, authorization.r, authorization.s) = vm.sign(keyOf(payer), digest);
    }
}
