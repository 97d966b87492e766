//! Songs for the demo: a score in ABC notation becomes a WAV file.
//!
//! The demo sells music, so it must have some, and a kilobyte of score is a better thing to keep than a megabyte of
//! sound.

mod score;
mod sound;

use score::Tune;
use thiserror::Error;

/// Plays a score and returns the sound as a WAV file: 16-bit mono, the same bytes every time.
///
/// # Errors
///
/// Returns a [`TuneError`] that names the line when the score is not in the subset of ABC that is read here, and one
/// without a line when it has no notes.
pub(crate) fn render(score: &str) -> Result<Vec<u8>, TuneError> {
    let tune = Tune::parse(score)?;
    Ok(sound::record(&tune)?)
}

/// Says why a score can't be played.
#[derive(Debug, Error)]
pub(crate) enum TuneError {
    /// A line can't be read.
    #[error("line {line}: {mistake}")]
    Score {
        /// The line in the score, counted from one.
        line: usize,
        /// What is wrong with it.
        mistake: Mistake,
    },
    /// A score without a single note.
    #[error("the score has no notes")]
    Empty,
    /// The sound could not be written as a WAV file.
    #[error("cannot write the sound")]
    Write(#[from] hound::Error),
}

/// Says what is wrong with a line of a score.
#[derive(Debug, Error)]
pub(crate) enum Mistake {
    /// A header that is read has a value that can't be.
    #[error("`{value}` is no value for {letter}:, expected {expected}")]
    Header { letter: char, value: String, expected: &'static str },
    /// A header that is not read, or that came after the music began.
    #[error("header {letter}: is not understood here")]
    UnknownHeader { letter: char },
    /// Music, or the voice that plays it, before the headers that say how.
    #[error("the music starts without all of M:, L:, Q:, K: and V:")]
    MissingHeader,
    /// A character that means nothing where it stands.
    #[error("unexpected `{symbol}`")]
    Symbol { symbol: char },
    /// A line that ends in the middle of a note or chord.
    #[error("ends in the middle of a note")]
    Unfinished,
    /// A note of no length, or of one that is not a whole number of ticks.
    #[error("note length `{length}` can't be played")]
    Length { length: String },
    /// A note that the instrument does not have.
    #[error("`{letter}` is off the keyboard")]
    Pitch { letter: char },
    /// A bar that does not last as long as the meter says.
    #[error("bar lasts {found} ticks, the meter says {expected}")]
    Bar { found: u32, expected: u32 },
    /// A tune that lasts longer than the demo wants to render.
    #[error("the tune lasts longer than {minutes} minutes")]
    TooLong { minutes: u32 },
}

#[cfg(test)]
mod tests {
    use super::score::WHOLE;
    use super::sound::{SAMPLE_RATE, TAIL};
    use super::*;
    use std::f64::consts::TAU;
    use std::io::Cursor;
    use symphonia::core::audio::sample::Sample;
    use symphonia::core::codecs::audio::AudioDecoderOptions;
    use symphonia::core::formats::probe::Hint;
    use symphonia::core::formats::{FormatOptions, TrackType};
    use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
    use symphonia::core::meta::MetadataOptions;

    /// The scores that the demo sells, with how many bars of how many ticks each lasts.
    const CATALOG: [(&str, &str, u32); 3] = [
        (
            "greensleeves",
            include_str!("../../../demo/nocturne-records/songs/greensleeves.abc"),
            WHOLE / 8 * (16 * 6 + 1),
        ),
        ("minuet", include_str!("../../../demo/nocturne-records/songs/minuet.abc"), WHOLE / 4 * (16 * 3)),
        ("nocturne", include_str!("../../../demo/nocturne-records/songs/nocturne.abc"), WHOLE / 8 * (4 * 12 + 1)),
    ];

    /// Five lines of headers for music in quarter notes.
    const HEADERS: &str = "M:4/4\nL:1/4\nQ:1/4=120\nK:C\nV:1\n";

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

    fn error(score: &str) -> String {
        render(score).map(|wave| wave.len()).unwrap_err().to_string()
    }

    fn music_error(music: &str) -> String {
        error(&format!("{HEADERS}{music}\n"))
    }

    #[test]
    fn a_note_sounds_at_its_frequency() {
        for (name, expected) in [("A", 440.0), ("C", 261.63), ("g", 783.99), ("^F,", 185.0)] {
            let (rate, samples) = decode(render(&format!("{HEADERS}{name}4|]\n")).unwrap());
            let sounding = &samples[2_000..20_000];
            let at = |frequency| strength(sounding, rate, frequency);
            for interval in [0.5, 0.944, 1.059, 1.5] {
                assert!(at(expected) > 20.0 * at(expected * interval), "{name} is out of tune at {interval}");
            }
        }
    }

    #[test]
    fn a_song_lasts_as_long_as_its_bars() {
        let (rate, samples) = decode(render("M:3/4\nL:1/4\nQ:1/4=90\nK:G\nV:1\nGAB|c3|d2z|G3|]\n").unwrap());
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
    fn a_mistake_in_a_header_names_its_line() {
        assert_eq!(error("X:1\nK:H\n"), "line 2: `H` is no value for K:, expected C, G, Eb, Am, Em or Cm");
        assert_eq!(error("M:3/0\n"), "line 1: `3/0` is no value for M:, expected a meter like 3/4");
        assert_eq!(error("Q:fast\n"), "line 1: `fast` is no value for Q:, expected a tempo like 1/4=120");
        assert_eq!(error("Q:1/4=0\n"), "line 1: `1/4=0` is no value for Q:, expected a tempo like 1/4=120");
        assert_eq!(error("X:1\nCDE\n"), "line 2: the music starts without all of M:, L:, Q:, K: and V:");
        assert_eq!(error("K:C\nV:1\n"), "line 2: the music starts without all of M:, L:, Q:, K: and V:");
        assert_eq!(music_error("V:1"), "line 6: `1` is no value for V:, expected the number of the next voice");
        assert_eq!(music_error("M:3/4"), "line 6: header M: is not understood here");
    }

    #[test]
    fn a_mistake_in_the_music_names_its_line() {
        assert_eq!(music_error("CDE\n\n% a comment\nC?"), "line 9: unexpected `?`");
        assert_eq!(music_error("(CDE)"), "line 6: unexpected `(`");
        assert_eq!(music_error("^^C"), "line 6: unexpected `^`");
        assert_eq!(music_error("[]2"), "line 6: unexpected `]`");
        assert_eq!(music_error("C^"), "line 6: ends in the middle of a note");
        assert_eq!(music_error("[CE"), "line 6: ends in the middle of a note");
        assert_eq!(music_error("C/7"), "line 6: note length `/7` can't be played");
        assert_eq!(music_error("C0"), "line 6: note length `0` can't be played");
        assert_eq!(music_error("C,,,,,"), "line 6: `C` is off the keyboard");
        assert_eq!(music_error("CDEF|\nCDEFG|"), "line 7: bar lasts 80 ticks, the meter says 64");
        assert_eq!(music_error("C|\nCD|E4|"), "line 7: bar lasts 32 ticks, the meter says 64");
    }
}
