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

/// Words of hosts that refuse an image, or have found it to be none.
const REFUSED: [&str; 7] = [
    "policy",
    "claims",
    "denied",
    "unauthorized",
    "manifest unknown",
    "magic header not detected",
    "failed to encode a component from module",
];

/// Words of hosts that find no image, which may yet come.
const NOT_FOUND: [&str; 2] = ["name unknown", "No such file or directory"];

/// Whether trying again is in vain until somebody changes something. Judged by the words that
/// hosts use, so it errs on the side of trying.
pub(super) fn is_permanent(error: &str) -> bool {
    REFUSED.iter().chain(&["failed to deserialize"]).any(|word| error.contains(word))
}

/// Whether it is the image that is at fault, so that other hosts would fail alike.
pub(super) fn is_of_image(error: &str) -> bool {
    REFUSED.iter().chain(&NOT_FOUND).any(|word| error.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_say_of_an_image_is_told_from_their_own_troubles() {
        let cases = [
            ("OCI API errors: [OCI API error: manifest unknown]", true),
            ("OCI API errors: [OCI API error: repository name unknown]", true),
            ("failed to read component: No such file or directory (os error 2)", true),
            ("failed to extract module claims: I/O error: magic header not detected", true),
            ("Policy denied request to scale component `web`", true),
            ("Unable to fetch requested config: Config nosuch does not exist", false),
            ("error sending request for url: operation timed out", false),
            ("no outcome after 3 tries and 60 s", false),
        ];
        for (error, expected) in cases {
            assert_eq!(is_of_image(error), expected, "{error}");
        }
    }
}
