// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccountState, Channel, ChannelState, IEscrow} from "../contracts/IEscrow.sol";
import {Base, Purse} from "./Base.t.sol";

interface IERC5267 {
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        );
}

contract IdentityTest is Base {
    /* DEPLOYMENT */

    function testFuzz_RevertWhen_ExitDelayOutOfRange(uint256 exitDelay) external {
        vm.assume(exitDelay < 1 hours || exitDelay > 30 days);
        bytes memory code = abi.encodePacked(vm.getCode("Escrow.sol:Escrow"), exitDelay);
        address deployed;
        bytes memory reason = new bytes(4 + 3 * 32);
        // expectRevert does not look at what a constructor says.
        assembly ("memory-safe") {
            deployed := create(0, add(code, 0x20), mload(code))
            if eq(returndatasize(), mload(reason)) { returndatacopy(add(reason, 0x20), 0, returndatasize()) }
        }
        assertEq(deployed, address(0));
        assertEq(reason, abi.encodeWithSelector(IEscrow.ExitDelayOutOfRange.selector, exitDelay, 1 hours, 30 days));
    }

    function testFuzz_WhenExitDelayInRange(uint256 exitDelay) external {
        exitDelay = bound(exitDelay, 1 hours, 30 days);
        escrow = IEscrow(deployCode("Escrow.sol:Escrow", abi.encode(exitDelay)));
        assertEq(escrow.exitDelay(), exitDelay);
        assertEq(escrow.chainIdAtDeployment(), block.chainid);
    }

    /// ETH that no call accounts for would belong to nobody.
    function test_RevertWhen_EtherSentWithoutCall() external {
        hoax(payer, 5);
        (bool done,) = address(escrow).call{value: 5}("");
        assertFalse(done);
    }

    /* IDS */

    function testFuzz_WhenAccountIsHashed(Purse calldata purse) external view {
        assertEq(escrow.accountId(purse), keccak256(abi.encode(purse.payer, purse.authorizedSigner, purse.token)));
    }

    function testFuzz_WhenChannelIsHashed(Channel calldata channel) external view {
        bytes32 id = keccak256(
            abi.encode(
                channel.payer,
                channel.payee,
                channel.token,
                channel.salt,
                channel.authorizedSigner,
                address(escrow),
                block.chainid
            )
        );
        assertEq(escrow.channelId(channel), id);
    }

    /// Dirty upper bits of an address are refused, or one account would have two ids.
    function test_RevertWhen_AddressDirty() external {
        bytes memory call = abi.encodeCall(IEscrow.accountId, (purseOf(dollarChannel)));
        call[4] = 0x01;
        (bool done,) = address(escrow).call(call);
        assertFalse(done);
        call = abi.encodeCall(IEscrow.channelId, (dollarChannel));
        call[4] = 0x01;
        (done,) = address(escrow).call(call);
        assertFalse(done);
    }

    function testFuzz_WhenAuthorizationNonceIsRead(bytes32 id, bytes32 salt) external view {
        assertEq(escrow.authorizationNonce(id, salt), keccak256(abi.encode(id, salt)));
    }

    /* DIGEST */

    /// Loss 3
    function testFuzz_WhenVoucherIsHashed(Channel calldata channel, uint128 amount) external view {
        assertEq(escrow.voucherDigest(escrow.channelId(channel), amount), digestOf(channel, amount));
    }

    function test_WhenDomainIsRead() external view {
        (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        ) = IERC5267(address(escrow)).eip712Domain();
        assertEq(fields, hex"0f");
        assertEq(name, "Farthing Escrow");
        assertEq(version, "1");
        assertEq(chainId, block.chainid);
        assertEq(verifyingContract, address(escrow));
        assertEq(salt, 0);
        assertEq(extensions.length, 0);
    }

    /* CHAINS AND DEPLOYMENTS */

    /// Loss 2 and rule 9: when the chain splits, a voucher is good on the side it was signed for, and on the other
    /// side everyone still gets out of the same channel.
    function testFuzz_WhenChainForks(uint64 chainId) external {
        chainId = uint64(bound(chainId, 1, type(uint64).max));
        vm.assume(chainId != block.chainid);
        fund(dollarChannel, 50, 100);
        bytes32 id = escrow.channelId(dollarChannel);
        bytes memory before = sign(dollarChannel, 60);
        bytes32 digest = digestOf(dollarChannel, 60);

        vm.chainId(chainId);

        assertEq(escrow.channelId(dollarChannel), id);
        assertNotEq(escrow.voucherDigest(id, 60), digest);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidSignature.selector, digestOf(dollarChannel, 60), payer));
        escrow.redeem(dollarChannel, 60, before);
        bytes memory stale = rowWith(dollarChannel, 60, before);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 0, 0));
        escrow.redeemBatch(payee, address(dollar), stale);

        assertEq(escrow.redeem(dollarChannel, 60, sign(dollarChannel, 60)), 60);
        assertEq(escrow.redeemBatch(payee, address(dollar), row(dollarChannel, 70)), 10);
        vm.warp(requestClose(dollarChannel));
        assertEq(escrow.finalizeClose(dollarChannel), 30);
        vm.prank(payer);
        escrow.withdraw(purseOf(dollarChannel), 50, payer);
        assertEq(dollar.balanceOf(payer), 80);
    }

    /// Losses 2 and 3: two escrows on one chain, one voucher.
    function test_WhenAnotherEscrow() external {
        fund(dollarChannel, 50, 0);
        bytes memory signature = sign(dollarChannel, 5);
        IEscrow first = escrow;
        escrow = IEscrow(deployCode("Escrow.sol:Escrow", abi.encode(EXIT_DELAY)));
        fund(dollarChannel, 50, 0);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.InvalidSignature.selector, digestOf(dollarChannel, 5), payer));
        escrow.redeem(dollarChannel, 5, signature);
        assertEq(first.redeem(dollarChannel, 5, signature), 5);
    }

    /* READING */

    function testFuzz_WhenFundsAreRead(uint256 balance, uint256 reserved, uint256 redeemed) external {
        balance = bound(balance, 1, AMOUNT_MAX);
        reserved = bound(reserved, 1, AMOUNT_MAX - 1);
        redeemed = bound(redeemed, 1, AMOUNT_MAX - reserved);
        fund(sessionChannel, balance, redeemed);
        // The payer's other account is no part of this channel's funds.
        fund(dollarChannel, 1, 1);
        escrow.redeem(sessionChannel, uint128(redeemed), sign(sessionChannel, redeemed));
        fund(sessionChannel, 0, reserved);
        uint256 closeAt = requestClose(sessionChannel);
        (ChannelState memory channel, AccountState memory account) = escrow.fundsOf(sessionChannel);
        assertEq(channel.redeemed, redeemed);
        assertEq(channel.reserved, reserved);
        assertEq(channel.closeAt, closeAt);
        assertEq(account.balance, balance);
        assertEq(account.nonce, 0);
    }
}
