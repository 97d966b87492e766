//! Parsing `WWW-Authenticate`: challenges of several schemes, in one field or in many (RFC 9110, section 11.6.1).

use super::{HEADER_LENGTH_MAX, WireError};

/// One challenge: a scheme and its parameters, in the order they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeChallenge {
    /// The scheme's name as it was written; compare without case.
    pub scheme: String,
    /// Names in lower case, values without their quotes.
    pub parameters: Vec<(String, String)>,
}

impl SchemeChallenge {
    /// The value of a parameter, by its lower-case name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Splits one header field into its challenges.
///
/// # Errors
///
/// If the field is too long or not a list of challenges.
pub fn parse_challenges(field: &str) -> Result<Vec<SchemeChallenge>, WireError> {
    if field.len() > HEADER_LENGTH_MAX {
        return Err(WireError::TooLong { length: field.len() });
    }
    let mut challenges: Vec<SchemeChallenge> = Vec::new();
    let mut cursor = Cursor { rest: field };
    loop {
        cursor.skip(|c| c == ',' || c.is_ascii_whitespace());
        if cursor.rest.is_empty() {
            return Ok(challenges);
        }
        let name = cursor.token()?;
        cursor.skip(|c| c == ' ' || c == '\t');
        if cursor.rest.starts_with('=') && !cursor.rest.starts_with("==") {
            let value = cursor.value()?;
            let challenge = challenges.last_mut().ok_or(WireError::Syntax("a parameter before any scheme"))?;
            challenge.parameters.push((name.to_ascii_lowercase(), value));
        } else {
            challenges.push(SchemeChallenge { scheme: name.to_owned(), parameters: Vec::new() });
            cursor.skip_token68();
        }
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip(&mut self, skipped: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(skipped);
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    /// A token of RFC 9110, section 5.6.2.
    fn token(&mut self) -> Result<&'a str, WireError> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let length = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        if length == 0 {
            return Err(WireError::Syntax("a name is missing"));
        }
        Ok(self.take(length))
    }

    /// `=` and a token or a quoted string.
    fn value(&mut self) -> Result<String, WireError> {
        self.take(1);
        self.skip(|c| c == ' ' || c == '\t');
        if self.rest.starts_with('"') { self.quoted_string() } else { self.token().map(str::to_owned) }
    }

    fn quoted_string(&mut self) -> Result<String, WireError> {
        self.take(1);
        let mut value = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((position, character)) = characters.next() {
            match character {
                '"' => {
                    self.take(position);
                    self.take(1);
                    return Ok(value);
                }
                '\\' => {
                    let escaped = characters.next().ok_or(WireError::Syntax("a quoted string does not end"))?;
                    value.push(escaped.1);
                }
                other => value.push(other),
            }
        }
        Err(WireError::Syntax("a quoted string does not end"))
    }

    /// Other schemes may put one base64 blob after their name (`Negotiate abc==`); it is not ours to read.
    fn skip_token68(&mut self) {
        let end = self.rest.find([',', ' ', '\t']).unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(end);
        let padded = word.trim_end_matches('=');
        let is_blob = !word.is_empty() && !padded.contains(['=', '"']);
        let ends_here = after.trim_start().is_empty() || after.trim_start().starts_with(',');
        if is_blob && ends_here {
            self.rest = after;
        }
    }
}

/// Writes a value as a quoted string (RFC 9110, section 5.6.4); what can't stand in a header becomes a space.
#[must_use]
pub fn quote(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len().saturating_add(2));
    quoted.push('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => quoted.push(' '),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn several_schemes_in_one_field_are_told_apart() {
        let field = r#"Negotiate YWJj==, Basic realm="a, b", Payment id="x\"y", method=farthing , intent = "session""#;
        let challenges = parse_challenges(field).expect("parses");
        let schemes: Vec<_> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
        assert_eq!(schemes, ["Negotiate", "Basic", "Payment"]);
        assert_eq!(challenges[1].parameter("realm"), Some("a, b"));
        assert_eq!(challenges[2].parameter("id"), Some("x\"y"));
        assert_eq!(challenges[2].parameter("intent"), Some("session"));
    }

    #[test]
    fn refuses_a_string_without_end_and_a_parameter_without_scheme() {
        assert!(parse_challenges(r#"Payment id="abc"#).is_err());
        assert!(parse_challenges(r#"id="abc""#).is_err());
        assert!(parse_challenges(&"a".repeat(HEADER_LENGTH_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back(value in "[ -~]{0,60}") {
            let field = format!("Payment opaque={}", quote(&value));
            let challenges = parse_challenges(&field).expect("parses");
            prop_assert_eq!(challenges[0].parameter("opaque"), Some(value.as_str()));
        }

        #[test]
        fn no_field_makes_the_parser_panic(field in "(Payment|Basic|[ ,=\"\\\\a-z\u{80}-\u{ff}]){0,30}") {
            let _ = parse_challenges(&field);
        }
    }
}
