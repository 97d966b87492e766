// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Script} from "forge-std/Script.sol";
import {console} from "forge-std/console.sol";

/// @title Deploy
/// @notice Puts the escrow and the factory of splits where anyone can compute that they are: CREATE2 with the standard
/// deployer and salt zero, so that an address follows from the creation code alone, on every chain.
/// @dev The exit delay in seconds is `EXIT_DELAY` in the environment, a day unless set. What is there already is left
/// alone.
contract Deploy is Script {
    /// @notice Thrown when a chain lacks the standard deployer.
    error NoDeployer(address deployer);

    /// @notice Thrown when nothing is where it should be: an exit delay out of bounds, for instance.
    error NotDeployed(string what, address where);

    uint256 private constant EXIT_DELAY_DEFAULT = 1 days;

    function run() external returns (address escrow, address splitFactory) {
        if (CREATE2_FACTORY.code.length == 0) revert NoDeployer(CREATE2_FACTORY);
        uint256 exitDelay = vm.envOr("EXIT_DELAY", EXIT_DELAY_DEFAULT);
        // The artifacts and not the sources: what is deployed is, byte for byte, what was built and checked.
        escrow = _put("escrow", abi.encodePacked(vm.getCode("Escrow.sol:Escrow"), abi.encode(exitDelay)));
        splitFactory = _put("split factory", vm.getCode("RevenueSplitFactory.sol:RevenueSplitFactory"));
    }

    function _put(string memory what, bytes memory creationCode) private returns (address where) {
        where = vm.computeCreate2Address(bytes32(0), keccak256(creationCode), CREATE2_FACTORY);
        bool there = where.code.length > 0;
        console.log(what, where, there ? "already there" : "deployed");
        if (there) return where;
        vm.broadcast();
        (bool success,) = CREATE2_FACTORY.call(abi.encodePacked(bytes32(0), creationCode));
        if (!success || where.code.length == 0) revert NotDeployed(what, where);
    }
}
