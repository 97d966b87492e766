//! Money to the payee: redeem, redeemTo, redeemBatch.

#![allow(non_snake_case, reason = "fields of events and errors are called as in the ABI")]

use super::{AMOUNT_MAX, ChannelState, Model, Outcome, word};
use crate::bindings::Escrow;
use crate::call::{Row, Signature};
use crate::mistake::Mistake;
use crate::refusal::Refusals;
use alloy_primitives::{Address, B256, U256};
use farthing_core::{Account, Channel};

/// What a voucher moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payment {
    pub(super) from_reservation: u128,
    pub(super) from_account: u128,
    pub(super) account: Account,
    /// What the channel counts as redeemed afterwards.
    pub(super) redeemed: u128,
}

impl Payment {
    pub(super) const fn total(&self) -> u128 {
        self.from_reservation + self.from_account
    }
}

impl Model {
    /// What a voucher for this much moves: out of the reservation first, then the account, and no more than there is.
    pub(super) fn payment(&self, channel: &Channel, cumulative_amount: u128) -> Payment {
        let ChannelState { redeemed, reserved, .. } = self.channel(channel);
        let mut account = channel.account();
        if self.makes(Mistake::AnySignersAccountPays) {
            account.authorized_signer = account.payer;
        }
        let balance = self.account(&account).balance;
        let maximum = if self.makes(Mistake::TargetNotClamped) { u128::MAX } else { AMOUNT_MAX };
        let owed = cumulative_amount.min(maximum).saturating_sub(redeemed);
        let mut from_reservation = owed.min(reserved);
        if self.makes(Mistake::AccountPaysFirst) {
            from_reservation = owed.saturating_sub(balance).min(reserved);
        }
        let from_account = (owed - from_reservation).min(balance);
        let mut payment = Payment { from_reservation, from_account, account, redeemed };
        payment.redeemed += payment.total();
        if self.makes(Mistake::ShortBalanceBurns) && payment.total() > 0 {
            payment.redeemed = redeemed + owed;
        }
        payment
    }

    pub(super) fn is_signed(&self, channel: &Channel, cumulative_amount: u128, signature: &Signature) -> (bool, B256) {
        let digest = self.signing.voucher(farthing_core::ChannelId(self.id(channel)), cumulative_amount);
        (self.is_by(signature, channel.authorized_signer, digest), digest)
    }

    pub(super) fn is_by(&self, signature: &Signature, signer: Address, digest: B256) -> bool {
        let is_let = self.makes(Mistake::HighSIsGood) && signature.signed == Some((signer, digest));
        signature.is_by(signer, digest) || is_let
    }

    /// Why a voucher would not be paid.
    pub(super) fn check_voucher(
        &self,
        channel: &Channel,
        cumulative_amount: u128,
        signature: &Signature,
        why: &mut Refusals,
    ) -> Payment {
        let (is_signed, digest) = self.is_signed(channel, cumulative_amount, signature);
        why.when(!is_signed, Escrow::InvalidSignature { digest, signer: channel.authorized_signer });
        let payment = self.payment(channel, cumulative_amount);
        let (redeemed, cumulativeAmount) = (word(self.channel(channel).redeemed), word(cumulative_amount));
        why.when(payment.total() == 0, Escrow::NothingToRedeem { redeemed, cumulativeAmount });
        payment
    }

    pub(super) fn pay(&mut self, channel: &Channel, payment: &Payment) {
        if payment.from_account > 0 {
            self.account_mut(payment.account).balance -= payment.from_account;
        }
        let state = self.channel_mut(*channel);
        state.reserved -= payment.from_reservation;
        state.redeemed = payment.redeemed;
    }

    pub(super) fn log_from_account(&mut self, channel: &Channel, payment: &Payment) {
        let event = Escrow::RedeemedFromAccount {
            channelId: self.id(channel),
            payee: channel.payee,
            accountId: channel.account().id().0,
            redeemed: word(payment.redeemed),
            fromAccount: word(payment.from_account),
        };
        self.log(&event);
    }

    pub(super) fn redeem(
        &mut self,
        mut why: Refusals,
        channel: &Channel,
        cumulative_amount: u128,
        signature: &Signature,
        to: Address,
    ) -> Outcome {
        let payment = self.check_voucher(channel, cumulative_amount, signature, &mut why);
        self.money.check_push(channel.token, to, &mut why);
        why.settle()?;
        self.pay(channel, &payment);
        if payment.from_account > 0 {
            self.log_from_account(channel, &payment);
        } else {
            let (channelId, payee) = (self.id(channel), channel.payee);
            self.log(&Escrow::Redeemed { channelId, payee, redeemed: word(payment.redeemed) });
        }
        let to = if self.makes(Mistake::PayeeIsPaidAnyway) { channel.payee } else { to };
        self.push(channel.token, to, payment.total());
        if self.makes(Mistake::PromiseIsReturned) {
            return Ok(vec![word(cumulative_amount)]);
        }
        Ok(vec![word(payment.total())])
    }

    pub(super) fn redeem_batch(
        &mut self,
        mut why: Refusals,
        payee: Address,
        token: Address,
        rows: &[Row],
        tail: &[u8],
    ) -> Outcome {
        let offset = U256::from(crate::call::encode_rows(rows).len());
        why.when(!tail.is_empty(), Escrow::MalformedRows { offset });
        // What a row does counts for the next one, so the rows are played and taken back if the batch is refused.
        let (mut total, mut entries, mut undo) = (0, Vec::new(), Vec::new());
        for row in rows {
            let Row { payer, authorized_signer, salt, cumulative_amount, .. } = *row;
            let channel = Channel { payer, payee, token, salt, authorized_signer };
            let payment = self.payment(&channel, cumulative_amount);
            let is_short = payment.redeemed < cumulative_amount;
            if !self.is_signed(&channel, cumulative_amount, &row.signature).0
                || payment.total() == 0
                || (is_short && self.makes(Mistake::BatchSkipsShortRows))
            {
                continue;
            }
            undo.push((channel, self.channel(&channel), payment.account, self.account(&payment.account)));
            self.pay(&channel, &payment);
            total += payment.total();
            entries.extend(row.encode(payment.redeemed, false));
        }
        let (redeemed, cumulativeAmount) = (U256::ZERO, U256::ZERO);
        why.when(total == 0, Escrow::NothingToRedeem { redeemed, cumulativeAmount });
        self.money.check_push(token, payee, &mut why);
        if let Err(refusals) = why.settle() {
            for (channel, channel_before, account, account_before) in undo.into_iter().rev() {
                *self.channel_mut(channel) = channel_before;
                *self.account_mut(account) = account_before;
            }
            return Err(refusals);
        }
        self.log(&Escrow::BatchRedeemed { payee, token, total: word(total), entries: entries.into() });
        self.push(token, payee, total);
        Ok(vec![word(total)])
    }
}
