//! The payee's ledger once more, as short and as slow as it can be: nothing is kept but the history, and every answer is
//! worked out from it anew.
//!
//! It shares no rule with the crates under test: amounts are plain integers, sums are added up each time, and what it is
//! asked is turned into its own words first.

use farthing::core::exposure::{ChannelFunds, Sight};
use farthing::core::ledger::{CreditRefusal, Refusal, RequestId};
use farthing::core::{AccountId, Address, Amount, B256, Channel, ChannelId};
use farthing::payee::store::{Entry, Outcome, PendingCharge, Redemption, RedemptionState};
use std::collections::BTreeMap;

/// What a store has to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is named as what it expects")]
pub enum Expected {
    Charged { spent: u128, accepted: u128, again: bool },
    Refused(&'static str),
    Credited { credited: u128, again: bool },
    Noted,
    Leased { fence: u64, until: u64 },
    Held { fence: u64, until: u64 },
    Fenced { fence: u64 },
}

impl Expected {
    /// Every answer that there is, by its name.
    pub const NAMES: [&str; 21] = [
        "charged",
        "charged again",
        "too large",
        "already charged",
        "underpaid",
        "reservation required",
        "close requested",
        "insufficient balance",
        "credit exhausted",
        "strangers exhausted",
        "stale chain",
        "credited",
        "credited again",
        "no such charge",
        "too much",
        "nothing",
        "already credited",
        "noted",
        "leased",
        "held",
        "fenced",
    ];

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Charged { again: false, .. } => "charged",
            Self::Charged { again: true, .. } => "charged again",
            Self::Refused(refusal) => refusal,
            Self::Credited { again: false, .. } => "credited",
            Self::Credited { again: true, .. } => "credited again",
            Self::Noted => "noted",
            Self::Leased { .. } => "leased",
            Self::Held { .. } => "held",
            Self::Fenced { .. } => "fenced",
        }
    }

    /// The same of what a store has answered.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        let units = |amount: Amount| amount.base_units();
        match outcome {
            Outcome::Charged { books, again, .. } => {
                Self::Charged { spent: units(books.spent), accepted: units(books.accepted), again: *again }
            }
            Outcome::Refused(refusal) => Self::Refused(match refusal {
                Refusal::TooLarge { .. } => "too large",
                Refusal::AlreadyCharged { .. } => "already charged",
                Refusal::Underpaid { .. } => "underpaid",
                Refusal::ReservationRequired { .. } => "reservation required",
                Refusal::CloseRequested => "close requested",
                Refusal::InsufficientBalance { .. } => "insufficient balance",
                Refusal::CreditExhausted { .. } => "credit exhausted",
                Refusal::StrangersExhausted { .. } => "strangers exhausted",
                Refusal::StaleChain => "stale chain",
                other => panic!("the model does not know {other:?}"),
            }),
            Outcome::Credited { books, again, .. } => Self::Credited { credited: units(books.credited), again: *again },
            Outcome::NotCredited(refusal) => Self::Refused(match refusal {
                CreditRefusal::NoSuchCharge { .. } => "no such charge",
                CreditRefusal::TooMuch { .. } => "too much",
                CreditRefusal::Nothing { .. } => "nothing",
                CreditRefusal::AlreadyCredited { .. } => "already credited",
                other => panic!("the model does not know {other:?}"),
            }),
            Outcome::Noted => Self::Noted,
            Outcome::Leased(lease) => Self::Leased { fence: lease.fence, until: lease.until.unix_seconds() },
            Outcome::Held(lease) => Self::Held { fence: lease.fence, until: lease.until.unix_seconds() },
            Outcome::Fenced(lease) => Self::Fenced { fence: lease.fence },
        }
    }
}

/// A charge of the history.
#[derive(Clone, Debug)]
pub struct ModelCharge {
    channel: Channel,
    channel_id: ChannelId,
    cumulative: u128,
    price: u128,
    request: RequestId,
    at: u64,
    day: u64,
    unearned: u128,
    credited: Option<u128>,
}

/// A rule that a model gets wrong on purpose: comparing against it has to fail, or the comparison proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is named as what it gets wrong")]
pub enum Mistake {
    CopiesAreChargedAgain,
    AnyVoucherRepeats,
    PromisesAreSpentTwice,
    OneUnitTooMuchIsSpent,
    CreditIsPerChannel,
    AClosingReservationCounts,
    TheBetterViewCounts,
    HistoryEarnsOnceWhatWasRedeemed,
    StrangersHaveNoDay,
    AStaleViewGivesCredit,
    WhatIsGivenBackStaysDue,
    MoreThanThePriceIsGivenBack,
    RedeemedGoesDown,
    ALeaseIsTakenWhileItIsGood,
    ALeaseThatRanOutIsNeverTaken,
    ALeaseIsAsLongAsItIsAskedFor,
    AClockAheadKeepsOthersOut,
    ARenewalMovesTheFence,
    ANewHolderHasTheOldFence,
    AFenceComesAgain,
    ALeaseIsKeptThoughGivenBack,
    AnyoneGivesALeaseBack,
    AnOldFenceWrites,
    AFenceOfTheFutureWrites,
    WhatIsFencedIsWritten,
    WhatIsFinalIsUndone,
    WhatIsMinedIsSettled,
    OweSinceTheHighestCharge,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::CopiesAreChargedAgain,
        Self::AnyVoucherRepeats,
        Self::PromisesAreSpentTwice,
        Self::OneUnitTooMuchIsSpent,
        Self::CreditIsPerChannel,
        Self::AClosingReservationCounts,
        Self::TheBetterViewCounts,
        Self::HistoryEarnsOnceWhatWasRedeemed,
        Self::StrangersHaveNoDay,
        Self::AStaleViewGivesCredit,
        Self::WhatIsGivenBackStaysDue,
        Self::MoreThanThePriceIsGivenBack,
        Self::RedeemedGoesDown,
        Self::ALeaseIsTakenWhileItIsGood,
        Self::ALeaseThatRanOutIsNeverTaken,
        Self::ALeaseIsAsLongAsItIsAskedFor,
        Self::AClockAheadKeepsOthersOut,
        Self::ARenewalMovesTheFence,
        Self::ANewHolderHasTheOldFence,
        Self::AFenceComesAgain,
        Self::ALeaseIsKeptThoughGivenBack,
        Self::AnyoneGivesALeaseBack,
        Self::AnOldFenceWrites,
        Self::AFenceOfTheFutureWrites,
        Self::WhatIsFencedIsWritten,
        Self::WhatIsFinalIsUndone,
        Self::WhatIsMinedIsSettled,
        Self::OweSinceTheHighestCharge,
    ];
}

/// A lease that was given: to whom, and until when, in seconds.
#[derive(Clone, Copy, Debug)]
struct ModelLease {
    holder: B256,
    until: u64,
    fence: u64,
}

/// The history, and what the chain has finally paid.
#[derive(Clone, Debug, Default)]
pub struct LedgerModel {
    charges: Vec<ModelCharge>,
    redeemed: BTreeMap<ChannelId, u128>,
    /// Every lease that was ever given, the one of now at the end.
    leases: Vec<ModelLease>,
    /// Everything that was ever written about redemptions.
    redemptions: Vec<Redemption>,
    mistake: Option<Mistake>,
}

impl LedgerModel {
    /// A model that gets one rule wrong.
    #[must_use]
    pub fn with_mistake(mistake: Mistake) -> Self {
        Self { mistake: Some(mistake), ..Self::default() }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// What an entry has to be answered with; the history goes on from there.
    pub fn post(&mut self, entry: &Entry) -> Expected {
        match entry {
            Entry::Charge(pending) => self.charge(pending),
            Entry::Credit { channel_id, cumulative_amount, amount, .. } => {
                self.credit(*channel_id, cumulative_amount.base_units(), amount.map(Amount::base_units))
            }
            Entry::Redeemed { channel_id, redeemed, .. } => {
                if self.knows(*channel_id) {
                    let known = self.redeemed.entry(*channel_id).or_default();
                    let redeemed = redeemed.base_units();
                    *known =
                        if self.mistake == Some(Mistake::RedeemedGoesDown) { redeemed } else { redeemed.max(*known) };
                }
                Expected::Noted
            }
            Entry::Redemption { redemption, fence } => self.redemption(redemption, *fence),
            Entry::Relayed(_) => Expected::Noted,
            Entry::Lease { holder, at, until } => self.lease(*holder, at.unix_seconds(), until.unix_seconds()),
        }
    }

    /// A store that one process has is opened anew: whoever had the lease is gone.
    pub fn forget_leases(&mut self) {
        self.leases.clear();
    }

    fn redemption(&mut self, redemption: &Redemption, fence: Option<u64>) -> Expected {
        let current = self.leases.last().map_or(0, |lease| lease.fence);
        let is_current = |fence: u64| match fence {
            0 => false,
            fence if fence < current => self.makes(Mistake::AnOldFenceWrites),
            fence if fence > current => self.makes(Mistake::AFenceOfTheFutureWrites),
            _ => true,
        };
        let is_fenced = fence.is_some_and(|fence| !is_current(fence));
        if !is_fenced || self.makes(Mistake::WhatIsFencedIsWritten) {
            self.redemptions.push(redemption.clone());
        }
        if is_fenced { Expected::Fenced { fence: current } } else { Expected::Noted }
    }

    fn lease(&mut self, holder: B256, at: u64, until: u64) -> Expected {
        let last = self.leases.last().copied();
        let is_own = last.is_some_and(|last| last.holder == holder);
        if until <= at {
            let gives_back = is_own && !self.makes(Mistake::ALeaseIsKeptThoughGivenBack);
            if let Some(last) = last.filter(|_| gives_back || self.makes(Mistake::AnyoneGivesALeaseBack)) {
                self.leases.push(ModelLease { until: 0, ..last });
            }
            return Expected::Noted;
        }
        let (longest, until) = if self.makes(Mistake::ALeaseIsAsLongAsItIsAskedFor) {
            (u64::MAX, until)
        } else {
            (at + 600, until.min(at + 600))
        };
        let longest = if self.makes(Mistake::AClockAheadKeepsOthersOut) { u64::MAX } else { longest };
        let is_old = |last: &ModelLease| last.until <= at && !self.makes(Mistake::ALeaseThatRanOutIsNeverTaken);
        let is_good = last.is_some_and(|last| last.until <= longest && !is_old(&last));
        let held = last.filter(|_| is_good && !is_own && !self.makes(Mistake::ALeaseIsTakenWhileItIsGood));
        if let Some(ModelLease { fence, until, .. }) = held {
            return Expected::Held { fence, until };
        }
        let mut highest = self.leases.iter().map(|lease| lease.fence).max().unwrap_or(0);
        if self.makes(Mistake::AFenceComesAgain) && last.is_some_and(|last| last.until == 0) {
            highest = 0;
        }
        let keeps = if is_own { !self.makes(Mistake::ARenewalMovesTheFence) } else { false };
        let keeps = keeps || (last.is_some() && self.makes(Mistake::ANewHolderHasTheOldFence));
        let fence = if keeps { highest } else { highest + 1 };
        self.leases.push(ModelLease { holder, until, fence });
        Expected::Leased { fence, until }
    }

    /// What became of each redemption: what was written last, or what was written when it was final.
    #[must_use]
    pub fn redemptions(&self) -> BTreeMap<B256, RedemptionState> {
        let mut states: BTreeMap<B256, RedemptionState> = BTreeMap::new();
        for redemption in &self.redemptions {
            let state = states.entry(redemption.hash).or_insert(redemption.state);
            if !matches!(state, RedemptionState::Final { .. }) || self.makes(Mistake::WhatIsFinalIsUndone) {
                *state = redemption.state;
            }
        }
        states
    }

    /// Those of them that the chain may still have another word on.
    #[must_use]
    pub fn unsettled(&self) -> BTreeMap<B256, RedemptionState> {
        let mut states = self.redemptions();
        states.retain(|_, state| match state {
            RedemptionState::Sent => true,
            RedemptionState::Mined { .. } => !self.makes(Mistake::WhatIsMinedIsSettled),
            RedemptionState::Final { .. } | RedemptionState::Failed => false,
        });
        states
    }

    /// The channels that owe something, and since when.
    #[must_use]
    pub fn owing(&self) -> BTreeMap<ChannelId, u64> {
        let since = |channel_id: &ChannelId| {
            let above = |charge: &&ModelCharge| charge.cumulative > self.redeemed(*channel_id);
            let charges = self.of_channel(*channel_id).filter(above);
            let highest = self.makes(Mistake::OweSinceTheHighestCharge);
            let key = |charge: &&ModelCharge| if highest { u128::MAX - charge.cumulative } else { charge.cumulative };
            charges.min_by_key(key).map(|charge| charge.at)
        };
        let owes = |channel_id: &ChannelId| self.due(*channel_id) > self.redeemed(*channel_id);
        self.channels().into_iter().filter(owes).filter_map(|id| Some((id, since(&id)?))).collect()
    }

    /// The history of one channel.
    pub fn of_channel(&self, channel_id: ChannelId) -> impl Iterator<Item = &ModelCharge> {
        self.charges.iter().filter(move |charge| charge.channel_id == channel_id)
    }

    /// Accepted, spent, credited and redeemed of a channel.
    #[must_use]
    pub fn books(&self, channel_id: ChannelId) -> Option<[u128; 4]> {
        let accepted = self.of_channel(channel_id).map(|charge| charge.cumulative).max()?;
        let spent = self.of_channel(channel_id).map(|charge| charge.price).sum();
        let credited = self.of_channel(channel_id).filter_map(|charge| charge.credited).sum();
        Some([accepted, spent, credited, self.redeemed(channel_id)])
    }

    /// The highest voucher that is due and not redeemed.
    #[must_use]
    pub fn redeemable(&self, channel_id: ChannelId) -> Option<u128> {
        let due = self.due(channel_id);
        let vouchers = self.of_channel(channel_id).map(|charge| charge.cumulative);
        vouchers.filter(|cumulative| *cumulative <= due && *cumulative > self.redeemed(channel_id)).max()
    }

    /// What a key has bought.
    pub fn purchases(&self) -> impl Iterator<Item = (Address, RequestId)> {
        self.charges.iter().map(|charge| (charge.channel.authorized_signer, charge.request))
    }

    /// All channels of the history.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelId> {
        let mut channels: Vec<ChannelId> = self.charges.iter().map(|charge| charge.channel_id).collect();
        channels.sort();
        channels.dedup();
        channels
    }

    /// How many items were sold.
    #[must_use]
    pub fn sold(&self) -> usize {
        self.charges.len()
    }

    fn knows(&self, channel_id: ChannelId) -> bool {
        self.of_channel(channel_id).next().is_some()
    }

    fn redeemed(&self, channel_id: ChannelId) -> u128 {
        self.redeemed.get(&channel_id).copied().unwrap_or(0)
    }

    fn due(&self, channel_id: ChannelId) -> u128 {
        let given_back = |charge: &ModelCharge| match charge.credited {
            Some(credited) if !self.makes(Mistake::WhatIsGivenBackStaysDue) => credited,
            _ => 0,
        };
        self.of_channel(channel_id).map(|charge| charge.price - given_back(charge)).sum()
    }

    fn charge(&mut self, pending: &PendingCharge) -> Expected {
        let voucher = pending.voucher.voucher();
        let (channel_id, cumulative) = (voucher.channel_id, voucher.cumulative_amount.base_units());
        let price = pending.request.price.base_units();
        let before = self.books(channel_id).unwrap_or_default();
        if let Some(earlier) = self.of_channel(channel_id).find(|charge| charge.cumulative == cumulative) {
            let same = earlier.request == pending.request.request || self.makes(Mistake::AnyVoucherRepeats);
            return if same && self.makes(Mistake::CopiesAreChargedAgain) {
                Expected::Charged { spent: before[1] + price, accepted: before[0], again: false }
            } else if same {
                Expected::Charged { spent: before[1], accepted: before[0], again: true }
            } else {
                Expected::Refused("already charged")
            };
        }
        if cumulative >= 1 << 104 {
            return Expected::Refused("too large");
        }
        let accepted = before[0].max(cumulative);
        let free = u128::from(self.makes(Mistake::OneUnitTooMuchIsSpent));
        let spent = if self.makes(Mistake::PromisesAreSpentTwice) { before[1] / 2 } else { before[1] };
        if spent + price > accepted + free {
            return Expected::Refused("underpaid");
        }
        match self.unearned(pending, price) {
            Err(refusal) => Expected::Refused(refusal),
            Ok(unearned) => {
                self.charges.push(ModelCharge {
                    channel: *pending.voucher.channel(),
                    channel_id,
                    cumulative,
                    price,
                    request: pending.request.request,
                    at: pending.request.at.unix_seconds(),
                    day: pending.request.at.day(),
                    unearned,
                    credited: None,
                });
                Expected::Charged { spent: before[1] + price, accepted, again: false }
            }
        }
    }

    /// Whether the account may owe it, and how much of it is credit that nothing has earned.
    fn unearned(&self, pending: &PendingCharge, price: u128) -> Result<u128, &'static str> {
        let channel_id = pending.voucher.voucher().channel_id;
        let (before, after) = (self.due(channel_id), self.due(channel_id) + price);
        let exposed_before = self.exposed(pending, channel_id, before);
        let exposed = self.exposed(pending, channel_id, after);
        if pending.sight == Sight::Blind {
            return Err("stale chain");
        }
        let more = exposed.saturating_sub(exposed_before);
        if more == 0 {
            return Ok(0);
        }
        if pending.request.reservation_required {
            let closing = view(pending, channel_id).is_some_and(|[head, _]| head.close_at.is_some());
            return Err(if closing { "close requested" } else { "reservation required" });
        }
        if pending.sight == Sight::Stale && !self.makes(Mistake::AStaleViewGivesCredit) {
            return Err("stale chain");
        }
        let account = pending.voucher.channel().account().id();
        let channels: Vec<ChannelId> =
            self.channels().into_iter().filter(|id| self.account_of(*id) == account).collect();
        let alone = self.makes(Mistake::CreditIsPerChannel);
        let others = channels.iter().filter(|id| **id != channel_id && !alone);
        let owed: u128 = exposed
            + others
                .map(|id| match view(pending, *id) {
                    Some(_) => self.exposed(pending, *id, self.due(*id)),
                    None => self.due(*id).saturating_sub(self.redeemed(*id)),
                })
                .sum::<u128>();
        if owed > pending.account.balance.base_units() {
            return Err("insufficient balance");
        }
        let history: u128 = channels.iter().map(|id| self.redeemed(*id)).sum();
        let first = pending.credit.first.map_or(price, Amount::base_units);
        let earned = if self.makes(Mistake::HistoryEarnsOnceWhatWasRedeemed) { history } else { 2 * history };
        if owed > earned.max(first).min(pending.credit.limit.base_units()) {
            return Err("credit exhausted");
        }
        let unearned = more.min(owed.saturating_sub(earned));
        let day = pending.request.at.day();
        let same_day = |charge: &&ModelCharge| charge.day == day || self.makes(Mistake::StrangersHaveNoDay);
        let today: u128 = self.charges.iter().filter(same_day).map(|charge| charge.unearned).sum();
        if unearned > 0 && today + unearned > pending.credit.strangers_per_day.base_units() {
            return Err("strangers exhausted");
        }
        Ok(unearned)
    }

    /// What of a channel's debt nothing guarantees, in the worse of the two views; a reservation whose close is requested
    /// guarantees nothing.
    fn exposed(&self, pending: &PendingCharge, channel_id: ChannelId, due: u128) -> u128 {
        let [head, confirmed] = view(pending, channel_id).unwrap_or_default();
        let covered = |funds: &ChannelFunds| {
            let leaving = head.close_at.is_some() || funds.close_at.is_some();
            let counts = !leaving || self.makes(Mistake::AClosingReservationCounts);
            funds.redeemed.base_units() + if counts { funds.reserved.base_units() } else { 0 }
        };
        let lost = [&head, &confirmed].map(|funds| due.saturating_sub(covered(funds)));
        if self.makes(Mistake::TheBetterViewCounts) { lost[0].min(lost[1]) } else { lost[0].max(lost[1]) }
    }

    fn account_of(&self, channel_id: ChannelId) -> AccountId {
        self.of_channel(channel_id)
            .next()
            .map(|charge| charge.channel.account().id())
            .expect("a channel of the history")
    }

    fn credit(&mut self, channel_id: ChannelId, cumulative: u128, amount: Option<u128>) -> Expected {
        let (books, generous) = (self.books(channel_id), self.makes(Mistake::MoreThanThePriceIsGivenBack));
        let charges = self.charges.iter_mut();
        let mut charge = charges.filter(|charge| charge.channel_id == channel_id && charge.cumulative == cumulative);
        let Some((charge, books)) = charge.next().zip(books) else { return Expected::Refused("no such charge") };
        let amount = amount.unwrap_or(charge.price);
        match charge.credited {
            Some(credited) if credited == amount => Expected::Credited { credited: books[2], again: true },
            Some(_) => Expected::Refused("already credited"),
            None if amount == 0 => Expected::Refused("nothing"),
            None if amount > charge.price && !generous => Expected::Refused("too much"),
            None => {
                charge.credited = Some(amount);
                Expected::Credited { credited: books[2] + amount, again: false }
            }
        }
    }
}

/// A channel's money at the head and at the last final block.
fn view(pending: &PendingCharge, channel_id: ChannelId) -> Option<[ChannelFunds; 2]> {
    pending.account.channels.get(channel_id).map(|(_, view)| [view.head, view.confirmed])
}
