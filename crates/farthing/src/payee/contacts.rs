//! First contacts: the only calls to the chain on the path of a voucher.

use super::sync::{Semaphore, timeout};
use super::views::{ChainViews, FundsSource};
use crate::escrow::EscrowError;
use farthing_core::Channel;
use farthing_core::exposure::AccountView;
use std::sync::Arc;
use std::time::Duration;

/// How many first contacts may ask the chain at once. Any key can sign for itself, so strangers must not be able to make
/// this payee ask without bound.
const CONTACTS_MAX: usize = 8;

/// How long a first contact waits for its turn before it is told to come again.
const CONTACT_WITHIN: Duration = Duration::from_secs(10);

/// Asks the chain about accounts that were never met, a few at a time.
#[derive(Debug)]
pub(crate) struct Contacts {
    places: Semaphore,
}

/// Thrown when an account can't be met now.
#[derive(Debug)]
pub(crate) enum ContactError {
    /// Too many others are being met.
    Busy,
    /// The chain did not answer.
    Chain(EscrowError),
}

impl Contacts {
    /// Places for as many as may ask at once.
    pub(crate) fn new() -> Self {
        Self { places: Semaphore::new(CONTACTS_MAX) }
    }

    /// The account behind a channel as the watcher knows it, or, at first contact, as the chain says. A channel without
    /// any money is not remembered: anyone can sign for as many as he likes.
    pub(crate) async fn account_of(
        &self,
        views: &ChainViews,
        source: &dyn FundsSource,
        channel: &Channel,
    ) -> Result<Arc<AccountView>, ContactError> {
        if let Some(view) = views.account_of(channel) {
            return Ok(view);
        }
        let place = timeout(CONTACT_WITHIN, self.places.acquire()).await;
        let _place = place.map_err(|_| ContactError::Busy)?;
        // Meanwhile another request of the same account may have been through here.
        if let Some(view) = views.account_of(channel) {
            return Ok(view);
        }
        let reading = source.funds_of(channel).await.map_err(ContactError::Chain)?;
        Ok(if reading.is_empty() {
            views.unremembered(channel, &reading)
        } else {
            views.enter_fresh(channel, &reading)
        })
    }
}
