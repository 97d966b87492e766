//! `farthing serve --watch-rpc`: through which nodes the chain is seen.

use crate::context::Context;
use crate::failure::{Code, Failure};
use clap::Args;
use farthing::PrivateKeySigner;
use farthing::chain::{Chain, ConnectOptions};
use farthing::core::Deployment;
use farthing::escrow::Escrow;
use farthing::payee::{Nodes, NodesError};
use url::Url;

/// Other nodes beside the one of every command, and how many have to answer.
#[derive(Debug, Args)]
pub(super) struct Watching {
    /// Watch the chain through this node as well, and send by it if need be; may be given several times
    ///
    /// The environment variable takes several URLs, with blanks or commas between. They are never shown, since they may
    /// hold a key: prefer the variable, because others on this machine can read a command's arguments. Of what the nodes
    /// say the safer counts. One that is silent, stands still or serves another chain is left out, and the log says so.
    #[arg(long, value_name = "URL", env = "FARTHING_WATCH_RPCS", hide_env_values = true)]
    watch_rpc: Vec<String>,

    /// Believe nothing of the chain unless so many nodes answer
    #[arg(long, value_name = "COUNT", default_value = "1")]
    #[arg(value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    required_nodes: usize,
}

impl Watching {
    /// The other nodes' URLs. Called before anything is opened; what can't be read is not repeated.
    pub(super) fn urls(&self) -> Result<Vec<Url>, Failure> {
        let named = self.watch_rpc.iter().flat_map(|urls| urls.split([',', ' ', '\t', '\n']));
        let named: Vec<&str> = named.filter(|url| !url.is_empty()).collect();
        let mut urls = Vec::with_capacity(named.len());
        for (index, url) in named.iter().enumerate() {
            let refused = |why: String| {
                Failure::new(Code::Usage, format!("the URL of node {} to watch by can't be used: {why}", index + 1))
                    .hint("write http://, https://, ws:// or wss:// for --watch-rpc (FARTHING_WATCH_RPCS)")
            };
            let url: Url = url.parse().map_err(|error: url::ParseError| refused(error.to_string()))?;
            if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
                return Err(refused("it is no URL of a node".to_owned()));
            }
            urls.push(url);
        }
        let nodes = urls.len() + 1;
        if self.required_nodes > nodes {
            let message = format!("{} nodes have to answer, and {nodes} are named", self.required_nodes);
            return Err(Failure::new(Code::Usage, message).hint("name more with --watch-rpc (FARTHING_WATCH_RPCS)"));
        }
        Ok(urls)
    }

    /// Connects: to the first node at once, to the others when they are there.
    pub(super) async fn nodes(
        &self,
        context: &Context,
        others: &[Url],
        key: &PrivateKeySigner,
        deployment: Deployment,
    ) -> Result<Nodes, Failure> {
        let chain = Chain::connect_to(&context.rpc_url()?, Some(key.clone()), deployment.chain_id).await?;
        let mut nodes = Nodes::from(Escrow::bind(chain, deployment.escrow).await?).with_required(self.required_nodes);
        for url in others {
            let (key, options) = (Some(key.clone()), ConnectOptions::default());
            let chain = Chain::connect_later(url, key, deployment.chain_id, options)?;
            nodes = nodes.with_unchecked(Escrow::bind_later(chain, deployment.escrow))?;
        }
        Ok(nodes)
    }
}

impl From<NodesError> for Failure {
    fn from(error: NodesError) -> Self {
        Self::new(Code::Usage, error)
    }
}
