//! What a transaction offers for its gas, and how one outbids another.

use serde::{Deserialize, Serialize};

/// Wei as all amounts are written: a decimal string in JSON, whose numbers end far below.
pub(crate) mod wei {
    use farthing_core::Amount;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(wei: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        Amount::new(*wei).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        Amount::deserialize(deserializer).map(Amount::base_units)
    }
}

/// What a transaction offers, in wei per unit of gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fees {
    /// The most that it pays in all.
    #[serde(with = "wei")]
    pub max_fee_per_gas: u128,
    /// What goes to whoever makes the block.
    #[serde(with = "wei")]
    pub max_priority_fee_per_gas: u128,
}

impl Fees {
    /// The most that is offered, as a multiple of what the chain asks for now.
    const CEILING: u128 = 8;

    /// An eighth more, at least one wei: nodes replace a waiting transaction only for clearly more.
    #[must_use]
    pub fn raised(self) -> Self {
        let raise = |fee: u128| fee.saturating_add(fee.div_ceil(8).max(1));
        Self {
            max_fee_per_gas: raise(self.max_fee_per_gas),
            max_priority_fee_per_gas: raise(self.max_priority_fee_per_gas),
        }
    }

    /// What a unit of gas costs now, of fees that the chain asks for: those leave room for the base fee to double.
    #[must_use]
    pub const fn price(self) -> u128 {
        let tip = self.max_priority_fee_per_gas;
        (self.max_fee_per_gas.saturating_sub(tip) / 2).saturating_add(tip)
    }

    /// The same offer, within a bound.
    #[must_use]
    pub fn at_most(self, fee_max: u128) -> Self {
        let max_fee_per_gas = self.max_fee_per_gas.min(fee_max);
        Self { max_fee_per_gas, max_priority_fee_per_gas: self.max_priority_fee_per_gas.min(max_fee_per_gas) }
    }

    /// The dearer of two offers, in each part.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            max_fee_per_gas: self.max_fee_per_gas.max(other.max_fee_per_gas),
            max_priority_fee_per_gas: self.max_priority_fee_per_gas.max(other.max_priority_fee_per_gas),
        }
    }

    /// What the chain asks for now, or more if that is needed to replace a transaction that offers `rival`. Bounded:
    /// what is stuck for another reason than its price must not be raised until it takes the whole wallet.
    #[must_use]
    pub fn outbidding(self, rival: Option<Self>) -> Self {
        let Some(rival) = rival.map(Self::raised) else { return self };
        let ceiling = self.max_fee_per_gas.saturating_mul(Self::CEILING);
        let max_fee_per_gas = rival.max_fee_per_gas.min(ceiling).max(self.max_fee_per_gas);
        // A tip is paid in full, so its bound is the price that would be right without it.
        let tip = rival.max_priority_fee_per_gas.min(self.max_fee_per_gas);
        Self { max_fee_per_gas, max_priority_fee_per_gas: tip.max(self.max_priority_fee_per_gas) }
    }
}
