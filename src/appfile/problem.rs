use std::{cell::RefCell, fmt};

/// The most problems that are kept of one manifest: a status is for people, and must stay small.
const KEPT: usize = 100;

/// One thing that is wrong with a manifest, or, as a warning, one that is likely to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `spec.components[0].traits[1].properties.spread[0].weight`.
    pub path: String,
    /// What is wrong: `is a number, not a string`.
    pub wrong: String,
    /// What to do about it: `put it in quotes`.
    pub todo: String,
    /// One word in CamelCase, for a condition.
    pub reason: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.wrong, self.todo)
    }
}

/// All that is wrong with a manifest, in the order in which it was found; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    first: Problem,
    others: Vec<Problem>,
    omitted: usize,
}

impl Problems {
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// How many more there were than are kept.
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// The first one's word for a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.first.reason
    }
}

impl From<Problem> for Problems {
    fn from(first: Problem) -> Self {
        Self { first, others: Vec::new(), omitted: 0 }
    }
}

/// One problem a line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        for problem in &self.others {
            write!(f, "\n{problem}")?;
        }
        match self.omitted {
            0 => Ok(()),
            omitted => write!(f, "\nand {omitted} more problems"),
        }
    }
}

impl std::error::Error for Problems {}

/// Where everything that one reading of a manifest finds is gathered, so that a user sees all of
/// it at once.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    omitted: RefCell<usize>,
}

/// The reason of problems in the manifest itself.
pub(super) const INVALID: &str = "InvalidManifest";

impl Findings {
    pub(super) fn problem(&self, path: &str, wrong: impl Into<String>, todo: impl Into<String>) {
        self.problem_of(INVALID, path, wrong, todo);
    }

    pub(super) fn problem_of(
        &self,
        reason: &'static str,
        path: &str,
        wrong: impl Into<String>,
        todo: impl Into<String>,
    ) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() >= KEPT {
            *self.omitted.borrow_mut() += 1;
            return;
        }
        problems.push(Problem {
            path: path.into(),
            wrong: wrong.into(),
            todo: todo.into(),
            reason,
        });
    }

    pub(super) fn warning(&self, path: &str, wrong: impl Into<String>, todo: impl Into<String>) {
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < KEPT {
            warnings.push(Problem {
                path: path.into(),
                wrong: wrong.into(),
                todo: todo.into(),
                reason: INVALID,
            });
        }
    }

    /// The warnings, if nothing is wrong.
    pub(super) fn finish(self) -> Result<Vec<Problem>, Problems> {
        let mut problems = self.problems.into_inner().into_iter();
        match problems.next() {
            None => Ok(self.warnings.into_inner()),
            Some(first) => Err(Problems {
                first,
                others: problems.collect(),
                omitted: self.omitted.into_inner(),
            }),
        }
    }
}
