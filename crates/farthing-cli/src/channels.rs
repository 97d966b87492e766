//! The payer's channels, by the site they pay or by their id.

use crate::context::Context;
use crate::failure::{Code, Failure};
use farthing::chain::Chain;
use farthing::core::{B256, ChannelId, Token};
use farthing::escrow::Escrow;
use farthing::payer::{PaidChannel, PayerStore};
use farthing::token;
use std::collections::HashSet;
use url::Url;

/// One of the payer's channels, with its escrow to read.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) store: PayerStore,
    pub(crate) paid: PaidChannel,
    pub(crate) id: ChannelId,
    pub(crate) token: Token,
    pub(crate) escrow: Escrow,
}

/// Finds a channel by its id, or by any address of a site that it was used for.
pub(crate) async fn find(context: &Context, text: &str) -> Result<Found, Failure> {
    let store = context.payer_store().await?;
    let paid = pick(&store, text).await?;
    let (deployment, address) = (paid.deployment, paid.channel.token);
    let chain = Chain::connect_to(&context.rpc_url()?, None, deployment.chain_id).await?;
    let token = match context.home()?.token(deployment.chain_id, address)? {
        Some(token) => token,
        None => token::describe(&chain, address, false).await?,
    };
    let escrow = Escrow::bind(chain, deployment.escrow).await?;
    Ok(Found { store, id: paid.channel.id(&deployment), paid, token, escrow })
}

/// The one channel that is meant.
pub(crate) async fn pick(store: &PayerStore, text: &str) -> Result<PaidChannel, Failure> {
    let id_of = |paid: &PaidChannel| paid.channel.id(&paid.deployment);
    let channels = store.channels().await?;
    let mut matching: Vec<PaidChannel> = if let Ok(id) = text.parse::<B256>() {
        channels.into_iter().filter(|paid| id_of(paid) == ChannelId(id)).collect()
    } else {
        let origin = Url::parse(text).map(|url| url.origin().ascii_serialization()).map_err(|_| {
            Failure::new(Code::Usage, format!("{text:?} is neither a site's address nor a channel's id"))
                .hint("write https://… or 0x…; farthing balance lists the channels")
        })?;
        // A payee with several sites is paid on one channel.
        let promises = store.history().await?.into_iter().filter(|promise| promise.origin == origin);
        let used: HashSet<ChannelId> = promises.map(|promise| promise.channel_id()).collect();
        channels.into_iter().filter(|paid| paid.origin == origin || used.contains(&id_of(paid))).collect()
    };
    // One from an earlier life of the store is meant only if there is no other, or it is named.
    if matching.iter().any(|paid| !paid.retired) {
        matching.retain(|paid| !paid.retired);
    }
    if matching.len() > 1 {
        let ids: Vec<String> = matching.iter().map(|paid| id_of(paid).to_string()).collect();
        return Err(Failure::new(Code::Usage, format!("{text} has several channels: {}", ids.join(", ")))
            .hint("name one by its id"));
    }
    matching.pop().ok_or_else(|| {
        Failure::new(Code::Usage, format!("there is no channel for {text} in this store"))
            .hint("a channel begins with the first purchase: farthing get, with --reserve if the creator asks for it")
    })
}
