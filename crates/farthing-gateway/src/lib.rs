//! HTTP 402 in front of a creator's songs and articles.
//!
//! A [`Catalog`] says what is sold; [`app()`] makes a shop of it; [`serve()`] runs the shop. An integrator with handlers
//! of their own puts a [`ChargeLayer`] in front of them, or takes the steps of a [`Gate`] by hand. Whoever runs a shop
//! talks to it over a Unix socket ([`admin`]), never over the port that the world sees.
//!
//! Nothing is sent before the charge for it is durable, nothing is charged that can't be sent, and a refused payment
//! changes nothing. Vouchers are read from `Authorization` only. The gateway speaks HTTP/1.1; TLS is the job of a proxy
//! in front, which then has to set the [`Realm`].
//!
//! ```no_run
//! use farthing::payee::Payee;
//! use farthing_gateway::{AppOptions, Catalog, app, serve};
//! use std::path::Path;
//!
//! # async fn example(payee: Payee) -> Result<(), Box<dyn std::error::Error>> {
//! let catalog = Catalog::load(Path::new("nocturne-records"), payee.token())?;
//! let options = AppOptions { realm: Some("music.example".parse()?), ..AppOptions::default() };
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8402").await?;
//! serve(listener, app(payee, catalog, options), std::future::pending()).await;
//! # Ok(())
//! # }
//! ```
//!
//! This library never prints: what an operator should know goes to [`tracing`].

#[cfg(unix)]
pub mod admin;
pub mod app;
pub mod catalog;
mod files;
pub mod gate;
mod page;
pub mod payment;
pub mod realm;
mod relay;
mod respond;
pub mod serve;
mod tips;

pub use app::{AppOptions, OnTip, app, cors, without_sniffing};
pub use catalog::{Catalog, CatalogError, CatalogFault};
pub use files::{FileRoom, ItemFile};
pub use gate::{Gate, Offer, Presented, Refused, with_receipt};
pub use payment::{ChargeLayer, ChargeService};
pub use realm::{LocalAddress, Realm, RealmError};
pub use serve::{Limits, serve, serve_within};
pub use tips::TipReceived;
