//! Money in: deposit, open, reserve.

#![allow(non_snake_case, reason = "fields of events and errors are called as in the ABI")]

use super::{ChannelState, Model, Outcome, check_sum, word};
use crate::bindings::Escrow;
use crate::call::{Call, Funding};
use crate::mistake::Mistake;
use crate::money::Pull;
use crate::refusal::{Refusal, Refusals};
use alloy_primitives::U256;
use farthing_core::{Account, Channel};

impl Model {
    pub(super) fn deposit(
        &mut self,
        call: &Call,
        mut why: Refusals,
        account: Account,
        amount: U256,
        funding: &Funding,
    ) -> Outcome {
        let Account { payer, authorized_signer, token } = account;
        let id = account.id().0;
        why.when(payer.is_zero(), Escrow::ZeroPayer {});
        why.when(authorized_signer.is_zero(), Escrow::ZeroAuthorizedSigner {});
        check_sum(self.account(&account).balance, amount, &mut why);
        let (signing, now) = (self.signing, self.now);
        let pull =
            Pull { caller: call.caller, value: call.value, token, payer, amount, id, funding, now, signing: &signing };
        self.check_pull(&pull, &mut why);
        why.settle()?;
        self.account_mut(account).balance += amount.to::<u128>();
        self.log(&Escrow::Deposited { accountId: id, payer, authorizedSigner: authorized_signer, token, amount });
        self.logs.extend(self.money.pull(&pull));
        Ok(vec![])
    }

    pub(super) fn open(
        &mut self,
        call: &Call,
        mut why: Refusals,
        channel: Channel,
        amount: U256,
        funding: &Funding,
    ) -> Outcome {
        let Channel { payer, payee, token, salt, authorized_signer } = channel;
        let (id, authorizedSigner) = (self.id(&channel), authorized_signer);
        why.when(payer.is_zero(), Escrow::ZeroPayer {});
        self.check_reservation(&channel, amount, &mut why);
        let (signing, now) = (self.signing, self.now);
        let pull =
            Pull { caller: call.caller, value: call.value, token, payer, amount, id, funding, now, signing: &signing };
        self.check_pull(&pull, &mut why);
        why.settle()?;
        if self.channel(&channel) == ChannelState::default() && !self.makes(Mistake::NothingIsEverNew) {
            self.log(&Escrow::Opened { channelId: id, payer, payee, token, salt, authorizedSigner, amount });
        } else {
            self.log(&Escrow::ToppedUp { channelId: id, amount });
        }
        self.channel_mut(channel).reserved += amount.to::<u128>();
        self.logs.extend(self.money.pull(&pull));
        Ok(vec![])
    }

    pub(super) fn check_pull(&self, pull: &Pull<'_>, why: &mut Refusals) {
        self.money.check_pull(pull, why);
        if let (Funding::Permit { signature, .. }, true) = (pull.funding, self.makes(Mistake::FailedPermitStops))
            && signature.signed.is_none()
        {
            why.push(Refusal::empty("a permit that fails"));
        }
    }

    pub(super) fn check_reservation(&self, channel: &Channel, amount: U256, why: &mut Refusals) {
        let ChannelState { reserved, close_at, .. } = self.channel(channel);
        why.when(channel.payee.is_zero(), Escrow::ZeroPayee {});
        why.when(channel.authorized_signer.is_zero(), Escrow::ZeroAuthorizedSigner {});
        let is_let = self.makes(Mistake::TopUpWhileTheClockRuns);
        why.when(close_at != 0 && !is_let, Escrow::CloseAlreadyRequested { closeAt: U256::from(close_at) });
        check_sum(reserved, amount, why);
    }

    pub(super) fn reserve(&mut self, call: &Call, mut why: Refusals, channel: Channel, amount: U256) -> Outcome {
        let Channel { payer, payee, token, salt, authorized_signer } = channel;
        let (id, authorizedSigner, account) = (self.id(&channel), authorized_signer, channel.account());
        let balance = word(self.account(&account).balance);
        why.when(call.caller != payer, Escrow::NotPayer { caller: call.caller, payer });
        why.when(amount > balance, Escrow::InsufficientBalance { balance, requested: amount });
        self.check_reservation(&channel, amount, &mut why);
        why.settle()?;
        if self.channel(&channel) == ChannelState::default() {
            self.log(&Escrow::Reserved { channelId: id, payer, payee, token, salt, authorizedSigner, amount });
        } else {
            self.log(&Escrow::ToppedUpFromAccount { channelId: id, accountId: account.id().0, amount });
        }
        self.account_mut(account).balance -= amount.to::<u128>();
        self.channel_mut(channel).reserved += amount.to::<u128>();
        Ok(vec![])
    }
}
