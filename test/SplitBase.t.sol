// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IRevenueSplit, IRevenueSplitFactory, Member, SplitTerms} from "../contracts/IRevenueSplit.sol";
import {Base} from "./Base.t.sol";

/// @dev The factory, and a band of three whose split it created: 50, 30 and 20 of 100 shares.
abstract contract SplitBase is Base {
    IRevenueSplitFactory internal factory;
    IRevenueSplit internal band;
    /// @dev In ascending order, as the factory wants them.
    address[] internal players;
    uint256[] internal shares;
    address internal operator;
    address internal receiptKey;

    function setUp() public virtual override {
        super.setUp();
        factory = IRevenueSplitFactory(deployCode("RevenueSplitFactory.sol:RevenueSplitFactory"));
        operator = newSigner("operator");
        receiptKey = newSigner("receipt key");
        players = sorted([newSigner("drums"), newSigner("bass"), newSigner("voice")]);
        shares = [uint256(50), 30, 20];
        band = IRevenueSplit(factory.create(bandTerms()));
        vm.label(address(band), "band");
    }

    function bandTerms() internal view returns (SplitTerms memory terms_) {
        terms_ = SplitTerms(address(escrow), operator, receiptKey, new Member[](players.length));
        for (uint256 i; i < players.length; ++i) {
            terms_.members[i] = Member(players[i], shares[i]);
        }
    }

    /// @dev A split of as many members as there are shares here; their accounts are 1001, 1002 and so on.
    function splitOf(uint256[] memory shares_) internal returns (IRevenueSplit split_) {
        SplitTerms memory terms_ = SplitTerms(address(escrow), operator, receiptKey, new Member[](shares_.length));
        for (uint256 i; i < shares_.length; ++i) {
            terms_.members[i] = Member(accountAt(i), shares_[i]);
        }
        return IRevenueSplit(factory.create(terms_));
    }

    function accountAt(uint256 index) internal pure returns (address) {
        return address(uint160(1001 + index));
    }

    function sorted(address[3] memory three) internal pure returns (address[] memory list) {
        list = new address[](3);
        for (uint256 i; i < 3; ++i) {
            uint256 rank;
            for (uint256 j; j < 3; ++j) {
                if (three[j] < three[i]) ++rank;
            }
            list[rank] = three[i];
        }
    }

    /// @dev Money that the split earned, wherever from.
    function give(IRevenueSplit split_, address token, uint256 amount) internal {
        if (token == ETH) {
            vm.deal(address(this), amount);
            (bool done,) = address(split_).call{value: amount}("");
            assertTrue(done);
        } else {
            dollar.mint(address(split_), amount);
        }
    }

    /// @dev From two to six members with shares from a seed, at most 10,000 in all.
    function drawShares(uint256 seed) internal pure returns (uint256[] memory shares_) {
        shares_ = new uint256[](2 + seed % 5);
        for (uint256 i; i < shares_.length; ++i) {
            uint256 die = uint256(keccak256(abi.encode(seed, i)));
            // Small ones and large ones, so that rounds are short and long.
            shares_[i] = 1 + (die >> 8) % (die % 2 == 0 ? 3 : 1600);
        }
    }

    function sum(uint256[] memory values) internal pure returns (uint256 total) {
        for (uint256 i; i < values.length; ++i) {
            total += values[i];
        }
    }

    /// @dev Deals out base unit after base unit, from the specification: slow, and written a second time on purpose.
    function dealOut(uint256[] memory shares_, uint256 received) internal pure returns (uint256[] memory parts) {
        parts = new uint256[](shares_.length);
        uint256 rounds = received / sum(shares_);
        uint256 left = received - rounds * sum(shares_);
        for (uint256 i; i < parts.length; ++i) {
            parts[i] = rounds * shares_[i];
            for (uint256 j; j < shares_[i] && left > 0; ++j) {
                ++parts[i];
                --left;
            }
        }
    }
}
