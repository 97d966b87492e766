// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @dev What halmos understands beyond forge's cheatcodes. A value that it creates stands for every value at once.
interface Halmos {
    function createUint256(string calldata name) external pure returns (uint256);
    function createAddress(string calldata name) external pure returns (address);
    function createBytes32(string calldata name) external pure returns (bytes32);

    /// @dev Calldata for every function of an interface that can change state, and for none of them.
    function createCalldata(string calldata interfaceName) external pure returns (bytes memory);

    /// @dev From now on every slot of `target` holds any value.
    function enableSymbolicStorage(address target) external;
}

Halmos constant halmos = Halmos(address(uint160(uint256(keccak256("svm cheat code")))));
