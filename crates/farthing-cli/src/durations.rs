//! Lengths of time on a command line: `7d`, `36h`, `90m`, `3600s`.

/// What each unit is in seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Reads whole days, hours, minutes or seconds. A bare number is refused: of seconds and days one is a mistake.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let usage = || "write days, hours, minutes or seconds: 7d, 36h, 90m, 3600s".to_owned();
    let unit = UNITS.iter().find(|(unit, _)| text.ends_with(*unit));
    let (unit, length) = unit.ok_or_else(usage)?;
    let number = text.strip_suffix(*unit).unwrap_or_default();
    // `parse` alone would take `+7`.
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(usage());
    }
    let number: u64 = number.parse().map_err(|_| usage())?;
    number.checked_mul(*length).ok_or_else(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_names_its_unit() {
        assert_eq!(parse("7d"), Ok(604_800));
        assert_eq!(parse("36h"), Ok(129_600));
        assert_eq!(parse("90m"), Ok(5_400));
        assert_eq!(parse("0s"), Ok(0));
        for text in ["", "d", "7", "-7d", "+7d", "7.5d", "7 d", "7w", "99999999999999999999d", "999999999999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
