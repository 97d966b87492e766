//! The chain: the contracts' real bytecode in an EVM, whose storage is read where it lies.

use crate::bindings::{DemoDollar, Escrow};
use crate::call::Call;
use crate::contracts::{
    BLOCKING_DOLLAR, CARELESS_DEPLOYER, DOLLAR_DEPLOYER, ESCROW_DEPLOYER, HOLLOW_TOKEN, REENTRANT_TOKEN, blocking_code,
    escrow, hollow_code, reentrant_code, refusing_code,
};
use crate::model::{AMOUNT_MAX, AccountState, ChannelState};
use crate::people::PEOPLE;
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use revm::bytecode::Bytecode;
use revm::context::result::ExecutionResult;
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::database::InMemoryDB;
use revm::handler::MainnetContext;
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;
use revm::{Context, ExecuteEvm, MainBuilder, MainContext, MainnetEvm};

/// What everybody has of the native coin at first; more than an escrow can count, by far.
pub const COINS: U256 = U256::from_limbs([0, 1 << 48, 0, 0]);

/// More than any call here needs, and no more than one transaction may have (EIP-7825).
const GAS: u64 = 16_000_000;

/// Enough for every call that refunds nothing, and less than what a refund has to be tried with.
const SCANT_GAS: u64 = 180_000;

/// What the chain made of a transaction.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What came back, from a call or from a revert.
    pub result: Result<Bytes, Bytes>,
    /// What was logged.
    pub logs: Vec<Log>,
}

/// Thrown when the chain does what no caller could have asked for.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The EVM takes no such transaction.
    #[error("the chain takes no such transaction: {0}")]
    Invalid(String),
    /// A transaction ran out of gas, or met an invalid instruction.
    #[error("the transaction halted: {0}")]
    Halted(String),
    /// A transaction that prepares a history reverted.
    #[error("a preparation reverted: 0x{}", alloy_primitives::hex::encode(.0))]
    Reverted(Bytes),
}

/// One chain with an escrow.
#[expect(missing_debug_implementations, reason = "an EVM is nothing to look at")]
pub struct World {
    evm: MainnetEvm<MainnetContext<InMemoryDB>>,
}

impl World {
    /// A chain with demo dollars and people on it, and no escrow yet.
    ///
    /// # Errors
    ///
    /// If the demo dollar can't be deployed.
    pub fn new(chain_id: u64) -> Result<Self, WorldError> {
        let mut database = InMemoryDB::default();
        for address in PEOPLE.all() {
            database.insert_account_info(address, AccountInfo::from_balance(COINS));
        }
        let hermit = AccountInfo { balance: COINS, ..with_code(refusing_code()) };
        database.insert_account_info(PEOPLE.hermit, hermit);
        database.insert_account_info(BLOCKING_DOLLAR, with_code(blocking_code(PEOPLE.hermit)));
        database.insert_account_info(HOLLOW_TOKEN, with_code(hollow_code()));
        database.insert_account_info(REENTRANT_TOKEN, with_code(reentrant_code()));
        let mut configuration = CfgEnv::new_with_spec(SpecId::OSAKA);
        configuration.chain_id = chain_id;
        // A chain that renumbers itself, and a payer with code, are what some histories are about.
        configuration.tx_chain_id_check = false;
        configuration.disable_eip3607 = true;
        configuration.disable_nonce_check = true;
        let block = BlockEnv { gas_limit: GAS, basefee: 0, ..BlockEnv::default() };
        let evm = Context::mainnet().with_db(database).with_cfg(configuration).with_block(block).build_mainnet();
        let mut world = Self { evm };
        world.deploy(DOLLAR_DEPLOYER, DemoDollar::BYTECODE.clone())?.result.map_err(WorldError::Reverted)?;
        Ok(world)
    }

    /// Runs the escrow's constructor where every escrow of a history is.
    ///
    /// # Errors
    ///
    /// If the chain refuses the transaction itself.
    pub fn deploy_escrow(&mut self, exit_delay: U256) -> Result<Answer, WorldError> {
        self.deploy(ESCROW_DEPLOYER, escrow_creation_code(exit_delay))
    }

    /// Runs the escrow's constructor anywhere else.
    ///
    /// # Errors
    ///
    /// If the chain refuses the transaction itself.
    pub fn try_exit_delay(&mut self, exit_delay: U256) -> Result<Answer, WorldError> {
        self.deploy(CARELESS_DEPLOYER, escrow_creation_code(exit_delay))
    }

    fn deploy(&mut self, deployer: Address, code: Bytes) -> Result<Answer, WorldError> {
        self.transact(TxEnv { caller: deployer, kind: TxKind::Create, data: code, ..TxEnv::default() })
    }

    /// What time it is in the next transactions.
    pub fn set_time(&mut self, now: u64) {
        self.evm.ctx.block.timestamp = U256::from(now);
    }

    /// What the chain calls itself from now on.
    pub fn renumber(&mut self, chain_id: u64) {
        self.evm.ctx.cfg.chain_id = chain_id;
    }

    /// Sends a call to the escrow.
    ///
    /// # Errors
    ///
    /// If the transaction halts or can't be sent at all.
    pub fn call(&mut self, call: &Call) -> Result<Answer, WorldError> {
        self.transact(TxEnv {
            caller: call.caller,
            kind: TxKind::Call(escrow()),
            value: call.value,
            data: call.action.encode().into(),
            gas_limit: if call.is_scant_of_gas { SCANT_GAS } else { GAS },
            ..TxEnv::default()
        })
    }

    /// Sends something else that has to succeed, and reads what it returns.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub fn ask<C: SolCall>(&mut self, caller: Address, to: Address, call: &C) -> Result<C::Return, WorldError> {
        let data = call.abi_encode().into();
        let answer = self.transact(TxEnv { caller, kind: TxKind::Call(to), data, ..TxEnv::default() })?;
        let output = answer.result.map_err(WorldError::Reverted)?;
        C::abi_decode_returns(&output).map_err(|error| WorldError::Invalid(error.to_string()))
    }

    fn transact(&mut self, transaction: TxEnv) -> Result<Answer, WorldError> {
        let gas_limit = transaction.gas_limit.min(GAS);
        let transaction = TxEnv { gas_limit, chain_id: None, ..transaction };
        // The journal is never finalized: it is the state, and nothing is copied between transactions.
        match self.evm.transact_one(transaction).map_err(|error| WorldError::Invalid(error.to_string()))? {
            ExecutionResult::Success { logs, output, .. } => Ok(Answer { result: Ok(output.into_data()), logs }),
            ExecutionResult::Revert { output, .. } => Ok(Answer { result: Err(output), logs: Vec::new() }),
            ExecutionResult::Halt { reason, .. } => Err(WorldError::Halted(format!("{reason:?}"))),
        }
    }

    /// What a slot of a contract holds.
    #[must_use]
    pub fn slot(&self, contract: Address, slot: U256) -> U256 {
        let account = self.evm.ctx.journaled_state.inner.state.get(&contract);
        account.and_then(|account| account.storage.get(&slot)).map_or(U256::ZERO, |slot| slot.present_value)
    }

    /// Every slot of the escrow that any transaction has looked at, with what it holds and whether the last transaction
    /// looked at it.
    pub fn slots(&self) -> impl Iterator<Item = (U256, U256, bool)> {
        let journal = &self.evm.ctx.journaled_state.inner;
        // The id was raised when the last transaction ended.
        let last = journal.transaction_id.get().wrapping_sub(1);
        let storage = journal.state.get(&escrow()).map(|account| account.storage.iter());
        storage
            .into_iter()
            .flatten()
            .map(move |(slot, held)| (*slot, held.present_value, held.transaction_id.get() == last))
    }

    /// What somebody has of the native coin.
    #[must_use]
    pub fn coins(&self, holder: Address) -> U256 {
        let journal = &self.evm.ctx.journaled_state;
        if let Some(account) = journal.inner.state.get(&holder) {
            return account.info.balance;
        }
        // Nobody has touched it yet.
        journal.database.cache.accounts.get(&holder).map_or(U256::ZERO, |account| account.info.balance)
    }
}

fn with_code(code: Vec<u8>) -> AccountInfo {
    AccountInfo::from_bytecode(Bytecode::new_legacy(code.into()))
}

fn escrow_creation_code(exit_delay: U256) -> Bytes {
    [Escrow::BYTECODE.to_vec(), exit_delay.abi_encode()].concat().into()
}

/// Where the demo dollar keeps a balance: `keccak256(holder | seed)`, with the seed of its ERC-20 in the last four of
/// twelve bytes.
#[must_use]
pub fn balance_slot(holder: Address) -> U256 {
    let mut preimage = [0; 32];
    preimage[..20].copy_from_slice(holder.as_slice());
    preimage[28..].copy_from_slice(&0x87a2_11a2_u32.to_be_bytes());
    keccak256(preimage).into()
}

/// Where the escrow keeps whether the second is an operator of the first: a mapping of mappings at slot zero.
#[must_use]
pub fn operator_slot(payee: Address, operator: Address) -> U256 {
    let inner = keccak256((payee, U256::ZERO).abi_encode());
    keccak256((operator, inner).abi_encode()).into()
}

/// The slot of an account or a channel: it lies at its id.
#[must_use]
pub fn slot_of(id: B256) -> U256 {
    id.into()
}

/// What an account's slot says: `nonce | balance`, 104 bits the balance.
#[must_use]
pub fn read_account(slot: U256) -> AccountState {
    AccountState { balance: low_amount(slot), nonce: (slot >> 104_usize).saturating_to() }
}

/// What a channel's slot says: `closeAt | reserved | redeemed`, 104 bits each amount.
#[must_use]
pub fn read_channel(slot: U256) -> ChannelState {
    ChannelState {
        redeemed: low_amount(slot),
        reserved: low_amount(slot >> 104_usize),
        close_at: (slot >> 208_usize).saturating_to(),
    }
}

fn low_amount(word: U256) -> u128 {
    (word & U256::from(AMOUNT_MAX)).to()
}
