//! Conditions after the Kubernetes API conventions.
use crate::api::{Condition, ConditionStatus};

/// A condition's message is cut here; the API's own bound for `metav1.Condition` is 32 KiB.
const MAX_MESSAGE: usize = 4096;

/// What a condition should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub condition: &'static str,
    pub status: ConditionStatus,
    pub reason: &'static str,
    pub message: String,
}

impl Verdict {
    #[must_use]
    pub(super) fn yes(condition: &'static str, reason: &'static str, message: &str) -> Self {
        Self { condition, status: ConditionStatus::True, reason, message: cut(message) }
    }

    #[must_use]
    pub(super) fn no(condition: &'static str, reason: &'static str, message: &str) -> Self {
        Self { condition, status: ConditionStatus::False, reason, message: cut(message) }
    }
}

fn cut(message: &str) -> String {
    shorten(message, MAX_MESSAGE)
}

/// `text`, cut to at most `most` bytes, never inside a character.
#[must_use]
pub(super) fn shorten(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.into();
    }
    let mark = "…";
    let end = (0..=most.saturating_sub(mark.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or_default();
    format!("{}{mark}", &text[..end])
}

/// Puts `verdict` into `conditions`; the transition time moves only if the status does.
pub(super) fn set(
    conditions: &mut Vec<Condition>,
    verdict: &Verdict,
    generation: Option<i64>,
    now: &str,
) {
    let old = conditions.iter().position(|c| c.type_ == verdict.condition);
    let since = old
        .and_then(|old| conditions.get(old))
        .filter(|old| old.status == verdict.status)
        .and_then(|old| old.last_transition_time.clone());
    let condition = Condition {
        type_: verdict.condition.into(),
        status: verdict.status,
        reason: Some(verdict.reason.into()),
        message: Some(verdict.message.clone()).filter(|message| !message.is_empty()),
        last_transition_time: Some(since.unwrap_or_else(|| now.into())),
        observed_generation: generation,
    };
    match old.and_then(|old| conditions.get_mut(old)) {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_only_when_the_status_does() {
        let mut conditions = Vec::new();
        let steps = [
            (Verdict::no("Ready", "Progressing", "a"), "1", "1"),
            (Verdict::no("Ready", "Progressing", "b"), "2", "1"),
            (Verdict::yes("Ready", "Running", ""), "3", "3"),
        ];
        for (verdict, now, since) in steps {
            set(&mut conditions, &verdict, Some(1), now);
            assert_eq!(conditions.len(), 1);
            assert_eq!(conditions[0].last_transition_time.as_deref(), Some(since), "{verdict:?}");
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shorten("äöü", 6), "äöü");
        assert_eq!(shorten("äöüß", 6), "ä…");
    }
}
