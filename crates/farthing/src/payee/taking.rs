//! A voucher on its way into the ledger, whatever it came by: verified by a worker, charged by the writer.

use super::bounded::Bounded;
use super::contacts::ContactError;
use super::receipts::{Seal, SealError};
use super::store::{Entry, Outcome, PendingCharge, StoreError};
use super::verifying::{Check, Checked, Verdict, Verified};
use super::views::ChainViews;
use super::writer::{ToWrite, Written};
use super::{AcceptError, Payee};
use farthing_core::exposure::{AccountView, CreditTerms, Sight};
use farthing_core::ledger::{ChannelBooks, Charge, ChargeRequest};
use farthing_core::voucher::{Domain, KnownChannel, SignatureError};
use farthing_core::wire::credential::ChannelTerms;
use farthing_core::wire::{Problem, ProblemType, VoucherPayload};
use farthing_core::{Channel, ChannelId, SignedVoucher, Timestamp, VerifiedVoucher};
use std::sync::Arc;

/// A voucher as a payer presents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentedVoucher {
    /// The promise and what stands beside it. Nothing of it is checked yet.
    pub signed: SignedVoucher,
    /// The terms of its channel; without them the payee must know the channel.
    pub terms: Option<ChannelTerms>,
}

impl From<&VoucherPayload> for PresentedVoucher {
    fn from(payload: &VoucherPayload) -> Self {
        Self { signed: payload.signed_voucher(), terms: payload.terms }
    }
}

/// What a voucher was charged, durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The channel's books.
    pub books: ChannelBooks,
    /// The entry.
    pub charge: Charge,
    /// Whether the same request was charged before, and not again now.
    pub again: bool,
}

/// Channels whose signers' keys are known.
pub(super) type KnownChannels = Bounded<ChannelId, Arc<KnownChannel>>;

/// How many channels are known at most. Each is some 400 bytes: 100 MB, if there are so many. Beyond that some are learnt
/// again when they come again, which costs one recovery.
pub(super) const KNOWN_MAX: usize = 262_144;

/// What a worker is given.
pub(super) struct Task {
    signed: SignedVoucher,
    by: Signer,
    /// What was found out together with others, if anything.
    found: Option<Found>,
    request: Option<ChargeRequest>,
    /// Whether what is charged is to have a receipt.
    sealed: bool,
    sight: Sight,
    credit: CreditTerms,
}

/// A voucher whose signature is good, with its channel if that was not known before.
type Found = Result<(VerifiedVoucher, Option<Arc<KnownChannel>>), SignatureError>;

/// Whose signature it has to be.
enum Signer {
    Known(Arc<KnownChannel>),
    /// As the terms say, which the channel's id proves.
    Of(Channel),
}

/// What a worker does. A channel is learnt when its account is in view, and only an account with money on the chain is:
/// to push others out, a stranger has to fund as many channels as there is room for, and keep them busy.
#[derive(Debug)]
pub(super) struct Checking {
    pub(super) domain: Domain,
    pub(super) views: Arc<ChainViews>,
    pub(super) known: Arc<KnownChannels>,
}

impl Check<Box<Task>> for Checking {
    /// Signatures by keys that are known are checked together, and so are those whose signer is yet to be found.
    fn look_ahead<'a>(&self, tasks: impl Iterator<Item = &'a mut Box<Task>>) {
        let (mut known, mut new) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        for task in tasks {
            let Task { signed, by, found, .. } = task.as_mut();
            match &*by {
                Signer::Known(channel) => {
                    known.0.push((*signed, channel.as_ref()));
                    known.1.push(found);
                }
                Signer::Of(channel) => {
                    new.0.push((*signed, channel));
                    new.1.push(found);
                }
            }
        }
        let verified = SignedVoucher::verify_known_together(&known.0, &self.domain).into_iter().map(of_known);
        let met = SignedVoucher::meet_together(&new.0, &self.domain).into_iter().map(of_new);
        for (place, found) in known.1.into_iter().chain(new.1).zip(verified.chain(met)) {
            *place = Some(found);
        }
    }

    fn check(&self, task: Box<Task>) -> Checked {
        let Task { signed, by, found, request, sealed, sight, credit } = *task;
        let found = found.unwrap_or_else(|| match by {
            Signer::Known(known) => of_known(signed.verify_known(&self.domain, &known)),
            Signer::Of(channel) => of_new(signed.meet(&self.domain, &channel)),
        });
        let (voucher, met) = match found {
            Ok(found) => found,
            Err(error) => return Checked::Back(Err(error)),
        };
        match (request, self.views.account_by_id(voucher.account_id(), voucher.voucher().channel_id)) {
            (Some(request), Some(account)) => {
                if let Some(met) = met {
                    self.known.insert(met.id(), met);
                }
                let pending = PendingCharge { voucher, request, account, sight, credit };
                Checked::Ready(ToWrite { entry: Entry::Charge(Box::new(pending)), sealed })
            }
            (request, _) => Checked::Back(Ok(Box::new(Verified { voucher, request }))),
        }
    }
}

fn of_known(verified: Result<VerifiedVoucher, SignatureError>) -> Found {
    verified.map(|voucher| (voucher, None))
}

fn of_new(met: Result<(VerifiedVoucher, KnownChannel), SignatureError>) -> Found {
    met.map(|(voucher, known)| (voucher, Some(Arc::new(known))))
}

impl Payee {
    /// Takes a voucher and charges it, for whoever has a transport of its own: no challenge, no receipt. When it returns,
    /// the charge is durable, and what it is for may be handed out.
    ///
    /// The price is whatever the request says: that the payer agreed to it is for the caller to know. A retry of the same
    /// request with the same voucher is answered again and not charged again.
    ///
    /// # Errors
    ///
    /// If the voucher is refused, or the charge can't be stored; see [`AcceptError`].
    ///
    /// # Cancel safety
    ///
    /// If dropped, the item may be charged all the same; the same voucher is then answered when it comes again.
    pub async fn take(&self, presented: PresentedVoucher, request: ChargeRequest) -> Result<Taken, AcceptError> {
        self.charge(presented, request, false).await.map(|(taken, _)| taken)
    }

    /// The same with what makes a receipt of it.
    pub(super) async fn take_sealed(
        &self,
        presented: PresentedVoucher,
        request: ChargeRequest,
    ) -> Result<(Taken, Seal), AcceptError> {
        let (taken, seal) = self.charge(presented, request, true).await?;
        // Whoever asks for a seal is answered with one.
        let seal = seal.ok_or(StoreError::Closed)??;
        Ok((taken, seal))
    }

    async fn charge(
        &self,
        presented: PresentedVoucher,
        request: ChargeRequest,
        sealed: bool,
    ) -> Result<(Taken, Option<Result<Seal, SealError>>), AcceptError> {
        let (sight, credit) = (self.sight(request.at), self.0.options.credit);
        let by = self.signer(&presented).await?;
        let signed = presented.signed;
        let task = Task { signed, by, found: None, request: Some(request), sealed, sight, credit };
        let Written { outcome, seal } = match self.verify(task).await? {
            Verdict::Written(answer) => answer?,
            Verdict::Back(verified) => {
                let verified = *verified.map_err(|error| Problem::from(&error))?;
                // Seldom, and in a box: else every voucher's future would have the room for it.
                Box::pin(self.charge_at_first_contact(verified, sight, credit, sealed)).await?
            }
            Verdict::Failed => return Err(AcceptError::Interrupted),
        };
        match outcome {
            Outcome::Charged { books, charge, again } => Ok((Taken { books, charge: *charge, again }, seal)),
            Outcome::Refused(refusal) => Err(Problem::of_refusal(&refusal, self.token()).into()),
            // No store answers a charge with anything else.
            _ => Err(StoreError::Closed.into()),
        }
    }

    /// Looks an account up that is not in view yet, and charges it.
    async fn charge_at_first_contact(
        &self,
        Verified { voucher, request }: Verified,
        sight: Sight,
        credit: CreditTerms,
        sealed: bool,
    ) -> Result<Written, AcceptError> {
        let Some(request) = request else { return Err(AcceptError::Interrupted) };
        let account = self.account_view(voucher.channel()).await?;
        let pending = PendingCharge { voucher, request, account, sight, credit };
        Ok(self.0.writer.charge(pending, sealed).await?)
    }

    /// A voucher whose signature is good. Charges nothing.
    pub(super) async fn verified(&self, presented: PresentedVoucher) -> Result<VerifiedVoucher, AcceptError> {
        let by = self.signer(&presented).await?;
        let (sight, credit) = (Sight::Blind, self.0.options.credit);
        let signed = presented.signed;
        let task = Task { signed, by, found: None, request: None, sealed: false, sight, credit };
        match self.verify(task).await? {
            Verdict::Back(Ok(verified)) => Ok(verified.voucher),
            Verdict::Back(Err(error)) => Err(Problem::from(&error).into()),
            Verdict::Written(_) | Verdict::Failed => Err(AcceptError::Interrupted),
        }
    }

    async fn verify(&self, task: Task) -> Result<Verdict, AcceptError> {
        // In a box, for it changes hands several times, and the queue has room for thousands.
        Ok(self.0.verifying.verify(Box::new(task)).await?)
    }

    /// Whose signature it has to be: known from an earlier voucher, or as the terms say, which were sent along and proven
    /// by the id, or are those of a channel that is in view or in the ledger.
    async fn signer(&self, presented: &PresentedVoucher) -> Result<Signer, AcceptError> {
        let identity = &self.0.options.identity;
        let channel_id = presented.signed.voucher.channel_id;
        if let Some(known) = self.0.known.get(&channel_id) {
            return match presented.terms {
                Some(terms) if terms != ChannelTerms::from(known.channel()) => Err(self.other_terms(channel_id)),
                _ => Ok(Signer::Known(known)),
            };
        }
        if let Some(terms) = &presented.terms {
            let channel = terms.channel(identity.payee, identity.token);
            if channel.id(&identity.deployment) != channel_id {
                return Err(self.other_terms(channel_id));
            }
            return Ok(Signer::Of(channel));
        }
        if let Some(channel) = self.0.views.terms_of(channel_id) {
            return Ok(Signer::Of(channel));
        }
        let books = self.0.store.books(channel_id).await?;
        books.map(|books| Signer::Of(books.channel)).ok_or_else(|| {
            AcceptError::new(ProblemType::ChannelNotFound, "this channel is not known here; send its terms along")
        })
    }

    fn other_terms(&self, channel_id: ChannelId) -> AcceptError {
        let identity = &self.0.options.identity;
        let detail = format!(
            "the terms are not those of channel {channel_id} to payee {} in {}",
            identity.payee, identity.deployment
        );
        AcceptError::new(ProblemType::VerificationFailed, detail)
    }

    async fn account_view(&self, channel: &Channel) -> Result<Arc<AccountView>, AcceptError> {
        let inner = &self.0;
        let view = inner.contacts.account_of(&inner.views, inner.source.as_ref(), channel).await;
        view.map_err(|error| match error {
            ContactError::Busy => {
                let detail = "too many new accounts at once; nothing was charged, try again";
                AcceptError::new(ProblemType::Unavailable, detail)
            }
            ContactError::Chain(error) => error.into(),
        })
    }

    /// How well the chain is in view.
    fn sight(&self, now: Timestamp) -> Sight {
        let age = now.seconds_since(self.0.views.seen_at());
        // In half an exit delay no close can have been requested and finalized unseen, with as long again to redeem.
        if age > self.0.options.exit_delay / 2 {
            Sight::Blind
        } else if age > self.0.options.stale_after_seconds || self.0.views.is_disputed() {
            Sight::Stale
        } else {
            Sight::Clear
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::escrow::Funds;
    use crate::payee::views::Reading;
    use alloy::signers::SignerSync;
    use alloy::signers::local::PrivateKeySigner;
    use farthing_core::ledger::RequestId;
    use farthing_core::{Address, Amount, B256, Deployment, Voucher, VoucherSignature};

    const DEPLOYMENT: Deployment = Deployment { chain_id: 31_337, escrow: Address::repeat_byte(0x33) };

    struct Desk {
        domain: Domain,
        key: PrivateKeySigner,
        views: Arc<ChainViews>,
        known: Arc<KnownChannels>,
    }

    impl Desk {
        fn new(room: usize) -> Self {
            Self {
                domain: Domain::new(DEPLOYMENT),
                key: PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap(),
                views: Arc::new(ChainViews::new(DEPLOYMENT)),
                known: Arc::new(KnownChannels::new(room)),
            }
        }

        fn channel(&self, salt: u8) -> Channel {
            let payer = self.key.address();
            let salt = B256::repeat_byte(salt);
            Channel { payer, payee: Address::repeat_byte(2), token: Address::ZERO, salt, authorized_signer: payer }
        }

        fn fund(&self, channel: &Channel) {
            let head = Funds { account_balance: Amount::new(1_000), ..Funds::default() };
            self.views.enter(channel, &Reading { head, ..Reading::default() });
        }

        fn sign(&self, channel: &Channel, cumulative: u128) -> SignedVoucher {
            let voucher = Voucher { channel_id: channel.id(&DEPLOYMENT), cumulative_amount: Amount::new(cumulative) };
            let signature = self.key.sign_hash_sync(&voucher.digest(&self.domain)).unwrap().as_bytes();
            voucher.with_signature(VoucherSignature::from_bytes(&signature).unwrap())
        }

        fn knows(&self, channel: &Channel) -> Option<Arc<KnownChannel>> {
            self.known.get(&channel.id(&DEPLOYMENT))
        }

        /// As [`Payee::take`] asks for it.
        fn task(&self, channel: &Channel, signed: SignedVoucher) -> Task {
            let request = ChargeRequest {
                price: Amount::new(1),
                item: "/a".to_owned(),
                request: RequestId::new("GET", "/a"),
                reservation_required: false,
                at: Timestamp::from_unix_seconds(0),
            };
            let by = self.knows(channel).map_or(Signer::Of(*channel), Signer::Known);
            let credit = CreditTerms { limit: Amount::ZERO, first: None, strangers_per_day: Amount::ZERO };
            let request = Some(request);
            Task { signed, by, found: None, request, sealed: false, sight: Sight::Clear, credit }
        }

        /// As a worker does it with what it took at once.
        fn check_all(&self, tasks: Vec<Task>) -> Vec<Checked> {
            let Self { domain, views, known, .. } = self;
            let checking = Checking { domain: *domain, views: Arc::clone(views), known: Arc::clone(known) };
            let mut tasks: Vec<_> = tasks.into_iter().map(Box::new).collect();
            checking.look_ahead(tasks.iter_mut());
            tasks.into_iter().map(|task| checking.check(task)).collect()
        }

        fn check(&self, channel: &Channel, signed: SignedVoucher) -> Checked {
            self.check_all(vec![self.task(channel, signed)]).remove(0)
        }
    }

    /// Several rounds, so that keys are known well enough to be looked at together, between strangers and forgeries.
    #[test]
    fn each_of_those_looked_at_together_is_judged_by_its_own_signature() {
        let desk = Desk::new(100);
        let channels: Vec<Channel> = (0..21).map(|salt| desk.channel(salt)).collect();
        channels.iter().skip(1).for_each(|channel| desk.fund(channel));
        for round in 1..=6_u128 {
            let is_forged = |number: usize| (number as u128 + round).is_multiple_of(4);
            let tasks = channels.iter().enumerate().map(|(number, channel)| {
                let mut signed = desk.sign(channel, round);
                if is_forged(number) {
                    signed.signature = desk.sign(channel, round + 100).signature;
                }
                desk.task(channel, signed)
            });
            for (number, checked) in desk.check_all(tasks.collect()).into_iter().enumerate() {
                match checked {
                    Checked::Ready(ToWrite { entry: Entry::Charge(pending), .. }) => {
                        assert!(number > 0 && !is_forged(number), "{round}: {number} has not signed");
                        let voucher = pending.voucher.voucher();
                        assert_eq!(voucher.channel_id, channels[number].id(&DEPLOYMENT), "another's");
                        assert_eq!(voucher.cumulative_amount, Amount::new(round));
                    }
                    Checked::Back(Err(_)) => assert!(is_forged(number), "{round}: {number} has signed"),
                    other => assert!(number == 0 && !is_forged(0), "{round}: {number}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_channel_that_was_let_go_of_is_learnt_again() {
        let desk = Desk::new(1);
        let channels: Vec<Channel> = (0..40).map(|salt| desk.channel(salt)).collect();
        channels.iter().for_each(|channel| desk.fund(channel));
        for round in 1..=2 {
            for channel in &channels {
                assert_eq!(desk.knows(channel), None, "forty don't fit in a set of eight");
                let checked = desk.check(channel, desk.sign(channel, round));
                assert!(matches!(checked, Checked::Ready(_)), "{checked:?}");
                assert_eq!(desk.knows(channel).unwrap().channel(), channel);
            }
        }
    }

    #[test]
    fn whoever_has_no_money_on_the_chain_takes_nobodys_place() {
        let desk = Desk::new(1);
        let regular = desk.channel(0);
        desk.fund(&regular);
        desk.check(&regular, desk.sign(&regular, 1));
        for salt in 1..100 {
            let stranger = desk.channel(salt);
            let checked = desk.check(&stranger, desk.sign(&stranger, 1));
            assert!(matches!(checked, Checked::Back(Ok(_))), "its first contact is not a worker's: {checked:?}");
            assert_eq!(desk.knows(&stranger), None);
        }
        assert!(desk.knows(&regular).is_some());
    }

    #[test]
    fn a_forged_voucher_goes_no_further_and_teaches_nothing() {
        let desk = Desk::new(1);
        let channel = desk.channel(0);
        desk.fund(&channel);
        let forged = SignedVoucher { signature: desk.sign(&channel, 2).signature, ..desk.sign(&channel, 1) };
        assert!(matches!(desk.check(&channel, forged), Checked::Back(Err(_))));
        assert_eq!(desk.knows(&channel), None);
        assert!(matches!(desk.check(&channel, desk.sign(&channel, 1)), Checked::Ready(_)));
        assert!(matches!(desk.check(&channel, forged), Checked::Back(Err(_))));
    }
}
