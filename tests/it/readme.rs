//! What the README and the installation's page show holds.
use std::{fs, path::Path, process::Command};

use parts::{Scratch, programs, toolchain};

use crate::{chart::helm, trellis::trellis};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const README: &str = "README.md";
const INSTALL: &str = "docs/install.md";

/// The contents of a page's blocks of one language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    text.split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n').map(ToOwned::to_owned))
        .collect()
}

fn commands(page: &str) -> Vec<String> {
    let lines: Vec<_> = blocks(page, "console").iter().flat_map(|b| lines_of(b)).collect();
    assert!(!lines.is_empty(), "{page} shows commands");
    lines
}

fn lines_of(block: &str) -> Vec<String> {
    let block = block.replace("\\\n", " ");
    let commands = block.lines().filter_map(|line| line.strip_prefix("$ "));
    commands.map(|line| line.split(" #").next().unwrap().trim().to_owned()).collect()
}

#[test]
fn its_manifests_are_accepted_and_planned() {
    let manifests = blocks(README, "yaml");
    assert_eq!(manifests.len(), 2);
    let ended = trellis(root(), &["plan", "-f", "-"], &manifests.join("---\n"));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("default/hello on lattice default"), "{}", ended.stdout);
}

#[test]
fn their_commands_are_there() {
    for (page, command) in [README, INSTALL]
        .into_iter()
        .flat_map(|it| commands(it).into_iter().map(move |command| (it, command)))
    {
        let unquoted = command.replace('\'', "");
        let words: Vec<_> = unquoted.split_whitespace().collect();
        match words.as_slice() {
            ["make", target, ..] => assert!(makefile_has(target), "{command}"),
            ["target/debug/trellis", arguments @ ..] => {
                let ended = trellis(root(), arguments, "");
                assert_eq!(ended.code, 0, "{command}: {}", ended.stderr);
            }
            ["helm", "install" | "upgrade", release, chart, flags @ ..] => {
                render(release, chart, flags);
            }
            // What they do is tested where there is a whole cluster.
            ["helm", "rollback" | "test" | "uninstall", "trellis", ..] | ["kubectl", ..]
                if page == INSTALL => {}
            _ => panic!("no test runs this command of {page}: {command}"),
        }
    }
}

fn makefile_has(target: &str) -> bool {
    fs::read_to_string(root().join("Makefile")).unwrap().contains(&format!("\n{target}: ##"))
}

/// As `helm install` and `helm upgrade` would with these flags; a test of the chart does both.
fn render(release: &str, chart: &str, flags: &[&str]) {
    let chart = root().join(chart);
    let fixed = ["template", release, chart.to_str().unwrap()];
    // It stands for what an installation was given before.
    let reused = "--set=image.repository=registry.example/trellis,lattice.urls={nats://nats}";
    let flags = flags.iter().map(|flag| if *flag == "--reuse-values" { reused } else { flag });
    helm(&fixed.into_iter().chain(flags).collect::<Vec<_>>()).unwrap();
}

#[test]
fn the_overlay_of_the_installation_page_names_the_image_and_the_secret() {
    let scratch = Scratch::new("overlay").unwrap();
    std::os::unix::fs::symlink(root().join("config"), scratch.path().join("config")).unwrap();
    scratch.write("kustomization.yaml", &blocks(INSTALL, "yaml")[0]).unwrap();
    let mut kubectl = Command::new(programs::kubectl().unwrap());
    let built = toolchain::run(kubectl.arg("kustomize").arg(scratch.path())).unwrap();
    assert!(built.contains("image: registry.example/trellis:0.1.0\n"), "{built}");
    let secret = "  resourceNames:\n  - nats\n  resources:\n  - secrets\n";
    assert!(built.contains(secret), "{built}");
}

#[test]
fn their_links_lead_somewhere() {
    for page in [README, INSTALL] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let folder = root().join(page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let found = match link.strip_prefix('#') {
                Some(heading) => has_heading(&text, heading),
                None => link.starts_with("https://") || folder.join(link).exists(),
            };
            assert!(found, "{page}: {link}");
        }
    }
}

fn has_heading(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter_map(|line| line.split_once("# "));
    headings.into_iter().any(|(_, words)| words.to_lowercase().replace(' ', "-") == anchor)
}
