//! Whom a history is about: a few channels and accounts that share people, signers and tokens.

use crate::contracts::{ABSENT_TOKEN, BLOCKING_DOLLAR, COIN, HOLLOW_TOKEN, REENTRANT_TOKEN, dollar, escrow};
use crate::people::PEOPLE;
use alloy_primitives::{Address, B256};
use farthing_core::{Account, Channel};
use rand::Rng;
use rand::seq::IndexedRandom;

/// The channels and accounts of one history.
#[derive(Clone, Debug)]
pub struct Cast {
    /// All channels that are spoken of.
    pub channels: Vec<Channel>,
    /// All accounts that are spoken of, and those that refunds may land in.
    pub accounts: Vec<Account>,
}

/// How many channels a history has. Few enough that its calls meet in them.
const CHANNELS: usize = 14;

impl Cast {
    /// Draws the channels and accounts.
    pub fn draw(random: &mut impl Rng) -> Self {
        let channels: Vec<_> = (0..CHANNELS).map(|_| draw_channel(random)).collect();
        let mut accounts = Vec::new();
        for channel in &channels {
            let account = channel.account();
            for account in [account, Account { authorized_signer: account.payer, ..account }] {
                if !accounts.contains(&account) {
                    accounts.push(account);
                }
            }
        }
        Self { channels, accounts }
    }
}

fn draw_channel(random: &mut impl Rng) -> Channel {
    let payers = [PEOPLE.alice, PEOPLE.alice, PEOPLE.bob, PEOPLE.carol, PEOPLE.hermit];
    let payees = [PEOPLE.carol, PEOPLE.carol, PEOPLE.dave, PEOPLE.alice, PEOPLE.hermit];
    let payer = *payers.choose(random).expect("there are some");
    let payee = *payees.choose(random).expect("there are some");
    // One key signs for several payers, and some sign for themselves.
    let authorized_signer = *[payer, PEOPLE.phone, PEOPLE.phone, PEOPLE.laptop].choose(random).expect("there are some");
    let salt = if random.random_ratio(1, 2) { B256::ZERO } else { B256::with_last_byte(random.random_range(1..3)) };
    let channel = Channel { payer, payee, token: draw_token(random), salt, authorized_signer };
    // Terms that name nobody, or the escrow itself.
    match random.random_range(0..100) {
        0..3 => Channel { payer: Address::ZERO, ..channel },
        3..6 => Channel { payee: Address::ZERO, ..channel },
        6..9 => Channel { authorized_signer: Address::ZERO, ..channel },
        9..11 => Channel { payee: escrow(), ..channel },
        11..13 => Channel { payer: escrow(), ..channel },
        _ => channel,
    }
}

fn draw_token(random: &mut impl Rng) -> Address {
    match random.random_range(0..100) {
        0..38 => COIN,
        38..66 => dollar(),
        66..88 => BLOCKING_DOLLAR,
        88..92 => HOLLOW_TOKEN,
        92..96 => REENTRANT_TOKEN,
        _ => ABSENT_TOKEN,
    }
}
