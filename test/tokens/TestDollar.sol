// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {DemoDollar} from "./DemoDollar.sol";

/// @dev A well-behaved dollar that the odd ones differ from in one way each. `_transfer` is what moves an authorization
/// (EIP-3009); `transfer` and `transferFrom` don't go through it.
abstract contract TestDollar is DemoDollar {}
