//! What the demo's two creators sell: the files of `demo/`, with the scores rendered to audio.

use super::tune;
use crate::failure::{Code, Failure};
use std::fs;
use std::path::Path;

/// A creator of the demo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Creator {
    /// The folder's name.
    pub(super) folder: &'static str,
    /// Whether it is a band, whose members share what it earns.
    pub(super) is_band: bool,
    /// What it sells as it is, by path within the folder.
    files: &'static [(&'static str, &'static [u8])],
    /// Scores, by the path of the audio that they are rendered to.
    scores: &'static [(&'static str, &'static str)],
}

macro_rules! file {
    ($folder:literal, $path:literal) => {
        ($path, include_bytes!(concat!("../../demo/", $folder, "/", $path)).as_slice())
    };
}

macro_rules! score {
    ($name:literal) => {
        (concat!("songs/", $name, ".wav"), include_str!(concat!("../../demo/nocturne-records/songs/", $name, ".abc")))
    };
}

/// A band. Sells songs and a clip on credit.
pub(super) const NOCTURNE_RECORDS: Creator = Creator {
    folder: "nocturne-records",
    is_band: true,
    files: &[file!("nocturne-records", "catalog.toml"), file!("nocturne-records", "clips/moonrise.webm")],
    scores: &[score!("greensleeves"), score!("nocturne"), score!("minuet")],
};

/// Sells articles and a game item against a reservation.
pub(super) const THE_DAILY_FARTHING: Creator = Creator {
    folder: "the-daily-farthing",
    is_band: false,
    files: &[
        file!("the-daily-farthing", "catalog.toml"),
        file!("the-daily-farthing", "articles/a-quarter-of-a-penny.md"),
        file!("the-daily-farthing", "articles/the-thirty-cent-wall.md"),
        file!("the-daily-farthing", "articles/in-total-i-owe-you.md"),
        file!("the-daily-farthing", "items/lantern.json"),
    ],
    scores: &[],
};

impl Creator {
    /// Writes the creator's folder: what it serves is real files.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        for (path, bytes) in self.files {
            write(&folder.join(path), bytes)?;
        }
        for (path, score) in self.scores {
            let audio = tune::render(score).map_err(|error| Failure::new(Code::Unexpected, error))?;
            write(&folder.join(path), &audio)?;
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|error| Failure::file(parent, &error))?;
    fs::write(path, bytes).map_err(|error| Failure::file(path, &error))
}
