// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";

import {Account as Purse, AccountState, Channel, ChannelState, IEscrow} from "../contracts/IEscrow.sol";
import {DemoDollar} from "./tokens/DemoDollar.sol";

/// @dev An escrow, a dollar, four people, and the signing and packing that every test needs. The packing is written here
/// a second time, from the specification, on purpose. `Purse` is the escrow's `Account`: forge-std has one of its own.
abstract contract Base is Test {
    uint256 internal constant EXIT_DELAY = 1 days;
    uint256 internal constant AMOUNT_MAX = type(uint104).max;
    address internal constant ETH = address(0);
    bytes32 internal constant NO_SALT = 0;

    IEscrow internal escrow;
    DemoDollar internal dollar;
    /// @dev Known here, so that signing asks the escrow nothing and may stand between a prank and its call.
    uint256 internal chainIdAtDeployment;

    address internal payer;
    uint256 internal payerKey;
    address internal payee;
    uint256 internal payeeKey;
    /// @dev A session key: it signs vouchers for the payer and owns nothing.
    address internal session;
    uint256 internal sessionKey;
    address internal outsider;
    uint256 internal outsiderKey;

    /// @dev The payer's ETH and dollar channels to the payee: no salt, signed by the payer itself.
    Channel internal etherChannel;
    Channel internal dollarChannel;
    /// @dev The same two terms, signed by the session key, with a salt.
    Channel internal sessionChannel;

    function setUp() public virtual {
        vm.warp(1_750_000_000);
        escrow = IEscrow(deployCode("Escrow.sol:Escrow", abi.encode(EXIT_DELAY)));
        chainIdAtDeployment = block.chainid;
        dollar = new DemoDollar();
        (payer, payerKey) = makeAddrAndKey("payer");
        (payee, payeeKey) = makeAddrAndKey("payee");
        (session, sessionKey) = makeAddrAndKey("session");
        (outsider, outsiderKey) = makeAddrAndKey("outsider");
        etherChannel = Channel(payer, payee, ETH, NO_SALT, payer);
        dollarChannel = Channel(payer, payee, address(dollar), NO_SALT, payer);
        sessionChannel = Channel(payer, payee, address(dollar), "phone", session);
    }

    /* FUNDING */

    function tokenOf(bool native) internal view returns (address) {
        return native ? ETH : address(dollar);
    }

    function channelIn(bool native) internal view returns (Channel memory) {
        return native ? etherChannel : dollarChannel;
    }

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

    function deposit(address from, Purse memory purse, uint256 amount) internal {
        uint256 value = endow(from, purse.token, amount);
        vm.prank(from);
        escrow.deposit{value: value}(purse, amount);
    }

    function open(address from, Channel memory channel, uint256 amount) internal {
        uint256 value = endow(from, channel.token, amount);
        vm.prank(from);
        escrow.open{value: value}(channel, amount);
    }

    /// @dev Funds a channel's account and its reservation, skipping what is zero.
    function fund(Channel memory channel, uint256 balance, uint256 reserved) internal {
        if (balance > 0) deposit(channel.payer, purseOf(channel), balance);
        if (reserved > 0) open(channel.payer, channel, reserved);
    }

    function requestClose(Channel memory channel) internal returns (uint256 closeAt) {
        vm.prank(channel.payer);
        return escrow.requestClose(channel);
    }

    /* READING */

    function purseOf(Channel memory channel) internal pure returns (Purse memory) {
        return Purse(channel.payer, channel.authorizedSigner, channel.token);
    }

    function idOf(Channel memory channel) internal view returns (bytes32) {
        return keccak256(abi.encode(channel, escrow, chainIdAtDeployment));
    }

    function idOf(Purse memory purse) internal pure returns (bytes32) {
        return keccak256(abi.encode(purse));
    }

    function balanceOf(Purse memory purse) internal view returns (uint256) {
        return escrow.accountState(idOf(purse)).balance;
    }

    function redeemedOf(Channel memory channel) internal view returns (uint256) {
        return escrow.channelState(idOf(channel)).redeemed;
    }

    function reservedOf(Channel memory channel) internal view returns (uint256) {
        return escrow.channelState(idOf(channel)).reserved;
    }

    function closeAtOf(Channel memory channel) internal view returns (uint256) {
        return escrow.channelState(idOf(channel)).closeAt;
    }

    /// @dev What `who` holds outside the escrow.
    function holdings(address who, address token) internal view returns (uint256) {
        return token == ETH ? who.balance : DemoDollar(token).balanceOf(who);
    }

    function held(address token) internal view returns (uint256) {
        return holdings(address(escrow), token);
    }

    function assertChannel(Channel memory channel, uint256 redeemed, uint256 reserved, uint256 closeAt) internal view {
        assertEq(redeemedOf(channel), redeemed, "redeemed");
        assertEq(reservedOf(channel), reserved, "reserved");
        assertEq(closeAtOf(channel), closeAt, "closeAt");
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

    function keyOf(address signer) internal view returns (uint256) {
        if (signer == payer) return payerKey;
        if (signer == payee) return payeeKey;
        if (signer == session) return sessionKey;
        if (signer == outsider) return outsiderKey;
        revert("no key");
    }

    function signAs(uint256 key, Channel memory channel, uint256 cumulativeAmount)
        internal
        view
        returns (bytes memory)
    {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digestOf(channel, cumulativeAmount));
        return abi.encodePacked(r, s, v);
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
