//! Money back: close, requestClose, finalizeClose, withdraw, withdrawFor; and who may close.

#![allow(non_snake_case, reason = "fields of events and errors are called as in the ABI")]

use super::earn::Payment;
use super::{ChannelState, Model, Outcome, Place, check_sum, word};
use crate::bindings::Escrow;
use crate::call::{Call, Signature};
use crate::mistake::Mistake;
use crate::refusal::{Refusal, Refusals};
use alloy_primitives::{Address, U256};
use farthing_core::{Account, Channel};

impl Model {
    pub(super) fn close(
        &mut self,
        call: &Call,
        mut why: Refusals,
        channel: &Channel,
        cumulative_amount: u128,
        signature: &Signature,
    ) -> Outcome {
        let ChannelState { redeemed, reserved, .. } = self.channel(channel);
        self.check_payee(call.caller, channel, self.may_close(call.caller, channel), &mut why);
        let mut payment = Payment { from_reservation: 0, from_account: 0, account: channel.account(), redeemed };
        if cumulative_amount > redeemed {
            payment = self.check_voucher(channel, cumulative_amount, signature, &mut why);
            self.money.check_push(channel.token, channel.payee, &mut why);
        } else {
            why.when(reserved == 0, Escrow::NothingReserved { channelId: self.id(channel) });
        }
        let refunded = reserved - payment.from_reservation;
        self.check_refund(call, channel, refunded, &mut why);
        why.settle()?;
        self.pay(channel, &payment);
        if payment.from_account > 0 {
            self.log_from_account(channel, &payment);
        }
        self.refund(channel, refunded);
        if payment.total() > 0 {
            self.push(channel.token, channel.payee, payment.total());
        }
        Ok(vec![word(payment.total()), word(refunded)])
    }

    /// Where a refund lands that its payer does not take.
    pub(super) fn refuge(&self, channel: &Channel) -> Account {
        let Channel { payer, token, authorized_signer, .. } = *channel;
        let to_signer = self.makes(Mistake::RefundToTheSigner);
        Account { payer, authorized_signer: if to_signer { authorized_signer } else { payer }, token }
    }

    pub(super) fn check_refund(&self, call: &Call, channel: &Channel, refunded: u128, why: &mut Refusals) {
        if refunded > 0 && call.is_scant_of_gas {
            why.push(Refusal::gas());
        }
        if refunded > 0 && !self.money.takes(channel.token, channel.payer) {
            check_sum(self.account(&self.refuge(channel)).balance, word(refunded), why);
        }
    }

    pub(super) fn refund(&mut self, channel: &Channel, refunded: u128) {
        let (id, makes_mistake) = (self.id(channel), self.makes(Mistake::CloseForgetsRedeemed));
        let Channel { payer, payee, token, .. } = *channel;
        let state = self.channel_mut(*channel);
        let redeemed = word(state.redeemed);
        *state = ChannelState { redeemed: state.redeemed, ..ChannelState::default() };
        if makes_mistake {
            *state = ChannelState::default();
        }
        self.log(&Escrow::Closed { channelId: id, payee, redeemed, refunded: word(refunded) });
        if refunded == 0 {
        } else if self.money.takes(token, payer) {
            self.push(token, payer, refunded);
        } else {
            let refuge = self.refuge(channel);
            self.account_mut(refuge).balance += refunded;
            self.log(&Escrow::Deposited {
                accountId: refuge.id().0,
                payer,
                authorizedSigner: refuge.authorized_signer,
                token,
                amount: word(refunded),
            });
        }
    }

    pub(super) fn set_operator(&mut self, call: &Call, why: Refusals, operator: Address, allowed: bool) -> Outcome {
        let payee = call.caller;
        why.settle()?;
        self.touched.push(Place::Operator(payee, operator));
        if allowed {
            self.operators.insert((payee, operator));
        } else if !self.makes(Mistake::OperatorIsForever) {
            self.operators.remove(&(payee, operator));
        }
        self.log(&Escrow::OperatorSet { payee, operator, allowed });
        Ok(vec![])
    }

    pub(super) fn request_close(&mut self, call: &Call, mut why: Refusals, channel: Channel) -> Outcome {
        let Channel { payer, payee, .. } = channel;
        let (ChannelState { reserved, close_at, .. }, channelId) = (self.channel(&channel), self.id(&channel));
        let anyone = self.makes(Mistake::AnyoneStartsTheClock);
        why.when(call.caller != payer && !anyone, Escrow::NotPayer { caller: call.caller, payer });
        let again = self.makes(Mistake::ClockRestarts);
        why.when(close_at != 0 && !again, Escrow::CloseAlreadyRequested { closeAt: U256::from(close_at) });
        why.when(reserved == 0, Escrow::NothingReserved { channelId });
        why.settle()?;
        let close_at = self.now + self.exit_delay;
        self.channel_mut(channel).close_at = close_at;
        self.log(&Escrow::CloseRequested { channelId, payee, closeAt: U256::from(close_at) });
        Ok(vec![U256::from(close_at)])
    }

    pub(super) fn finalize_close(&mut self, call: &Call, mut why: Refusals, channel: Channel) -> Outcome {
        let ChannelState { reserved, close_at, .. } = self.channel(&channel);
        let (closeAt, timestamp) = (U256::from(close_at), U256::from(self.now));
        why.when(close_at == 0, Escrow::CloseNotRequested { channelId: self.id(&channel) });
        let is_early = self.now < close_at || (self.now == close_at && self.makes(Mistake::ExitDelayEndsLate));
        why.when(is_early, Escrow::ExitDelayRunning { closeAt, timestamp });
        self.check_refund(call, &channel, reserved, &mut why);
        why.settle()?;
        self.refund(&channel, reserved);
        Ok(vec![word(reserved)])
    }

    pub(super) fn withdraw(
        &mut self,
        mut why: Refusals,
        account: Account,
        amount: U256,
        to: Address,
        nonce: Option<u64>,
    ) -> Outcome {
        let (balance, accountId) = (word(self.account(&account).balance), account.id().0);
        self.check_recipient(to, &mut why);
        why.when(amount.is_zero(), Escrow::ZeroAmount {});
        why.when(amount > balance, Escrow::InsufficientBalance { balance, requested: amount });
        self.money.check_push(account.token, to, &mut why);
        why.settle()?;
        self.account_mut(account).balance -= amount.to::<u128>();
        match nonce {
            Some(nonce) => self.log(&Escrow::WithdrawnFor { accountId, to, amount, nonce: U256::from(nonce) }),
            None => self.log(&Escrow::Withdrawn { accountId, to, amount }),
        }
        self.push(account.token, to, amount.to());
        Ok(vec![])
    }

    pub(super) fn withdraw_for(
        &mut self,
        mut why: Refusals,
        account: Account,
        amount: U256,
        to: Address,
        deadline: U256,
        signature: &Signature,
    ) -> Outcome {
        let (timestamp, nonce) = (U256::from(self.now), self.account(&account).nonce);
        let is_late = timestamp > deadline || (timestamp == deadline && self.makes(Mistake::DeadlineExcludesItsSecond));
        why.when(is_late, Escrow::DeadlinePassed { deadline, timestamp });
        let digest = self.signing.withdrawal(&account, amount, to, nonce, deadline);
        let is_signed = self.is_by(signature, account.payer, digest);
        why.when(!is_signed, Escrow::InvalidSignature { digest, signer: account.payer });
        let output = self.withdraw(why, account, amount, to, Some(nonce))?;
        if !self.makes(Mistake::NonceStays) {
            self.account_mut(account).nonce += 1;
        }
        Ok(output)
    }
}
