// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @dev Somebody with code, who takes ether or refuses it. Everybody else in a proof has no code and takes it.
contract Person {
    bool private refuses;

    receive() external payable {
        require(!refuses);
    }
}
