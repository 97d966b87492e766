// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IEscrow} from "../../contracts/IEscrow.sol";

/// @dev A payer that opens its channel again and starts the clock again, all from inside its refund.
contract ReopeningPayer {
    IEscrow private immutable ESCROW;
    Channel private channel;

    constructor(IEscrow escrow) {
        ESCROW = escrow;
    }

    function requestClose(Channel calldata channel_) external {
        channel = channel_;
        ESCROW.requestClose(channel_);
    }

    receive() external payable {
        ESCROW.open{value: msg.value}(channel, msg.value);
        ESCROW.requestClose(channel);
    }
}
