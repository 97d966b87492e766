//! Channels in memory, each under a lock of its own; nothing is turned into bytes.

use crate::{CHAIN_ID, ESCROW, PAYEE, TOKEN};
use alloy::primitives::{Address, B256};
use mpp::VerificationError;
use mpp::protocol::methods::tempo::session_method::{ChannelState, ChannelStore};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

type State = Option<ChannelState>;
type Answer<'a> = Pin<Box<dyn Future<Output = Result<State, VerificationError>> + Send + 'a>>;
type Updater = Box<dyn FnOnce(State) -> Result<State, VerificationError> + Send>;

pub struct PerChannel(HashMap<String, Mutex<State>>);

impl PerChannel {
    pub fn new(channels: impl Iterator<Item = (B256, Address)>) -> Self {
        Self(channels.map(|(id, signer)| (id.to_string(), Mutex::new(Some(opened(id, signer))))).collect())
    }

    fn channel(&self, id: &str) -> &Mutex<State> {
        self.0.get(id).expect("a channel that was opened")
    }
}

impl ChannelStore for PerChannel {
    fn get_channel(&self, id: &str) -> Answer<'_> {
        let state = self.channel(id).lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async { Ok(state) })
    }

    fn update_channel(&self, id: &str, updater: Updater) -> Answer<'_> {
        let mut state = self.channel(id).lock().unwrap_or_else(PoisonError::into_inner);
        let next = updater(state.clone());
        if let Ok(next) = &next {
            state.clone_from(next);
        }
        Box::pin(async { next })
    }
}

fn opened(id: B256, signer: Address) -> ChannelState {
    ChannelState {
        channel_id: id.to_string(),
        chain_id: CHAIN_ID,
        escrow_contract: ESCROW,
        payer: signer,
        payee: PAYEE,
        token: TOKEN,
        settlement_route: None,
        authorized_signer: signer,
        deposit: u128::MAX,
        settled_on_chain: 0,
        highest_voucher_amount: 0,
        highest_voucher_signature: None,
        spent: 0,
        units: 0,
        finalized: false,
        closing: false,
        pending_close: None,
        close_requested_at: 0,
        created_at: "2026-01-01T00:00:00Z".to_owned(),
    }
}
