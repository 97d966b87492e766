// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Account as Purse, Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Toolbox} from "./Toolbox.t.sol";
import {DemoDollar} from "./tokens/DemoDollar.sol";

/// @dev An escrow, a dollar and four people.
abstract contract Base is Toolbox {
    uint256 internal constant EXIT_DELAY = 1 days;

    DemoDollar internal dollar;

    address internal payer;
    address internal payee;
    /// @dev A session key: it signs vouchers for the payer and owns nothing.
    address internal session;
    address internal outsider;

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
        payer = newSigner("payer");
        payee = newSigner("payee");
        session = newSigner("session");
        outsider = newSigner("outsider");
        etherChannel = Channel(payer, payee, ETH, NO_SALT, payer);
        dollarChannel = Channel(payer, payee, address(dollar), NO_SALT, payer);
        sessionChannel = Channel(payer, payee, address(dollar), "phone", session);
    }

    /* FUNDING */

    function channelIn(bool native) internal view returns (Channel memory) {
        return native ? etherChannel : dollarChannel;
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

    function assertChannel(Channel memory channel, uint256 redeemed, uint256 reserved, uint256 closeAt) internal view {
        assertEq(redeemedOf(channel), redeemed, "redeemed");
        assertEq(reservedOf(channel), reserved, "reserved");
        assertEq(closeAtOf(channel), closeAt, "closeAt");
    }
}
