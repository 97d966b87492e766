// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "solady/tokens/ERC20.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";

import {IERC3009} from "../../contracts/IFundingTokens.sol";

/// @title DomainDollar
/// @notice A token that signs in a domain of its maker's choice, as real dollars do in many: with version "2", without
/// a version, with or without telling it (EIP-5267), or with a separator that belongs to another token.
contract DomainDollar is ERC20, IERC3009 {
    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    /// @notice Whether a nonce was used (EIP-3009).
    mapping(address authorizer => mapping(bytes32 nonce => bool)) public authorizationState;

    string private tokenName;
    string private domainVersion;
    bool private tells;
    bytes32 private borrowed;

    /// @param name_ What the token is called.
    /// @param version_ The version in its domain; empty if there is none.
    /// @param tells_ Whether `version` and `eip712Domain` answer.
    /// @param borrowed_ Another token's separator to claim; zero for its own.
    constructor(string memory name_, string memory version_, bool tells_, bytes32 borrowed_) {
        (tokenName, domainVersion, tells, borrowed) = (name_, version_, tells_, borrowed_);
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function symbol() public pure override returns (string memory) {
        return "DOM";
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function name() public view override returns (string memory) {
        return tokenName;
    }

    function version() external view returns (string memory) {
        require(tells);
        return domainVersion;
    }

    function eip712Domain()
        external
        view
        returns (bytes1, string memory, string memory, uint256, address, bytes32, uint256[] memory)
    {
        require(tells);
        bytes1 fields = bytes(domainVersion).length == 0 ? bytes1(0x0d) : bytes1(0x0f);
        return (fields, tokenName, domainVersion, block.chainid, address(this), 0, new uint256[](0));
    }

    function DOMAIN_SEPARATOR() public view override returns (bytes32) {
        if (borrowed != 0) return borrowed;
        if (bytes(domainVersion).length > 0) return super.DOMAIN_SEPARATOR();
        bytes32 domain = keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)");
        return keccak256(abi.encode(domain, keccak256(bytes(tokenName)), block.chainid, address(this)));
    }

    /// @dev What permits are checked with; without a version that is another domain than the token's own, as of tokens
    /// whose permit is none of EIP-2612.
    function _versionHash() internal view override returns (bytes32) {
        return keccak256(bytes(domainVersion));
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
        require(msg.sender == to && block.timestamp > validAfter && block.timestamp < validBefore);
        require(!authorizationState[from][nonce]);
        bytes32 authorization = keccak256(abi.encode(RECEIVE_TYPEHASH, from, to, value, validAfter, validBefore, nonce));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", DOMAIN_SEPARATOR(), authorization));
        require(ECDSA.recover(digest, v, r, s) == from);
        authorizationState[from][nonce] = true;
        _transfer(from, to, value);
    }
}
