//! The addresses of a history, and the small hostile contracts that stand at some of them. They are assembled here by
//! hand: nothing but a few bytes each, which no build has to know.

use alloy_primitives::{Address, U256, address, hex};
use alloy_sol_types::SolCall;

use crate::bindings::Escrow;

/// Deploys the demo dollar with its first transaction.
pub const DOLLAR_DEPLOYER: Address = address!("00000000000000000000000000000000000d0001");
/// Deploys the escrow with its first transaction.
pub const ESCROW_DEPLOYER: Address = address!("00000000000000000000000000000000000d0002");
/// Tries to deploy escrows that must not be.
pub const CARELESS_DEPLOYER: Address = address!("00000000000000000000000000000000000d0003");

/// The native coin.
pub const COIN: Address = Address::ZERO;
/// A demo dollar that refuses to be sent to the hermit.
pub const BLOCKING_DOLLAR: Address = address!("00000000000000000000000000000000000a0001");
/// A token that says yes to everything and moves nothing.
pub const HOLLOW_TOKEN: Address = address!("00000000000000000000000000000000000a0002");
/// A token that calls `deposit` whenever it is asked to move.
pub const REENTRANT_TOKEN: Address = address!("00000000000000000000000000000000000a0003");
/// A token where no code is.
pub const ABSENT_TOKEN: Address = address!("00000000000000000000000000000000000a0004");

/// Where the demo dollar is.
#[must_use]
pub fn dollar() -> Address {
    DOLLAR_DEPLOYER.create(0)
}

/// Where the escrow is.
#[must_use]
pub fn escrow() -> Address {
    ESCROW_DEPLOYER.create(0)
}

/// Reverts whatever it is sent: `revert(0, 0)`.
#[must_use]
pub fn refusing_code() -> Vec<u8> {
    hex!("5f5ffd").to_vec()
}

/// Answers 1 to everything: `mstore(0, 1) return(0, 32)`.
#[must_use]
pub fn hollow_code() -> Vec<u8> {
    hex!("60015f5260205ff3").to_vec()
}

/// Passes everything on to the demo dollar's code, but for transfers to `blocked`, which revert.
#[must_use]
pub fn blocking_code(blocked: Address) -> Vec<u8> {
    let mut code = Vec::new();
    // if (selector == transfer && first argument == blocked) goto 0x4e
    code.extend(hex!("5f3560e01c63a9059cbb1460043573"));
    code.extend(blocked);
    code.extend(hex!("1416604e57"));
    // calldatacopy(0, 0, calldatasize) delegatecall(gas, dollar, 0, calldatasize, 0, 0)
    code.extend(hex!("365f5f375f5f365f73"));
    code.extend(dollar());
    // returndatacopy(0, 0, returndatasize) if success goto 0x52; 0x4e: revert; 0x52: return, each with what came back
    code.extend(hex!("5af43d5f5f3e6052575b3d5ffd5b3d5ff3"));
    code
}

/// Stops if it is asked for a balance (36 bytes of data), and else calls the caller's `deposit` and passes on how it
/// reverted.
#[must_use]
pub fn reentrant_code() -> Vec<u8> {
    let account = Escrow::Account { payer: REENTRANT_TOKEN, authorizedSigner: REENTRANT_TOKEN, token: REENTRANT_TOKEN };
    // if (calldatasize < 64) goto 0x1d; codecopy(0, 0x1f, 0x84) call(gas, caller, 0, 0, 0x84, 0, 0)
    // returndatacopy(0, 0, returndatasize) revert(0, returndatasize); 0x1d: stop
    let mut code = hex!("60403610601d576084601f5f395f5f60845f5f335af13d5f5f3e3d5ffd5b00").to_vec();
    code.extend(Escrow::depositCall { account, amount: U256::ONE }.abi_encode());
    code
}
