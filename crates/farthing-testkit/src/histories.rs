//! Random histories of a payee's ledger: few people, few channels and small amounts, so that everything meets everything.

use farthing::PrivateKeySigner;
use farthing::core::exposure::{AccountView, ChannelFunds, ChannelView, CreditTerms, Sight};
use farthing::core::ledger::{ChargeRequest, RequestId};
use farthing::core::voucher::Domain;
use farthing::core::{
    Address, Amount, B256, Channel, ChannelId, Deployment, Timestamp, VerifiedVoucher, Voucher, VoucherSignature,
};
use farthing::payee::LedgerIdentity;
use farthing::payee::store::{Entry, Outcome, PendingCharge, Redemption, RedemptionState};
use farthing::signer::SignerSync;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Midnight of a day on which histories begin.
const BEGINNING: u64 = 1_800_057_600;

/// Whose ledger the histories belong to.
#[must_use]
pub fn identity() -> LedgerIdentity {
    let deployment = Deployment { chain_id: 31_337, escrow: Address::repeat_byte(0x33) };
    LedgerIdentity { deployment, payee: Address::repeat_byte(0x77), token: Address::repeat_byte(0x11) }
}

/// A key of somebody who signs.
#[must_use]
pub fn signer(index: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(index + 1)).expect("a key")
}

/// A signer's channel to the payee of [`identity`].
#[must_use]
pub fn channel(signer: &PrivateKeySigner, salt: u8) -> Channel {
    let LedgerIdentity { payee, token, .. } = identity();
    let payer = signer.address();
    Channel { payer, payee, token, salt: B256::repeat_byte(salt), authorized_signer: payer }
}

/// A verified voucher of a channel.
#[must_use]
pub fn voucher(signer: &PrivateKeySigner, channel: &Channel, cumulative: u128) -> VerifiedVoucher {
    let domain = Domain::new(identity().deployment);
    let channel_id = channel.id(&identity().deployment);
    let voucher = Voucher { channel_id, cumulative_amount: Amount::new(cumulative) };
    let signature = signer.sign_hash_sync(&voucher.digest(&domain)).expect("signs").as_bytes();
    let signature = VoucherSignature::from_bytes(&signature).expect("a canonical signature");
    voucher.with_signature(signature).verify(&domain, channel).expect("its own signer's")
}

/// Terms under which nobody is ever refused for credit.
#[must_use]
pub const fn generous() -> CreditTerms {
    let enough = Amount::new(1 << 100);
    CreditTerms { limit: enough, first: Some(enough), strangers_per_day: enough }
}

/// A charge to an account that has enough, under [`generous`] terms.
#[must_use]
pub fn charge(voucher: VerifiedVoucher, price: u128, item: &str) -> Entry {
    let account = AccountView { balance: Amount::new(1 << 100), ..AccountView::default() };
    Entry::Charge(Box::new(PendingCharge {
        voucher,
        request: request(price, item, BEGINNING, false),
        account: Arc::new(account),
        sight: Sight::Clear,
        credit: generous(),
    }))
}

fn request(price: u128, item: &str, at: u64, reservation_required: bool) -> ChargeRequest {
    ChargeRequest {
        price: Amount::new(price),
        item: item.to_owned(),
        request: RequestId::new("GET", item),
        reservation_required,
        at: Timestamp::from_unix_seconds(at),
    }
}

/// Draws entries one after the other. The same seed draws the same ones.
#[derive(Debug)]
pub struct History {
    random: StdRng,
    people: Vec<(PrivateKeySigner, Vec<Channel>)>,
    /// Verified vouchers, for a signature takes longer than all the rest.
    vouchers: BTreeMap<(ChannelId, u128), VerifiedVoucher>,
    /// The vouchers drawn so far.
    drawn: Vec<(ChannelId, u128)>,
    /// The fences that were given out, as far as this was told.
    fences: Vec<u64>,
    lease_clock: u64,
    now: u64,
    tight: bool,
}

impl History {
    /// A history under `tight` credit, in which most limits are met, or under generous ones.
    #[must_use]
    pub fn new(seed: u64, tight: bool) -> Self {
        let people = (0..8).map(|index| {
            let signer = signer(index);
            let channels = (0..2).map(|salt| channel(&signer, salt)).collect();
            (signer, channels)
        });
        let random = StdRng::seed_from_u64(seed);
        let (vouchers, drawn, fences) = (BTreeMap::new(), Vec::new(), vec![1]);
        Self {
            random,
            people: people.collect(),
            vouchers,
            drawn,
            fences,
            lease_clock: BEGINNING,
            now: BEGINNING,
            tight,
        }
    }

    /// Hears what was answered: later entries have the fences that were given out.
    pub fn hear(&mut self, outcomes: &[Outcome]) {
        self.fences.extend(outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Leased(lease) => Some(lease.fence),
            _ => None,
        }));
    }

    /// The next batch.
    pub fn batch(&mut self) -> Vec<Entry> {
        let length = self.random.random_range(1..12);
        (0..length).map(|_| self.entry()).collect()
    }

    fn entry(&mut self) -> Entry {
        self.now += self.random.random_range(0..2_000);
        match self.random.random_range(0..28) {
            0..=2 => self.redeemed(),
            3..=5 => self.credit(),
            6..=7 => self.lease(),
            8..=9 => self.redemption(),
            _ => self.charge(),
        }
    }

    fn charge(&mut self) -> Entry {
        let (signer, channels) = self.people.choose(&mut self.random).expect("people").clone();
        let channel = *channels.choose(&mut self.random).expect("channels");
        let channel_id = channel.id(&identity().deployment);
        let cumulative = match self.random.random_range(0..40) {
            0 => 1 << 104,
            1 => 0,
            _ => self.random.random_range(1..30),
        };
        let known = self.vouchers.entry((channel_id, cumulative));
        let voucher = *known.or_insert_with(|| voucher(&signer, &channel, cumulative));
        self.drawn.push((channel_id, cumulative));
        let item = format!("/{}", self.random.random_range(0..12));
        let price = self.random.random_range(0..9);
        let reservation_required = self.random.random_ratio(1, 12);
        let sight = if self.tight { self.sight() } else { Sight::Clear };
        Entry::Charge(Box::new(PendingCharge {
            voucher,
            request: request(price, &item, self.now, reservation_required && self.tight),
            account: Arc::new(self.account(&channels)),
            sight,
            credit: if self.tight { self.credit_terms() } else { generous() },
        }))
    }

    fn sight(&mut self) -> Sight {
        match self.random.random_range(0..20) {
            0 => Sight::Blind,
            1 => Sight::Stale,
            _ => Sight::Clear,
        }
    }

    fn credit_terms(&mut self) -> CreditTerms {
        let first = self.random.random_bool(0.5).then_some(Amount::new(10));
        CreditTerms { limit: Amount::new(30), first, strangers_per_day: Amount::new(20) }
    }

    /// What the chain shows of an account: some of its channels, each with or without money of its own.
    fn account(&mut self, channels: &[Channel]) -> AccountView {
        if !self.tight {
            return AccountView { balance: Amount::new(1 << 100), ..AccountView::default() };
        }
        let mut view = AccountView { balance: Amount::new(self.random.random_range(0..150)), ..AccountView::default() };
        for channel in channels {
            if self.random.random_bool(0.7) {
                let channel_view = ChannelView { head: self.funds(), confirmed: self.funds() };
                view.channels.insert(channel.id(&identity().deployment), (*channel, channel_view));
            }
        }
        view
    }

    fn funds(&mut self) -> ChannelFunds {
        let mut amount = |ratio: u32| {
            let some = self.random.random_ratio(ratio, 10);
            Amount::new(if some { self.random.random_range(0..40) } else { 0 })
        };
        let (redeemed, reserved) = (amount(3), amount(4));
        let close_at = self.random.random_ratio(1, 8).then(|| Timestamp::from_unix_seconds(self.now + 3_600));
        ChannelFunds { redeemed, reserved, close_at }
    }

    /// A voucher of the history, or one that never was.
    fn earlier(&mut self) -> (ChannelId, u128) {
        let stranger = (ChannelId(B256::repeat_byte(0xee)), 5);
        if self.random.random_ratio(1, 20) {
            stranger
        } else {
            *self.drawn.choose(&mut self.random).unwrap_or(&stranger)
        }
    }

    fn redeemed(&mut self) -> Entry {
        let (channel_id, cumulative) = self.earlier();
        let redeemed = Amount::new(cumulative.min(60));
        let at = Timestamp::from_unix_seconds(self.now);
        Entry::Redeemed { channel_id, redeemed, block: self.now / 12, at }
    }

    fn credit(&mut self) -> Entry {
        let (channel_id, cumulative) = self.earlier();
        let amount = self.random.random_bool(0.5).then(|| Amount::new(self.random.random_range(0..9)));
        let at = Timestamp::from_unix_seconds(self.now);
        Entry::Credit { channel_id, cumulative_amount: Amount::new(cumulative), amount, at }
    }

    /// One of three asks, renews or gives back, soon after the last one. Their clocks differ by a minute, and now and
    /// then one is hours ahead.
    fn lease(&mut self) -> Entry {
        let holder = B256::repeat_byte(self.random.random_range(1..4));
        self.lease_clock += self.random.random_range(0..200);
        let ahead = if self.random.random_ratio(1, 12) { 10_000 } else { self.random.random_range(0..60) };
        let at = Timestamp::from_unix_seconds(self.lease_clock + ahead);
        let lasts = if self.random.random_ratio(1, 3) { 0 } else { self.random.random_range(1..1_000) };
        Entry::Lease { holder, at, until: at.plus_seconds(lasts) }
    }

    /// One of a few transactions becomes something, under the lease of now, of before or of never, or under none.
    fn redemption(&mut self) -> Entry {
        let (gas_used, gas_price, block) = (100_000, 7, self.now / 12);
        let state = match self.random.random_range(0..4) {
            0 => RedemptionState::Sent,
            1 => RedemptionState::Mined { block, gas_used, gas_price },
            2 => RedemptionState::Final { block, gas_used, gas_price },
            _ => RedemptionState::Failed,
        };
        let last = self.fences.len().saturating_sub(2);
        let fence = match self.random.random_range(0..5) {
            0 => None,
            1 => Some(self.fences.len() as u64 + 1),
            _ => self.fences.get(last..).and_then(|fences| fences.choose(&mut self.random)).copied(),
        };
        let nonce = self.random.random_range(0..12);
        let redemption = Redemption {
            hash: B256::left_padding_from(&[self.random.random_range(1..3), nonce]),
            sender: Address::repeat_byte(2),
            nonce: nonce.into(),
            fees: farthing::chain::Fees { max_fee_per_gas: 4, max_priority_fee_per_gas: 5 },
            vouchers: Vec::new(),
            closes: true,
            at: Timestamp::from_unix_seconds(BEGINNING),
            state,
        };
        Entry::Redemption { redemption, fence }
    }
}
