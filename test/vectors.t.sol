// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Base, Purse} from "./Base.t.sol";
import {SilentDollar} from "./tokens/SilentDollar.sol";

/// @dev What viem computed, against the real contract at the vector's own address on the vector's own chain. Rust reads
/// the same files.
contract VectorsTest is Base {
    string private vouchers;
    string private batches;
    string private withdrawals;
    string private authorizations;
    bytes private dollarCode;

    function setUp() public override {
        super.setUp();
        vouchers = vm.readFile("test/vectors/vouchers.json");
        batches = vm.readFile("test/vectors/rows.json");
        withdrawals = vm.readFile("test/vectors/withdrawals.json");
        authorizations = vm.readFile("test/vectors/authorizations.json");
        dollarCode = address(new SilentDollar()).code;
    }

    /// Loss 3: the digest is what everyone else computes.
    function test_WhenVoucherIsHashed() external {
        uint256 count;
        for (string memory path = caseAt(0); vm.keyExistsJson(vouchers, path); path = caseAt(++count)) {
            Channel memory channel = readVoucherTerms(path);
            uint128 amount = uint128(vm.parseJsonUint(vouchers, string.concat(path, ".cumulativeAmount")));
            bytes32 id = vm.parseJsonBytes32(vouchers, string.concat(path, ".channelId"));
            assertEq(escrow.channelId(channel), id, path);
            assertEq(
                escrow.accountId(purseOf(channel)),
                vm.parseJsonBytes32(vouchers, string.concat(path, ".accountId")),
                path
            );
            bytes32 expected = vm.parseJsonBytes32(vouchers, string.concat(path, ".digest"));
            assertEq(escrow.voucherDigest(id, amount), expected, path);

            uint256 key = uint256(vm.parseJsonBytes32(vouchers, string.concat(path, ".signerPrivateKey")));
            bytes memory signature = vm.parseJsonBytes(vouchers, string.concat(path, ".signature"));
            assertEq(vm.addr(key), channel.authorizedSigner, path);
            assertEq(signAs(key, channel, amount), signature, path);
            assertEq(compact(signature), vm.parseJsonBytes(vouchers, string.concat(path, ".compactSignature")), path);
        }
        assertEq(count, 14);
    }

    function test_WhenVoucherIsRedeemed() external {
        uint256 count;
        for (string memory path = caseAt(0); vm.keyExistsJson(vouchers, path); path = caseAt(++count)) {
            bytes memory signature = vm.parseJsonBytes(vouchers, string.concat(path, ".signature"));
            redeemVector(path, signature);
            redeemVector(path, compact(signature));
        }
    }

    /// Loss 3: no field is left out of the digest.
    function test_WhenAnyFieldChanges() external {
        string memory path = caseAt(9);
        Channel memory channel = readVoucherTerms(path);
        uint128 amount = uint128(vm.parseJsonUint(vouchers, string.concat(path, ".cumulativeAmount")));
        bytes32[] memory digests = new bytes32[](10);
        digests[0] = digest(channel, amount);
        digests[1] = digest(channel, amount + 1);
        Channel memory changed = readVoucherTerms(path);
        changed.payer = outsider;
        digests[2] = digest(changed, amount);
        changed = readVoucherTerms(path);
        changed.payee = outsider;
        digests[3] = digest(changed, amount);
        changed = readVoucherTerms(path);
        changed.token = address(dollar);
        digests[4] = digest(changed, amount);
        changed = readVoucherTerms(path);
        changed.salt = bytes32(uint256(changed.salt) ^ 1);
        digests[5] = digest(changed, amount);
        changed = readVoucherTerms(path);
        changed.authorizedSigner = outsider;
        digests[6] = digest(changed, amount);

        // The chain counts twice: live in the domain, and as it was path deployment in the channel's id.
        vm.chainId(block.chainid + 1);
        digests[7] = digest(channel, amount);
        address where = address(escrow);
        deployTo(where);
        digests[8] = digest(channel, amount);
        vm.chainId(vm.parseJsonUint(vouchers, string.concat(path, ".chainId")));
        deployTo(makeAddr("another escrow"));
        digests[9] = digest(channel, amount);

        for (uint256 i; i < digests.length; ++i) {
            for (uint256 j; j < i; ++j) {
                assertNotEq(digests[i], digests[j]);
            }
        }
    }

    function test_WhenRowsAreRedeemed() external {
        uint256 count;
        for (string memory path = caseAt(0); vm.keyExistsJson(batches, path); path = caseAt(++count)) {
            uint256 snapshot = vm.snapshotState();
            redeemRows(path);
            vm.revertToState(snapshot);
        }
        assertEq(count, 8);
    }

    /// Loss 3: what a payer signs to withdraw is what everyone else computes, and it pays.
    function test_WhenWithdrawalIsRelayed() external {
        uint256 count;
        for (string memory path = caseAt(0); vm.keyExistsJson(withdrawals, path); path = caseAt(++count)) {
            bytes memory signature = vm.parseJsonBytes(withdrawals, string.concat(path, ".signature"));
            bytes memory short = vm.parseJsonBytes(withdrawals, string.concat(path, ".compactSignature"));
            assertEq(compact(signature), short, path);
            withdrawVector(path, signature);
            withdrawVector(path, short);
        }
        assertEq(count, 11);
    }

    function test_WhenAuthorizationIsMade() external view {
        uint256 count;
        for (string memory path = caseAt(0); vm.keyExistsJson(authorizations, path); path = caseAt(++count)) {
            bytes32 id = vm.parseJsonBytes32(authorizations, string.concat(path, ".id"));
            bytes32 salt = vm.parseJsonBytes32(authorizations, string.concat(path, ".salt"));
            bytes32 nonce = vm.parseJsonBytes32(authorizations, string.concat(path, ".nonce"));
            assertEq(escrow.authorizationNonce(id, salt), nonce, path);
        }
        assertEq(count, 5);
    }

    function withdrawVector(string memory path, bytes memory signature) private {
        uint256 snapshot = vm.snapshotState();
        string memory terms = string.concat(path, ".account");
        vm.chainId(vm.parseJsonUint(withdrawals, string.concat(path, ".chainId")));
        deployTo(vm.parseJsonAddress(withdrawals, string.concat(path, ".escrow")));
        Purse memory purse;
        purse.payer = vm.parseJsonAddress(withdrawals, string.concat(terms, ".payer"));
        purse.authorizedSigner = vm.parseJsonAddress(withdrawals, string.concat(terms, ".authorizedSigner"));
        purse.token = vm.parseJsonAddress(withdrawals, string.concat(terms, ".token"));
        if (purse.token != ETH) vm.etch(purse.token, dollarCode);
        uint256 amount = vm.parseJsonUint(withdrawals, string.concat(path, ".amount"));
        address to = vm.parseJsonAddress(withdrawals, string.concat(path, ".to"));
        uint256 nonce = vm.parseJsonUint(withdrawals, string.concat(path, ".nonce"));
        uint256 deadline = vm.parseJsonUint(withdrawals, string.concat(path, ".deadline"));
        bytes32 id = vm.parseJsonBytes32(withdrawals, string.concat(path, ".accountId"));
        assertEq(escrow.accountId(purse), id, path);
        assertEq(
            escrow.withdrawalDigest(purse, amount, to, nonce, deadline),
            vm.parseJsonBytes32(withdrawals, string.concat(path, ".digest")),
            path
        );

        deposit(outsider, purse, amount);
        // As many relayed withdrawals as the nonce says are made at once.
        vm.store(address(escrow), id, bytes32(nonce << 104 | amount));
        uint256 before = holdings(to, purse.token);
        escrow.withdrawFor(purse, amount, to, deadline, signature);
        assertEq(holdings(to, purse.token) - before, amount, path);
        assertEq(escrow.accountState(id).nonce, nonce + 1, path);
        vm.revertToState(snapshot);
    }

    function redeemVector(string memory path, bytes memory signature) private {
        uint256 snapshot = vm.snapshotState();
        Channel memory channel = readVoucherTerms(path);
        uint128 amount = uint128(vm.parseJsonUint(vouchers, string.concat(path, ".cumulativeAmount")));
        // A channel counts 104 bits; what is promised beyond them is clamped.
        uint256 due = amount > AMOUNT_MAX ? AMOUNT_MAX : amount;
        if (due == 0) {
            vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToRedeem.selector, 0, 0));
            escrow.redeem(channel, amount, signature);
        } else {
            deposit(outsider, purseOf(channel), due);
            uint256 before = holdings(channel.payee, channel.token);
            assertEq(escrow.redeem(channel, amount, signature), due, path);
            assertEq(holdings(channel.payee, channel.token) - before, due, path);
        }
        vm.revertToState(snapshot);
    }

    function redeemRows(string memory path) private {
        place(batches, path);
        address to = vm.parseJsonAddress(batches, string.concat(path, ".payee"));
        address token = vm.parseJsonAddress(batches, string.concat(path, ".token"));
        bytes memory rows = vm.parseJsonBytes(batches, string.concat(path, ".rows"));
        bytes memory packed;
        uint256 due;
        uint256 count;
        for (string memory v = voucherAt(path, 0); vm.keyExistsJson(batches, v); v = voucherAt(path, ++count)) {
            Channel memory channel = readRowTerms(v, to, token);
            uint256 amount = vm.parseJsonUint(batches, string.concat(v, ".cumulativeAmount"));
            bytes memory signature = vm.parseJsonBytes(batches, string.concat(v, ".signature"));
            packed = bytes.concat(packed, rowWith(channel, amount, signature));
            deposit(outsider, purseOf(channel), amount);
            due += amount;
        }
        assertEq(packed, rows, path);
        uint256 before = holdings(to, token);
        assertEq(escrow.redeemBatch(to, token, rows), due, path);
        assertEq(holdings(to, token) - before, due, path);
        for (uint256 i; i < count; ++i) {
            string memory v = voucherAt(path, i);
            uint256 amount = vm.parseJsonUint(batches, string.concat(v, ".cumulativeAmount"));
            assertEq(redeemedOf(readRowTerms(v, to, token)), amount, v);
        }
    }

    function readVoucherTerms(string memory path) private returns (Channel memory channel) {
        place(vouchers, path);
        channel.payer = vm.parseJsonAddress(vouchers, string.concat(path, ".payer"));
        channel.payee = vm.parseJsonAddress(vouchers, string.concat(path, ".payee"));
        channel.token = vm.parseJsonAddress(vouchers, string.concat(path, ".token"));
        channel.salt = vm.parseJsonBytes32(vouchers, string.concat(path, ".salt"));
        channel.authorizedSigner = vm.parseJsonAddress(vouchers, string.concat(path, ".authorizedSigner"));
    }

    function readRowTerms(string memory path, address to, address token) private view returns (Channel memory channel) {
        channel.payer = vm.parseJsonAddress(batches, string.concat(path, ".payer"));
        channel.payee = to;
        channel.token = token;
        channel.salt = vm.parseJsonBytes32(batches, string.concat(path, ".salt"));
        channel.authorizedSigner = vm.parseJsonAddress(batches, string.concat(path, ".authorizedSigner"));
    }

    /// @dev Puts an escrow, and a dollar where the case names one, where the case says they are.
    function place(string memory json, string memory path) private {
        vm.chainId(vm.parseJsonUint(json, string.concat(path, ".chainId")));
        deployTo(vm.parseJsonAddress(json, string.concat(path, ".escrow")));
        address token = vm.parseJsonAddress(json, string.concat(path, ".token"));
        if (token != ETH) vm.etch(token, dollarCode);
    }

    function deployTo(address where) private {
        deployCodeTo("Escrow.sol:Escrow", abi.encode(EXIT_DELAY), where);
        escrow = IEscrow(where);
        chainIdAtDeployment = block.chainid;
    }

    function digest(Channel memory channel, uint128 amount) private view returns (bytes32) {
        return escrow.voucherDigest(escrow.channelId(channel), amount);
    }

    function caseAt(uint256 index) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(index), "]");
    }

    function voucherAt(string memory path, uint256 index) private pure returns (string memory) {
        return string.concat(path, ".vouchers[", vm.toString(index), "]");
    }
}
