//! A plan for people.
use std::fmt::Write as _;

use super::TargetPlan;
use crate::model::Command;

/// The longest config value that is shown whole, in characters.
const SHOWN: usize = 60;

pub(super) fn render(targets: &[TargetPlan]) -> String {
    if targets.is_empty() {
        return "no lattice is chosen, so there is nothing to do\n".into();
    }
    let targets: Vec<String> = targets.iter().map(target).collect();
    targets.join("\n")
}

fn target(target: &TargetPlan) -> String {
    let mut lines = vec![format!(
        "{} on lattice {}, namespace {}",
        target.application, target.lattice, target.namespace
    )];
    let mut number = 0;
    for planned in &target.now {
        number += 1;
        lines.push(format!("{number:>4}. {}", command(&planned.command)));
    }
    for later in &target.later {
        number += 1;
        lines.push(format!("{number:>4}. {}", command(&later.command)));
        for what in &later.waits_for {
            lines.push(format!("      waits for {what}"));
        }
    }
    for blocked in &target.blocked {
        lines.push(format!("      {} is blocked: {blocked}", blocked.subject));
    }
    if lines.len() == 1 {
        lines.push("      nothing to do".into());
    }
    lines.join("\n") + "\n"
}

/// The command, and what of it a person would ask about.
fn command(command: &Command) -> String {
    let mut text = command.to_string();
    // Writing to a string can't fail.
    let _ = match command {
        Command::PutConfig { values, .. } => {
            let values: Vec<_> = values.iter().map(|(key, value)| entry(key, value)).collect();
            write!(text, ": {}", values.join(", "))
        }
        Command::PutLink { link, .. } => {
            let interfaces: Vec<&str> = link.interfaces.iter().map(AsRef::as_ref).collect();
            write!(text, " [{}]", interfaces.join(", "))
        }
        Command::StartProvider { image, .. } => write!(text, ", image {image}"),
        Command::ScaleComponent { image, count, .. } if *count > 0 => {
            write!(text, ", image {image}")
        }
        Command::ScaleComponent { .. }
        | Command::StopProvider { .. }
        | Command::DeleteLink { .. }
        | Command::DeleteConfig { .. } => Ok(()),
    };
    text
}

fn entry(key: &str, value: &str) -> String {
    let mut shown: String = value.chars().take(SHOWN).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    format!("{key}={shown:?}")
}
