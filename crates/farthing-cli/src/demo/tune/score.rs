//! Reading a score: text in ABC notation becomes a list of notes for each voice.
//!
//! The subset of ABC read here is what the demo's scores need: the headers `X T C M L Q K V`, notes with accidentals,
//! octave marks and lengths, rests, chords and bars. Whatever else it meets is a mistake, and so is a bar that does not
//! last as long as its meter says, because a wrong length is easy to write and hard to hear.

use super::{Mistake, TuneError};
use std::ops::RangeInclusive;

/// Ticks in a whole note: no length in the demo's scores is finer than a sixty-fourth.
pub(super) const WHOLE: u32 = 64;

/// The longest tune, in minutes; it bounds what rendering asks of memory.
const MAX_MINUTES: u32 = 2;

/// From a piano's lowest key to the highest whose harmonics all lie below half the sampling rate, as MIDI numbers: what
/// lies above would fold back as a tone that nobody played.
const KEYBOARD: RangeInclusive<i32> = 21..=88;

/// How many semitones each letter, from C to B, lies above C.
const SCALE: [i32; 7] = [0, 2, 4, 5, 7, 9, 11];

/// A score that was read: who plays what, when.
#[derive(Debug)]
pub(super) struct Tune {
    /// The tempo.
    pub(super) ticks_per_minute: u32,
    /// From the first note to the end of the last bar, in ticks.
    pub(super) length: u32,
    /// One list of notes for each voice, the melody first.
    pub(super) voices: Vec<Vec<Note>>,
}

/// One note as it sounds.
#[derive(Debug)]
pub(super) struct Note {
    /// The MIDI number: 69 is the A of 440 Hz, and every semitone is one more.
    pub(super) pitch: i32,
    /// When it starts, in ticks.
    pub(super) start: u32,
    /// How long it is held, in ticks.
    pub(super) length: u32,
    /// Whether it starts a bar, and so is played a little louder.
    pub(super) accented: bool,
}

impl Tune {
    /// Reads a whole score.
    pub(super) fn parse(score: &str) -> Result<Self, TuneError> {
        let mut headers = Headers::default();
        let mut voices: Vec<Voice> = Vec::new();
        for (line, text) in (1..).zip(score.lines()) {
            let text = text.split('%').next().unwrap_or_default().trim();
            let read = match (field(text), voices.last_mut()) {
                (Some(('V', name)), _) => headers.start_voice(name, voices.len()).map(|voice| voices.push(voice)),
                (Some((letter, value)), None) => headers.read(letter, value),
                (Some((letter, _)), Some(_)) => Err(Mistake::UnknownHeader { letter }),
                (None, _) if text.is_empty() => Ok(()),
                (None, None) => Err(Mistake::MissingHeader),
                (None, Some(voice)) => voice.read(text),
            };
            read.map_err(|mistake| TuneError::Score { line, mistake })?;
        }
        let ticks_per_minute = headers.ticks_per_minute.ok_or(TuneError::Empty)?;
        let length = voices.iter().map(|voice| voice.now).max().unwrap_or(0);
        let voices: Vec<_> = voices.into_iter().map(|voice| voice.notes).collect();
        if voices.iter().all(Vec::is_empty) {
            return Err(TuneError::Empty);
        }
        Ok(Self { ticks_per_minute, length, voices })
    }
}

/// Splits a header line into its letter and its value; a line of music is `None`.
fn field(text: &str) -> Option<(char, &str)> {
    let (letter, value) = text.split_once(':')?;
    Some((letter.parse().ok()?, value.trim()))
}

/// What the headers have said so far about the music.
#[derive(Default)]
struct Headers {
    bar: Option<u32>,
    unit: Option<u32>,
    ticks_per_minute: Option<u32>,
    key: Option<[i32; 7]>,
}

impl Headers {
    fn read(&mut self, letter: char, value: &str) -> Result<(), Mistake> {
        let wrong = |expected| Mistake::Header { letter, value: value.to_owned(), expected };
        match letter {
            // The number, title and composer do not change how a tune sounds.
            'X' | 'T' | 'C' => {}
            'M' => self.bar = Some(parse_fraction(value).ok_or_else(|| wrong("a meter like 3/4"))?),
            'L' => self.unit = Some(parse_fraction(value).ok_or_else(|| wrong("a length like 1/8"))?),
            'Q' => self.ticks_per_minute = Some(parse_tempo(value).ok_or_else(|| wrong("a tempo like 1/4=120"))?),
            'K' => self.key = Some(parse_key(value).ok_or_else(|| wrong("C, G, Eb, Am, Em or Cm"))?),
            _ => return Err(Mistake::UnknownHeader { letter }),
        }
        Ok(())
    }

    /// Starts the next voice. A name that was seen before would continue that voice in ABC, and play over it here.
    fn start_voice(&self, name: &str, voices: usize) -> Result<Voice, Mistake> {
        if name != (voices + 1).to_string() {
            let expected = "the number of the next voice";
            return Err(Mistake::Header { letter: 'V', value: name.to_owned(), expected });
        }
        let (Some(bar), Some(unit), Some(ticks_per_minute), Some(key)) =
            (self.bar, self.unit, self.ticks_per_minute, self.key)
        else {
            return Err(Mistake::MissingHeader);
        };
        let longest = ticks_per_minute.saturating_mul(MAX_MINUTES);
        Ok(Voice { bar, unit, longest, key, notes: Vec::new(), now: 0, bar_start: 0, signature: key })
    }
}

/// Reads a fraction of a whole note such as `3/8`, as ticks.
fn parse_fraction(value: &str) -> Option<u32> {
    let (numerator, denominator) = value.split_once('/')?;
    exact_ratio(WHOLE, numerator, denominator)
}

/// Reads a tempo such as `1/4=120`, as ticks a minute.
fn parse_tempo(value: &str) -> Option<u32> {
    let (beat, count) = value.split_once('=')?;
    parse_fraction(beat)?.checked_mul(count.parse().ok()?).filter(|ticks| *ticks > 0)
}

/// Reads a key, as the semitones that each letter from C to B is raised or lowered by.
fn parse_key(value: &str) -> Option<[i32; 7]> {
    match value {
        "C" | "Am" => Some([0, 0, 0, 0, 0, 0, 0]),
        "G" | "Em" => Some([0, 0, 0, 1, 0, 0, 0]),
        "Eb" | "Cm" => Some([0, 0, -1, 0, 0, -1, -1]),
        _ => None,
    }
}

/// Returns `whole * numerator / denominator` when that is a whole number and more than none.
fn exact_ratio(whole: u32, numerator: &str, denominator: &str) -> Option<u32> {
    let product = whole.checked_mul(numerator.parse().ok()?)?;
    let denominator: u32 = denominator.parse().ok()?;
    (product > 0 && product.checked_rem(denominator)? == 0).then(|| product / denominator)
}

/// One voice while it is read.
struct Voice {
    /// How long a bar lasts, in ticks.
    bar: u32,
    /// The length of a note that does not say its own, in ticks.
    unit: u32,
    /// How long the voice may last, in ticks.
    longest: u32,
    /// The sharps and flats at the start of every bar.
    key: [i32; 7],
    /// What it plays so far, in order of start.
    notes: Vec<Note>,
    /// Where the next note starts, in ticks.
    now: u32,
    /// Where the open bar started.
    bar_start: u32,
    /// The sharps and flats of the open bar: those of the key until an accidental changes them.
    signature: [i32; 7],
}

impl Voice {
    /// Reads one line of music.
    fn read(&mut self, text: &str) -> Result<(), Mistake> {
        let mut rest = text;
        while let Some(symbol) = rest.chars().next() {
            match symbol {
                ' ' => rest = rest.trim_start(),
                '|' => {
                    take(&mut rest, "|]");
                    self.end_bar()?;
                }
                _ => {
                    let pitches = self.read_pitches(&mut rest)?;
                    let length = self.read_length(&mut rest)?;
                    self.play(pitches, length)?;
                }
            }
        }
        Ok(())
    }

    /// Reads what sounds together: a note, a chord in brackets, or a rest, which is no pitch at all.
    fn read_pitches(&mut self, rest: &mut &str) -> Result<Vec<i32>, Mistake> {
        if let Some(after) = rest.strip_prefix('z') {
            *rest = after;
            return Ok(Vec::new());
        }
        let Some(chord) = rest.strip_prefix('[') else {
            return Ok(vec![self.read_pitch(rest)?]);
        };
        *rest = chord;
        // A pitch comes first, so that a chord of none is a mistake and not a rest.
        let mut pitches = vec![self.read_pitch(rest)?];
        while !rest.starts_with(']') {
            pitches.push(self.read_pitch(rest)?);
        }
        *rest = &rest[1..];
        Ok(pitches)
    }

    /// Reads one note without its length: accidental, letter, octave marks.
    fn read_pitch(&mut self, rest: &mut &str) -> Result<i32, Mistake> {
        let accidental = [('^', 1), ('_', -1), ('=', 0)].into_iter().find(|(sign, _)| rest.starts_with(*sign));
        if accidental.is_some() {
            *rest = &rest[1..];
        }
        let mut symbols = rest.chars();
        let letter = symbols.next().ok_or(Mistake::Unfinished)?;
        *rest = symbols.as_str();
        let index = "CDEFGAB".find(letter.to_ascii_uppercase()).ok_or(Mistake::Symbol { symbol: letter })?;
        if let Some((_, semitones)) = accidental {
            self.signature[index] = semitones;
        }
        // Capital C is middle C, MIDI number 60; small letters are the octave above.
        let octave = if letter.is_ascii_lowercase() { 72 } else { 60 };
        let marks: i32 = take(rest, "',").chars().map(|mark| if mark == ',' { -12 } else { 12 }).sum();
        let pitch = octave + marks + SCALE[index] + self.signature[index];
        if KEYBOARD.contains(&pitch) { Ok(pitch) } else { Err(Mistake::Pitch { letter }) }
    }

    /// Reads a length such as `2`, `3/2`, `/2` or nothing, and returns it in ticks.
    fn read_length(&self, rest: &mut &str) -> Result<u32, Mistake> {
        let length = take(rest, "0123456789/");
        let (numerator, denominator) = length.split_once('/').unwrap_or((length, "1"));
        let numerator = if numerator.is_empty() { "1" } else { numerator };
        exact_ratio(self.unit, numerator, denominator).ok_or_else(|| Mistake::Length { length: length.to_owned() })
    }

    /// Plays pitches together and moves on to what follows them.
    fn play(&mut self, pitches: Vec<i32>, length: u32) -> Result<(), Mistake> {
        let (start, accented) = (self.now, self.now == self.bar_start);
        self.now = start.saturating_add(length);
        if self.now > self.longest {
            return Err(Mistake::TooLong { minutes: MAX_MINUTES });
        }
        self.notes.extend(pitches.into_iter().map(|pitch| Note { pitch, start, length, accented }));
        Ok(())
    }

    /// Ends a bar: checks that it is full, and forgets its accidentals.
    fn end_bar(&mut self) -> Result<(), Mistake> {
        let (found, expected) = (self.now - self.bar_start, self.bar);
        // The first bar may be an upbeat.
        if found > expected || (found < expected && self.bar_start > 0) {
            return Err(Mistake::Bar { found, expected });
        }
        self.bar_start = self.now;
        self.signature = self.key;
        Ok(())
    }
}

/// Takes as many of the symbols as come next.
fn take<'a>(rest: &mut &'a str, symbols: &str) -> &'a str {
    let end = rest.find(|symbol| !symbols.contains(symbol)).unwrap_or(rest.len());
    let (taken, left) = rest.split_at(end);
    *rest = left;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five lines of headers for music in quarter notes.
    const HEADERS: &str = "M:4/4\nL:1/4\nQ:1/4=120\nK:C\nV:1\n";

    fn voice(music: &str) -> Vec<Note> {
        Tune::parse(&format!("{HEADERS}{music}\n")).unwrap().voices.remove(0)
    }

    fn pitches(music: &str) -> Vec<i32> {
        voice(music).iter().map(|note| note.pitch).collect()
    }

    fn error(score: &str) -> String {
        Tune::parse(score).unwrap_err().to_string()
    }

    #[test]
    fn octave_marks_and_accidentals_move_a_note() {
        assert_eq!(pitches("C,CcC'|c'^C_D=C"), [48, 60, 72, 72, 84, 61, 61, 60]);
    }

    #[test]
    fn an_accidental_holds_to_the_end_of_its_bar() {
        assert_eq!(pitches("^FFfF|FFFF"), [66, 66, 78, 66, 65, 65, 65, 65]);
    }

    #[test]
    fn a_key_holds_unless_an_accidental_says_otherwise() {
        let tune = Tune::parse("M:4/4\nL:1/4\nQ:1/4=120\nK:Eb\nV:1\nE=EBA|E4|]\n").unwrap();
        let pitches: Vec<_> = tune.voices[0].iter().map(|note| note.pitch).collect();
        assert_eq!(pitches, [63, 64, 70, 68, 63]);
    }

    #[test]
    fn a_length_is_a_fraction_of_the_unit() {
        let lengths: Vec<_> = voice("A3/2A/2A/4A3/4z").iter().map(|note| note.length).collect();
        assert_eq!(lengths, [WHOLE / 8 * 3, WHOLE / 8, WHOLE / 16, WHOLE / 16 * 3]);
    }

    #[test]
    fn a_chord_sounds_together_and_a_rest_takes_time() {
        let starts: Vec<_> = voice("[CEG]z c2").iter().map(|note| note.start).collect();
        assert_eq!(starts, [0, 0, 0, WHOLE / 2]);
    }

    #[test]
    fn what_starts_a_bar_is_accented() {
        let accented: Vec<_> = voice("C|[CE]2DE").iter().map(|note| note.accented).collect();
        assert_eq!(accented, [true, true, true, false, false]);
    }

    #[test]
    fn voices_play_from_the_start() {
        let tune = Tune::parse(&format!("{HEADERS}CDEF|]\nV:2\nC,4|]\n")).unwrap();
        assert_eq!(tune.voices.len(), 2);
        assert_eq!((tune.voices[1][0].start, tune.length), (0, WHOLE));
    }

    #[test]
    fn a_tune_has_bounds() {
        // A bar of four beats at 120 a minute lasts two seconds.
        assert_eq!(voice(&"C4|".repeat(60)).len(), 60);
        assert_eq!(error(&format!("{HEADERS}{}", "C4|".repeat(61))), "line 6: the tune lasts longer than 2 minutes");
        let digits = "9".repeat(30);
        assert_eq!(error(&format!("{HEADERS}C{digits}")), format!("line 6: note length `{digits}` can't be played"));
    }

    #[test]
    fn a_score_without_notes_is_refused() {
        for score in ["", "X:1\n", HEADERS, &format!("{HEADERS}z4|]\n")] {
            assert_eq!(error(score), "the score has no notes");
        }
    }
}
