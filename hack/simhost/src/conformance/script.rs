//! The script, read from `script.txt`.

/// How to tell that a step is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// An answer, and this many events besides heartbeats.
    Events(usize),
    /// That nobody answers.
    Silence,
}

/// One command. `{host}` and the names of refs in braces are still to be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) subject: &'static str,
    /// Empty if there is none.
    pub(super) body: &'static str,
    pub(super) expect: Expect,
}

/// The whole script, in the order in which it is sent.
pub(super) fn script() -> Vec<Step> {
    let mut name = "";
    let mut steps = Vec::new();
    for line in include_str!("script.txt").lines() {
        if let Some(new) = line.strip_prefix("## ") {
            name = new;
        } else if !line.is_empty() && !line.starts_with('#') {
            steps.push(step(name, line));
        }
    }
    steps
}

fn step(name: &'static str, line: &'static str) -> Step {
    let (expect, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (subject, body) = rest.split_once(' ').unwrap_or((rest, ""));
    let expect = expect.parse().map_or(Expect::Silence, Expect::Events);
    Step { name, subject, body, expect }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Expect, script};

    #[test]
    fn every_step_has_a_name_of_its_own_and_a_body_that_is_json() {
        let names: BTreeSet<&str> = script().iter().map(|step| step.name).collect();
        assert_eq!(names.len(), script().len());
        for step in script() {
            let body: Result<serde_json::Value, _> = serde_json::from_str(step.body);
            assert!(step.body.is_empty() || body.is_ok(), "{step:?}");
        }
    }

    #[test]
    fn some_commands_are_there_to_be_met_with_silence() {
        assert!(script().iter().any(|step| step.expect == Expect::Silence));
    }
}
