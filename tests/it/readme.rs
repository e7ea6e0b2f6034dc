//! What the README shows holds.
use std::{fs, path::Path};

use crate::trellis::trellis;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The contents of the README's blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    text.split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n').map(ToOwned::to_owned))
        .collect()
}

fn commands() -> Vec<String> {
    let lines: Vec<_> = blocks("console").iter().flat_map(|b| lines_of(b)).collect();
    assert!(!lines.is_empty(), "the README shows commands");
    lines
}

fn lines_of(block: &str) -> Vec<String> {
    let commands = block.lines().filter_map(|line| line.strip_prefix("$ "));
    commands.map(|line| line.split(" #").next().unwrap().trim().to_owned()).collect()
}

#[test]
fn its_manifests_are_accepted_and_planned() {
    let manifests = blocks("yaml");
    assert_eq!(manifests.len(), 2);
    let ended = trellis(root(), &["plan", "-f", "-"], &manifests.join("---\n"));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("default/hello on lattice default"), "{}", ended.stdout);
}

#[test]
fn its_commands_are_there() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for command in commands() {
        let words: Vec<_> = command.split_whitespace().collect();
        match words.as_slice() {
            ["make", target] => assert!(makefile.contains(&format!("\n{target}: ##")), "{command}"),
            ["target/debug/trellis", arguments @ ..] => {
                let ended = trellis(root(), arguments, "");
                assert_eq!(ended.code, 0, "{command}: {}", ended.stderr);
            }
            ["cargo", "run", ..] => {
                let arguments = words.split(|word| *word == "--").nth(1).unwrap();
                // The operator would need a cluster; that there is such a command can be asked.
                let help: &[&str] = if arguments == ["run"] { &["--help"] } else { &[] };
                let ended = trellis(root(), &[arguments, help].concat(), "");
                assert_eq!(ended.code, 0, "{command}: {}", ended.stderr);
            }
            ["kubectl", "apply", .., "-k", path] => {
                assert!(root().join(path).is_dir(), "{command}");
            }
            _ => panic!("no test runs this command of the README: {command}"),
        }
    }
}

#[test]
fn its_links_lead_somewhere() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(link.starts_with("https://") || root().join(link).exists(), "{link}");
    }
}
