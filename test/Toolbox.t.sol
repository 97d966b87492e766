// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";

import {Account as Purse, Authorization, Channel, IEscrow, Permit} from "../contracts/IEscrow.sol";
import {DemoDollar} from "./tokens/DemoDollar.sol";

/// @dev Ids, signatures, packed rows and money, for tests and for the handler of the invariants. Hashing and packing are
/// written here a second time, from the specification, on purpose. `Purse` is the escrow's `Account`: forge-std has one
/// of its own.
abstract contract Toolbox is Test {
    uint256 internal constant AMOUNT_MAX = type(uint104).max;
    address internal constant ETH = address(0);
    bytes32 internal constant NO_SALT = 0;

    IEscrow internal escrow;
    /// @dev Known here, so that signing asks the escrow nothing and may stand between a prank and its call.
    uint256 internal chainIdAtDeployment;

    /// @dev The private keys of those who were made here.
    mapping(address signer => uint256) private keys;

    function newSigner(string memory name) internal returns (address signer) {
        uint256 key;
        (signer, key) = makeAddrAndKey(name);
        keys[signer] = key;
    }

    function keyOf(address signer) internal view returns (uint256 key) {
        key = keys[signer];
        require(key != 0, "no key");
    }

    /* MONEY */

    /// @dev Gives `who` money of any of the test tokens and lets the escrow pull it; returns the value to send along.
    function endow(address who, address token, uint256 amount) internal returns (uint256 value) {
        if (token == ETH) {
            vm.deal(who, who.balance + amount);
            return amount;
        }
        DemoDollar(token).mint(who, amount);
        vm.prank(who);
        // Not through the interface, which expects an answer that the oldest tokens don't give.
        (bool approved,) = token.call(abi.encodeWithSignature("approve(address,uint256)", escrow, type(uint256).max));
        assertTrue(approved);
    }

    /// @dev What `who` holds outside the escrow.
    function holdings(address who, address token) internal view returns (uint256) {
        return token == ETH ? who.balance : DemoDollar(token).balanceOf(who);
    }

    function held(address token) internal view returns (uint256) {
        return holdings(address(escrow), token);
    }

    /* IDS */

    function purseOf(Channel memory channel) internal pure returns (Purse memory) {
        return Purse(channel.payer, channel.authorizedSigner, channel.token);
    }

    function idOf(Channel memory channel) internal view returns (bytes32) {
        return keccak256(abi.encode(channel, escrow, chainIdAtDeployment));
    }

    function idOf(Purse memory purse) internal pure returns (bytes32) {
        return keccak256(abi.encode(purse));
    }

    /* SIGNING */

    function domainSeparator() internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Farthing Escrow"),
                keccak256("1"),
                block.chainid,
                escrow
            )
        );
    }

    function digestOf(Channel memory channel, uint256 cumulativeAmount) internal view returns (bytes32) {
        bytes32 typehash = keccak256("Voucher(bytes32 channelId,uint128 cumulativeAmount)");
        bytes32 structHash = keccak256(abi.encode(typehash, idOf(channel), cumulativeAmount));
        return keccak256(abi.encodePacked(hex"1901", domainSeparator(), structHash));
    }

    function signAs(uint256 key, Channel memory channel, uint256 cumulativeAmount)
        internal
        view
        returns (bytes memory)
    {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digestOf(channel, cumulativeAmount));
        return abi.encodePacked(r, s, v);
    }

    function withdrawalDigestOf(Purse memory purse, uint256 amount, address to, uint256 nonce, uint256 deadline)
        internal
        view
        returns (bytes32)
    {
        bytes32 typehash = keccak256(
            "Withdrawal(address payer,address authorizedSigner,address token,uint256 amount,address to,uint256 nonce,uint256 deadline)"
        );
        bytes32 structHash = keccak256(
            abi.encode(typehash, purse.payer, purse.authorizedSigner, purse.token, amount, to, nonce, deadline)
        );
        return keccak256(abi.encodePacked(hex"1901", domainSeparator(), structHash));
    }

    /// @dev Signs with the key of the account's payer.
    function signWithdrawal(Purse memory purse, uint256 amount, address to, uint256 nonce, uint256 deadline)
        internal
        view
        returns (bytes memory)
    {
        bytes32 digest = withdrawalDigestOf(purse, amount, to, nonce, deadline);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf(purse.payer), digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev The same for any digest: 65 bytes by the key of `signer`.
    function signDigest(address signer, bytes32 digest) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf(signer), digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev EIP-2612, for the escrow, at the owner's present nonce.
    function signPermit(address owner, address token, uint256 amount, uint256 deadline)
        internal
        view
        returns (Permit memory permit)
    {
        bytes32 typehash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        uint256 nonce = DemoDollar(token).nonces(owner);
        bytes32 structHash = keccak256(abi.encode(typehash, owner, escrow, amount, nonce, deadline));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", DemoDollar(token).DOMAIN_SEPARATOR(), structHash));
        permit.deadline = deadline;
        (permit.v, permit.r, permit.s) = vm.sign(keyOf(owner), digest);
    }

    /// @dev What has to be signed of an EIP-3009 authorization besides its terms.
    struct Transfer {
        address from;
        address token;
        uint256 amount;
        bytes32 id;
    }

    /// @dev EIP-3009, to the escrow, for the account or channel of this id.
    function signAuthorization(Transfer memory transfer, uint256 validAfter, uint256 validBefore, bytes32 salt)
        internal
        view
        returns (Authorization memory authorization)
    {
        bytes32 typehash = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        bytes32 nonce = keccak256(abi.encode(transfer.id, salt));
        bytes32 structHash =
            keccak256(abi.encode(typehash, transfer.from, escrow, transfer.amount, validAfter, validBefore, nonce));
        bytes32 separator = DemoDollar(transfer.token).DOMAIN_SEPARATOR();
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", separator, structHash));
        (authorization.validAfter, authorization.validBefore, authorization.salt) = (validAfter, validBefore, salt);
        (authorization.v, authorization.r, authorization.s) = vm.sign(keyOf(transfer.from), digest);
    }

    /// @dev Signs with the key of the channel's authorized signer.
    function sign(Channel memory channel, uint256 cumulativeAmount) internal view returns (bytes memory) {
        return signAs(keyOf(channel.authorizedSigner), channel, cumulativeAmount);
    }

    /// @dev EIP-2098: the parity of v in the highest bit of s.
    function compact(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = split(signature);
        return abi.encodePacked(r, s | bytes32(uint256(v - 27) << 255));
    }

    function split(bytes memory signature) internal pure returns (bytes32 r, bytes32 s, uint8 v) {
        assembly ("memory-safe") {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
            v := byte(0, mload(add(signature, 0x60)))
        }
    }

    /* PACKING */

    /// @dev The shortest terms: the signer only if it is not the payer, the salt only if there is one.
    function flagsOf(Channel memory channel) internal pure returns (uint8 flags) {
        if (channel.authorizedSigner != channel.payer) flags |= 1;
        if (channel.salt != 0) flags |= 2;
    }

    function terms(Channel memory channel, uint8 flags, uint256 amount) internal pure returns (bytes memory) {
        return abi.encodePacked(
            flags,
            channel.payer,
            uint104(amount),
            flags & 1 != 0 ? abi.encodePacked(channel.authorizedSigner) : bytes(""),
            flags & 2 != 0 ? abi.encodePacked(channel.salt) : bytes("")
        );
    }

    function entry(Channel memory channel, uint256 redeemed) internal pure returns (bytes memory) {
        return terms(channel, flagsOf(channel), redeemed);
    }

    function rowWith(Channel memory channel, uint256 cumulativeAmount, bytes memory signature)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(terms(channel, flagsOf(channel), cumulativeAmount), compact(signature));
    }

    function row(Channel memory channel, uint256 cumulativeAmount) internal view returns (bytes memory) {
        return rowWith(channel, cumulativeAmount, sign(channel, cumulativeAmount));
    }
}
