// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Authorization, Channel, IEscrow} from "../contracts/IEscrow.sol";
import {Authorizations} from "./Authorizations.t.sol";
import {Purse} from "./Base.t.sol";

contract DepositWithAuthorizationTest is Authorizations {
    function purseIn(address token) private view returns (Purse memory) {
        return Purse(payer, session, token);
    }

    function fundWithAuthorization(address token, uint256 amount, Authorization memory authorization)
        internal
        override
    {
        escrow.depositWithAuthorization(purseIn(token), amount, authorization);
    }

    function idIn(address token) internal view override returns (bytes32) {
        return idOf(purseIn(token));
    }

    function funded(address token) internal view override returns (uint256) {
        return balanceOf(purseIn(token));
    }

    function expectFunded(address token, uint256 amount) internal override {
        vm.expectEmit(address(escrow));
        emit IEscrow.Deposited(idIn(token), payer, session, token, amount);
    }

    function test_RevertWhen_PayerZero() external {
        Authorization memory authorization;
        vm.expectRevert(IEscrow.ZeroPayer.selector);
        escrow.depositWithAuthorization(Purse(address(0), session, address(dollar)), 5, authorization);
    }

    function test_RevertWhen_AuthorizedSignerZero() external {
        Authorization memory authorization;
        vm.expectRevert(IEscrow.ZeroAuthorizedSigner.selector);
        escrow.depositWithAuthorization(Purse(payer, address(0), address(dollar)), 5, authorization);
    }

    /// The relayer's own key as signer, another payer, another function: the signature commits to the account.
    function test_RevertWhen_Redirected() external {
        dollar.mint(payer, 5);
        dollar.mint(outsider, 5);
        Authorization memory authorization = authorize(address(dollar), 5);
        vm.startPrank(outsider);
        expectNotSigned();
        escrow.depositWithAuthorization(Purse(payer, outsider, address(dollar)), 5, authorization);
        expectNotSigned();
        escrow.depositWithAuthorization(Purse(payer, payer, address(dollar)), 5, authorization);
        expectNotSigned();
        escrow.depositWithAuthorization(Purse(outsider, session, address(dollar)), 5, authorization);
        expectNotSigned();
        escrow.openWithAuthorization(Channel(payer, outsider, address(dollar), NO_SALT, session), 5, authorization);
        assertFalse(isUsed(address(dollar)));
        // Control: as it was signed it is good, whoever sends it.
        escrow.depositWithAuthorization(purseIn(address(dollar)), 5, authorization);
        assertEq(funded(address(dollar)), 5);
    }

    /// Two escrows on one chain: the authorization names the one that may show it.
    function test_RevertWhen_AnotherEscrow() external {
        dollar.mint(payer, 5);
        Authorization memory authorization = authorize(address(dollar), 5);
        IEscrow other = IEscrow(deployCode("Escrow.sol:Escrow", abi.encode(EXIT_DELAY)));
        expectNotSigned();
        other.depositWithAuthorization(purseIn(address(dollar)), 5, authorization);
    }

    function test_RevertWhen_ValueSent() external {
        dollar.mint(payer, 5);
        Authorization memory authorization = authorize(address(dollar), 5);
        bytes memory data =
            abi.encodeCall(IEscrow.depositWithAuthorization, (purseIn(address(dollar)), 5, authorization));
        hoax(outsider, 1);
        (bool done,) = address(escrow).call{value: 1}(data);
        assertFalse(done);
        (done,) = address(escrow).call(data);
        assertTrue(done);
    }

    function testFuzz_RevertGiven_BalanceAndAmountAbove104Bits(uint256 balance, uint256 amount) external {
        balance = bound(balance, 1, AMOUNT_MAX);
        amount = bound(amount, AMOUNT_MAX - balance + 1, AMOUNT_MAX);
        deposit(payer, purseIn(address(dollar)), balance);
        dollar.mint(payer, amount);
        Authorization memory authorization = authorize(address(dollar), amount);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountTooLarge.selector, balance + amount, AMOUNT_MAX));
        fundWithAuthorization(address(dollar), amount, authorization);
        assertFalse(isUsed(address(dollar)));
    }
}
