// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Permits
/// @notice What the escrow asks of a token whose holders sign allowances (EIP-2612).
interface IERC2612 {
    /// @notice Sets the allowance of `spender` over `owner`'s tokens to `value`, by `owner`'s signature.
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
}

/// @title Authorizations
/// @notice What the escrow asks of a token whose holders sign transfers (EIP-3009).
interface IERC3009 {
    /// @notice Moves `value` from `from` to the caller, by `from`'s signature. Only `to` itself may call it, so nobody
    /// can make the transfer without its purpose.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
}
