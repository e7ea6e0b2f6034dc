//! Every manifest below `tests/manifests` is refused with exactly the lines in the `.expected`
//! file beside it.
//!
//! - `bad`: what the operator refuses too, with `Parsed=False`;
//! - `bad-policy`: what it refuses with `Policy=False`, given one Lattice named `default`;
//! - `unreadable`: what an API server refuses already.
//!
//! Those in `wadm` are what wadm's own examples and tests say, in manifests of ours: each is read, or
//! refused for a reason that `docs/application.md` names.
//!
//! `UPDATE_EXPECTED=1 cargo test bad_manifests` writes those files; read the difference.
use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::trellis::trellis;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests").join(name)
}

fn check_all(name: &str) {
    let refused = |_: &str| true;
    check(name, refused);
}

/// Checks every manifest in a folder, those that are `refused` by what is said of them.
fn check(name: &str, refused: impl Fn(&str) -> bool) {
    let folder = folder(name);
    let mut files: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| Path::new(file).extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no manifest", folder.display());
    for file in files {
        let ended = trellis(&folder, &["plan", "-f", &file], "");
        let prefix = format!("{file}: ");
        let lines: Vec<&str> = ended
            .stderr
            .lines()
            .map(|line| line.strip_prefix(&prefix).unwrap_or_else(|| panic!("{file}: {line}")))
            .collect();
        let shown = lines.iter().flat_map(|line| [*line, "\n"]).collect::<String>();
        let expected = folder.join(&file).with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &shown).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(shown, expected, "{name}/{file}");
        let refused = refused(&shown);
        assert_eq!(ended.code, if refused { 2 } else { 0 }, "{name}/{file}: {}", ended.stderr);
        assert_eq!(ended.stdout.is_empty(), refused, "{name}/{file}");
    }
}

#[test]
fn bad_manifests_are_refused_by_path() {
    check_all("bad");
}

#[test]
fn manifests_that_choose_what_isn_t_there_are_refused() {
    check_all("bad-policy");
}

#[test]
fn what_wadm_reads_is_read_or_refused_for_a_reason() {
    check("wadm", |said| said.lines().any(|line| !line.starts_with("warning: ")));
}

#[test]
fn what_isn_t_an_application_is_refused() {
    check_all("unreadable");
}

#[test]
fn a_huge_application_is_refused_whole() {
    let component = |i: u32| {
        format!(
            "  - {{name: c{i}, type: component, properties: {{image: \"ghcr.io/example/a:{i}\"}}}}\n"
        )
    };
    let components: String = (0..20_000).map(component).collect();
    let manifest = format!(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: huge}}\nspec:\n  \
         components:\n{components}"
    );
    let ended = trellis(&folder("bad"), &["plan", "-f", "-"], &manifest);
    assert_eq!(
        ended.stderr,
        "standard input: spec: is 1659 KiB large, and at most 1024 are read; split it into several \
         Applications\n"
    );
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
}

#[test]
fn what_is_not_utf_8_is_refused() {
    let file = std::env::temp_dir().join(format!("trellis-not-utf-8-{}.yaml", std::process::id()));
    fs::write(&file, b"kind: \xff\n").unwrap();
    let path = file.to_str().unwrap();
    let ended = trellis(&folder("bad"), &["plan", "-f", path], "");
    fs::remove_file(&file).unwrap();
    assert_eq!(
        ended.stderr,
        format!("{path}: file: is not UTF-8; write it as YAML or JSON in UTF-8\n")
    );
    assert_eq!(ended.code, 2);
}
