// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SilentDollar} from "./SilentDollar.sol";

/// @dev Knows neither permits nor authorizations, and takes any call that it does not know without a word, as the wrapped
/// native coin on Ethereum does.
contract FallbackDollar is SilentDollar {
    fallback() external {}
}
