//! Lines for the person who waits, on standard error.

/// Prints one line of progress.
pub(crate) fn say(line: &str) {
    eprintln!("parts: {line}");
}
