//! Random lives of a journal beside a model: what is there is what was acknowledged, whatever happened.

use super::{Ledger, Refused, content};
use farthing_testkit::disk::{Disk, Failing};
use proptest::prelude::*;

/// Something that happens to a journal.
#[derive(Clone, Copy, Debug)]
enum Step {
    Append,
    /// The tables catch up, but for so many batches.
    Fold(u64),
    /// The process ends, and another one opens what it has left.
    Open,
    /// A call fails, and all that follow until the process has been started again.
    Fail(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => Just(Step::Append),
        3 => (0_u64..12).prop_map(Step::Fold),
        1 => Just(Step::Open),
        1 => (1_u64..8).prop_map(Step::Fail),
    ]
}

/// What has to be there: all that was acknowledged, and perhaps the batch that was being written.
#[derive(Debug, Default)]
struct Model {
    acknowledged: u64,
    in_doubt: bool,
}

impl Model {
    fn open(&mut self, disk: &Disk) -> Ledger {
        let ledger = Ledger::open(disk).unwrap();
        let most = self.acknowledged + u64::from(self.in_doubt);
        assert!((self.acknowledged..=most).contains(&ledger.last), "{self:?}, found {}", ledger.last);
        (self.acknowledged, self.in_doubt) = (ledger.last, false);
        ledger
    }

    fn append(&mut self, ledger: &mut Ledger) -> Result<(), Refused> {
        self.in_doubt = true;
        ledger.append()?;
        (self.acknowledged, self.in_doubt) = (self.acknowledged + 1, false);
        Ok(())
    }
}

fn live(steps: &[Step]) {
    let (disk, mut model) = (Disk::default(), Model::default());
    let mut ledger = model.open(&disk);
    for step in steps {
        match step {
            Step::Append => model.append(&mut ledger).unwrap(),
            Step::Fold(lag) => ledger.fold(ledger.last.saturating_sub(*lag).max(ledger.folded)).unwrap(),
            Step::Open => ledger = model.open(&disk),
            Step::Fail(nth) => {
                disk.fail(Failing::From(*nth));
                while model.append(&mut ledger).is_ok() {}
                disk.heal();
                let refused = ledger.journal.append(ledger.last + 1, &content(ledger.last + 1)).unwrap_err();
                assert!(matches!(refused, super::JournalError::Failed), "{refused}");
                ledger = model.open(&disk);
            }
        }
    }
    model.open(&disk);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_what_was_acknowledged_is_there(steps in prop::collection::vec(step(), 1..120)) {
        live(&steps);
    }
}

/// The control: a batch that is missing at the end is noticed by the same comparison.
#[test]
#[should_panic(expected = "found 8")]
fn a_batch_that_is_missing_is_noticed() {
    let ledger = super::ledger(8, 4);
    Model { acknowledged: 9, in_doubt: false }.open(&ledger.disk);
}
