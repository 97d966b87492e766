//! The contracts' ABI and bytecode, as the SDK ships them.

mod generated {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        Escrow,
        "../farthing/abi/Escrow.json"
    );
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        DemoDollar,
        "../farthing/abi/DemoDollar.json"
    );
    alloy_sol_types::sol! {
        /// What the escrow says when a transfer fails. No ABI lists it, because it is written in assembly.
        library Transfers {
            error ETHTransferFailed();
            error TransferFailed();
            error TransferFromFailed();
        }

        /// What the demo dollar says to a signature without a signer, in assembly too.
        library Recovery {
            error InvalidSignature();
        }

        struct Withdrawal {
            address payer;
            address authorizedSigner;
            address token;
            uint256 amount;
            address to;
            uint256 nonce;
            uint256 deadline;
        }

        struct Permit {
            address owner;
            address spender;
            uint256 value;
            uint256 nonce;
            uint256 deadline;
        }

        struct ReceiveWithAuthorization {
            address from;
            address to;
            uint256 value;
            uint256 validAfter;
            uint256 validBefore;
            bytes32 nonce;
        }
    }
}

pub use generated::{DemoDollar, Escrow, Permit, ReceiveWithAuthorization, Recovery, Transfers, Withdrawal};

/// The escrow's ABI as text, to list all that it has.
pub const ESCROW_JSON: &str = include_str!("../../farthing/abi/Escrow.json");
