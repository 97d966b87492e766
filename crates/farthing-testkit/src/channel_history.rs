//! Whether what several gateways answered about one channel can have happened one after the other.
//!
//! Every purchase here costs the same, so a channel is a counter: a purchase raises it by one and is told its new value,
//! and a look is told the value. Then whether a history is linearizable is decided exactly and in one pass: the values say
//! in which order things happened, and it is left to see whether that order fits when they happened.

use std::collections::{BTreeMap, BTreeSet};

/// A moment, in nanoseconds since some beginning.
pub type Moment = u64;

/// Something that was done to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// When it was begun.
    pub begun: Moment,
    /// When it was answered; `None` if it never was.
    pub answered: Option<Moment>,
    /// What it was, and what was answered.
    pub kind: Kind,
}

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A purchase with this id.
    Purchase {
        /// Its own.
        id: u64,
        /// The counter's new value, if it was told.
        count: Option<u64>,
    },
    /// A look; also a purchase that turned out to have been made before.
    Look {
        /// The counter's value.
        count: u64,
    },
}

/// Checks one channel's history against the purchases that are in the ledger at its end.
///
/// # Errors
///
/// What can't be.
pub fn check(operations: &[Operation], kept: &BTreeSet<u64>) -> Result<(), String> {
    let mut places: BTreeMap<u64, (Moment, Moment)> = BTreeMap::new();
    let mut looks: BTreeMap<u64, Vec<(Moment, Moment)>> = BTreeMap::new();
    let mut untold = Vec::new();
    let mut known = BTreeSet::new();
    for operation in operations {
        let span = (operation.begun, operation.answered.unwrap_or(Moment::MAX));
        match operation.kind {
            Kind::Look { count } => looks.entry(count).or_default().push(span),
            Kind::Purchase { id, count: Some(count) } => {
                known.insert(id);
                if !kept.contains(&id) {
                    return Err(format!("purchase {id} was answered and is lost"));
                }
                if places.insert(count, span).is_some() {
                    return Err(format!("two purchases were told to be number {count}"));
                }
            }
            // It may take effect at any time after it was begun; it did if it is in the ledger.
            Kind::Purchase { id, count: None } => {
                if known.insert(id) && kept.contains(&id) {
                    untold.push((operation.begun, Moment::MAX));
                }
            }
        }
    }
    if let Some(id) = kept.iter().find(|id| !known.contains(id)) {
        return Err(format!("purchase {id} is in the ledger and nobody made it"));
    }
    let total = kept.len() as u64;
    if let Some(count) = looks.keys().chain(places.keys()).find(|count| **count > total) {
        return Err(format!("somebody was told of {count} purchases, and there are {total}"));
    }
    fill(&mut places, untold, total)?;
    walk(&places, &looks, total)
}

/// Gives the places that nobody was told of to those that were told nothing: the earliest to the earliest, for none of
/// them has an end.
fn fill(
    places: &mut BTreeMap<u64, (Moment, Moment)>,
    mut untold: Vec<(Moment, Moment)>,
    total: u64,
) -> Result<(), String> {
    untold.sort_unstable();
    let mut untold = untold.into_iter();
    for place in 1..=total {
        if let std::collections::btree_map::Entry::Vacant(vacant) = places.entry(place) {
            vacant.insert(untold.next().ok_or_else(|| format!("no purchase is number {place}"))?);
        }
    }
    if untold.next().is_some() { Err("there are more purchases than the books count".to_owned()) } else { Ok(()) }
}

/// Goes through what happened in its order; each thing as early as what is before it allows.
fn walk(
    places: &BTreeMap<u64, (Moment, Moment)>,
    looks: &BTreeMap<u64, Vec<(Moment, Moment)>>,
    total: u64,
) -> Result<(), String> {
    let mut now = 0;
    for count in 0..=total {
        if let Some((begun, answered)) = places.get(&count) {
            now = now.max(*begun);
            if now > *answered {
                return Err(format!("purchase number {count} was answered before it can have happened"));
            }
        }
        let mut next = now;
        for (begun, answered) in looks.get(&count).into_iter().flatten() {
            if now > *answered {
                return Err(format!("somebody was told of {count} purchases before the last of them"));
            }
            next = next.max(*begun);
        }
        now = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bought(id: u64, count: u64, begun: Moment, answered: Moment) -> Operation {
        Operation { begun, answered: Some(answered), kind: Kind::Purchase { id, count: Some(count) } }
    }

    fn untold(id: u64, begun: Moment) -> Operation {
        Operation { begun, answered: None, kind: Kind::Purchase { id, count: None } }
    }

    fn look(count: u64, begun: Moment, answered: Moment) -> Operation {
        Operation { begun, answered: Some(answered), kind: Kind::Look { count } }
    }

    fn verdict(operations: &[Operation], kept: &[u64]) -> Result<(), String> {
        check(operations, &kept.iter().copied().collect())
    }

    #[test]
    fn what_overlaps_may_have_happened_in_any_order() {
        assert_eq!(verdict(&[], &[]), Ok(()));
        assert_eq!(verdict(&[bought(1, 2, 0, 10), bought(2, 1, 5, 15)], &[1, 2]), Ok(()));
        assert_eq!(verdict(&[bought(1, 1, 0, 10), look(0, 0, 5), look(1, 3, 9), look(1, 20, 30)], &[1]), Ok(()));
        // What was never answered may happen late, or not at all.
        assert_eq!(verdict(&[untold(1, 0), bought(2, 1, 5, 15), look(1, 20, 30), look(2, 40, 50)], &[1, 2]), Ok(()));
        assert_eq!(verdict(&[untold(1, 0), bought(2, 1, 5, 15)], &[2]), Ok(()));
    }

    #[test]
    fn what_can_not_be_is_noticed() {
        let lost = [bought(1, 1, 0, 10)];
        let twice = [bought(1, 1, 0, 10), bought(2, 1, 0, 10)];
        let backwards = [bought(1, 2, 0, 10), bought(2, 1, 20, 30)];
        let stale = [bought(1, 1, 0, 10), look(0, 20, 30)];
        let early = [look(1, 0, 5), bought(1, 1, 10, 20)];
        let back_in_time = [untold(1, 0), look(1, 5, 10), look(0, 20, 30)];
        let unaccounted = [bought(1, 2, 0, 10)];
        let uncounted = [bought(1, 1, 0, 10), untold(2, 0)];
        assert!(verdict(&lost, &[]).is_err());
        assert!(verdict(&twice, &[1, 2]).is_err());
        assert!(verdict(&backwards, &[1, 2]).is_err());
        assert!(verdict(&stale, &[1]).is_err());
        assert!(verdict(&early, &[1]).is_err());
        assert!(verdict(&back_in_time, &[1]).is_err());
        assert!(verdict(&unaccounted, &[1]).is_err());
        assert!(verdict(&uncounted[..1], &[1, 2]).is_err());
        assert!(verdict(&uncounted, &[1, 2]).is_ok());
    }
}
