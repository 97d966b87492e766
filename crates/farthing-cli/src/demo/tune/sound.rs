//! Playing a tune: every note is a plucked string, all of them in one small hall, written as a WAV file.

use super::score::Tune;
use std::f64::consts::{PI, TAU};
use std::io::Cursor;

/// Samples a second.
pub(super) const SAMPLE_RATE: u32 = 22_050;

/// How long the last notes ring on after the last bar, in samples: one and a half seconds.
pub(super) const TAIL: u32 = SAMPLE_RATE / 2 * 3;

/// How loud each harmonic of a string starts, the fundamental first.
const HARMONICS: [f64; 8] = [1.0, 0.52, 0.30, 0.17, 0.10, 0.06, 0.035, 0.02];

/// How fast a note swells, in seconds: slow enough not to click.
const ATTACK: f64 = 0.006;

/// How long a note takes to fall silent once it is let go, in samples: three tenths of a second.
const RELEASE: u32 = SAMPLE_RATE / 10 * 3;

/// Plays a tune and returns the sound as a WAV file.
pub(super) fn record(tune: &Tune) -> Result<Vec<u8>, hound::Error> {
    let mut sound = perform(tune);
    add_room(&mut sound);
    write_wave(&sound)
}

/// Plays every note of a tune into one list of samples, of any loudness.
fn perform(tune: &Tune) -> Vec<f64> {
    let rate = u64::from(SAMPLE_RATE) * 60;
    // A tune lasts at most two minutes, so a count of its samples is less than three million.
    let samples = |ticks: u32| (u64::from(ticks) * rate / u64::from(tune.ticks_per_minute)) as u32;
    let mut sound = vec![0.0; (samples(tune.length) + TAIL) as usize];
    for (index, voice) in tune.voices.iter().enumerate() {
        // The melody is played out, and what accompanies it stays below.
        let touch = if index == 0 { 1.0 } else { 0.42 };
        for note in voice {
            let (start, end) = (samples(note.start), samples(note.start + note.length));
            // Nothing follows the last notes, so nothing damps them.
            let ringing = if note.start + note.length == tune.length { SAMPLE_RATE } else { 0 };
            let loudness = if note.accented { touch } else { touch * 0.84 };
            pluck(&mut sound[start as usize..], frequency(note.pitch), end - start + ringing, loudness);
        }
    }
    sound
}

/// Returns the frequency of a MIDI number in equal temperament, in hertz.
fn frequency(pitch: i32) -> f64 {
    440.0 * (f64::from(pitch - 69) / 12.0).exp2()
}

/// Adds one plucked string, held for so many samples, to the start of a sound.
fn pluck(sound: &mut [f64], frequency: f64, held: u32, loudness: f64) {
    let rate = f64::from(SAMPLE_RATE);
    let envelope: Vec<f64> = (0..held + RELEASE)
        .map(|sample| {
            let started = (f64::from(sample) / rate / ATTACK).min(1.0);
            let released = f64::from(sample.saturating_sub(held)) / f64::from(RELEASE);
            loudness * (0.5 - 0.5 * (PI * started).cos()) * (0.5 + 0.5 * (PI * released).cos())
        })
        .collect();
    for (harmonic, amplitude) in (1_u8..).zip(HARMONICS) {
        // High strings and high harmonics die away sooner, as they do on an instrument.
        let decay = (0.9 + frequency / 600.0) * (1.0 + 0.5 * f64::from(harmonic - 1));
        // A point that turns and shrinks a little with every sample draws a decaying wave without a sine for each.
        let (turn, shrink) = (TAU * frequency * f64::from(harmonic) / rate, (-decay / rate).exp());
        let (step_x, step_y) = (turn.cos() * shrink, turn.sin() * shrink);
        let (mut x, mut y) = (amplitude, 0.0);
        for (target, level) in sound.iter_mut().zip(&envelope) {
            *target += y * level;
            (x, y) = (x * step_x - y * step_y, x * step_y + y * step_x);
        }
    }
}

/// Adds the echo of a small hall: parallel echoes of unrelated lengths, blurred (Schroeder's reverberator).
fn add_room(sound: &mut [f64]) {
    let mut room = vec![0.0; sound.len()];
    for delay in [655, 709, 773, 827] {
        let mut echo = sound.to_vec();
        for index in delay..echo.len() {
            echo[index] += 0.78 * echo[index - delay];
        }
        room.iter_mut().zip(&echo).for_each(|(target, sample)| *target += sample);
    }
    for delay in [113, 37] {
        let dry = room.clone();
        for index in delay..room.len() {
            room[index] = 0.7 * room[index - delay] + dry[index - delay] - 0.7 * dry[index];
        }
    }
    sound.iter_mut().zip(&room).for_each(|(target, sample)| *target += 0.07 * sample);
}

/// Writes samples as a WAV file, the loudest of them just below full scale.
fn write_wave(sound: &[f64]) -> Result<Vec<u8>, hound::Error> {
    let specification = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let peak = sound.iter().fold(0.0_f64, |peak, sample| peak.max(sample.abs()));
    let scale = 0.89 * f64::from(i16::MAX) / peak;
    // The hall still rings when the file ends, so its last quarter of a second fades away.
    let fade = f64::from(SAMPLE_RATE / 4);
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, specification)?;
    for (sample, left) in sound.iter().zip((1..=sound.len()).rev()) {
        let level = (left as f64).min(fade) / fade;
        writer.write_sample((sample * scale * level).round() as i16)?;
    }
    writer.finalize()?;
    Ok(bytes.into_inner())
}
