//! Naming what a user wrote, and guessing what they meant.

/// The longest piece of a user's text that a message repeats.
const SHOWN: usize = 64;

/// `text` in quotes, escaped, and cut where it is long.
pub(super) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// The one of `known` that a typing mistake could have turned into `written`.
pub(super) fn closest<'k>(
    written: &str,
    known: impl IntoIterator<Item = &'k (impl AsRef<str> + ?Sized + 'k)>,
) -> Option<&'k str> {
    if written.len() > SHOWN {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let written = plain(written);
    known
        .into_iter()
        .map(|known| (distance(&written, &plain(known.as_ref())), known.as_ref()))
        .filter(|(distance, known)| *distance <= (known.chars().count() / 3).min(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Letters to insert, remove, replace or swap to turn `a` into `b` (restricted
/// Damerau-Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut cost = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(before[j - 2] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_is_recognised_and_another_word_is_not() {
        let known = ["image", "config", "id", "instances", "dependsOn"];
        let cases = [
            ("imgae", Some("image")),
            ("Image", Some("image")),
            ("configs", Some("config")),
            ("instance", Some("instances")),
            ("depends_on", Some("dependsOn")),
            ("it", None),
            ("volumes", None),
            ("", None),
        ];
        for (written, expected) in cases {
            assert_eq!(closest(written, &known), expected, "{written:?}");
        }
    }

    #[test]
    fn long_text_is_cut_between_characters_and_escaped() {
        assert_eq!(quote("a\nb"), r#""a\nb""#);
        assert!(quote(&"ä".repeat(1000)).ends_with("ä…\""));
    }
}
