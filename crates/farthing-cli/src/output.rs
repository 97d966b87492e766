//! Standard output is data: one JSON object, or text for people. Standard error is talk.

use crate::failure::{Code, Failure};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use farthing::chain::Mined;
use farthing::core::text::harmless;
use farthing::core::{Address, B256};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;
use std::io::Write;

/// The width that tables are made for.
const COLUMNS: u16 = 80;

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Writes a command's result: as JSON if that was asked for, else as text.
    pub(crate) fn result<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json {
            let value = serde_json::to_string(value).map_err(|error| Failure::new(Code::Unexpected, error))?;
            write_line(&value);
        } else {
            write_line(text().trim_end());
        }
        Ok(())
    }

    /// Writes what was found out although it makes the command fail; in JSON it goes with the failure.
    pub(crate) fn report<T: Serialize>(self, value: &T, failure: Failure, text: impl FnOnce() -> String) -> Failure {
        if self.json {
            return failure.with_report(value);
        }
        write_line(text().trim_end());
        failure
    }

    /// Writes a result that is neither text nor JSON.
    #[expect(clippy::unused_self, reason = "results go where they are decided on")]
    pub(crate) fn bytes(self, bytes: &[u8]) {
        // A reader that has gone away is no error.
        let _ = std::io::stdout().write_all(bytes);
    }

    /// Says something to whoever watches, which is no result.
    #[expect(clippy::unused_self, reason = "talk goes where results are decided on")]
    pub(crate) fn note(self, text: impl fmt::Display) {
        let _ = writeln!(std::io::stderr(), "{}", harmless(&text.to_string()));
    }

    /// Says why a command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            self.failure_json(failure);
        }
        self.note(format!("error: {}", one_line(&failure.message)));
        if let Some(hint) = &failure.hint {
            self.note(format!("hint: {}", one_line(hint)));
        }
    }

    /// The part of a failure that programs read.
    #[expect(clippy::unused_self, reason = "beside `failure`")]
    fn failure_json(self, failure: &Failure) {
        let (code, message, hint) = (failure.code as u8, &failure.message, &failure.hint);
        let mut object = json!({ "error": { "code": code, "message": message, "hint": hint } });
        if let Some((object, Value::Object(report))) = object.as_object_mut().zip(failure.report.as_deref()) {
            object.extend(report.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        write_line(&object.to_string());
    }
}

/// Writes to standard output. A reader that has gone away is no error.
fn write_line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// An error is one line, and what a server or a token says in it moves no cursor.
fn one_line(text: &str) -> String {
    harmless(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A mined transaction, as every command's JSON shows it. Wei are a decimal string, as all amounts are.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transaction {
    hash: B256,
    gas_used: u64,
    gas_price: String,
    block: u64,
}

impl From<&Mined> for Transaction {
    fn from(mined: &Mined) -> Self {
        let Mined { hash, block, gas_used, gas_price } = *mined;
        Self { hash, gas_used, gas_price: gas_price.to_string(), block }
    }
}

/// The transactions of a command.
pub(crate) fn transactions(mined: &[Mined]) -> Vec<Transaction> {
    mined.iter().map(Transaction::from).collect()
}

/// Appends what was sent: `transaction 0x… in block 7, 61234 gas`.
pub(crate) fn with_transactions(mut text: String, mined: &[Mined]) -> String {
    for mined in mined {
        text += &format!("\ntransaction {} in block {}, {} gas", mined.hash, mined.block, mined.gas_used);
    }
    text
}

/// An empty table without lines, for 80 columns. The columns named in `right` are figures.
pub(crate) fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(COLUMNS);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A table as text, without the margin that its first column has.
pub(crate) fn render(table: &Table) -> String {
    let lines = table.trim_fmt();
    lines.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// The ends of an address or id: enough to recognise it in a table, never in JSON.
pub(crate) fn short(hex: impl fmt::Display) -> String {
    let text = hex.to_string();
    match (text.get(..6), text.get(text.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if text.len() > 12 => format!("{head}…{tail}"),
        _ => text,
    }
}

/// An address in a table.
pub(crate) fn short_address(address: Address) -> String {
    short(address.to_checksum(None))
}

/// `1 day`, `90 minutes`, `3601 s`.
pub(crate) fn duration(seconds: u64) -> String {
    let unit = [("day", 86_400), ("hour", 3_600), ("minute", 60)]
        .into_iter()
        .find(|(_, length)| seconds.is_multiple_of(*length));
    match unit {
        Some((name, length)) if seconds > 0 => {
            let count = seconds / length;
            format!("{count} {name}{}", if count == 1 { "" } else { "s" })
        }
        _ => format!("{seconds} s"),
    }
}
