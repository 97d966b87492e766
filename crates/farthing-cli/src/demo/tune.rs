//! Songs for the demo: a score in ABC notation becomes a WAV file.
//!
//! The demo sells music, so it must have some, and a kilobyte of score is a better thing to keep than a megabyte of
//! sound. The subset of ABC read here is what such a score needs: the headers `X T C M L Q K V`, notes with
//! accidentals, octave marks and lengths, rests, chords, ties, bars and plain repeats. Whatever else it meets is an
//! error that names the line, and so is a bar that does not last as long as its meter says.

use std::f64::consts::{PI, TAU};
use std::io::Cursor;
use std::iter::Peekable;
use std::str::Chars;

use thiserror::Error;

/// Samples a second.
const SAMPLE_RATE: u32 = 22_050;

/// Ticks in a whole note: every length that music is commonly written in is a whole number of them.
const WHOLE: u32 = 3_840;

/// How long the last notes ring on after the last bar, in samples: one and a half seconds.
const TAIL: u32 = SAMPLE_RATE / 2 * 3;

/// The longest tune, in whole notes; it keeps every count of ticks far below what a `u32` holds.
const MAX_WHOLES: u32 = 512;

/// The longest tune, in seconds.
const MAX_SECONDS: u32 = 120;

/// The most notes in one voice, so that a score of chords can't ask for more memory than a song is worth.
const MAX_NOTES: usize = 4_096;

/// The most voices.
const MAX_VOICES: usize = 8;

/// The lowest and the highest key of a piano, as MIDI numbers.
const KEYBOARD: std::ops::RangeInclusive<i32> = 21..=108;

/// Plays a score and returns the sound as a WAV file: 16-bit mono, the same bytes every time.
///
/// # Errors
///
/// Returns a [`TuneError`] that names the line when the score is not in the subset of ABC that is read here, and one
/// without a line when it has no notes or lasts longer than two minutes.
pub(crate) fn render(score: &str) -> Result<Vec<u8>, TuneError> {
    let tune = Tune::parse(score)?;
    let mut sound = perform(&tune)?;
    add_room(&mut sound);
    write_wave(&sound)
}

/// Says why a score can't be played.
#[derive(Debug, Error)]
pub(crate) enum TuneError {
    /// A header that is read has a value that can't be.
    #[error("line {line}: `{value}` is no value for {letter}:, expected {expected}")]
    Header {
        /// The line in the score, counted from one.
        line: usize,
        /// The letter of the header.
        letter: char,
        /// What follows the colon.
        value: String,
        /// What would have been understood.
        expected: &'static str,
    },
    /// A header that is not read, or that came after the music began.
    #[error("line {line}: header {letter}: is not understood here")]
    UnknownHeader {
        /// The line in the score, counted from one.
        line: usize,
        /// The letter of the header.
        letter: char,
    },
    /// Music before the key, which ends the headers.
    #[error("line {line}: music before the K: header")]
    MusicBeforeKey {
        /// The line in the score, counted from one.
        line: usize,
    },
    /// A character that means nothing where it stands.
    #[error("line {line}: unexpected `{symbol}`")]
    Symbol {
        /// The line in the score, counted from one.
        line: usize,
        /// The character.
        symbol: char,
    },
    /// A line that ends in the middle of a note or chord.
    #[error("line {line}: ends in the middle of a note")]
    Unfinished {
        /// The line in the score, counted from one.
        line: usize,
    },
    /// A note of no length, or of one that is not a whole number of ticks.
    #[error("line {line}: note length {numerator}/{denominator} can't be played")]
    Length {
        /// The line in the score, counted from one.
        line: usize,
        /// The length's numerator, in units of `L:`.
        numerator: u32,
        /// The length's denominator.
        denominator: u32,
    },
    /// A note that no piano has.
    #[error("line {line}: `{letter}` is off the keyboard")]
    Pitch {
        /// The line in the score, counted from one.
        line: usize,
        /// The note's letter.
        letter: char,
    },
    /// A bar that does not last as long as the meter says.
    #[error("line {line}: bar lasts {found} ticks, the meter says {expected}")]
    Bar {
        /// The line in the score, counted from one.
        line: usize,
        /// What the notes and rests of the bar add up to.
        found: u32,
        /// What the meter asks for.
        expected: u32,
    },
    /// More notes, bars or voices than a song has.
    #[error("line {line}: the tune is too long")]
    TooLong {
        /// The line in the score, counted from one.
        line: usize,
    },
    /// A tune that lasts longer than the demo wants to render.
    #[error("the tune lasts {seconds} s, the limit is {limit} s")]
    TooSlow {
        /// How long it would last.
        seconds: u64,
        /// How long it may last.
        limit: u32,
    },
    /// A score without a single note.
    #[error("the score has no notes")]
    Empty,
    /// The sound could not be written as a WAV file.
    #[error("cannot write the sound")]
    Write(#[from] hound::Error),
}

/* THE SCORE */

/// A score that was read: who plays what, when.
#[derive(Debug)]
struct Tune {
    /// The tempo.
    ticks_per_minute: u32,
    /// From the first note to the end of the last bar, in ticks.
    length: u32,
    /// One list of notes for each voice, the melody first.
    voices: Vec<Vec<Note>>,
}

/// One note as it sounds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    /// The MIDI number: 69 is the A of 440 Hz, and every semitone is one more.
    pitch: u8,
    /// When it starts, in ticks.
    start: u32,
    /// How long it is held, in ticks.
    length: u32,
    /// Whether it starts a bar, and so is played a little louder.
    accented: bool,
}

impl Tune {
    /// Reads a whole score.
    fn parse(score: &str) -> Result<Self, TuneError> {
        let mut lines = score
            .lines()
            .zip(1_usize..)
            .map(|(text, line)| (line, text.split('%').next().unwrap_or_default().trim()))
            .filter(|(_, text)| !text.is_empty());
        let header = Header::read(&mut lines)?;
        let mut voices: Vec<(String, Voice)> = Vec::new();
        let mut current = 0;
        for (line, text) in lines {
            match field(text) {
                Some(('V', name)) => current = find_voice(&mut voices, name, line)?,
                Some((letter, _)) if is_description(letter) => {}
                Some((letter, _)) => return Err(TuneError::UnknownHeader { line, letter }),
                None => {
                    if voices.is_empty() {
                        current = find_voice(&mut voices, "", line)?;
                    }
                    if let Some((_, voice)) = voices.get_mut(current) {
                        voice.read_line(&header, line, text)?;
                    }
                }
            }
        }
        Self::assemble(&header, voices)
    }

    /// Checks the voices as a whole and lets go of what only reading needed.
    fn assemble(header: &Header, voices: Vec<(String, Voice)>) -> Result<Self, TuneError> {
        let length = voices.iter().map(|(_, voice)| voice.now).max().unwrap_or(0);
        let voices: Vec<_> = voices.into_iter().map(|(_, voice)| voice.notes).collect();
        if voices.iter().all(Vec::is_empty) {
            return Err(TuneError::Empty);
        }
        let tune = Self { ticks_per_minute: header.ticks_per_minute, length, voices };
        let seconds = tune.to_samples(length) / u64::from(SAMPLE_RATE);
        if seconds > u64::from(MAX_SECONDS) {
            return Err(TuneError::TooSlow { seconds, limit: MAX_SECONDS });
        }
        Ok(tune)
    }

    /// Turns ticks into samples. Ticks are at most `WHOLE * MAX_WHOLES`, so the product stays below 2^42.
    fn to_samples(&self, ticks: u32) -> u64 {
        u64::from(ticks) * 60 * u64::from(SAMPLE_RATE) / u64::from(self.ticks_per_minute)
    }
}

/// Splits a header line into its letter and its value; a line of music is `None`.
fn field(text: &str) -> Option<(char, &str)> {
    let (letter, value) = text.split_once(':')?;
    let mut letters = letter.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii_alphabetic() => Some((letter, value.trim())),
        _ => None,
    }
}

/// Tells headers that only describe a tune (number, title, composer, notes, origin, rhythm, source, transcriber).
fn is_description(letter: char) -> bool {
    matches!(letter, 'X' | 'T' | 'C' | 'N' | 'O' | 'R' | 'S' | 'Z')
}

/// Finds the voice of that name, and starts it when there is none.
fn find_voice(voices: &mut Vec<(String, Voice)>, name: &str, line: usize) -> Result<usize, TuneError> {
    if let Some(index) = voices.iter().position(|(known, _)| known == name) {
        return Ok(index);
    }
    if voices.len() == MAX_VOICES {
        return Err(TuneError::TooLong { line });
    }
    voices.push((name.to_owned(), Voice::default()));
    Ok(voices.len() - 1)
}

/* HEADERS */

/// What the headers say about the music.
#[derive(Debug)]
struct Header {
    /// How long a bar lasts, in ticks.
    bar: u32,
    /// The length of a note that does not say its own, in ticks.
    unit: u32,
    /// The tempo.
    ticks_per_minute: u32,
    /// The sharps and flats that hold unless a note says otherwise.
    key: Key,
}

impl Header {
    /// Reads header lines up to and with the key, which is always the last one.
    fn read<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>) -> Result<Self, TuneError> {
        let mut bar = WHOLE;
        let mut unit = None;
        let mut tempo = None;
        for (line, text) in lines {
            let (letter, value) = field(text).ok_or(TuneError::MusicBeforeKey { line })?;
            let wrong = |expected| TuneError::Header { line, letter, value: value.to_owned(), expected };
            match letter {
                'M' => bar = parse_meter(value).ok_or_else(|| wrong("a meter like 3/4, 6/8 or C"))?,
                'L' => unit = Some(parse_fraction(value).ok_or_else(|| wrong("a length like 1/8"))?),
                'Q' => tempo = Some(parse_tempo(value).ok_or_else(|| wrong("a tempo like 1/4=120"))?),
                'K' => {
                    let key = Key::parse(value).ok_or_else(|| wrong("a key like G, Eb, Am or D dorian"))?;
                    // The notation's own rule for scores that leave the unit out.
                    let unit = unit.unwrap_or(if bar < WHOLE / 4 * 3 { WHOLE / 16 } else { WHOLE / 8 });
                    let ticks_per_minute = tempo.unwrap_or(WHOLE / 4 * 120);
                    return Ok(Self { bar, unit, ticks_per_minute, key });
                }
                'V' => {}
                _ if is_description(letter) => {}
                _ => return Err(TuneError::UnknownHeader { line, letter }),
            }
        }
        Err(TuneError::Empty)
    }
}

/// Reads a meter, as the ticks of one bar.
fn parse_meter(value: &str) -> Option<u32> {
    match value {
        "C" | "C|" => Some(WHOLE),
        _ => parse_fraction(value),
    }
}

/// Reads a fraction of a whole note such as `3/8`, as ticks: more than none, at most four whole notes.
fn parse_fraction(value: &str) -> Option<u32> {
    let (numerator, denominator) = value.split_once('/')?;
    let numerator: u32 = numerator.trim().parse().ok()?;
    let denominator: u32 = denominator.trim().parse().ok()?;
    let ticks = exact_ratio(WHOLE, numerator, denominator)?;
    (1..=WHOLE * 4).contains(&ticks).then_some(ticks)
}

/// Reads a tempo, as ticks a minute: `1/4=120`, or a bare number of quarter notes.
fn parse_tempo(value: &str) -> Option<u32> {
    let (beat, count) = match value.split_once('=') {
        Some((beat, count)) => (parse_fraction(beat.trim())?, count.trim()),
        None => (WHOLE / 4, value),
    };
    let count: u32 = count.parse().ok()?;
    // Both factors are bounded: at most four whole notes a beat and 999 beats a minute.
    (1..=999).contains(&count).then(|| beat * count)
}

/// Returns `whole * numerator / denominator` when that is a whole number.
fn exact_ratio(whole: u32, numerator: u32, denominator: u32) -> Option<u32> {
    let product = whole.checked_mul(numerator)?;
    (product.checked_rem(denominator)? == 0).then(|| product / denominator)
}

/// The semitones that each letter, from C to B, is raised or lowered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key([i8; 7]);

impl Key {
    /// Reads a tonic and a mode: `G`, `Eb`, `F#m`, `A minor`, `Ddor`.
    fn parse(value: &str) -> Option<Self> {
        let mut rest = value.chars();
        let tonic: i32 = match rest.next()? {
            'F' => -1,
            'C' => 0,
            'G' => 1,
            'D' => 2,
            'A' => 3,
            'E' => 4,
            'B' => 5,
            _ => return None,
        };
        let rest = rest.as_str();
        let (shift, mode) = match rest.split_at_checked(1) {
            Some(("#", mode)) => (7, mode),
            Some(("b", mode)) => (-7, mode),
            _ => (0, rest),
        };
        let mode: String = mode.trim().to_lowercase().chars().take(3).collect();
        let turn = match mode.as_str() {
            "lyd" => 1,
            "" | "maj" | "ion" => 0,
            "mix" => -1,
            "dor" => -2,
            "m" | "min" | "aeo" => -3,
            "phr" => -4,
            "loc" => -5,
            _ => return None,
        };
        Self::of_fifths(tonic + shift + turn)
    }

    /// Builds the signature that lies so many fifths above C, negative for flats.
    fn of_fifths(fifths: i32) -> Option<Self> {
        /// The letters in the order in which signatures sharpen them; flats come in the opposite order.
        const ORDER: [usize; 7] = [3, 0, 4, 1, 5, 2, 6];
        let count = usize::try_from(fifths.unsigned_abs()).ok().filter(|count| *count <= ORDER.len())?;
        let mut signature = [0; 7];
        if fifths >= 0 {
            ORDER.iter().take(count).for_each(|letter| signature[*letter] = 1);
        } else {
            ORDER.iter().rev().take(count).for_each(|letter| signature[*letter] = -1);
        }
        Some(Self(signature))
    }
}

/* MUSIC */

/// One voice while it is read.
#[derive(Debug)]
struct Voice {
    /// What it plays so far, in order of start.
    notes: Vec<Note>,
    /// Where the next note starts, in ticks.
    now: u32,
    /// Where the open bar started.
    bar_start: u32,
    /// Accidentals written in the open bar, by letter; they hold to its end.
    accidentals: [Option<i8>; 7],
    /// Pitches that a tie holds over to the next note.
    tied: Vec<u8>,
    /// Where the open repeat started: the index of its first note, and the tick.
    repeat: (usize, u32),
    /// Whether the open bar follows the start of the tune or a repeat sign, and so may be an upbeat.
    may_be_short: bool,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            notes: Vec::new(),
            now: 0,
            bar_start: 0,
            accidentals: [None; 7],
            tied: Vec::new(),
            repeat: (0, 0),
            may_be_short: true,
        }
    }
}

/// A line of music, and where it is in the score.
struct Line<'a> {
    /// Its number, counted from one.
    number: usize,
    /// What is still to be read.
    rest: Peekable<Chars<'a>>,
}

impl Line<'_> {
    /// Reads a number, if one comes next. Four digits are more than any length needs.
    fn number(&mut self) -> Result<Option<u32>, TuneError> {
        let mut value = None;
        while let Some(digit) = self.rest.peek().and_then(|symbol| symbol.to_digit(10)) {
            let next = value.unwrap_or(0) * 10 + digit;
            if next > 9_999 {
                return Err(TuneError::Length { line: self.number, numerator: next, denominator: 1 });
            }
            value = Some(next);
            self.rest.next();
        }
        Ok(value)
    }

    /// Reads a length such as `2`, `3/2`, `/4`, `/` or nothing, and returns it in ticks.
    fn length(&mut self, unit: u32) -> Result<u32, TuneError> {
        let numerator = self.number()?.unwrap_or(1);
        let mut denominator: u32 = 1;
        while self.rest.next_if_eq(&'/').is_some() {
            denominator = denominator.saturating_mul(self.number()?.unwrap_or(2));
        }
        exact_ratio(unit, numerator, denominator)
            .filter(|ticks| (1..=WHOLE * MAX_WHOLES).contains(ticks))
            .ok_or(TuneError::Length { line: self.number, numerator, denominator })
    }

    /// Reads an accidental, if one comes next, as semitones.
    fn accidental(&mut self) -> Option<i8> {
        if self.rest.next_if_eq(&'=').is_some() {
            return Some(0);
        }
        for (sign, semitone) in [('^', 1), ('_', -1)] {
            if self.rest.next_if_eq(&sign).is_some() {
                let doubled = self.rest.next_if_eq(&sign).is_some();
                return Some(if doubled { semitone * 2 } else { semitone });
            }
        }
        None
    }

    /// Reads octave marks, as semitones.
    fn octaves(&mut self) -> i32 {
        let mut semitones: i32 = 0;
        while let Some(mark) = self.rest.next_if(|symbol| matches!(symbol, '\'' | ',')) {
            semitones = semitones.saturating_add(if mark == ',' { -12 } else { 12 });
        }
        semitones
    }
}

/// What a bar line says besides that the bar is over.
struct BarLine {
    /// `:|`, play again from where the repeat started.
    ends_repeat: bool,
    /// `|:`, a repeat starts here.
    starts_repeat: bool,
    /// `||` or `|]`, a part of the tune ends here.
    ends_part: bool,
}

impl BarLine {
    /// Reads a run of bar-line characters.
    fn read(line: &mut Line<'_>) -> Self {
        let mut signs = String::new();
        while let Some(sign) = line.rest.next_if(|symbol| matches!(symbol, '|' | ':' | ']')) {
            signs.push(sign);
        }
        Self {
            ends_repeat: signs.starts_with(':'),
            starts_repeat: signs.ends_with(':'),
            ends_part: signs.contains("||") || signs.ends_with(']'),
        }
    }
}

impl Voice {
    /// Reads one line of music.
    fn read_line(&mut self, header: &Header, number: usize, text: &str) -> Result<(), TuneError> {
        let mut line = Line { number, rest: text.chars().peekable() };
        while let Some(symbol) = line.rest.peek().copied() {
            match symbol {
                // Parentheses are slurs, which a plucked string can't play; a tuplet's digit is refused below.
                ' ' | '\t' | '(' | ')' => drop(line.rest.next()),
                '|' | ':' => {
                    let bar_line = BarLine::read(&mut line);
                    self.end_bar(header, number, &bar_line)?;
                }
                'z' => {
                    line.rest.next();
                    self.tied.clear();
                    let length = line.length(header.unit)?;
                    self.advance(number, length)?;
                }
                _ => {
                    let pitches = self.read_pitches(header, &mut line)?;
                    let length = line.length(header.unit)?;
                    self.play(number, &pitches, length)?;
                    self.tied = line.rest.next_if_eq(&'-').map_or_else(Vec::new, |_| pitches);
                }
            }
        }
        Ok(())
    }

    /// Reads a note, or a chord in brackets.
    fn read_pitches(&mut self, header: &Header, line: &mut Line<'_>) -> Result<Vec<u8>, TuneError> {
        if line.rest.next_if_eq(&'[').is_none() {
            return Ok(vec![self.read_pitch(header, line)?]);
        }
        let mut pitches = vec![self.read_pitch(header, line)?];
        while line.rest.next_if_eq(&']').is_none() {
            pitches.push(self.read_pitch(header, line)?);
        }
        Ok(pitches)
    }

    /// Reads one note without its length: accidental, letter, octave marks.
    fn read_pitch(&mut self, header: &Header, line: &mut Line<'_>) -> Result<u8, TuneError> {
        let accidental = line.accidental();
        let letter = line.rest.next().ok_or(TuneError::Unfinished { line: line.number })?;
        let (index, above_c) = match letter.to_ascii_uppercase() {
            'C' => (0, 0),
            'D' => (1, 2),
            'E' => (2, 4),
            'F' => (3, 5),
            'G' => (4, 7),
            'A' => (5, 9),
            'B' => (6, 11),
            _ => return Err(TuneError::Symbol { line: line.number, symbol: letter }),
        };
        if accidental.is_some() {
            self.accidentals[index] = accidental;
        }
        let bend = self.accidentals[index].unwrap_or(header.key.0[index]);
        // Capital C is middle C, MIDI number 60; small letters are the octave above.
        let octave = if letter.is_ascii_lowercase() { 72 } else { 60 };
        let number = line.octaves().saturating_add(octave + above_c + i32::from(bend));
        Some(number)
            .filter(|number| KEYBOARD.contains(number))
            .and_then(|number| u8::try_from(number).ok())
            .ok_or(TuneError::Pitch { line: line.number, letter })
    }

    /// Plays pitches together, or holds on to those that a tie reaches.
    fn play(&mut self, line: usize, pitches: &[u8], length: u32) -> Result<(), TuneError> {
        let (start, accented) = (self.now, self.now == self.bar_start);
        for pitch in pitches.iter().copied() {
            let held = self.tied.contains(&pitch);
            let before = self.notes.iter_mut().rfind(|note| note.pitch == pitch && note.start + note.length == start);
            match before {
                Some(note) if held => note.length += length,
                _ => self.notes.push(Note { pitch, start, length, accented }),
            }
        }
        self.advance(line, length)
    }

    /// Moves on, and keeps the tune within its bounds: `now` and every length stay below `WHOLE * MAX_WHOLES * 2`.
    fn advance(&mut self, line: usize, ticks: u32) -> Result<(), TuneError> {
        self.now += ticks;
        if self.now > WHOLE * MAX_WHOLES || self.notes.len() > MAX_NOTES {
            return Err(TuneError::TooLong { line });
        }
        Ok(())
    }

    /// Ends a bar: checks that it is full, forgets its accidentals and repeats what is to be repeated.
    fn end_bar(&mut self, header: &Header, line: usize, bar_line: &BarLine) -> Result<(), TuneError> {
        let (found, expected) = (self.now - self.bar_start, header.bar);
        let repeats = bar_line.ends_repeat || bar_line.starts_repeat;
        let may_be_short = found == 0 || self.may_be_short || repeats || bar_line.ends_part;
        if found > expected || (found < expected && !may_be_short) {
            return Err(TuneError::Bar { line, found, expected });
        }
        if bar_line.ends_repeat {
            self.play_again(line)?;
        }
        if repeats {
            self.repeat = (self.notes.len(), self.now);
        }
        self.may_be_short = repeats || (found == 0 && self.may_be_short);
        self.bar_start = self.now;
        self.accidentals = [None; 7];
        Ok(())
    }

    /// Plays once more what came since the repeat started.
    fn play_again(&mut self, line: usize) -> Result<(), TuneError> {
        let (first, start) = self.repeat;
        let shift = self.now - start;
        // Twice a list that is within its bound, so the copy itself is bounded too.
        let again: Vec<_> = self.notes.iter().skip(first).cloned().collect();
        self.notes.extend(again.into_iter().map(|note| Note { start: note.start + shift, ..note }));
        self.advance(line, shift)
    }
}

/* SOUND */

/// How loud each harmonic of a string starts, the fundamental first.
const HARMONICS: [f64; 8] = [1.0, 0.52, 0.30, 0.17, 0.10, 0.06, 0.035, 0.02];

/// How fast a note swells, in seconds: slow enough not to click.
const ATTACK: f64 = 0.006;

/// How long a note takes to fall silent once it is let go, in seconds.
const RELEASE: f64 = 0.30;

/// Plays every note of a tune into one list of samples, of any loudness.
fn perform(tune: &Tune) -> Result<Vec<f64>, TuneError> {
    let too_slow = |_| TuneError::TooSlow { seconds: u64::MAX, limit: MAX_SECONDS };
    let at = |ticks| u32::try_from(tune.to_samples(ticks)).map_err(too_slow);
    // At most two minutes and a tail: less than three million samples.
    let mut sound = vec![0.0; (at(tune.length)? + TAIL) as usize];
    for (index, voice) in tune.voices.iter().enumerate() {
        // The melody is played out, and what accompanies it stays below.
        let touch = if index == 0 { 1.0 } else { 0.42 };
        for note in voice {
            let (start, end) = (at(note.start)?, at(note.start + note.length)?);
            // Nothing follows the last notes, so nothing damps them.
            let ringing = if note.start + note.length == tune.length { SAMPLE_RATE } else { 0 };
            let loudness = if note.accented { touch } else { touch * 0.84 };
            pluck(&mut sound[start as usize..], frequency(note.pitch), end - start + ringing, loudness);
        }
    }
    Ok(sound)
}

/// Returns the frequency of a MIDI number in equal temperament, in hertz.
fn frequency(pitch: u8) -> f64 {
    440.0 * ((f64::from(pitch) - 69.0) / 12.0).exp2()
}

/// Adds one plucked string, held for so many samples, to the start of a sound.
fn pluck(sound: &mut [f64], frequency: f64, held: u32, loudness: f64) {
    let rate = f64::from(SAMPLE_RATE);
    let envelope: Vec<f64> = (0..held.saturating_add(samples(RELEASE)))
        .map(|sample| loudness * swell(f64::from(sample) / rate) * fade(f64::from(sample.saturating_sub(held)) / rate))
        .collect();
    for (harmonic, amplitude) in (1_u8..).zip(HARMONICS) {
        let pitch = frequency * f64::from(harmonic);
        // What lies near half the sampling rate would fold back as a tone that nobody played.
        if pitch > rate * 0.45 {
            break;
        }
        // High strings and high harmonics die away sooner, as they do on an instrument.
        let decay = (0.9 + frequency / 600.0) * (1.0 + 0.5 * f64::from(harmonic - 1));
        // A point that turns and shrinks a little with every sample draws a decaying wave without a sine for each.
        let (turn, shrink) = (TAU * pitch / rate, (-decay / rate).exp());
        let (step_x, step_y) = (turn.cos() * shrink, turn.sin() * shrink);
        let (mut x, mut y) = (amplitude, 0.0);
        for (target, level) in sound.iter_mut().zip(&envelope) {
            *target += y * level;
            (x, y) = (x * step_x - y * step_y, x * step_y + y * step_x);
        }
    }
}

/// Rises from zero to one while a note starts.
fn swell(seconds: f64) -> f64 {
    0.5 - 0.5 * (PI * (seconds / ATTACK).min(1.0)).cos()
}

/// Falls from one to zero once a note is let go.
fn fade(seconds: f64) -> f64 {
    0.5 + 0.5 * (PI * (seconds / RELEASE).min(1.0)).cos()
}

/// Turns a short time into samples.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only constants of under a second come here"
)]
fn samples(seconds: f64) -> u32 {
    (seconds * f64::from(SAMPLE_RATE)) as u32
}

/// Adds the echo of a small hall: parallel echoes of unrelated lengths, blurred (Schroeder's reverberator).
fn add_room(sound: &mut [f64]) {
    const ECHOES: [usize; 4] = [655, 709, 773, 827];
    const BLURS: [usize; 2] = [113, 37];
    let mut room = vec![0.0; sound.len()];
    for delay in ECHOES {
        let mut echo = sound.to_vec();
        for index in delay..echo.len() {
            echo[index] += 0.78 * echo[index - delay];
        }
        room.iter_mut().zip(&echo).for_each(|(target, sample)| *target += sample);
    }
    for delay in BLURS {
        let dry = room.clone();
        for index in delay..room.len() {
            room[index] = 0.7 * room[index - delay] + dry[index - delay] - 0.7 * dry[index];
        }
    }
    sound.iter_mut().zip(&room).for_each(|(target, sample)| *target += 0.07 * sample);
}

/// Writes samples as a WAV file, the loudest of them just below full scale.
fn write_wave(sound: &[f64]) -> Result<Vec<u8>, TuneError> {
    let specification = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let peak = sound.iter().fold(f64::MIN_POSITIVE, |peak, sample| peak.max(sample.abs()));
    let scale = 0.89 * f64::from(i16::MAX) / peak;
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, specification)?;
    for (index, sample) in sound.iter().enumerate() {
        // The hall still rings when the file ends, so its last quarter of a second fades away.
        let left = u32::try_from(sound.len() - index).unwrap_or(u32::MAX);
        let level = f64::from(left.min(SAMPLE_RATE / 4)) / f64::from(SAMPLE_RATE / 4);
        writer.write_sample(to_sixteen_bits(sample * scale * level))?;
    }
    writer.finalize()?;
    Ok(bytes.into_inner())
}

/// Rounds a sample that was scaled to sixteen bits.
#[allow(clippy::cast_possible_truncation, reason = "the scale keeps samples in range, and the cast saturates")]
fn to_sixteen_bits(sample: f64) -> i16 {
    sample.round() as i16
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use symphonia::core::audio::sample::Sample;
    use symphonia::core::codecs::audio::AudioDecoderOptions;
    use symphonia::core::formats::probe::Hint;
    use symphonia::core::formats::{FormatOptions, TrackType};
    use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
    use symphonia::core::meta::MetadataOptions;

    use super::*;

    /// The scores that the demo sells, with how many bars of how many ticks each lasts.
    const CATALOG: [(&str, &str, u32); 3] = [
        ("greensleeves", include_str!("../../demo/nocturne-records/songs/greensleeves.abc"), WHOLE / 8 * (16 * 6 + 1)),
        ("minuet", include_str!("../../demo/nocturne-records/songs/minuet.abc"), WHOLE / 4 * (16 * 3)),
        ("nocturne", include_str!("../../demo/nocturne-records/songs/nocturne.abc"), WHOLE / 8 * (4 * 12 + 1)),
    ];

    /// Decodes a WAV file with a decoder that is not the encoder's, and returns its rate and its samples.
    fn decode(wave: Vec<u8>) -> (u32, Vec<f32>) {
        let stream = MediaSourceStream::new(Box::new(Cursor::new(wave)), MediaSourceStreamOptions::default());
        let mut format = symphonia::default::get_probe()
            .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
            .unwrap();
        let track = format.default_track(TrackType::Audio).unwrap();
        let parameters = track.codec_params.as_ref().unwrap().audio().unwrap().clone();
        let mut decoder =
            symphonia::default::get_codecs().make_audio_decoder(&parameters, &AudioDecoderOptions::default()).unwrap();
        let mut samples = Vec::new();
        while let Some(packet) = format.next_packet().unwrap() {
            let sound = decoder.decode(&packet).unwrap();
            let mut chunk = vec![f32::MID; sound.samples_interleaved()];
            sound.copy_to_slice_interleaved(&mut chunk);
            samples.extend(chunk);
        }
        (parameters.sample_rate.unwrap(), samples)
    }

    /// Measures how much of one frequency a sound holds (Goertzel's algorithm).
    fn strength(samples: &[f32], rate: u32, frequency: f64) -> f64 {
        let coefficient = 2.0 * (TAU * frequency / f64::from(rate)).cos();
        let (mut previous, mut before) = (0.0, 0.0);
        for sample in samples {
            (previous, before) = (f64::from(*sample) + coefficient * previous - before, previous);
        }
        previous * previous + before * before - coefficient * previous * before
    }

    /// Reads a line of music in C, in quarter notes and common time.
    fn voice(music: &str) -> Vec<Note> {
        let tune = Tune::parse(&format!("M:C\nL:1/4\nK:C\n{music}\n")).unwrap();
        tune.voices.into_iter().next().unwrap()
    }

    fn pitches(music: &str) -> Vec<u8> {
        voice(music).iter().map(|note| note.pitch).collect()
    }

    fn error(score: &str) -> String {
        render(score).map(|wave| wave.len()).unwrap_err().to_string()
    }

    #[test]
    fn a_note_sounds_at_its_frequency() {
        for (name, expected) in [("A", 440.0), ("C", 261.63), ("g", 783.99), ("^F,", 185.0)] {
            let (rate, samples) = decode(render(&format!("M:C\nL:1/1\nK:C\n{name}|]\n")).unwrap());
            let sounding = &samples[2_000..20_000];
            let at = |frequency| strength(sounding, rate, frequency);
            for semitone in [0.5, 0.944, 1.059, 1.5] {
                assert!(at(expected) > 20.0 * at(expected * semitone), "{name} is out of tune at {semitone}");
            }
        }
    }

    #[test]
    fn a_song_lasts_as_long_as_its_bars() {
        let (rate, samples) = decode(render("M:3/4\nL:1/4\nQ:1/4=90\nK:G\nGAB|c3|d2z|G3|]\n").unwrap());
        // Twelve quarter notes at 90 a minute are eight seconds, and then the last one rings.
        assert_eq!(rate, SAMPLE_RATE);
        assert_eq!(samples.len(), (8 * SAMPLE_RATE + TAIL) as usize);
    }

    #[test]
    fn every_voice_of_the_catalog_fills_every_bar() {
        for (name, score, length) in CATALOG {
            let tune = Tune::parse(score).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(tune.length, length, "{name}");
            for voice in &tune.voices {
                let end = voice.iter().map(|note| note.start + note.length).max();
                assert_eq!(end, Some(length), "{name}: a voice ends early");
            }
        }
    }

    #[test]
    fn the_catalog_plays_aloud_and_without_clipping() {
        for (name, score, _) in CATALOG {
            let (rate, samples) = decode(render(score).unwrap());
            let seconds = samples.len() / rate as usize;
            assert!((8..=25).contains(&seconds), "{name} lasts {seconds} s");
            let peak = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            assert!((0.88..0.90).contains(&peak), "{name} peaks at {peak}");
            for second in samples[..samples.len() - TAIL as usize].chunks_exact(rate as usize) {
                assert!(second.iter().any(|sample| sample.abs() > 0.1), "{name} falls silent");
            }
            assert!(samples.iter().rev().take(10).all(|sample| sample.abs() < 0.001), "{name} ends with a click");
        }
    }

    #[test]
    fn the_same_score_makes_the_same_bytes() {
        for (name, score, _) in CATALOG {
            assert_eq!(render(score).unwrap(), render(score).unwrap(), "{name}");
        }
    }

    #[test]
    fn octave_marks_and_accidentals_move_a_note() {
        assert_eq!(pitches("C,CcC'|c'^C_D=C"), [48, 60, 72, 72, 84, 61, 61, 60]);
        assert_eq!(pitches("__D^^C"), [60, 62]);
    }

    #[test]
    fn an_accidental_holds_to_the_end_of_its_bar() {
        assert_eq!(pitches("^FFfF|FFFF"), [66, 66, 78, 66, 65, 65, 65, 65]);
    }

    #[test]
    fn keys_and_modes_have_their_signatures() {
        for (name, fifths) in [("C", 0), ("G", 1), ("Eb", -3), ("F#m", 3), ("A minor", 0), ("Ddor", 0), ("Bbmix", -3)] {
            assert_eq!(Key::parse(name), Key::of_fifths(fifths), "{name}");
        }
        assert_eq!(Key::parse("Bb").unwrap().0, [0, 0, -1, 0, 0, 0, -1]);
        assert_eq!(Key::parse("D").unwrap().0, [1, 0, 0, 1, 0, 0, 0]);
        assert_eq!(Key::parse("G#"), None);
        assert_eq!(Key::parse("H"), None);
    }

    #[test]
    fn a_length_is_a_fraction_of_the_unit() {
        let lengths: Vec<_> = voice("A3/2A/A//A3/4z").iter().map(|note| note.length).collect();
        assert_eq!(lengths, [WHOLE / 8 * 3, WHOLE / 8, WHOLE / 16, WHOLE / 16 * 3]);
    }

    #[test]
    fn a_tie_holds_a_note_and_a_repeat_plays_it_again() {
        assert_eq!(voice("A3A-|A4").iter().map(|note| note.length).collect::<Vec<_>>(), [WHOLE / 4 * 3, WHOLE / 4 * 5]);
        assert_eq!(pitches("CDEF|:GABc:|d4"), [60, 62, 64, 65, 67, 69, 71, 72, 67, 69, 71, 72, 74]);
        assert_eq!(voice("|:G4:|").last().unwrap().start, WHOLE);
    }

    #[test]
    fn a_chord_sounds_together() {
        let starts: Vec<_> = voice("[CEG]2 c2").iter().map(|note| note.start).collect();
        assert_eq!(starts, [0, 0, 0, WHOLE / 2]);
    }

    #[test]
    fn voices_play_from_the_start() {
        let tune = Tune::parse("M:C\nL:1/4\nK:C\nV:1\nCDEF|]\nV:2\nC,4|]\n").unwrap();
        assert_eq!(tune.voices.len(), 2);
        assert_eq!((tune.voices[1][0].start, tune.length), (0, WHOLE));
    }

    #[test]
    fn a_mistake_names_its_line() {
        assert_eq!(error("X:1\nK:H\nC\n"), "line 2: `H` is no value for K:, expected a key like G, Eb, Am or D dorian");
        assert_eq!(error("M:3/0\nK:C\nC\n"), "line 1: `3/0` is no value for M:, expected a meter like 3/4, 6/8 or C");
        assert_eq!(error("Q:fast\nK:C\nC\n"), "line 1: `fast` is no value for Q:, expected a tempo like 1/4=120");
        assert_eq!(error("K:C\nCDE\n\n% a comment\nC?\n"), "line 5: unexpected `?`");
        assert_eq!(error("K:C\n(3CDE\n"), "line 2: unexpected `3`");
        assert_eq!(error("K:C\nC^\n"), "line 2: ends in the middle of a note");
        assert_eq!(error("K:C\n[CE\n"), "line 2: ends in the middle of a note");
        assert_eq!(error("K:C\n[]2\n"), "line 2: unexpected `]`");
        assert_eq!(error("K:C\nC/7\n"), "line 2: note length 1/7 can't be played");
        assert_eq!(error("K:C\nC0\n"), "line 2: note length 0/1 can't be played");
        assert_eq!(error("K:C\nC,,,,,\n"), "line 2: `C` is off the keyboard");
        assert_eq!(error("M:3/4\nL:1/4\nK:C\nCDE|\nCDEF|\n"), "line 5: bar lasts 3840 ticks, the meter says 2880");
        assert_eq!(error("M:3/4\nL:1/4\nK:C\nC|\nCD|E3|\n"), "line 5: bar lasts 1920 ticks, the meter says 2880");
        assert_eq!(error("X:1\nCDE\n"), "line 2: music before the K: header");
        assert_eq!(error("K:C\nM:3/4\n"), "line 2: header M: is not understood here");
    }

    #[test]
    fn a_tune_has_bounds() {
        assert_eq!(error(&format!("M:C\nL:1/1\nK:C\n{}\n", "C|".repeat(513))), "line 4: the tune is too long");
        assert_eq!(error(&format!("M:C\nL:1/1\nK:C\n{}\n:|\n", "C|".repeat(300))), "line 5: the tune is too long");
        assert_eq!(error(&format!("K:C\n[{}]\n", "C".repeat(5_000))), "line 2: the tune is too long");
        assert_eq!(error("M:C\nL:1/1\nQ:1/4=1\nK:C\nC|\n"), "the tune lasts 240 s, the limit is 120 s");
        assert_eq!(error(&format!("L:1/1\nK:C\nC{}\n", "9".repeat(30))), "line 3: note length 99999/1 can't be played");
    }

    #[test]
    fn a_score_without_notes_is_refused() {
        for score in ["", "X:1\n", "K:C\n", "K:C\nz4|]\n"] {
            assert_eq!(error(score), "the score has no notes");
        }
    }
}
