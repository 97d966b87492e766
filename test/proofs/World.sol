// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Vm} from "forge-std/Vm.sol";

import {Account as Purse, Channel, IEscrow} from "../../contracts/IEscrow.sol";
import {halmos} from "./Halmos.sol";
import {Person} from "./Person.sol";
import {PlainDollar} from "./PlainDollar.sol";

/// @dev What a call says about itself, read from its calldata without the escrow's help.
struct Call {
    address caller;
    uint256 value;
    bytes4 selector;
    bytes data;
    /// @dev The channels it names, and of each the cumulative amount it shows; a batch of two rows names two.
    uint256 channels;
    Channel[2] channel;
    uint256[2] cumulativeAmount;
    /// @dev Where in the calldata each signature begins, and how long it is.
    uint256[2] signature;
    uint256 signatureLength;
    /// @dev The account it names, if it names one by its terms.
    bool namesAccount;
    Purse purse;
    /// @dev The recipient it names, or zero.
    address to;
}

/// @dev The escrow as it ships, in any state at any time, and one call to it: any function, any arguments, any caller.
/// An inductive step needs no more: what holds of every call from every state holds of every history.
abstract contract World {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 internal constant EXIT_DELAY = 1 days;
    uint256 internal constant AMOUNT_MAX = 2 ** 104 - 1;
    uint256 internal constant ROWS = 132;

    IEscrow internal escrow;
    PlainDollar internal dollar;
    Person internal person;

    function setUp() public {
        vm.chainId(31_337);
        bytes memory code = abi.encodePacked(vm.getCode("Escrow.sol:Escrow"), abi.encode(EXIT_DELAY));
        address deployed;
        assembly {
            deployed := create(0, add(code, 0x20), mload(code))
        }
        escrow = IEscrow(deployed);
        dollar = new PlainDollar();
        person = new Person();
        halmos.enableSymbolicStorage(address(escrow));
        halmos.enableSymbolicStorage(address(dollar));
        halmos.enableSymbolicStorage(address(person));
        uint256 time = halmos.createUint256("time");
        // Until the year 36812 a time plus the exit delay fits its 40 bits.
        vm.assume(time < 2 ** 40 - 30 days);
        vm.warp(time);
    }

    /* THE CALL */

    /// @dev Each function is shown by itself, so that none takes too long and a failure says which.
    function _isAbout(bytes4 selector) internal pure virtual returns (bool);

    /// @dev Any call to what this contract is about.
    function anyCall() internal returns (Call memory any) {
        any.caller = halmos.createAddress("caller");
        any.value = halmos.createUint256("value");
        any.data = halmos.createCalldata("IEscrow");
        vm.assume(_isAbout(any.data.length < 4 ? bytes4(0) : bytes4(any.data)));
        // The escrow never calls itself.
        vm.assume(any.caller != address(escrow));
        vm.deal(address(escrow), halmos.createUint256("held"));
        vm.deal(any.caller, any.value);
        if (any.data.length >= 4) {
            any.selector = bytes4(any.data);
            _readNames(any);
        }
    }

    /// @dev Makes the call. One that reverts changes nothing, so there is nothing to show about it.
    function make(Call memory any) internal {
        vm.prank(any.caller);
        (bool success,) = address(escrow).call{value: any.value}(any.data);
        vm.assume(success);
    }

    function _readNames(Call memory any) private pure {
        bytes4 selector = any.selector;
        if (
            selector == IEscrow.deposit.selector || selector == IEscrow.depositWithPermit.selector
                || selector == IEscrow.depositWithAuthorization.selector || selector == IEscrow.withdraw.selector
                || selector == IEscrow.withdrawFor.selector
        ) {
            any.namesAccount = true;
            any.purse = Purse(_address(any, 0), _address(any, 1), _address(any, 2));
            if (selector == IEscrow.withdraw.selector || selector == IEscrow.withdrawFor.selector) {
                any.to = _address(any, 4);
            }
            if (selector == IEscrow.withdrawFor.selector) _readSignature(any, 6);
        } else if (
            selector == IEscrow.open.selector || selector == IEscrow.openWithPermit.selector
                || selector == IEscrow.openWithAuthorization.selector || selector == IEscrow.reserve.selector
                || selector == IEscrow.requestClose.selector || selector == IEscrow.finalizeClose.selector
        ) {
            _readChannel(any);
        } else if (
            selector == IEscrow.redeem.selector || selector == IEscrow.redeemTo.selector
                || selector == IEscrow.close.selector
        ) {
            _readChannel(any);
            any.cumulativeAmount[0] = _word(any, 5);
            _readSignature(any, 6);
            if (selector == IEscrow.redeemTo.selector) any.to = _address(any, 7);
        } else if (selector == IEscrow.redeemBatch.selector) {
            _readRows(any);
        }
    }

    function _readChannel(Call memory any) private pure {
        any.channels = 1;
        any.channel[0] =
            Channel(_address(any, 0), _address(any, 1), _address(any, 2), bytes32(_word(any, 3)), _address(any, 4));
    }

    function _readSignature(Call memory any, uint256 argument) private pure {
        uint256 offset = 4 + _word(any, argument);
        any.signature[0] = offset + 32;
        any.signatureLength = _at(any, offset);
    }

    function _readRows(Call memory any) private pure {
        uint256 end = ROWS + _word(any, 3);
        uint256 offset = ROWS;
        any.signatureLength = 64;
        for (uint256 row; row < 2 && offset < end; ++row) {
            offset = _readRow(any, row, offset);
            ++any.channels;
        }
    }

    function _readRow(Call memory any, uint256 row, uint256 offset) private pure returns (uint256 end) {
        uint256 flags = _at(any, offset) >> 248;
        address payer = address(uint160(_at(any, offset + 1) >> 96));
        any.cumulativeAmount[row] = _at(any, offset + 21) >> 152;
        end = offset + 34;
        Channel memory channel = Channel(payer, _address(any, 0), _address(any, 1), 0, payer);
        if (flags == 1 || flags == 3) {
            channel.authorizedSigner = address(uint160(_at(any, end) >> 96));
            end += 20;
        }
        if (flags == 2 || flags == 3) {
            channel.salt = bytes32(_at(any, end));
            end += 32;
        }
        any.channel[row] = channel;
        any.signature[row] = end;
        end += 64;
    }

    function _word(Call memory any, uint256 argument) internal pure returns (uint256) {
        return _at(any, 4 + 32 * argument);
    }

    function _address(Call memory any, uint256 argument) internal pure returns (address) {
        return address(uint160(_word(any, argument)));
    }

    function _at(Call memory any, uint256 offset) internal pure returns (uint256 word) {
        bytes memory data = any.data;
        assembly {
            word := mload(add(add(data, 0x20), offset))
        }
    }

    /* IDS */

    function idOf(Channel memory channel) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                channel.payer,
                channel.payee,
                channel.token,
                channel.salt,
                channel.authorizedSigner,
                address(escrow),
                block.chainid
            )
        );
    }

    function idOf(Purse memory purse) internal pure returns (bytes32) {
        return keccak256(abi.encode(purse.payer, purse.authorizedSigner, purse.token));
    }

    /// @dev The account that a channel is paid from.
    function purseOf(Channel memory channel) internal pure returns (Purse memory) {
        return Purse(channel.payer, channel.authorizedSigner, channel.token);
    }

    /// @dev The account that takes a refund which the payer does not.
    function refundPurseOf(Channel memory channel) internal pure returns (Purse memory) {
        return Purse(channel.payer, channel.payer, channel.token);
    }

    function anyChannel() internal pure returns (Channel memory) {
        return Channel(
            halmos.createAddress("payer"),
            halmos.createAddress("payee"),
            halmos.createAddress("token"),
            halmos.createBytes32("salt"),
            halmos.createAddress("authorizedSigner")
        );
    }

    function anyPurse() internal pure returns (Purse memory) {
        return
            Purse(
                halmos.createAddress("payer"), halmos.createAddress("authorizedSigner"), halmos.createAddress("token")
            );
    }

    /// @dev Without a branch for each field: halmos would follow every combination of them.
    function same(Channel memory a, Channel memory b) internal pure returns (bool) {
        uint256 difference = uint160(a.payer) ^ uint160(b.payer);
        difference |= uint160(a.payee) ^ uint160(b.payee);
        difference |= uint160(a.token) ^ uint160(b.token);
        difference |= uint256(a.salt) ^ uint256(b.salt);
        difference |= uint160(a.authorizedSigner) ^ uint160(b.authorizedSigner);
        return difference == 0;
    }

    function same(Purse memory a, Purse memory b) internal pure returns (bool) {
        uint256 difference = uint160(a.payer) ^ uint160(b.payer);
        difference |= uint160(a.authorizedSigner) ^ uint160(b.authorizedSigner);
        difference |= uint160(a.token) ^ uint160(b.token);
        return difference == 0;
    }

    /* STATE */

    function slotOf(bytes32 id) internal view returns (uint256) {
        return uint256(vm.load(address(escrow), id));
    }

    function redeemedIn(uint256 slot) internal pure returns (uint256) {
        return slot & AMOUNT_MAX;
    }

    function reservedIn(uint256 slot) internal pure returns (uint256) {
        return (slot >> 104) & AMOUNT_MAX;
    }

    function closeAtIn(uint256 slot) internal pure returns (uint256) {
        return slot >> 208;
    }

    function balanceIn(uint256 slot) internal pure returns (uint256) {
        return slot & AMOUNT_MAX;
    }

    function nonceIn(uint256 slot) internal pure returns (uint256) {
        return slot >> 104;
    }
}
