use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// `first` doubled with each try after the first, at most `longest`, give or take a tenth.
///
/// The tenth depends on `what` and the try alone, so that equal runs are equal, and hundreds of
/// lanes that failed together aren't tried again together.
pub(crate) fn backoff(
    first: Duration,
    longest: Duration,
    tries: u32,
    what: &impl Hash,
) -> Duration {
    let doubled =
        first.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    // The hasher's keys are fixed; its value is never shown or kept.
    let mut hasher = DefaultHasher::new();
    (what, tries).hash(&mut hasher);
    let part = 900 + u32::try_from(hasher.finish() % 201).unwrap_or(0);
    doubled.min(longest) / 1000 * part
}

/// Whether trying again is in vain until somebody changes something. Judged by the words that
/// hosts use, so it errs on the side of trying.
pub(super) fn is_permanent(error: &str) -> bool {
    const WORDS: [&str; 8] = [
        "policy",
        "claims",
        "denied",
        "unauthorized",
        "manifest unknown",
        "failed to deserialize",
        "magic header not detected",
        "failed to encode a component from module",
    ];
    WORDS.iter().any(|word| error.contains(word))
}
