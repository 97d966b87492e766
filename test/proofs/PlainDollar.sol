// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @dev A token whose balances move only by transfer, and which believes every signature: what holds when anyone may permit
/// and authorize holds when only some may. Whom it has blocked receives nothing, so that refunds can fail.
contract PlainDollar {
    mapping(address holder => uint256) public balanceOf;
    mapping(address holder => mapping(address spender => uint256)) public allowance;
    mapping(address holder => bool) public isBlocked;

    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
        return true;
    }

    function permit(address holder, address spender, uint256 amount, uint256, uint8, bytes32, bytes32) external {
        allowance[holder][spender] = amount;
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 amount,
        uint256,
        uint256,
        bytes32,
        uint8,
        bytes32,
        bytes32
    ) external {
        require(msg.sender == to);
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        require(!isBlocked[to]);
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}
