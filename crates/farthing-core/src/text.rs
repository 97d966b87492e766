//! Words of strangers: names of tokens, messages with tips, problems of servers.

/// Makes a text harmless to show: whatever could move a cursor, clear a screen or reverse a line becomes a space.
#[must_use]
pub fn harmless(text: &str) -> String {
    let reorders =
        |character| matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_unsafe = |character: char| character.is_control() || reorders(character);
    text.chars().map(|character| if is_unsafe(character) { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_can_not_drive_a_terminal() {
        assert_eq!(harmless("lovely\u{1b}[2J\u{202e}song\r\n"), "lovely [2J song  ");
    }
}
