// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEscrow} from "../../contracts/IEscrow.sol";
import {RedeemingRules, Rules} from "./Rules.sol";

// One contract for each function of the escrow that can change something, so that halmos shows the rules of each.

contract Deposit is Rules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.deposit.selector;
    }
}

contract Open is Rules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.open.selector;
    }
}

contract DepositWithPermit is Rules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.depositWithPermit.selector;
    }
}

contract OpenWithPermit is Rules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.openWithPermit.selector;
    }
}

contract DepositWithAuthorization is Rules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.depositWithAuthorization.selector;
    }
}

contract OpenWithAuthorization is Rules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.openWithAuthorization.selector;
    }
}

contract Reserve is Rules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.reserve.selector;
    }
}

contract Redeem is RedeemingRules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.redeem.selector;
    }
}

contract RedeemTo is RedeemingRules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.redeemTo.selector;
    }
}

contract RedeemBatch is RedeemingRules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.redeemBatch.selector;
    }
}

contract Close is RedeemingRules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.close.selector;
    }
}

contract SetOperator is Rules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.setOperator.selector;
    }
}

contract RequestClose is Rules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.requestClose.selector;
    }
}

contract FinalizeClose is Rules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.finalizeClose.selector;
    }
}

contract Withdraw is Rules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.withdraw.selector;
    }
}

contract WithdrawFor is Rules {
    function _isAbout(bytes4 selector) internal pure override returns (bool) {
        return selector == IEscrow.withdrawFor.selector;
    }
}

