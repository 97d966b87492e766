//! What was called, and what came of it.

use crate::bindings::ESCROW_JSON;
use std::collections::BTreeMap;
use std::fmt;

/// What became of the calls of one function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How often it was called.
    pub calls: u64,
    /// How often it did what it was asked.
    pub accepted: u64,
    /// How often it refused, by the one reason that there was.
    pub refused: BTreeMap<String, u64>,
    /// How often it refused when several reasons held.
    pub refused_for_several: u64,
}

/// All calls by function, and all events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By the function's name.
    pub functions: BTreeMap<String, Counts>,
    /// How often each event of the escrow was logged, by its first topic.
    pub events: BTreeMap<String, u64>,
}

/// The least share of its calls that every function has to have accepted, in percent.
pub const ACCEPTED_PERCENT: u64 = 20;

/// One of how many calls has to be refused for each of the escrow's errors, that error being the only reason.
pub const CALLS_PER_ERROR: u64 = 5_000;

impl Tally {
    /// Counts a call that was accepted.
    pub fn accept(&mut self, function: &str) {
        let counts = self.of(function);
        counts.calls += 1;
        counts.accepted += 1;
    }

    /// Counts a call that was refused for these reasons.
    pub fn refuse(&mut self, function: &str, reasons: &[&str]) {
        let counts = self.of(function);
        counts.calls += 1;
        match reasons {
            [reason] => *counts.refused.entry((*reason).to_owned()).or_default() += 1,
            _ => counts.refused_for_several += 1,
        }
    }

    /// Counts an event.
    pub fn log(&mut self, event: &str) {
        match self.events.get_mut(event) {
            Some(count) => *count += 1,
            None => drop(self.events.insert(event.to_owned(), 1)),
        }
    }

    fn of(&mut self, function: &str) -> &mut Counts {
        if !self.functions.contains_key(function) {
            self.functions.insert(function.to_owned(), Counts::default());
        }
        self.functions.get_mut(function).expect("it was just put there")
    }

    /// Adds another tally.
    pub fn add(&mut self, other: Self) {
        for (function, counts) in other.functions {
            let sum = self.functions.entry(function).or_default();
            sum.calls += counts.calls;
            sum.accepted += counts.accepted;
            sum.refused_for_several += counts.refused_for_several;
            for (reason, count) in counts.refused {
                *sum.refused.entry(reason).or_default() += count;
            }
        }
        for (event, count) in other.events {
            *self.events.entry(event).or_default() += count;
        }
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.functions.values().map(|counts| counts.calls).sum()
    }

    /// How many calls were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.functions.values().map(|counts| counts.accepted).sum()
    }

    /// How often an error was the only reason for a refusal, of any function.
    #[must_use]
    pub fn refused_for(&self, error: &str) -> u64 {
        self.functions.values().filter_map(|counts| counts.refused.get(error)).sum()
    }

    /// What the escrow has that these calls have hardly seen: a function that was not accepted often enough, an error
    /// that was not the only reason often enough, an event that was never logged. What there is to be seen is read from
    /// the ABI, so that nothing new is forgotten.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        let least = self.calls() / CALLS_PER_ERROR;
        for function in listed("function") {
            let counts = self.functions.get(&function).cloned().unwrap_or_default();
            if counts.accepted * 100 < counts.calls * ACCEPTED_PERCENT || counts.accepted <= least {
                gaps.push(format!("{function} was accepted {} of {} times", counts.accepted, counts.calls));
            }
        }
        for error in listed("error") {
            let count = self.refused_for(&error);
            if count <= least {
                gaps.push(format!("{error} was the only reason {count} times, not more than {least}"));
            }
        }
        for event in listed("event") {
            if !self.events.contains_key(&event) {
                gaps.push(format!("{event} was never logged"));
            }
        }
        gaps
    }
}

/// The names of the escrow's functions that write, of its errors, or of its events.
#[must_use]
pub fn listed(kind: &str) -> Vec<String> {
    let artifact: serde_json::Value = serde_json::from_str(ESCROW_JSON).expect("the compiler writes JSON");
    let items = artifact["abi"].as_array().expect("an ABI is a list").iter();
    let items = items.filter(|item| item["type"] == kind);
    let items = items.filter(|item| !matches!(item["stateMutability"].as_str(), Some("view" | "pure")));
    items.filter_map(|item| item["name"].as_str()).map(str::to_owned).collect()
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (function, counts) in &self.functions {
            let Counts { calls, accepted, refused, refused_for_several } = counts;
            writeln!(formatter, "{function}: {calls} calls, {accepted} accepted")?;
            for (reason, count) in refused {
                writeln!(formatter, "    {count} refused: {reason}")?;
            }
            writeln!(formatter, "    {refused_for_several} refused for several reasons")?;
        }
        let events: Vec<_> = self.events.iter().map(|(event, count)| format!("{event} {count}")).collect();
        writeln!(formatter, "events: {}", events.join(", "))?;
        writeln!(formatter, "{} calls, {} accepted", self.calls(), self.accepted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tally in which everything was seen: every function accepted, every error alone, every event logged.
    fn full() -> Tally {
        let mut tally = Tally::default();
        for function in listed("function") {
            (0..100).for_each(|_| tally.accept(&function));
        }
        for error in listed("error") {
            (0..2).for_each(|_| tally.refuse("redeem", &[&error]));
        }
        listed("event").iter().for_each(|event| tally.log(event));
        tally
    }

    #[test]
    fn nothing_is_missed_where_everything_was_seen() {
        assert_eq!(full().gaps(), Vec::<String>::new());
    }

    #[test]
    fn a_function_that_is_hardly_accepted_is_a_gap() {
        let mut tally = full();
        (0..401).for_each(|_| tally.refuse("reserve", &["ZeroAmount"]));
        assert_eq!(tally.gaps(), ["reserve was accepted 100 of 501 times"]);
        tally.functions.remove("withdrawFor");
        assert!(tally.gaps().contains(&"withdrawFor was accepted 0 of 0 times".to_owned()));
    }

    #[test]
    fn an_error_that_was_never_the_only_reason_is_a_gap() {
        let mut tally = full();
        tally.of("redeem").refused.remove("InsufficientGas");
        tally.refuse("redeem", &["InsufficientGas", "NotPayee"]);
        assert_eq!(tally.gaps(), ["InsufficientGas was the only reason 0 times, not more than 0"]);
    }

    #[test]
    fn an_event_that_was_never_logged_is_a_gap() {
        let mut tally = full();
        tally.events.remove("Closed");
        assert_eq!(tally.gaps(), ["Closed was never logged"]);
    }
}
