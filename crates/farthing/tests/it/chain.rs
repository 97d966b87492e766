//! The escrow's methods against a real contract, and the local chain's promise to die with its parent.

use alloy::primitives::U256;
use alloy::providers::Provider;
use alloy::rpc::types::Filter;
use farthing::chain::{Chain, ChainError};
use farthing::core::{Account, Amount, B256};
use farthing::escrow::{self, EXIT_DELAY_DEFAULT, Escrow, EscrowError, genuine_address, is_genuine};
use farthing::local_chain::{LocalChain, tethered};
use farthing_testkit::{Fixture, wait_until};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

#[tokio::test]
async fn a_second_deployment_finds_the_escrow_already_there() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(LocalChain::test_key(0)).await;
    let again = escrow::deploy(&chain, EXIT_DELAY_DEFAULT).await.unwrap();
    assert_eq!((again.deployment, again.mined), (fixture.deployment, None));
    let other = escrow::deploy(&chain, 3_600).await.unwrap();
    assert!(other.mined.is_some() && other.deployment != fixture.deployment);
    assert!(is_genuine(other.deployment.escrow, 3_600) && !is_genuine(other.deployment.escrow, 3_601));
    let bound = Escrow::bind(chain.clone(), genuine_address(3_600)).await.unwrap();
    assert_eq!(bound.exit_delay().await.unwrap(), 3_600);
    let refused = escrow::deploy(&chain, 60).await;
    assert!(matches!(refused, Err(EscrowError::ExitDelay { exit_delay: 60 })), "{refused:?}");
}

/// Loss 33: money sent to a right but empty address is gone.
#[tokio::test]
async fn an_escrow_without_code_is_refused() {
    let fixture = Fixture::start().await;
    let chain = fixture.connect(Fixture::payer()).await;
    let refused = Escrow::bind(chain, genuine_address(7_200)).await;
    assert!(matches!(refused, Err(EscrowError::NoCode { .. })), "{refused:?}");
}

#[tokio::test]
async fn money_goes_in_and_out_to_the_base_unit() {
    let fixture = Fixture::start().await;
    let payer = Fixture::payer().address();
    let escrow = fixture.escrow(Fixture::payer()).await;
    let five = Amount::new(5_000_000);
    let transactions = escrow.deposit(&fixture.account(), five).await.unwrap();
    assert_eq!(transactions.len(), 1, "with its permit");
    assert_eq!(escrow.account_balance(&fixture.account()).await.unwrap(), five);
    assert_eq!(fixture.dollars_of(fixture.deployment.escrow).await, five);

    let channel = fixture.channel(1);
    escrow.reserve(&channel, Amount::new(1_000_000)).await.unwrap();
    let head = escrow.funds_of(&channel, Default::default()).await.unwrap();
    assert_eq!(head.channel.reserved, Amount::new(1_000_000));
    assert_eq!(head.account_balance, Amount::new(4_000_000));

    escrow.request_close(&channel).await.unwrap();
    let early = escrow.finalize_close(&channel).await.unwrap_err();
    assert!(early.to_string().contains("can be finalized from"), "{early}");
    let chain = fixture.connect(Fixture::payer()).await;
    fixture.local.pass_time(&chain, EXIT_DELAY_DEFAULT).await.unwrap();
    escrow.finalize_close(&channel).await.unwrap();
    escrow.withdraw(&fixture.account(), Amount::new(4_000_000), payer).await.unwrap();
    assert_eq!(fixture.dollars_of(payer).await, Amount::new(100_000_000));
    assert_eq!(fixture.dollars_of(fixture.deployment.escrow).await, Amount::ZERO);

    let refused = escrow.withdraw(&fixture.account(), Amount::new(1), payer).await.unwrap_err();
    assert_eq!(refused.to_string(), "the contract refuses: the account holds 0, less than the 1 asked for");
}

/// Some tokens, USDT among them, refuse to change an allowance that is not zero into another.
#[tokio::test]
async fn an_allowance_that_is_too_small_is_set_to_zero_first() {
    let fixture = Fixture::start().await;
    let escrow = fixture.escrow(Fixture::payer()).await;
    let chain = escrow.chain();
    // One whose permits fail, as of all tokens that have none.
    let token = crate::signing::token(chain, "", false, B256::ZERO).await;
    crate::signing::mint(chain, token, Fixture::payer().address(), 5_000_000).await;
    let account = Account { token, ..fixture.account() };
    let some = Amount::new(1_000_000);
    let approved = farthing::token::approve_if_needed(chain, token, fixture.deployment.escrow, some).await.unwrap();
    assert_eq!(approved.len(), 1, "nothing was allowed before");

    let five = Amount::new(5_000_000);
    let transactions = escrow.deposit(&account, five).await.unwrap();
    let filter = Filter::new().address(token).event("Approval(address,address,uint256)").from_block(0);
    let logs = chain.provider().get_logs(&filter).await.unwrap();
    let amounts: Vec<U256> = logs.iter().map(|log| U256::from_be_slice(&log.data().data)).collect();
    assert_eq!(amounts, [1_000_000, 0, 5_000_000].map(U256::from));
    assert_eq!(transactions.len(), 3, "two approvals and the deposit");
    assert_eq!(
        logs.iter().map(|log| log.transaction_hash.unwrap()).skip(1).collect::<Vec<_>>(),
        [transactions[0].hash, transactions[1].hash]
    );
    assert_eq!(escrow.account_balance(&account).await.unwrap(), five);
    assert_eq!(farthing::token::balance_of(chain, token, fixture.deployment.escrow).await.unwrap(), five);
}

#[tokio::test]
async fn the_native_coin_is_a_token_like_any_other() {
    let fixture = Fixture::start().await;
    let escrow = fixture.escrow(Fixture::payer()).await;
    let account = Account { token: farthing::core::Address::ZERO, ..fixture.account() };
    let transactions = escrow.deposit(&account, Amount::new(1_000)).await.unwrap();
    assert_eq!(transactions.len(), 1, "ether needs no approval");
    assert_eq!(escrow.chain().balance(fixture.deployment.escrow).await.unwrap(), Amount::new(1_000));
}

#[tokio::test]
async fn another_chain_than_expected_is_refused() {
    let fixture = Fixture::start().await;
    let refused = Chain::connect_to(fixture.local.url(), None, 1).await;
    assert!(matches!(refused, Err(ChainError::WrongChain { actual: 31_337, expected: 1 })), "{refused:?}");
}

/// A sender without ether is told so, and nothing is sent.
#[tokio::test]
async fn an_empty_purse_can_not_pay_for_gas() {
    let fixture = Fixture::start().await;
    let poor = farthing::PrivateKeySigner::random();
    let chain = fixture.connect(poor).await;
    let refused = escrow::deploy(&chain, 5_000).await.unwrap_err();
    assert!(matches!(refused, EscrowError::Chain(ChainError::NoGas { .. })), "{refused:?}");
}

fn is_running(process: u32) -> bool {
    // A process that ended and was not waited for is a zombie, state Z.
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

/// A parent that is killed with SIGKILL takes the tethered program with it. The parent here is a shell of its own,
/// which holds the only writing end of the tether's pipe.
#[tokio::test]
async fn a_tethered_program_dies_with_its_parent_even_by_sigkill() {
    let tether = tethered(Path::new("sleep"));
    let folder = tempfile::tempdir().unwrap();
    let script = tether.as_std().get_args().nth(1).unwrap().to_owned();
    let mut parent = Command::new("sh")
        .args(["-c", r#"mkfifo "$2/pipe"; sh -c "$1" tether sh -c 'echo $$; exec sleep 600' <"$2/pipe" & exec 9>"$2/pipe"; wait"#, "parent"])
        .arg(script)
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let sleeper: u32 = line.trim().parse().unwrap();
    assert!(is_running(sleeper));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("the tethered program is gone", || async { !is_running(sleeper) }).await;
}
