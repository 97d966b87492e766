//! What is being waited for, on a terminal's standard error and nowhere else.

use indicatif::ProgressBar;
use std::time::Duration;

/// A line that shows that something goes on; it is cleared when this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting(ProgressBar);

/// Shows what is being waited for. indicatif draws nothing when standard error is not a terminal.
pub(crate) fn waiting(what: impl Into<String>) -> Waiting {
    let bar = ProgressBar::new_spinner().with_message(what.into());
    bar.enable_steady_tick(Duration::from_millis(120));
    Waiting(bar)
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
