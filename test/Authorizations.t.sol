// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Authorization, IEscrow} from "../contracts/IEscrow.sol";
import {Base} from "./Base.t.sol";
import {DemoDollar} from "./tokens/DemoDollar.sol";
import {FallbackDollar} from "./tokens/FallbackDollar.sol";
import {FeeDollar} from "./tokens/FeeDollar.sol";
import {SilentDollar} from "./tokens/SilentDollar.sol";

/// @dev What `depositWithAuthorization` and `openWithAuthorization` have in common: anyone relays, nobody redirects. Each runs
/// all of it.
abstract contract Authorizations is Base {
    bytes32 internal constant SALT = "first";
    bytes4 private constant INVALID_SIGNATURE = DemoDollar.AuthorizationNotSigned.selector;

    /// @dev Funds what is the payer's, in this token.
    function fundWithAuthorization(address token, uint256 amount, Authorization memory authorization) internal virtual;

    /// @dev The id that the payer's signature commits to.
    function idIn(address token) internal view virtual returns (bytes32);

    /// @dev What is there of what was funded so.
    function funded(address token) internal view virtual returns (uint256);

    /// @dev The event of the first funding.
    function expectFunded(address token, uint256 amount) internal virtual;

    function authorize(address token, uint256 amount) internal view returns (Authorization memory) {
        return authorize(token, amount, 0, type(uint256).max);
    }

    function authorize(address token, uint256 amount, uint256 validAfter, uint256 validBefore)
        internal
        view
        returns (Authorization memory)
    {
        return signAuthorization(Transfer(payer, token, amount, idIn(token)), validAfter, validBefore, SALT);
    }

    function isUsed(address token) internal view returns (bool) {
        return DemoDollar(token).authorizationState(payer, keccak256(abi.encode(idIn(token), SALT)));
    }

    /// @dev The token refuses it: whoever signed what was shown, it was not the payer.
    function expectNotSigned() internal {
        vm.expectPartialRevert(INVALID_SIGNATURE);
    }

    function test_RevertWhen_AmountZero() external {
        Authorization memory authorization = authorize(address(dollar), 0);
        vm.expectRevert(IEscrow.ZeroAmount.selector);
        fundWithAuthorization(address(dollar), 0, authorization);
    }

    function testFuzz_RevertWhen_AmountAbove104Bits(uint256 amount) external {
        amount = bound(amount, AMOUNT_MAX + 1, type(uint256).max);
        Authorization memory authorization = authorize(address(dollar), amount);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountTooLarge.selector, amount, AMOUNT_MAX));
        fundWithAuthorization(address(dollar), amount, authorization);
    }

    function test_RevertWhen_NativeCoin() external {
        Authorization memory authorization;
        vm.expectRevert(abi.encodeWithSelector(IEscrow.WrongValue.selector, 0, 5));
        fundWithAuthorization(ETH, 5, authorization);
    }

    function test_RevertWhen_TokenHasNoCode() external {
        Authorization memory authorization;
        address token = makeAddr("no token");
        vm.expectRevert();
        fundWithAuthorization(token, 5, authorization);
        assertEq(funded(token), 0);
    }

    /// Loss 26: a token without authorizations moves nothing, although the payer once allowed the escrow everything.
    function test_RevertWhen_TokenKnowsNoAuthorization() external {
        Authorization memory authorization;
        address token = address(new SilentDollar());
        endow(payer, token, 5);
        vm.expectRevert();
        fundWithAuthorization(token, 5, authorization);
        assertEq(holdings(payer, token), 5);
    }

    /// Loss 26: nor does one that swallows the call without a word.
    function test_RevertWhen_TokenSwallowsAuthorization() external {
        Authorization memory authorization;
        address token = address(new FallbackDollar());
        endow(payer, token, 5);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TransferMismatch.selector, 0, 5));
        fundWithAuthorization(token, 5, authorization);
        assertEq(holdings(payer, token), 5);
    }

    function test_RevertWhen_TokenTakesFee() external {
        FeeDollar odd = new FeeDollar();
        odd.mint(payer, 500);
        Authorization memory authorization = authorize(address(odd), 500);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TransferMismatch.selector, 494, 500));
        fundWithAuthorization(address(odd), 500, authorization);
        assertFalse(isUsed(address(odd)), "the authorization is still good");
    }

    /// One field of the authorization changed, one at a time: the token sees another nonce, another time, another signer.
    function testFuzz_RevertWhen_AuthorizationAltered(uint256 field, uint256 bit) external {
        dollar.mint(payer, 5);
        uint256 now_ = vm.getBlockTimestamp();
        Authorization memory authorization = authorize(address(dollar), 5, now_ - 1, now_ + 1);
        bit = bound(bit, 0, 255);
        field = bound(field, 0, 5);
        if (field == 0) authorization.validAfter ^= 1 << bit;
        else if (field == 1) authorization.validBefore ^= 1 << bit;
        else if (field == 2) authorization.salt ^= bytes32(1 << bit);
        else if (field == 3) authorization.v ^= uint8(1 << (bit % 8));
        else if (field == 4) authorization.r ^= bytes32(1 << bit);
        else authorization.s ^= bytes32(1 << bit);
        vm.expectRevert();
        fundWithAuthorization(address(dollar), 5, authorization);
        assertEq(dollar.balanceOf(payer), 5);
    }

    function testFuzz_RevertWhen_AmountAnother(uint256 amount, uint256 signed) external {
        amount = bound(amount, 1, AMOUNT_MAX);
        vm.assume(signed != amount);
        dollar.mint(payer, amount);
        Authorization memory authorization = authorize(address(dollar), signed);
        expectNotSigned();
        fundWithAuthorization(address(dollar), amount, authorization);
    }

    function test_RevertWhen_TokenAnother() external {
        DemoDollar other = new DemoDollar();
        other.mint(payer, 5);
        Authorization memory authorization = authorize(address(dollar), 5);
        expectNotSigned();
        fundWithAuthorization(address(other), 5, authorization);
    }

    function test_RevertWhen_SignerAnother() external {
        dollar.mint(outsider, 5);
        Authorization memory authorization = signAuthorization(
            Transfer(outsider, address(dollar), 5, idIn(address(dollar))), 0, type(uint256).max, SALT
        );
        expectNotSigned();
        fundWithAuthorization(address(dollar), 5, authorization);
        assertEq(dollar.balanceOf(outsider), 5);
    }

    function test_RevertWhen_Replayed() external {
        dollar.mint(payer, 10);
        Authorization memory authorization = authorize(address(dollar), 5);
        fundWithAuthorization(address(dollar), 5, authorization);
        vm.expectRevert(
            abi.encodeWithSelector(
                DemoDollar.AuthorizationAlreadyUsed.selector, payer, keccak256(abi.encode(idIn(address(dollar)), SALT))
            )
        );
        fundWithAuthorization(address(dollar), 5, authorization);
        assertEq(dollar.balanceOf(payer), 5);
    }

    /// Valid strictly between its two times, to the second.
    function test_RevertWhen_NotValidNow() external {
        dollar.mint(payer, 5);
        uint256 validAfter = vm.getBlockTimestamp() + 100;
        uint256 validBefore = validAfter + 100;
        Authorization memory authorization = authorize(address(dollar), 5, validAfter, validBefore);
        uint256[4] memory times = [validAfter, validAfter + 1, validBefore - 1, validBefore];
        for (uint256 i; i < times.length; ++i) {
            vm.warp(times[i]);
            uint256 snapshot = vm.snapshotState();
            bool valid = i == 1 || i == 2;
            if (!valid) {
                vm.expectRevert(
                    abi.encodeWithSelector(
                        DemoDollar.AuthorizationNotValidNow.selector, validAfter, validBefore, times[i]
                    )
                );
            }
            fundWithAuthorization(address(dollar), 5, authorization);
            assertEq(funded(address(dollar)), valid ? 5 : 0);
            vm.revertToState(snapshot);
        }
    }

    /// Whoever sees the authorization can't use it up: only the escrow may show it to the token.
    function test_GivenShownToTokenDirectly() external {
        dollar.mint(payer, 5);
        Authorization memory a = authorize(address(dollar), 5);
        bytes32 nonce = keccak256(abi.encode(idIn(address(dollar)), SALT));
        vm.prank(outsider);
        vm.expectRevert(abi.encodeWithSelector(DemoDollar.CallerNotReceiver.selector, outsider, escrow));
        dollar.receiveWithAuthorization(payer, address(escrow), 5, a.validAfter, a.validBefore, nonce, a.v, a.r, a.s);
        fundWithAuthorization(address(dollar), 5, a);
        assertEq(funded(address(dollar)), 5);
    }

    /// Two salts, two authorizations of one payer for the same terms; in whatever order.
    function test_WhenSaltsDiffer() external {
        dollar.mint(payer, 12);
        Authorization memory first = authorize(address(dollar), 5);
        Authorization memory second =
            signAuthorization(Transfer(payer, address(dollar), 7, idIn(address(dollar))), 0, type(uint256).max, "next");
        fundWithAuthorization(address(dollar), 7, second);
        fundWithAuthorization(address(dollar), 5, first);
        assertEq(funded(address(dollar)), 12);
    }

    /// Whoever relays it, the payer's money arrives, and the relayer's is not touched.
    function testFuzz_WhenAnyoneRelays(uint256 amount, uint256 before, address relayer) external {
        amount = bound(amount, 1, AMOUNT_MAX);
        before = bound(before, 0, type(uint128).max);
        vm.assume(relayer != address(escrow) && relayer != payer && relayer != address(0));
        dollar.mint(address(escrow), before);
        dollar.mint(payer, amount);
        dollar.mint(relayer, 9);
        Authorization memory authorization = authorize(address(dollar), amount);
        expectFunded(address(dollar), amount);
        vm.prank(relayer);
        fundWithAuthorization(address(dollar), amount, authorization);
        assertEq(funded(address(dollar)), amount);
        assertEq(dollar.balanceOf(payer), 0);
        assertEq(dollar.balanceOf(relayer), 9);
        assertEq(held(address(dollar)), before + amount);
        assertTrue(isUsed(address(dollar)));
    }
}
