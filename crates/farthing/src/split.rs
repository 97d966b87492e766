//! Splits: a payee that belongs to several. Where a genuine one lives, and a method for each thing that is done with
//! it.
//!
//! A split's terms are the end of its code, and its address follows from its code (CREATE2). So whoever is shown terms
//! that give the payee's address knows that they are the payee's, without asking any chain.
//!
//! ```no_run
//! # use farthing::{chain::Chain, core::Address};
//! # async fn example(chain: Chain, operator: Address) -> Result<(), Box<dyn std::error::Error>> {
//! use farthing::core::{ Member, SplitTerms};
//! use farthing::escrow::{EXIT_DELAY_DEFAULT, genuine_address};
//!
//! let shares = [(Address::repeat_byte(1), 2), (Address::repeat_byte(2), 1)];
//! let members = shares.map(|(account, shares)| Member { account, shares }).to_vec();
//! let terms = SplitTerms::new(genuine_address(EXIT_DELAY_DEFAULT), operator, operator, members)?;
//! let split = farthing::split::deploy(&chain, &terms).await?.split;
//! // Serve with `split.address()` as the payee and redeem; then, for each token:
//! for part in split.parts(Address::ZERO).await? {
//!     split.release(Address::ZERO, part.member.account).await?;
//! }
//! # Ok(())
//! # }
//! ```

use crate::chain::{Chain, ChainError, Mined, to_amount};
use crate::escrow::CREATE2_DEPLOYER;
use alloy::eips::BlockNumberOrTag;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::{SolCall, SolInterface, SolValue};
use farthing_core::split::SplitTermsError;
use farthing_core::{Amount, Member, SplitTerms};

#[expect(missing_docs, reason = "generated from the ABI; IRevenueSplit.sol documents it")]
pub mod bindings {
    alloy::sol!(
        #[derive(Debug, PartialEq, Eq)]
        RevenueSplit,
        "abi/RevenueSplit.json"
    );

    /// In a module of its own: both ABIs have the terms' types.
    pub mod factory {
        alloy::sol!(
            #[derive(Debug, PartialEq, Eq)]
            RevenueSplitFactory,
            "abi/RevenueSplitFactory.json"
        );
    }
}

use bindings::RevenueSplit as abi;
use bindings::factory::RevenueSplitFactory as factory_abi;

/// The nonce with which a contract creates its first contract (EIP-161).
const FIRST_NONCE: u64 = 1;

/// What every clone's creation code begins with, but for its length: copy the rest, and return it.
const CLONE_HEAD: [u8; 17] =
    [0x3d, 0x81, 0x60, 0x0a, 0x3d, 0x39, 0xf3, 0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d, 0x3d, 0x36, 0x3d, 0x73];

/// What follows the implementation's address: call it on the clone's own storage, and hand on what it says.
const CLONE_TAIL: [u8; 15] = [0x5a, 0xf4, 0x3d, 0x82, 0x80, 0x3e, 0x90, 0x3d, 0x91, 0x60, 0x2b, 0x57, 0xfd, 0x5b, 0xf3];

/// The length of a clone's code without its terms.
const CLONE_LENGTH: usize = 0x2d;

/// How much longer a clone's creation code is than its code.
const CLONE_CREATION_LENGTH: usize = 10;

/// The longest code of a contract (EIP-170).
const CODE_MAX: usize = 24_576;

/// The address of the genuine factory, the same on every chain: CREATE2 with the standard deployer and salt zero.
#[must_use]
pub fn factory_address() -> Address {
    CREATE2_DEPLOYER.create2_from_code(B256::ZERO, factory_abi::BYTECODE.as_ref())
}

/// The address of the genuine split of these terms, the same on every chain. Whether it is there, only the chain can
/// say.
#[must_use]
pub fn split_address(terms: &SplitTerms) -> Address {
    factory_address().create2_from_code(B256::ZERO, clone_code(terms))
}

/// The creation code of the clone with these terms behind it.
fn clone_code(terms: &SplitTerms) -> Vec<u8> {
    let arguments = to_abi_terms(terms).abi_encode();
    let length = CLONE_LENGTH.saturating_add(arguments.len());
    // What is longer is longer than a contract's code may be as well: such a split is never there.
    let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let implementation = factory_address().create(FIRST_NONCE);
    [&[0x61], &length[..], &CLONE_HEAD, implementation.as_slice(), &CLONE_TAIL, &arguments].concat()
}

/// Thrown when a split can't do what is asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// The chain, or the contract's refusal.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Terms that no split has.
    #[error(transparent)]
    Terms(#[from] SplitTermsError),
    /// There is no contract at the address.
    #[error("there is no contract at {split} on chain {chain_id}")]
    NoCode {
        /// Where it was looked for.
        split: Address,
        /// The chain.
        chain_id: u64,
    },
    /// A contract, but no split; or its terms are not those that its address commits to.
    #[error("{address} on chain {chain_id} is not a genuine split: {reason}")]
    NotGenuine {
        /// What was looked at.
        address: Address,
        /// The chain.
        chain_id: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// More members than fit.
    #[error("a split of {members} members is longer than a contract's code may be")]
    TooLong {
        /// How many there are.
        members: usize,
    },
    /// The chain lacks the standard deployer.
    #[error("chain {chain_id} has no CREATE2 deployer at {CREATE2_DEPLOYER}")]
    NoDeployer {
        /// The chain.
        chain_id: u64,
    },
    /// Somebody who has no part in it.
    #[error("{account} is not a member of split {split}")]
    NotMember {
        /// Who was named.
        account: Address,
        /// The split.
        split: Address,
    },
}

/// What [`deploy`] did.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The split.
    pub split: Split,
    /// The transactions that put factory and split there; none if both were there.
    pub mined: Vec<Mined>,
}

/// Creates the split of these terms, unless it is there already; before it the factory, if this chain has none.
///
/// # Errors
///
/// If the chain has no CREATE2 deployer, the terms are too long, or a transaction fails.
pub async fn deploy(chain: &Chain, terms: &SplitTerms) -> Result<Deployed, SplitError> {
    let (factory, address) = (factory_address(), split_address(terms));
    let split = Split { chain: chain.clone(), address, terms: terms.clone() };
    let mut mined = Vec::new();
    if chain.has_code(address).await? {
        return Ok(Deployed { split, mined });
    }
    if clone_code(terms).len() > CODE_MAX.saturating_add(CLONE_CREATION_LENGTH) {
        return Err(SplitError::TooLong { members: terms.members().len() });
    }
    if !chain.has_code(factory).await? {
        mined.push(deploy_factory(chain).await?);
    }
    let call = factory_abi::createCall { terms: to_factory_terms(terms) };
    mined.push(chain.send(request(factory, &call)).await?);
    if !chain.has_code(address).await? {
        return Err(SplitError::NoCode { split: address, chain_id: chain.chain_id() });
    }
    Ok(Deployed { split, mined })
}

async fn deploy_factory(chain: &Chain) -> Result<Mined, SplitError> {
    if !chain.has_code(CREATE2_DEPLOYER).await? {
        return Err(SplitError::NoDeployer { chain_id: chain.chain_id() });
    }
    let mut input = B256::ZERO.to_vec();
    input.extend_from_slice(&factory_abi::BYTECODE);
    Ok(chain.send(TransactionRequest::default().with_to(CREATE2_DEPLOYER).with_input(input)).await?)
}

/// What a member is due and was sent of one token, at one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whose it is.
    pub member: Member,
    /// What a release would send it now.
    pub due: Amount,
    /// What it was sent so far.
    pub released: Amount,
}

/// One split on one chain. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Split {
    chain: Chain,
    address: Address,
    terms: SplitTerms,
}

impl Split {
    /// Reads a split's terms and makes sure that they are those that its address commits to.
    ///
    /// # Errors
    ///
    /// If there is no code or no genuine split, or the chain does not answer.
    pub async fn bind(chain: Chain, address: Address) -> Result<Self, SplitError> {
        let chain_id = chain.chain_id();
        let code = chain.provider().get_code_at(address).await.map_err(|error| chain.error(&error))?;
        if code.is_empty() {
            return Err(SplitError::NoCode { split: address, chain_id });
        }
        let not_genuine = |reason: String| SplitError::NotGenuine { address, chain_id, reason };
        // Read from the code and not asked of it: what a stranger's code answers says nothing.
        let terms = terms_in(&code).map_err(not_genuine)?;
        let genuine = split_address(&terms);
        if genuine != address {
            return Err(not_genuine(format!("a split of its terms would be at {genuine}")));
        }
        Ok(Self { chain, address, terms })
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// What it is for ever.
    #[must_use]
    pub const fn terms(&self) -> &SplitTerms {
        &self.terms
    }

    /// The connection underneath.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What a member is due of a token, or of the native coin if it is zero, at the head.
    ///
    /// # Errors
    ///
    /// If the account is no member, or the chain does not answer.
    pub async fn releasable(&self, token: Address, account: Address) -> Result<Amount, SplitError> {
        self.member(account)?;
        let due = self.read(abi::releasableCall { token, member: account }, BlockNumberOrTag::Latest).await?;
        Ok(to_amount(due)?)
    }

    /// What every member is due and was sent of a token, all at one block.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn parts(&self, token: Address) -> Result<Vec<Part>, SplitError> {
        let head = self.chain.block(BlockNumberOrTag::Latest).await?;
        let block = head.map_or(BlockNumberOrTag::Latest, |head| BlockNumberOrTag::Number(head.number));
        let mut parts = Vec::with_capacity(self.terms.members().len());
        for member in self.terms.members() {
            let due = self.read(abi::releasableCall { token, member: member.account }, block).await?;
            let released = self.read(abi::releasedCall { token, member: member.account }, block).await?;
            parts.push(Part { member: *member, due: to_amount(due)?, released: to_amount(released)? });
        }
        Ok(parts)
    }

    /// Sends a member what it is due. Anyone may.
    ///
    /// # Errors
    ///
    /// If the account is no member, it is due nothing, the transaction fails, or the chain does not answer.
    pub async fn release(&self, token: Address, account: Address) -> Result<Mined, SplitError> {
        self.member(account)?;
        self.send(&abi::releaseCall { token, member: account }).await
    }

    /// Sends what the sender, a member, is due to another address: for one that a token has blocked.
    ///
    /// # Errors
    ///
    /// If the sender is no member or is due nothing, the transaction fails, or the chain does not answer.
    pub async fn release_to(&self, token: Address, to: Address) -> Result<Mined, SplitError> {
        self.member(self.chain.sender().ok_or(ChainError::ReadOnly)?)?;
        self.send(&abi::releaseToCall { token, to }).await
    }

    fn member(&self, account: Address) -> Result<&Member, SplitError> {
        let member = self.terms.members().iter().find(|member| member.account == account);
        member.ok_or(SplitError::NotMember { account, split: self.address })
    }

    async fn send(&self, call: &impl SolCall) -> Result<Mined, SplitError> {
        Ok(self.chain.send(request(self.address, call)).await?)
    }

    async fn read(&self, call: impl SolCall<Return = U256>, block: BlockNumberOrTag) -> Result<U256, SplitError> {
        let answer = self.chain.call(request(self.address, &call), block).await?;
        // Nothing at all is the answer of an address without code: the chain has undone the block that created it.
        U256::abi_decode(&answer)
            .map_err(|_| SplitError::NoCode { split: self.address, chain_id: self.chain.chain_id() })
    }
}

fn request(to: Address, call: &impl SolCall) -> TransactionRequest {
    TransactionRequest::default().with_to(to).with_input(call.abi_encode())
}

fn to_abi_terms(terms: &SplitTerms) -> abi::SplitTerms {
    let member = |member: &Member| abi::Member { account: member.account, shares: U256::from(member.shares) };
    abi::SplitTerms {
        escrow: terms.escrow(),
        operator: terms.operator(),
        receiptKey: terms.receipt_key(),
        members: terms.members().iter().map(member).collect(),
    }
}

fn to_factory_terms(terms: &SplitTerms) -> factory_abi::SplitTerms {
    let member = |member: &Member| factory_abi::Member { account: member.account, shares: U256::from(member.shares) };
    factory_abi::SplitTerms {
        escrow: terms.escrow(),
        operator: terms.operator(),
        receiptKey: terms.receipt_key(),
        members: terms.members().iter().map(member).collect(),
    }
}

/// The terms at the end of a clone's code.
fn terms_in(code: &[u8]) -> Result<SplitTerms, String> {
    let terms = code.get(CLONE_LENGTH..).ok_or("its code is too short")?;
    let terms = abi::SplitTerms::abi_decode(terms).map_err(|_| "its code holds no terms")?;
    from_abi_terms(&terms).map_err(|error| error.to_string())
}

fn from_abi_terms(terms: &abi::SplitTerms) -> Result<SplitTerms, SplitTermsError> {
    // Shares beyond 64 bits are too many in any case; the check below says so.
    let shares = |shares: U256| u64::try_from(shares).unwrap_or(u64::MAX);
    let member = |member: &abi::Member| Member { account: member.account, shares: shares(member.shares) };
    let members = terms.members.iter().map(member).collect();
    SplitTerms::as_they_are(terms.escrow, terms.operator, terms.receiptKey, members)
}

/// What a revert of a split or its factory means, in words, with the values in it; `None` if it is none of theirs.
pub(crate) fn explain_revert(data: &[u8]) -> Option<String> {
    use abi::RevenueSplitErrors as Errors;
    if let Ok(error) = Errors::abi_decode(data) {
        return Some(match error {
            Errors::NotMember(error) => format!("{} is not a member of the split", error.account),
            Errors::NothingToRelease(error) => format!("{} is due nothing of this token", error.member),
            Errors::InvalidRecipient(error) => format!("money sent to {} would be lost", error.recipient),
            Errors::ReleaseInProgress(_) => "the token calls back while it is being sent".to_owned(),
        });
    }
    factory_abi::RevenueSplitFactoryErrors::abi_decode(data).ok().map(|error| format!("{error:?}"))
}
