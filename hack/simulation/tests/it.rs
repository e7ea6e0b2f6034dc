//! A few lives in full, and a few stories whose every line is known.
#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

use std::process::Command;

/// A process of its own for each, which is what makes them repeat to the letter.
fn simulation(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_simulation")).args(args).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

/// As many as take less than a minute on two cores; `make simulation` runs thousands.
#[test]
fn whatever_goes_wrong_all_becomes_as_it_was_asked_for() {
    let (succeeded, said) = simulation(&["0", "30"]);
    assert!(succeeded, "{said}");
}

#[test]
fn a_seed_gives_the_same_again() {
    let (succeeded, said) = simulation(&["4", "2", "--twice"]);
    assert!(succeeded, "{said}");
}

fn story(name: &str) -> String {
    let (succeeded, said) = simulation(&["--story", name]);
    assert!(succeeded, "{said}");
    said
}

#[test]
fn an_application_comes_is_changed_and_goes() {
    insta::assert_snapshot!(story("a-whole-life"));
}

#[test]
fn a_component_goes_together_with_the_link_to_it() {
    insta::assert_snapshot!(story("a-component-goes"));
}

#[test]
fn an_operator_and_a_host_die_in_a_rollout_whose_answers_are_lost() {
    insta::assert_snapshot!(story("a-host-dies-with-the-operator"));
}
