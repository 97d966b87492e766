//! Tables that are read by people and by spreadsheets: the same rows as text and as CSV.

use crate::failure::{Code, Failure};
use crate::output::{render, short, short_address, table};
use farthing::core::text::harmless;
use farthing::core::{Address, Amount, B256, Token};

/// Rows under a header.
#[derive(Debug)]
pub(crate) struct Sheet {
    header: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Words, times and ids.
    Words(&'static str),
    /// Counts.
    Counts(&'static str),
    /// Amounts.
    Money(&'static str),
}

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Self::Words(name) | Self::Counts(name) | Self::Money(name) => name,
        }
    }

    /// The names that it has in CSV: an amount is two columns.
    fn names(self) -> Vec<String> {
        let name = self.name().to_owned();
        match self {
            Self::Money(_) => vec![name.clone(), format!("{name}_base")],
            Self::Words(_) | Self::Counts(_) => vec![name],
        }
    }
}

/// What stands in a row.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// Words, perhaps a stranger's.
    Text(String),
    /// How many.
    Count(u64),
    /// How much of the ledger's token.
    Money(Amount),
    /// Somebody.
    Address(Address),
    /// A channel or a transaction.
    Id(B256),
}

impl Sheet {
    pub(crate) fn new(header: &[Column], rows: impl IntoIterator<Item = Vec<Cell>>) -> Self {
        Self { header: header.to_vec(), rows: rows.into_iter().collect() }
    }

    /// The same without these columns: a terminal has room for about six amounts.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        let kept: Vec<bool> = self.header.iter().map(|column| !names.contains(&column.name())).collect();
        let pick =
            |row: &Vec<Cell>| row.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(cell, _)| cell.clone()).collect();
        let header = self.header.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(column, _)| *column).collect();
        Self { header, rows: self.rows.iter().map(pick).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// For 80 columns, with the ends of ids.
    pub(crate) fn text(&self, token: &Token) -> String {
        let is_figure = |column: &Column| !matches!(column, Column::Words(_));
        let figures = self.header.iter().enumerate().filter(|(_, column)| is_figure(column));
        let figures: Vec<usize> = figures.map(|(index, _)| index).collect();
        let names: Vec<&str> = self.header.iter().map(|column| column.name()).collect();
        let mut shown = table(&names, &figures);
        for row in &self.rows {
            shown.add_row(row.iter().map(|cell| cell.text(token)));
        }
        render(&shown)
    }

    /// As RFC 4180 says. An amount is two columns: in units of the token, and in base units.
    pub(crate) fn csv(&self, token: &Token) -> Result<Vec<u8>, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(Code::Unexpected, error);
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        let header = self.header.iter().flat_map(|column| column.names());
        writer.write_record(header).map_err(|error| failed(&error))?;
        for row in &self.rows {
            let fields = row.iter().flat_map(|cell| cell.fields(token));
            writer.write_record(fields).map_err(|error| failed(&error))?;
        }
        writer.into_inner().map_err(|error| failed(&error))
    }
}

impl Cell {
    fn text(&self, token: &Token) -> String {
        match self {
            Self::Text(text) => harmless(text),
            Self::Count(count) => count.to_string(),
            Self::Money(amount) => token.format(*amount),
            Self::Address(address) => short_address(*address),
            Self::Id(id) => short(id),
        }
    }

    fn fields(&self, token: &Token) -> Vec<String> {
        match self {
            Self::Text(text) => vec![no_formula(text)],
            Self::Count(count) => vec![count.to_string()],
            Self::Money(amount) => vec![decimal(token, *amount), amount.to_string()],
            Self::Address(address) => vec![format!("{address:#x}")],
            Self::Id(id) => vec![id.to_string()],
        }
    }
}

/// A spreadsheet runs what begins like a formula: a name like `=HYPERLINK(…)` could send the sheet away. An apostrophe
/// makes it text, in every spreadsheet.
fn no_formula(text: &str) -> String {
    let begins = |character: char| matches!(character, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '|' | '%');
    // Full-width signs are read as the narrow ones, and spaces before them are skipped.
    let narrow = |character: char| match character {
        '＝' => '=',
        '＋' => '+',
        '－' => '-',
        '＠' => '@',
        other => other,
    };
    let first = text.chars().map(narrow).find(|character| !matches!(character, ' ' | '\u{a0}' | '\u{feff}'));
    if first.is_some_and(begins) { format!("'{text}") } else { text.to_owned() }
}

/// An amount without symbol or currency sign.
fn decimal(token: &Token, amount: Amount) -> String {
    let bare = Token { symbol: String::new(), dollar: false, ..token.clone() };
    bare.format(amount).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dollars() -> Token {
        Token { address: Address::repeat_byte(1), symbol: "USDC".to_owned(), decimals: 6, dollar: true }
    }

    fn sheet(items: &[&str]) -> Sheet {
        let row = |item: &&str| vec![Cell::Text((*item).to_owned()), Cell::Count(1), Cell::Money(Amount::new(500_000))];
        let header = [Column::Words("item"), Column::Counts("sold"), Column::Money("earned")];
        Sheet::new(&header, items.iter().map(row))
    }

    fn csv(items: &[&str]) -> String {
        String::from_utf8(sheet(items).csv(&dollars()).expect("writes")).expect("UTF-8")
    }

    #[test]
    fn an_amount_is_written_in_units_and_in_base_units() {
        assert_eq!(csv(&[]), "item,sold,earned,earned_base\r\n", "the same columns without rows");
        assert_eq!(csv(&["/song"]), "item,sold,earned,earned_base\r\n/song,1,0.5,500000\r\n");
        assert_eq!(csv(&["/a,b", "/\"c\""]).lines().nth(1), Some("\"/a,b\",1,0.5,500000"));
    }

    #[test]
    fn no_name_is_a_formula_in_a_spreadsheet() {
        for name in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "\u{a0}+1", "|calc", "%0"] {
            let text = csv(&[name]);
            let mut rows = csv::Reader::from_reader(text.as_bytes());
            let row = rows.records().next().expect("a row").expect("reads");
            assert_eq!(row.get(0), Some(format!("'{name}").as_str()), "{name:?}");
        }
        for name in ["/songs/=1", "/song", "a-b", ""] {
            let text = csv(&[name]);
            let row = csv::Reader::from_reader(text.as_bytes()).records().next().expect("a row").expect("reads");
            assert_eq!(row.get(0), Some(name), "{name:?}");
        }
    }

    #[test]
    fn a_name_moves_no_cursor_in_a_table() {
        assert!(!sheet(&["/song\u{1b}[2J"]).text(&dollars()).contains('\u{1b}'));
    }
}
