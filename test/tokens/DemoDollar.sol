// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "solady/tokens/ERC20.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";

import {IERC3009} from "../../contracts/IFundingTokens.sol";

/// @title DemoDollar
/// @notice A toy dollar for a local chain. It is worth nothing and anyone mints it, so it refuses every other chain. Its
/// holders can sign allowances (EIP-2612) and transfers (EIP-3009), as those of real dollars can.
contract DemoDollar is ERC20, IERC3009 {
    uint256 private constant LOCAL_CHAIN_ID = 31_337;

    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    /// @notice Whether a nonce was used (EIP-3009).
    mapping(address authorizer => mapping(bytes32 nonce => bool)) public authorizationState;

    /// @notice Emitted when an authorization was used (EIP-3009).
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

    /// @notice Thrown when somebody other than the receiver shows an authorization.
    error CallerNotReceiver(address caller, address receiver);

    /// @notice Thrown before and after an authorization's time, all in Unix seconds.
    error AuthorizationNotValidNow(uint256 validAfter, uint256 validBefore, uint256 timestamp);

    /// @notice Thrown when a nonce was used before.
    error AuthorizationAlreadyUsed(address authorizer, bytes32 nonce);

    /// @notice Thrown when an authorization was signed by somebody else.
    error AuthorizationNotSigned(address signer, address authorizer);

    /// @notice Thrown when somebody deploys the toy where it could be taken for money.
    error NotLocalChain(uint256 chainId);

    constructor() {
        if (block.chainid != LOCAL_CHAIN_ID) revert NotLocalChain(block.chainid);
    }

    /// @notice Gives `amount` base units to `to`; open to anyone.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @inheritdoc IERC3009
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
    ) external {
        if (msg.sender != to) revert CallerNotReceiver(msg.sender, to);
        if (block.timestamp <= validAfter || block.timestamp >= validBefore) {
            revert AuthorizationNotValidNow(validAfter, validBefore, block.timestamp);
        }
        if (authorizationState[from][nonce]) revert AuthorizationAlreadyUsed(from, nonce);
        bytes32 authorization = keccak256(abi.encode(RECEIVE_TYPEHASH, from, to, value, validAfter, validBefore, nonce));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", DOMAIN_SEPARATOR(), authorization));
        address signer = ECDSA.recover(digest, v, r, s);
        if (signer != from) revert AuthorizationNotSigned(signer, from);
        authorizationState[from][nonce] = true;
        emit AuthorizationUsed(from, nonce);
        _transfer(from, to, value);
    }

    function name() public pure override returns (string memory) {
        return "Demo Dollar";
    }

    function symbol() public pure override returns (string memory) {
        return "dUSD";
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
