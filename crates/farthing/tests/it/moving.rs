//! A ledger verified, written to a file and read from one.

use crate::books::{data, is_that_of_the_earlier_versions, open, random_ledger, records};
use farthing::chain::Fees;
use farthing::core::wire::challenge::{MethodDetails, SessionRequest};
use farthing::core::wire::{Challenge, ChallengeSecret};
use farthing::core::{Address, Amount, B256, ChannelId, Deployment, Timestamp, Token};
use farthing::payee::audit::{AuditProblem, Counter, Counts, audit};
use farthing::payee::store::{Entry, Record, RecordKind, Redemption, RedemptionState, Relayed};
use farthing::payee::transfer::{Title, TransferError, check, export, import};
use farthing::payee::{EmbeddedStore, LedgerIdentity, PayeeStore};
use farthing_testkit::histories::identity;
use proptest::prelude::*;
use tempfile::TempDir;

fn title() -> Title {
    let token = Token { address: identity().token, symbol: "USDC".to_owned(), decimals: 6, dollar: true };
    Title { identity: identity(), token, exit_delay: 86_400 }
}

/// A ledger with every kind of record in it.
async fn full_ledger(seed: u64) -> (TempDir, EmbeddedStore) {
    let (folder, store) = random_ledger(seed, 40).await;
    let charges = (&store as &dyn PayeeStore).all_charges().await.unwrap();
    let vouchers = charges.iter().take(3).map(|(id, charge)| (*id, charge.cumulative_amount)).collect();
    let at = Timestamp::from_unix_seconds(1_800_100_000 + seed);
    let redemption = Redemption {
        hash: B256::repeat_byte(0xa1),
        sender: Address::repeat_byte(0xa2),
        nonce: u64::MAX,
        fees: Fees { max_fee_per_gas: 7_000_000_000, max_priority_fee_per_gas: 1 },
        vouchers,
        closes: false,
        at,
        state: RedemptionState::Mined { block: 9, gas_used: 100_000, gas_price: u128::from(u64::MAX) * 3 },
    };
    let relayed = |byte: u8, cost| Relayed {
        request: B256::repeat_byte(byte),
        hash: B256::repeat_byte(byte + 1),
        at: at.plus_seconds(u64::from(byte) * 10_000),
        cost: Amount::new(cost),
    };
    let failed = Redemption { hash: B256::repeat_byte(0xb1), state: RedemptionState::Failed, ..redemption.clone() };
    let entries = [
        Entry::Redemption { redemption, fence: None },
        Entry::Redemption { redemption: failed, fence: None },
        Entry::Relayed(relayed(1, 21_000_000_000_000)),
        Entry::Relayed(relayed(7, u128::from(u64::MAX) * 5)),
    ];
    store.accept_batch(&entries).await.unwrap();
    (folder, store)
}

async fn file_of(store: &dyn PayeeStore) -> Vec<u8> {
    let mut file = Vec::new();
    export(store, &title(), &mut file).await.unwrap();
    file
}

#[tokio::test]
async fn a_ledger_moves_without_losing_an_entry() {
    for seed in 0..8 {
        let (_folder, store) = full_ledger(seed).await;
        let file = file_of(&store).await;
        let (found, counts) = check(file.as_slice()).unwrap();
        assert_eq!(found, title());
        assert!(counts.channels > 1 && counts.charges > 5 && counts.credits > 0 && counts.final_redemptions > 0);
        assert!(counts.redemptions > 2 && counts.relayed == 2);

        let elsewhere = tempfile::tempdir().unwrap();
        let copy = open(elsewhere.path());
        let audited = import(&copy, file.as_slice()).await.unwrap();
        assert_eq!((audited.problems.as_slice(), audited.counts), (&[][..], counts));
        assert_eq!(records(&copy).await, records(&store).await);
        assert_eq!(String::from_utf8(file_of(&copy).await), String::from_utf8(file), "the same file");
        let again = import(&copy, file_of(&store).await.as_slice()).await.expect_err("it has records already");
        assert!(matches!(again, TransferError::NotEmpty), "{again}");
    }
}

/// What was mined was settled then, and a program of then could not read what is final.
#[tokio::test]
async fn a_ledger_that_an_earlier_version_has_exported_is_taken_and_exported_anew() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let exported = data("exported-ledger-of-version-one.jsonl");
    assert_eq!(check(exported.as_slice()).unwrap().0, title());
    let store = open(from.path());
    import(&store, exported.as_slice()).await.unwrap();
    is_that_of_the_earlier_versions(&store).await;
    let file = file_of(&store).await;
    assert!(file.starts_with(b"{\"format\":\"farthing ledger\",\"version\":2,"));
    let copy = open(to.path());
    import(&copy, file.as_slice()).await.unwrap();
    is_that_of_the_earlier_versions(&copy).await;
}

#[tokio::test]
async fn an_empty_ledger_moves_as_well() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = file_of(&open(from.path())).await;
    assert_eq!(check(file.as_slice()).unwrap().1, Counts::default());
    assert!(import(&open(to.path()), file.as_slice()).await.unwrap().problems.is_empty());
}

fn challenge(secret: &ChallengeSecret) -> Challenge {
    let request = SessionRequest {
        amount: Amount::ZERO,
        unit_type: "item".to_owned(),
        currency: Address::ZERO,
        recipient: Address::ZERO,
        suggested_deposit: None,
        method_details: MethodDetails {
            chain_id: 1,
            escrow_contract: Address::ZERO,
            exit_delay: 1,
            item: String::new(),
            symbol: String::new(),
            decimals: 0,
            dollar: false,
            reservation: None,
        },
    };
    Challenge::issue(secret, "localhost", &request, Timestamp::MAX, None).unwrap()
}

/// Whoever has the file could issue challenges in the creator's name otherwise.
#[tokio::test]
async fn the_challenge_secret_stays_behind() {
    let (_folder, store) = full_ledger(1).await;
    let secret = store.challenge_secret().await.unwrap();
    assert!(challenge(&secret).is_issued_by(&secret));
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = open(elsewhere.path());
    import(&copy, file_of(&store).await.as_slice()).await.unwrap();
    let other = copy.challenge_secret().await.unwrap();
    assert!(!challenge(&other).is_issued_by(&secret), "the copy drew one of its own");
}

#[tokio::test]
async fn a_file_that_was_cut_is_refused_wherever_it_was_cut() {
    let (_folder, store) = full_ledger(2).await;
    let file = file_of(&store).await;
    for length in (0..file.len()).step_by(7).chain([file.len() - 1]) {
        let refused = check(&file[..length]).expect_err("a part is missing");
        assert!(matches!(refused, TransferError::Cut { .. } | TransferError::NotALedger), "{length}: {refused}");
    }
    // A line out of the middle, and one twice.
    let lines: Vec<&str> = std::str::from_utf8(&file).unwrap().lines().collect();
    let without: String =
        lines.iter().enumerate().filter(|(at, _)| *at != 5).map(|(_, line)| format!("{line}\n")).collect();
    assert!(matches!(check(without.as_bytes()), Err(TransferError::Changed { .. })));
    let twice = format!("{}{}\n", std::str::from_utf8(&file).unwrap(), lines[5]);
    assert!(matches!(check(twice.as_bytes()), Err(TransferError::NotALedger)), "more after the end");
    let later = std::str::from_utf8(&file).unwrap().replacen("\"version\":2", "\"version\":3", 1);
    assert!(matches!(check(later.as_bytes()), Err(TransferError::Version { found: 3 })));
    let fewer = lines.len() as u64 - 2;
    let claims = std::str::from_utf8(&file).unwrap().replacen("\"relayed\":2", "\"relayed\":3", 1);
    assert!(matches!(check(claims.as_bytes()), Err(TransferError::Counts { expected, actual })
        if (expected, actual) == (fewer + 1, fewer)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_file_with_one_changed_byte_is_refused(at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        use std::sync::OnceLock;
        static FILE: OnceLock<Vec<u8>> = OnceLock::new();
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let file = FILE.get_or_init(|| runtime().block_on(async { file_of(&full_ledger(3).await.1).await }));
        let mut changed = file.clone();
        let at = at.index(changed.len());
        changed[at] ^= 1 << bit;
        prop_assert!(check(changed.as_slice()).is_err());
    }
}

/// What is wrong with a ledger that has one record changed, or more.
async fn problems_after(change: impl Fn(&mut Vec<Record>)) -> Vec<AuditProblem> {
    let (_folder, store) = full_ledger(4).await;
    let before = audit(&store, &identity()).await.unwrap();
    assert_eq!(before.problems, []);
    let mut changed = records(&store).await;
    change(&mut changed);
    assert_ne!(changed, records(&store).await, "something was changed");
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = open(elsewhere.path());
    copy.restore(&changed).await.unwrap();
    audit(&copy, &identity()).await.unwrap().problems
}

fn first(records: &mut [Record], kind: RecordKind) -> &mut Record {
    records.iter_mut().find(|record| record.kind() == kind).unwrap()
}

fn remove_first(records: &mut Vec<Record>, kind: RecordKind) {
    let at = records.iter().position(|record| record.kind() == kind).unwrap();
    records.remove(at);
}

macro_rules! finds {
    ($name:ident, $change:expr, $pattern:pat) => {
        #[tokio::test]
        async fn $name() {
            let problems = problems_after($change).await;
            assert!(problems.iter().any(|problem| matches!(problem, $pattern)), "{problems:?}");
        }
    };
}

finds!(
    an_audit_finds_a_charge_that_is_gone,
    |records| {
        let at = records.iter().rposition(|record| record.kind() == RecordKind::Charge).unwrap();
        records.remove(at);
    },
    AuditProblem::Sum { counter: Counter::Spent | Counter::Accepted, .. }
);

finds!(
    an_audit_finds_a_voucher_that_nobody_signed,
    |records| {
        let Record::Charge { charge, .. } = first(records, RecordKind::Charge) else { unreachable!() };
        charge.cumulative_amount = Amount::new(charge.cumulative_amount.base_units() + 1_000);
    },
    AuditProblem::Signature { .. }
);

finds!(
    an_audit_finds_a_price_that_was_changed,
    |records| {
        let Record::Charge { charge, .. } = first(records, RecordKind::Charge) else { unreachable!() };
        charge.price = Amount::new(charge.price.base_units() + 1);
    },
    AuditProblem::Sum { counter: Counter::Spent, .. }
);

finds!(
    an_audit_finds_books_that_claim_a_redemption,
    |records| {
        let Record::Channel { books, .. } = first(records, RecordKind::Channel) else { unreachable!() };
        books.redeemed = Amount::new(books.redeemed.base_units() + 1);
    },
    AuditProblem::Sum { counter: Counter::Redeemed, .. }
);

finds!(
    an_audit_finds_more_spent_than_accepted,
    |records| {
        let Record::Channel { books, .. } = first(records, RecordKind::Channel) else { unreachable!() };
        books.spent = Amount::new(books.accepted.base_units() + 1);
    },
    AuditProblem::Overspent { .. }
);

finds!(
    an_audit_finds_terms_of_another_channel,
    |records| {
        let Record::Channel { books, .. } = first(records, RecordKind::Channel) else { unreachable!() };
        books.channel.salt = B256::repeat_byte(0x99);
    },
    AuditProblem::WrongId { .. }
);

finds!(
    an_audit_finds_a_channel_to_somebody_else,
    |records| {
        let Record::Channel { books, .. } = first(records, RecordKind::Channel) else { unreachable!() };
        books.channel.payee = Address::repeat_byte(0x99);
    },
    AuditProblem::OtherPayee { .. }
);

finds!(
    an_audit_finds_a_channel_whose_books_are_gone,
    |records| {
        let kept: Vec<Record> = records
            .iter()
            .filter(|record| !matches!(record.kind(), RecordKind::Charge | RecordKind::Channel))
            .cloned()
            .collect();
        *records = kept;
    },
    AuditProblem::NoBooks { .. }
);

finds!(
    an_audit_finds_a_credit_of_more_than_was_paid,
    |records| {
        let Record::Credit { credit, .. } = first(records, RecordKind::Credit) else { unreachable!() };
        credit.amount = Amount::new(1_000);
    },
    AuditProblem::Credit { .. }
);

finds!(
    an_audit_finds_a_credit_of_nothing_that_was_sold,
    |records| {
        let Record::Credit { credit, .. } = first(records, RecordKind::Credit) else { unreachable!() };
        credit.cumulative_amount = Amount::new(777);
    },
    AuditProblem::Credit { price: Amount::ZERO, .. }
);

finds!(
    an_audit_finds_a_final_redemption_that_is_gone,
    |records| remove_first(records, RecordKind::FinalRedemption),
    AuditProblem::Sum { counter: Counter::Redeemed, .. } | AuditProblem::FinalRedemption { .. }
);

finds!(
    an_audit_finds_a_final_redemption_that_pays_otherwise,
    |records| {
        let record = first(records, RecordKind::FinalRedemption);
        let Record::FinalRedemption { redemption, .. } = record else { unreachable!() };
        redemption.paid = Amount::new(redemption.paid.base_units() + 1);
    },
    AuditProblem::FinalRedemption { .. }
);

finds!(
    an_audit_finds_a_transaction_that_redeems_what_was_never_charged,
    |records| {
        let Record::Redemption { redemption } = first(records, RecordKind::Redemption) else { unreachable!() };
        redemption.vouchers.push((ChannelId::default(), Amount::new(5)));
    },
    AuditProblem::Redeems { .. }
);

finds!(
    an_audit_finds_credit_for_strangers_that_is_not_counted,
    |records| remove_first(records, RecordKind::Strangers),
    AuditProblem::Strangers { .. }
);

#[tokio::test]
async fn an_audit_finds_nothing_wrong_with_a_ledger_that_was_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    std::fs::write(&path, data("ledger-of-version-one.redb")).unwrap();
    let address = |hex: &str| hex.parse::<Address>().unwrap();
    let escrow = address("0x21aba1b9c1077179205400deb9daee84f3861c58");
    let owner = LedgerIdentity {
        deployment: Deployment { chain_id: 31_337, escrow },
        payee: address("0x70997970c51812dc3a010c7d01b50e0d17dc79c8"),
        token: address("0xe7f1725e7734ce288f8367e1bb143e90bb3f0512"),
    };
    let audited = audit(&EmbeddedStore::open(&path, &owner).unwrap(), &owner).await.unwrap();
    assert_eq!((audited.problems.as_slice(), audited.counts.charges), (&[][..], 7));
}
