//! Who may use whom, enforced. One line here is one arrow that must never appear.
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Words of pure code that it must not contain: input and output, clocks, and orders that change.
const IMPURE: &[&str] = &[
    "kube::Client",
    "kube::Api",
    "async_nats",
    "tokio::",
    ".await",
    "async fn",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "HashMap",
    "HashSet",
    "std::fs",
    "std::net",
    "std::env",
];

/// What a look at a cluster needs nothing of.
const PREFLIGHT: &[&str] = &[
    "crate::appfile",
    "crate::placement",
    "crate::lattice",
    "crate::workflow",
    "crate::controller",
    "crate::cli",
];

/// Place → what it must not use, beside [`IMPURE`] where it is pure.
const RULES: &[(&str, bool, &[&str])] = &[
    ("model", true, &["crate::", "kube", "schemars"]),
    (
        "api",
        true,
        &[
            "crate::appfile",
            "crate::placement",
            "crate::lattice",
            "crate::workflow",
            "crate::controller",
            "crate::cli",
        ],
    ),
    (
        "appfile",
        true,
        &[
            "crate::placement",
            "crate::lattice",
            "crate::workflow",
            "crate::controller",
            "crate::cli",
        ],
    ),
    (
        "placement",
        true,
        &[
            "kube",
            "crate::api",
            "crate::appfile",
            "crate::lattice",
            "crate::workflow",
            "crate::controller",
            "crate::cli",
        ],
    ),
    ("workflow", true, &["crate::placement", "crate::lattice", "crate::controller", "crate::cli"]),
    (
        "lattice/wire",
        true,
        &[
            "kube",
            "crate::api",
            "crate::appfile",
            "crate::placement",
            "crate::controller",
            "crate::cli",
        ],
    ),
    (
        "lattice/inventory",
        true,
        &[
            "kube",
            "crate::api",
            "crate::appfile",
            "crate::placement",
            "crate::controller",
            "crate::cli",
        ],
    ),
    (
        "lattice/in_flight",
        true,
        &[
            "kube",
            "crate::api",
            "crate::appfile",
            "crate::placement",
            "crate::controller",
            "crate::cli",
        ],
    ),
    (
        "lattice",
        false,
        &[
            "kube",
            "crate::api",
            "crate::appfile",
            "crate::placement",
            "crate::workflow",
            "crate::controller",
            "crate::cli",
        ],
    ),
    ("preflight", false, PREFLIGHT),
    ("preflight/facts.rs", true, PREFLIGHT),
    ("preflight/finding.rs", true, PREFLIGHT),
    ("preflight/crds.rs", true, PREFLIGHT),
    ("preflight/parts.rs", true, PREFLIGHT),
    ("preflight/api_services.rs", true, PREFLIGHT),
    ("preflight/rights.rs", true, PREFLIGHT),
    ("preflight/steps.rs", true, PREFLIGHT),
    ("controller", false, &["crate::cli", "crate::telemetry"]),
    ("controller/status.rs", true, &["super::context", "super::lattices::"]),
    ("controller/decision.rs", true, &["super::context", "kube"]),
    ("controller/conditions.rs", true, &["super::context", "kube"]),
    ("controller/events.rs", true, &["super::context", "kube::"]),
    ("controller/workflow_status.rs", true, &["super::context", "kube"]),
    ("controller/lattice_status.rs", true, &["super::context", "kube"]),
    ("controller/held.rs", true, &["super::context", "kube"]),
    ("controller/lattice_fault.rs", true, &["super::context", "kube"]),
    ("lattice/fault.rs", true, &["kube", "crate::controller", "crate::api"]),
    ("controller/index.rs", true, &["super::context", "kube"]),
    ("controller/lease/decision.rs", true, &["kube", "crate::lattice", "super::"]),
    ("controller/lease/record.rs", true, &["kube::Client", "super::super"]),
];

#[test]
fn no_module_uses_what_its_layer_forbids() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for (place, pure, forbidden) in RULES {
        let files = rust_files(&source.join(place));
        assert!(!files.is_empty(), "src/{place} has moved; its rule must move along");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let impure = if *pure { IMPURE } else { &[] };
            for (number, line) in code_lines(&text) {
                for word in forbidden.iter().chain(impure).filter(|word| has(line, word)) {
                    let file = file.strip_prefix(&source).unwrap().display();
                    found.push(format!("src/{file}:{number}: {word}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Whether `line` has `word`, and not only as the beginning of a longer name.
fn has(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let next = line[at + word.len()..].chars().next();
        !word.ends_with(inside) || !next.is_some_and(inside)
    })
}

/// The lines that are neither comments nor tests.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}

fn rust_files(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_path_buf()];
    }
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.file_name().and_then(|name| name.to_str()) {
            // Files of tests may use what they like.
            Some("tests.rs" | "tests" | "world.rs" | "properties.rs") => Vec::new(),
            Some(_) if path.is_dir() => rust_files(&path),
            Some(_) if path.extension().is_some_and(|extension| extension == "rs") => vec![path],
            Some(_) | None => Vec::new(),
        })
        .collect()
}
