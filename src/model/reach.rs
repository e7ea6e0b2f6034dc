use std::collections::{BTreeMap, BTreeSet};

/// What hosts are told apart by.
pub type Labels = BTreeMap<String, String>;

/// Which hosts could change a plan by coming, going, or taking other work than before, although
/// nothing that the plan is about runs there or was asked of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// All.
    pub any: bool,
    /// Those that have all labels of one of these.
    pub like: BTreeSet<Labels>,
}

impl Reach {
    /// What is known of a plan that nobody has made yet.
    #[must_use]
    pub fn any() -> Self {
        Self { any: true, like: BTreeSet::new() }
    }

    /// Whether a host with these labels is one of them.
    #[must_use]
    pub fn has(&self, labels: &Labels) -> bool {
        self.any || self.like.iter().any(|wanted| has_all(labels, wanted))
    }
}

/// Whether `labels` has each of `wanted`, with exactly its value.
#[must_use]
pub fn has_all(labels: &Labels, wanted: &Labels) -> bool {
    // This is asked of every host for every plan. Hosts have few labels, and texts of different
    // length differ at once, so going through them all is quicker than a look-up.
    wanted.iter().all(|wanted| labels.iter().any(|label| label == wanted))
}
