//! The escrow contract: where a genuine one lives, and a method for each function that payers and payees use here.

use crate::chain::{Chain, ChainError, Mined, Place, SignedTransaction, to_amount};
use crate::token::{self, SignedPermit};
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, Bytes, U256, address};
use alloy::providers::Provider;
use alloy::rpc::types::{Filter, TransactionRequest};
use alloy::sol_types::{SolCall, SolEvent, SolValue};
use farthing_core::batch::pack_rows;
use farthing_core::exposure::ChannelFunds;
use farthing_core::wire::{RelayOrder, SignedAuthorization};
use farthing_core::{AcceptedVoucher, Account, Amount, Channel, Deployment, Timestamp, VoucherSignature};
use std::collections::BTreeSet;

mod reverts;

pub(crate) use reverts::explain_revert;

#[expect(missing_docs, reason = "generated from the ABI; IEscrow.sol documents it")]
pub mod bindings {
    alloy::sol!(
        #[derive(Debug, PartialEq, Eq)]
        Escrow,
        "abi/Escrow.json"
    );
}

use bindings::Escrow as abi;

/// The CREATE2 deployer that stands at the same address on practically every chain, anvil included.
pub const CREATE2_DEPLOYER: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// The exit delay of an escrow unless its deployer wants another: a day, because chains have stood still for hours.
pub const EXIT_DELAY_DEFAULT: u64 = 86_400;

/// The bounds that the contract sets to its exit delay, in seconds.
pub const EXIT_DELAY_BOUNDS: std::ops::RangeInclusive<u64> = 3_600..=2_592_000;

/// Creation code with the exit delay behind it.
fn initialisation_code(exit_delay: u64) -> Vec<u8> {
    let mut code = abi::BYTECODE.to_vec();
    code.extend_from_slice(&U256::from(exit_delay).abi_encode());
    code
}

/// The address of the genuine escrow with this exit delay (in seconds), the same on every chain: CREATE2 with the
/// standard deployer and salt zero (EIP-1014).
#[must_use]
pub fn genuine_address(exit_delay: u64) -> Address {
    CREATE2_DEPLOYER.create2_from_code(B256::ZERO, initialisation_code(exit_delay))
}

/// Whether this is the genuine escrow with this exit delay. Whether it has code there, only the chain can say.
#[must_use]
pub fn is_genuine(escrow: Address, exit_delay: u64) -> bool {
    EXIT_DELAY_BOUNDS.contains(&exit_delay) && escrow == genuine_address(exit_delay)
}

/// What [`deploy`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Where the escrow is.
    pub deployment: Deployment,
    /// The transaction that put it there; `None` if it was already there.
    pub mined: Option<Mined>,
}

/// Deploys the genuine escrow with an exit delay in seconds, unless it is there already.
///
/// # Errors
///
/// If the exit delay is out of bounds, the chain has no CREATE2 deployer, or the transaction fails.
pub async fn deploy(chain: &Chain, exit_delay: u64) -> Result<Deployed, EscrowError> {
    if !EXIT_DELAY_BOUNDS.contains(&exit_delay) {
        return Err(EscrowError::ExitDelay { exit_delay });
    }
    let escrow = genuine_address(exit_delay);
    let deployment = Deployment { chain_id: chain.chain_id(), escrow };
    if chain.has_code(escrow).await? {
        return Ok(Deployed { deployment, mined: None });
    }
    if !chain.has_code(CREATE2_DEPLOYER).await? {
        return Err(EscrowError::NoDeployer { chain_id: chain.chain_id() });
    }
    let mut input = B256::ZERO.to_vec();
    input.extend(initialisation_code(exit_delay));
    let request = TransactionRequest::default().with_to(CREATE2_DEPLOYER).with_input(input);
    let mined = chain.send(request).await?;
    if !chain.has_code(escrow).await? {
        return Err(EscrowError::NoCode { deployment });
    }
    Ok(Deployed { deployment, mined: Some(mined) })
}

/// Thrown when an escrow can't do what is asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EscrowError {
    /// The chain, or the contract's refusal.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// There is no contract at the address.
    #[error("there is no contract at {deployment}")]
    NoCode {
        /// Where it was looked for.
        deployment: Deployment,
    },
    /// An exit delay that the contract does not take.
    #[error("an exit delay of {exit_delay} s is outside 3600 s (an hour) to 2592000 s (30 days)")]
    ExitDelay {
        /// What was asked for.
        exit_delay: u64,
    },
    /// The chain lacks the standard deployer.
    #[error("chain {chain_id} has no CREATE2 deployer at {CREATE2_DEPLOYER}")]
    NoDeployer {
        /// The chain.
        chain_id: u64,
    },
    /// A voucher that no batch can carry.
    #[error(transparent)]
    Row(#[from] farthing_core::batch::RowError),
    /// Fewer nodes answered than have to.
    #[error("{answered} of the chain's nodes answered, and {required} have to")]
    TooFewNodes {
        /// How many did.
        answered: usize,
        /// How many have to.
        required: usize,
    },
    /// The contract answered with something else than its ABI says.
    #[error("the answer is not an escrow's: {0}")]
    Answer(String),
}

/// Money behind a channel, at one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Funds {
    /// The channel's own.
    pub channel: ChannelFunds,
    /// The balance of the account behind it.
    pub account_balance: Amount,
}

/// One escrow on one chain. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Escrow {
    chain: Chain,
    deployment: Deployment,
}

impl Escrow {
    /// Binds an escrow and makes sure that there is a contract: money sent to an empty address is gone.
    ///
    /// # Errors
    ///
    /// If there is no code, or the chain does not answer.
    pub async fn bind(chain: Chain, escrow: Address) -> Result<Self, EscrowError> {
        let deployment = Deployment { chain_id: chain.chain_id(), escrow };
        if !chain.has_code(escrow).await? {
            return Err(EscrowError::NoCode { deployment });
        }
        Ok(Self { chain, deployment })
    }

    /// Binds an escrow over a node that may be down now. [`Escrow::check`] finds out whether it is there.
    #[must_use]
    pub const fn bind_later(chain: Chain, escrow: Address) -> Self {
        let deployment = Deployment { chain_id: chain.chain_id(), escrow };
        Self { chain, deployment }
    }

    /// Makes sure that the node serves the chain that it is thought to, and that there is a contract.
    ///
    /// # Errors
    ///
    /// If it serves another chain, there is no code, or it does not answer.
    pub async fn check(&self) -> Result<(), EscrowError> {
        self.chain.check_chain().await?;
        if !self.chain.has_code(self.deployment.escrow).await? {
            return Err(EscrowError::NoCode { deployment: self.deployment });
        }
        Ok(())
    }

    /// Which escrow this is.
    #[must_use]
    pub const fn deployment(&self) -> Deployment {
        self.deployment
    }

    /// The connection underneath.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The exit delay in seconds.
    ///
    /// # Errors
    ///
    /// If the chain does not answer, or this is no escrow.
    pub async fn exit_delay(&self) -> Result<u64, EscrowError> {
        let delay = self.read(abi::exitDelayCall {}, BlockNumberOrTag::Latest).await?;
        u64::try_from(delay).map_err(|_| EscrowError::Answer(format!("an exit delay of {delay} s")))
    }

    /// An account's balance at the head.
    ///
    /// # Errors
    ///
    /// If the chain does not answer, or this is no escrow.
    pub async fn account_balance(&self, account: &Account) -> Result<Amount, EscrowError> {
        let call = abi::accountStateCall { id: account.id().0 };
        let state = self.read(call, BlockNumberOrTag::Latest).await?;
        Ok(to_amount(U256::from(state.balance))?)
    }

    /// The money behind a channel at a block, channel and account read in one call.
    ///
    /// # Errors
    ///
    /// If the chain does not answer, or this is no escrow.
    pub async fn funds_of(&self, channel: &Channel, block: BlockNumberOrTag) -> Result<Funds, EscrowError> {
        self.funds_at(channel, block.into()).await
    }

    /// The same at a block that may be named by its hash: a node that has not seen that one says so.
    ///
    /// # Errors
    ///
    /// If the chain does not answer or does not know the block, or this is no escrow.
    pub async fn funds_at(&self, channel: &Channel, block: BlockId) -> Result<Funds, EscrowError> {
        let funds = self.read(abi::fundsOfCall { channel: to_abi_channel(channel) }, block).await?;
        let (channel, account) = (funds._0, funds._1);
        let close_at: u64 = channel.closeAt.to();
        Ok(Funds {
            channel: ChannelFunds {
                redeemed: to_amount(U256::from(channel.redeemed))?,
                reserved: to_amount(U256::from(channel.reserved))?,
                close_at: (close_at != 0).then(|| Timestamp::from_unix_seconds(close_at)),
            },
            account_balance: to_amount(U256::from(account.balance))?,
        })
    }

    /// An account's nonce at the head: how many withdrawals were relayed, and what the next one has to name.
    ///
    /// # Errors
    ///
    /// If the chain does not answer, or this is no escrow.
    pub async fn account_nonce(&self, account: &Account) -> Result<u64, EscrowError> {
        let call = abi::accountStateCall { id: account.id().0 };
        Ok(self.read(call, BlockNumberOrTag::Latest).await?.nonce)
    }

    /// What the relayed withdrawal with this nonce moved and to whom, if it is in one of the blocks from `from` on.
    ///
    /// # Errors
    ///
    /// If the chain does not answer.
    pub async fn relayed_withdrawal(
        &self,
        account: &Account,
        nonce: u64,
        from: u64,
    ) -> Result<Option<(Amount, Address)>, EscrowError> {
        let filter = Filter::new().address(self.deployment.escrow).from_block(from);
        let filter = filter.event_signature(abi::WithdrawnFor::SIGNATURE_HASH).topic1(account.id().0);
        let logs = self.chain.provider().get_logs(&filter).await.map_err(|error| self.chain.error(&error))?;
        let events = logs.iter().filter_map(|log| abi::WithdrawnFor::decode_log(&log.inner).ok());
        let event = events.into_iter().find(|event| event.nonce == U256::from(nonce));
        event.map(|event| Ok((to_amount(event.amount)?, event.to))).transpose()
    }

    /// Adds the sender's money to an account. The escrow is allowed to take exactly the amount: by a permit in the same
    /// transaction if the token takes one, else by an approval before it. All transactions are returned.
    ///
    /// # Errors
    ///
    /// If a transaction fails or the chain does not answer.
    pub async fn deposit(&self, account: &Account, amount: Amount) -> Result<Vec<Mined>, EscrowError> {
        let (account, token) = (to_abi_account(account), account.token);
        let units = U256::from(amount.base_units());
        let plain = abi::depositCall { account: account.clone(), amount: units };
        let with_permit = |permit| abi::depositWithPermitCall { account, amount: units, permit };
        self.fund(token, amount, &plain, with_permit).await
    }

    /// Adds the sender's money to a channel's reservation.
    ///
    /// # Errors
    ///
    /// If a transaction fails or the chain does not answer.
    pub async fn open(&self, channel: &Channel, amount: Amount) -> Result<Vec<Mined>, EscrowError> {
        let (channel, token) = (to_abi_channel(channel), channel.token);
        let units = U256::from(amount.base_units());
        let plain = abi::openCall { channel: channel.clone(), amount: units };
        let with_permit = |permit| abi::openWithPermitCall { channel, amount: units, permit };
        self.fund(token, amount, &plain, with_permit).await
    }

    async fn fund<P: SolCall>(
        &self,
        token: Address,
        amount: Amount,
        plain: &impl SolCall,
        with_permit: impl FnOnce(abi::Permit) -> P,
    ) -> Result<Vec<Mined>, EscrowError> {
        let (chain, escrow, units) = (&self.chain, self.deployment.escrow, U256::from(amount.base_units()));
        if token.is_zero() {
            return Ok(vec![chain.send(self.request(plain).with_value(units)).await?]);
        }
        let mut transactions = Vec::new();
        if token::allowance(chain, token, escrow).await? < units {
            if let Some(permit) = token::sign_permit(chain, token, escrow, amount).await? {
                match chain.sign(self.request(&with_permit(to_abi_permit(&permit)))).await {
                    Ok(signed) => return Ok(vec![chain.broadcast(signed).await?.into()]),
                    // A permit of another kind than EIP-2612's, perhaps. Nothing was sent; an approval says the same.
                    Err(ChainError::Reverted { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            transactions.extend(token::approve_if_needed(chain, token, escrow, amount).await?);
        }
        transactions.push(chain.send(self.request(plain)).await?);
        Ok(transactions)
    }

    /// Signs, without sending, what a payer has signed for a relay to send. Signing simulates: what the chain would
    /// refuse is an error here.
    ///
    /// # Errors
    ///
    /// If it would revert, or the chain does not answer.
    pub async fn sign_relayed(&self, order: &RelayOrder, place: Place) -> Result<SignedTransaction, EscrowError> {
        let amount = U256::from(order.amount().base_units());
        let request = match order {
            RelayOrder::Deposit { account, authorization, .. } => {
                let (account, authorization) = (to_abi_account(account), to_abi_authorization(authorization));
                self.request(&abi::depositWithAuthorizationCall { account, amount, authorization })
            }
            RelayOrder::Open { channel, authorization, .. } => {
                let (channel, authorization) = (to_abi_channel(channel), to_abi_authorization(authorization));
                self.request(&abi::openWithAuthorizationCall { channel, amount, authorization })
            }
            RelayOrder::Withdrawal { withdrawal, signature } => self.request(&abi::withdrawForCall {
                account: to_abi_account(&withdrawal.account),
                amount,
                to: withdrawal.to,
                deadline: U256::from(withdrawal.deadline.unix_seconds()),
                signature: signature.to_bytes().into(),
            }),
        };
        Ok(self.chain.sign_at(request, place).await?)
    }

    /// Moves money from the sender's account into a channel's reservation.
    ///
    /// # Errors
    ///
    /// If the transaction fails or the chain does not answer.
    pub async fn reserve(&self, channel: &Channel, amount: Amount) -> Result<Mined, EscrowError> {
        let amount = U256::from(amount.base_units());
        self.send(abi::reserveCall { channel: to_abi_channel(channel), amount }).await
    }

    /// Signs, without sending, the redemption of vouchers of one payee and one token: one voucher by `redeem`, several
    /// by `redeemBatch`. Signing simulates: what would pay nothing is an error here.
    ///
    /// # Errors
    ///
    /// If nothing would be paid, or the chain does not answer.
    pub async fn sign_redemption(
        &self,
        vouchers: &[AcceptedVoucher],
        place: Place,
    ) -> Result<SignedTransaction, EscrowError> {
        let request = self.redemption_request(vouchers)?;
        Ok(self.chain.sign_at(request, place).await?)
    }

    /// What redeeming these vouchers in one transaction would pay at the head.
    ///
    /// # Errors
    ///
    /// If nothing would be paid, or the chain does not answer.
    pub async fn simulate_redemption(&self, vouchers: &[AcceptedVoucher]) -> Result<Amount, EscrowError> {
        let request = self.redemption_request(vouchers)?;
        let answer = self.chain.call(request, BlockNumberOrTag::Latest).await?;
        if answer.is_empty() {
            return Err(EscrowError::NoCode { deployment: self.deployment });
        }
        // Both functions return one word: what was paid.
        let paid = abi::redeemBatchCall::abi_decode_returns(&answer);
        Ok(to_amount(paid.map_err(|error| EscrowError::Answer(error.to_string()))?)?)
    }

    fn redemption_request(&self, vouchers: &[AcceptedVoucher]) -> Result<TransactionRequest, EscrowError> {
        Ok(match vouchers {
            [] => return Err(EscrowError::Answer("no voucher to redeem".to_owned())),
            [voucher] => self.request(&abi::redeemCall {
                channel: to_abi_channel(voucher.channel()),
                cumulativeAmount: voucher.voucher().cumulative_amount.base_units(),
                signature: voucher.signature().to_bytes().into(),
            }),
            [first, ..] => self.request(&abi::redeemBatchCall {
                payee: first.channel().payee,
                token: first.channel().token,
                rows: pack_rows(vouchers)?.into(),
            }),
        })
    }

    /// Signs, without sending, a close: redeems `voucher`, if there is one to redeem, and gives the unused reservation
    /// back to the payer. Only the payee and its operators can.
    ///
    /// # Errors
    ///
    /// If nothing is reserved, or the chain does not answer.
    pub async fn sign_close(
        &self,
        channel: &Channel,
        voucher: Option<&AcceptedVoucher>,
        place: Place,
    ) -> Result<SignedTransaction, EscrowError> {
        let (cumulative, signature) = voucher.map_or((Amount::ZERO, Bytes::new()), |voucher| {
            (voucher.voucher().cumulative_amount, voucher.signature().to_bytes().into())
        });
        let channel = to_abi_channel(channel);
        let request = self.request(&abi::closeCall { channel, cumulativeAmount: cumulative.base_units(), signature });
        Ok(self.chain.sign_at(request, place).await?)
    }

    /// Starts a channel's exit delay. Only the payer can.
    ///
    /// # Errors
    ///
    /// If the transaction fails or the chain does not answer.
    pub async fn request_close(&self, channel: &Channel) -> Result<Mined, EscrowError> {
        self.send(abi::requestCloseCall { channel: to_abi_channel(channel) }).await
    }

    /// Gives the unused reservation back to the payer once the exit delay has run.
    ///
    /// # Errors
    ///
    /// If the transaction fails or the chain does not answer.
    pub async fn finalize_close(&self, channel: &Channel) -> Result<Mined, EscrowError> {
        self.send(abi::finalizeCloseCall { channel: to_abi_channel(channel) }).await
    }

    /// Takes money out of an account of the sender.
    ///
    /// # Errors
    ///
    /// If the transaction fails or the chain does not answer.
    pub async fn withdraw(&self, account: &Account, amount: Amount, to: Address) -> Result<Mined, EscrowError> {
        let amount = U256::from(amount.base_units());
        self.send(abi::withdrawCall { account: to_abi_account(account), amount, to }).await
    }

    /// Lets a key close the sender's channels, or forbids it. It can never say where money goes.
    ///
    /// # Errors
    ///
    /// If the transaction fails or the chain does not answer.
    pub async fn set_operator(&self, operator: Address, allowed: bool) -> Result<Mined, EscrowError> {
        self.send(abi::setOperatorCall { operator, allowed }).await
    }

    /// Whether a key may close a payee's channels, at the head.
    ///
    /// # Errors
    ///
    /// If the chain does not answer, or this is no escrow.
    pub async fn is_operator(&self, payee: Address, operator: Address) -> Result<bool, EscrowError> {
        self.read(abi::isOperatorCall { payee, operator }, BlockNumberOrTag::Latest).await
    }

    /// The keys that may close a payee's channels now, by what the escrow has logged since the chain began.
    ///
    /// # Errors
    ///
    /// If the chain does not answer, or does not look that far back.
    pub async fn operators_of(&self, payee: Address) -> Result<BTreeSet<Address>, EscrowError> {
        let filter = Filter::new().address(self.deployment.escrow).from_block(BlockNumberOrTag::Earliest);
        let filter = filter.event_signature(abi::OperatorSet::SIGNATURE_HASH).topic1(payee.into_word());
        let logs = self.chain.provider().get_logs(&filter).await.map_err(|error| self.chain.error(&error))?;
        let mut operators = BTreeSet::new();
        for event in logs.iter().filter_map(|log| abi::OperatorSet::decode_log(&log.inner).ok()) {
            if event.allowed {
                operators.insert(event.operator);
            } else {
                operators.remove(&event.operator);
            }
        }
        Ok(operators)
    }

    fn request(&self, call: &impl SolCall) -> TransactionRequest {
        TransactionRequest::default().with_to(self.deployment.escrow).with_input(call.abi_encode())
    }

    async fn send(&self, call: impl SolCall) -> Result<Mined, EscrowError> {
        Ok(self.chain.send(self.request(&call)).await?)
    }

    async fn read<C: SolCall>(&self, call: C, block: impl Into<BlockId>) -> Result<C::Return, EscrowError> {
        let answer = self.chain.call_at(self.request(&call), block.into()).await?;
        // Every function of the escrow returns something, so nothing at all means that nobody was there to answer.
        if answer.is_empty() {
            return Err(EscrowError::NoCode { deployment: self.deployment });
        }
        C::abi_decode_returns(&answer).map_err(|error| EscrowError::Answer(error.to_string()))
    }
}

fn to_abi_account(account: &Account) -> abi::Account {
    abi::Account { payer: account.payer, authorizedSigner: account.authorized_signer, token: account.token }
}

fn to_abi_channel(channel: &Channel) -> abi::Channel {
    abi::Channel {
        payer: channel.payer,
        payee: channel.payee,
        token: channel.token,
        salt: channel.salt,
        authorizedSigner: channel.authorized_signer,
    }
}

/// A signature as tokens take it: v, r and s apart.
fn split_signature(signature: VoucherSignature) -> (u8, B256, B256) {
    let bytes = signature.to_bytes();
    (bytes[64], B256::from_slice(&bytes[..32]), B256::from_slice(&bytes[32..64]))
}

fn to_abi_permit(permit: &SignedPermit) -> abi::Permit {
    let (v, r, s) = split_signature(permit.signature);
    abi::Permit { deadline: U256::from(permit.deadline.unix_seconds()), v, r, s }
}

fn to_abi_authorization(authorization: &SignedAuthorization) -> abi::Authorization {
    let (v, r, s) = split_signature(authorization.signature);
    abi::Authorization {
        validAfter: U256::from(authorization.valid_after.unix_seconds()),
        validBefore: U256::from(authorization.valid_before.unix_seconds()),
        salt: authorization.salt,
        v,
        r,
        s,
    }
}
