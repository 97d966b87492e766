//! A file of what gas has cost: comma-separated values, one moment a line.

use crate::amounts;
use crate::failure::{Code, Failure};
use csv::{ReaderBuilder, StringRecord, Trim};
use farthing::core::gas::{CoinPrice, Prices};
use farthing::core::replay::Moment;
use farthing::core::{Amount, Timestamp, Token};
use std::io::Read;
use std::path::Path;

/// The columns, in the order in which they are written. The first two are needed.
const COLUMNS: [&str; 5] = ["time", "gas_price", "data_fee", "data_fee_per_row", "coin_price"];

const FORM: &str = "the first line is time,gas_price and perhaps data_fee, data_fee_per_row, coin_price; \
                    farthing fee-history writes such a file";

/// Reads a file. A moment without a price of the coin has `otherwise`.
pub(crate) fn read(path: &Path, token: &Token, otherwise: Option<CoinPrice>) -> Result<Vec<Moment>, Failure> {
    let mut text = String::new();
    let file = std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    file.map_err(|error| Failure::file(path, &error))?;
    parse(&text, token, otherwise).map_err(|fault| {
        Failure::new(Code::Usage, format!("{}: {}", path.display(), fault.message))
            .hint(fault.hint.unwrap_or_else(|| FORM.to_owned()))
    })
}

fn parse(text: &str, token: &Token, otherwise: Option<CoinPrice>) -> Result<Vec<Moment>, Failure> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
    let malformed = |error: csv::Error| Failure::new(Code::Usage, error);
    let header = reader.headers().map_err(malformed)?.clone();
    if let Some(unknown) = header.iter().find(|name| !COLUMNS.contains(name)) {
        return Err(Failure::new(Code::Usage, format!("line 1 has a column {unknown:?}, which means nothing here")));
    }
    if let Some(missing) = COLUMNS[..2].iter().find(|name| !header.iter().any(|column| column == **name)) {
        return Err(Failure::new(Code::Usage, format!("line 1 lacks the column {missing}")));
    }
    let mut moments = Vec::new();
    for record in reader.records() {
        let record = record.map_err(malformed)?;
        let line = record.position().map_or(0, csv::Position::line);
        moments.push(Line { header: &header, record: &record, line }.moment(token, otherwise)?);
    }
    Ok(moments)
}

/// A line, with what its columns are called.
struct Line<'a> {
    header: &'a StringRecord,
    record: &'a StringRecord,
    line: u64,
}

impl Line<'_> {
    fn moment(&self, token: &Token, otherwise: Option<CoinPrice>) -> Result<Moment, Failure> {
        let time = self.field("time").unwrap_or_default();
        let at = time.parse::<u64>().ok().map(Timestamp::from_unix_seconds).or_else(|| time.parse().ok());
        let at =
            at.ok_or_else(|| self.fault("time", time, "neither RFC 3339 (2026-11-22T14:00:00Z) nor Unix seconds"))?;
        let gas_price = self.wei("gas_price")?;
        let gas_price =
            gas_price.ok_or_else(|| self.fault("gas_price", "", "not a whole number of wei for a unit of gas"))?;
        let (data_fee, data_fee_per_row) = (self.wei("data_fee")?, self.wei("data_fee_per_row")?);
        let coin = match self.field("coin_price") {
            Some(written) => Some(self.coin_price(token, written)?),
            None => otherwise,
        };
        if coin.is_none() {
            let message = format!("line {} has no coin_price, and neither catalog nor --coin-price has one", self.line);
            return Err(Failure::new(Code::Usage, message).hint(
                "add a column coin_price (one coin in your token), or name one price for all with --coin-price",
            ));
        }
        let (data_fee, data_fee_per_row) = (data_fee.unwrap_or_default(), data_fee_per_row.unwrap_or_default());
        Ok(Moment { at, prices: Prices { gas_price, data_fee, data_fee_per_row, coin } })
    }

    /// What stands in a column; nothing if that is empty or not there.
    fn field(&self, name: &str) -> Option<&str> {
        let column = self.header.iter().position(|column| column == name)?;
        self.record.get(column).filter(|field| !field.is_empty())
    }

    fn wei(&self, name: &str) -> Result<Option<Amount>, Failure> {
        let read = |field: &str| field.parse().map_err(|_| self.fault(name, field, "not a whole number of wei"));
        self.field(name).map(read).transpose()
    }

    fn coin_price(&self, token: &Token, written: &str) -> Result<CoinPrice, Failure> {
        let price = amounts::parse(token, written).ok().and_then(CoinPrice::new);
        price.ok_or_else(|| self.fault("coin_price", written, &format!("not an amount of {} above zero", token.symbol)))
    }

    fn fault(&self, column: &str, written: &str, what: &str) -> Failure {
        Failure::new(Code::Usage, format!("line {}, column {column}: {written:?} is {what}", self.line))
    }
}

/// Writes moments as [`read`] reads them. Data fees are left out where there are none.
pub(crate) fn write(moments: &[Moment]) -> Result<Vec<u8>, Failure> {
    let has_data_fees = moments.iter().any(|moment| !moment.prices.data_fee.is_zero());
    let columns = if has_data_fees { &COLUMNS[..4] } else { &COLUMNS[..2] };
    let failed = |error: csv::Error| Failure::new(Code::Unexpected, error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns).map_err(failed)?;
    for Moment { at, prices } in moments {
        let fields = [
            at.to_string(),
            prices.gas_price.to_string(),
            prices.data_fee.to_string(),
            prices.data_fee_per_row.to_string(),
        ];
        writer.write_record(fields.iter().take(columns.len())).map_err(failed)?;
    }
    writer.into_inner().map_err(|error| Failure::new(Code::Unexpected, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing::core::Address;

    fn dollars() -> Token {
        Token { address: Address::repeat_byte(1), symbol: "USDC".to_owned(), decimals: 6, dollar: true }
    }

    fn price(base_units: u128) -> Option<CoinPrice> {
        CoinPrice::new(Amount::new(base_units))
    }

    #[test]
    fn times_are_read_in_both_ways_and_what_is_written_reads_back() {
        let text = "gas_price, time, coin_price\n1000000000,2026-11-22T14:00:00Z,$3000\n7,1795356000,\n";
        let moments = parse(text, &dollars(), price(5)).expect("reads");
        let found: Vec<_> =
            moments.iter().map(|moment| (moment.at.unix_seconds(), moment.prices.gas_price.base_units())).collect();
        assert_eq!(found, [(1_795_356_000, 1_000_000_000), (1_795_356_000, 7)]);
        assert_eq!([moments[0].prices.coin, moments[1].prices.coin], [price(3_000_000_000), price(5)]);
        let rollup: Vec<Moment> = moments
            .iter()
            .map(|moment| Moment {
                prices: Prices {
                    data_fee: Amount::new(3),
                    data_fee_per_row: Amount::new(1),
                    coin: price(5),
                    ..moment.prices
                },
                ..*moment
            })
            .collect();
        let written = String::from_utf8(write(&rollup).expect("writes")).expect("UTF-8");
        assert_eq!(parse(&written, &dollars(), price(5)).expect("reads"), rollup, "{written}");
    }

    #[test]
    fn a_mistake_is_named_by_its_line_and_column() {
        for (text, said) in [
            ("", "line 1 lacks the column time"),
            ("time,gas\n", "line 1 has a column \"gas\""),
            ("time\n", "line 1 lacks the column gas_price"),
            ("time,gas_price\n1,2\nyesterday,2\n", "line 3, column time: \"yesterday\" is neither"),
            (
                "time,gas_price\n1,2\n2,0.5 gwei\n",
                "line 3, column gas_price: \"0.5 gwei\" is not a whole number of wei",
            ),
            ("time,gas_price\n1,\n", "line 2, column gas_price: \"\" is not a whole number"),
            ("time,gas_price\n1,-2\n", "line 2, column gas_price"),
            ("time,gas_price,coin_price\n1,2,lots\n", "line 2, column coin_price: \"lots\" is not an amount of USDC"),
            ("time,gas_price,data_fee\n1,2,x\n", "line 2, column data_fee"),
            ("time,gas_price\n1,2,3\n", "line: 2"),
        ] {
            let error = parse(text, &dollars(), price(5)).expect_err(text).message;
            assert!(error.contains(said), "{text}: {error}");
        }
        let error = parse("time,gas_price\n1,2\n", &dollars(), None).expect_err("no price").message;
        assert!(error.contains("line 2 has no coin_price"), "{error}");
    }
}
