//! Where an item goes: into a file that is whole or not there, and never over another one.

use super::broke_off;
use crate::failure::{Code, Failure};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use url::Url;

/// The longest file name that is taken from a URL, in bytes.
const NAME_LENGTH_MAX: usize = 120;

/// How many names are tried before giving up: x.wav, x-2.wav, x-3.wav …
const NAMES_MAX: u32 = 1_000;

/// Extensions of what is often sold; the system has no list that can be relied on.
const EXTENSIONS: [(&str, &str); 28] = [
    ("application/epub+zip", "epub"),
    ("application/json", "json"),
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("audio/aac", "aac"),
    ("audio/flac", "flac"),
    ("audio/midi", "mid"),
    ("audio/mp4", "m4a"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "ogg"),
    ("audio/opus", "opus"),
    ("audio/wav", "wav"),
    ("audio/x-wav", "wav"),
    ("audio/webm", "webm"),
    ("image/avif", "avif"),
    ("image/gif", "gif"),
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/svg+xml", "svg"),
    ("image/webp", "webp"),
    ("text/csv", "csv"),
    ("text/html", "html"),
    ("text/markdown", "md"),
    ("text/plain", "txt"),
    ("video/mp4", "mp4"),
    ("video/ogg", "ogv"),
    ("video/quicktime", "mov"),
    ("video/webm", "webm"),
];

/// Where to write. What can be wrong with it is found out before anything is paid.
#[derive(Debug)]
pub(super) enum Destination {
    /// Standard output.
    Output,
    /// This file, which does not exist.
    File { part: Part, path: PathBuf },
    /// A file in the current folder, named after the URL and, once that is known, the media type.
    Named { part: Part, name: String },
}

impl Destination {
    pub(super) fn new(named: Option<&Path>, url: &str, json: bool) -> Result<Self, Failure> {
        match named {
            Some(path) if path == Path::new("-") && json => {
                Err(Failure::new(Code::Usage, "--json and the item can't both go to standard output")
                    .hint("name a file with -o"))
            }
            Some(path) if path == Path::new("-") => Ok(Self::Output),
            Some(path) if path.symlink_metadata().is_ok() => Err(exists(path)),
            Some(path) => Ok(Self::File { part: Part::begin(path)?, path: path.to_owned() }),
            None => {
                let name = name(url);
                Ok(Self::Named { part: Part::begin(Path::new(&name))?, name })
            }
        }
    }

    /// Writes an item as it flows. Returns the file, and how many bytes it has.
    pub(super) async fn save(
        self,
        media_type: Option<&str>,
        body: reqwest::Response,
    ) -> Result<(Option<PathBuf>, u64), Failure> {
        match self {
            Self::Output => {
                let failed = |error: std::io::Error| Failure::new(Code::Unexpected, error);
                let bytes = copy(body, &mut std::io::stdout(), failed).await?;
                Ok((None, bytes))
            }
            Self::File { part, path } => {
                let (part, bytes) = part.fill(body).await?;
                part.name(&path).map_err(|(_, failure)| failure)?;
                Ok((Some(path), bytes))
            }
            Self::Named { part, name } => {
                let name = with_extension(name, media_type);
                let (mut part, bytes) = part.fill(body).await?;
                for number in 1..=NAMES_MAX {
                    let path = numbered(&name, number);
                    match part.name(&path) {
                        Ok(()) => return Ok((Some(path), bytes)),
                        Err((Some(again), _)) => part = again,
                        Err((None, failure)) => return Err(failure),
                    }
                }
                Err(exists(Path::new(&name)))
            }
        }
    }
}

/// A file that is being written: `<name>.part`. It is removed unless it gets its name.
#[derive(Debug)]
pub(super) struct Part {
    path: tempfile::TempPath,
    file: File,
}

impl Part {
    /// Takes over what a killed process left, and leaves alone what another one is writing.
    fn begin(path: &Path) -> Result<Self, Failure> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let failed = |error: std::io::Error| Failure::file(&part, &error);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&part).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(Code::Unexpected, format!("another farthing is writing {}", part.display()))
                    .hint("wait for it, or name another file with -o; what was bought comes again and costs nothing"));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        let path = tempfile::TempPath::try_from_path(&part).map_err(failed)?;
        Ok(Self { path, file })
    }

    async fn fill(mut self, body: reqwest::Response) -> Result<(Self, u64), Failure> {
        let path = self.path.to_path_buf();
        let failed = |error: std::io::Error| Failure::file(&path, &error);
        let bytes = copy(body, &mut self.file, failed).await?;
        self.file.sync_all().map_err(failed)?;
        Ok((self, bytes))
    }

    /// Gives it its name, if nothing has that name. Returns itself if something has.
    fn name(self, path: &Path) -> Result<(), (Option<Self>, Failure)> {
        let Self { path: part, file } = self;
        part.persist_noclobber(path).map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => (Some(Self { path: error.path, file }), exists(path)),
            _ => (None, Failure::file(path, &error.error)),
        })
    }
}

async fn copy(
    mut body: reqwest::Response,
    to: &mut impl Write,
    failed: impl Fn(std::io::Error) -> Failure,
) -> Result<u64, Failure> {
    let bar = body.content_length().map_or_else(ProgressBar::no_length, ProgressBar::new);
    let style = ProgressStyle::with_template("{bytes} of {total_bytes} {wide_bar} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut bytes = 0_u64;
    while let Some(chunk) = body.chunk().await.map_err(|error| broke_off(&error))? {
        to.write_all(&chunk).map_err(&failed)?;
        bytes += chunk.len() as u64;
        bar.set_position(bytes);
    }
    to.flush().map_err(&failed)?;
    bar.finish_and_clear();
    Ok(bytes)
}

/// The URL's last part without anything that a file system or a shell could take amiss.
fn name(url: &str) -> String {
    let url = Url::parse(url).ok();
    let last = url.as_ref().and_then(|url| url.path_segments()).and_then(|mut parts| parts.next_back());
    // Percent signs stay: they are safe, and what they stand for may not be.
    let allowed = |character: &char| character.is_ascii_alphanumeric() || "-_.~%+".contains(*character);
    let name: String = last.unwrap_or_default().chars().filter(allowed).take(NAME_LENGTH_MAX).collect();
    // A file that begins with a dot is hidden, and one with a dash is an option.
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "index".to_owned() } else { name.to_owned() }
}

/// The name with the media type's extension, unless it has one.
fn with_extension(name: String, media_type: Option<&str>) -> String {
    let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let extension = EXTENSIONS.iter().find(|(media_type, _)| *media_type == essence).map(|(_, extension)| *extension);
    match extension {
        Some(extension) if Path::new(&name).extension().is_none() => format!("{name}.{extension}"),
        _ => name,
    }
}

/// `x.wav`, `x-2.wav`, `x-3.wav` …
fn numbered(name: &str, number: u32) -> PathBuf {
    if number == 1 {
        return PathBuf::from(name);
    }
    match name.rsplit_once('.') {
        Some((stem, extension)) => PathBuf::from(format!("{stem}-{number}.{extension}")),
        None => PathBuf::from(format!("{name}-{number}")),
    }
}

fn exists(path: &Path) -> Failure {
    Failure::new(Code::Usage, format!("{} exists already", path.display()))
        .hint("name another file with -o, or move this one away; nothing is overwritten")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_the_url_and_the_media_type() {
        for (url, media_type, expected) in [
            ("https://a.example/songs/nocturne", Some("audio/wav"), "nocturne.wav"),
            ("https://a.example/songs/nocturne.flac", Some("audio/wav"), "nocturne.flac"),
            ("https://a.example/articles/x?y=z", Some("text/markdown; charset=utf-8"), "x.md"),
            ("https://a.example/", None, "index"),
            ("https://a.example/.bashrc", None, "bashrc"),
            ("https://a.example/-rf", None, "rf"),
            ("https://a.example/%2e%2e%2fetc%2fpasswd", None, "%2e%2e%2fetc%2fpasswd"),
        ] {
            assert_eq!(with_extension(name(url), media_type), expected, "{url}");
        }
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        assert_eq!(numbered("x.wav", 1), Path::new("x.wav"));
        assert_eq!(numbered("x.wav", 2), Path::new("x-2.wav"));
        assert_eq!(numbered("x", 3), Path::new("x-3"));
    }
}
