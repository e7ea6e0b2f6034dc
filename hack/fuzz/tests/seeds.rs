//! Inputs that were found to go new ways, or to break something once.
#![allow(clippy::unwrap_used, reason = "a seed that can't be read is a failure")]

use std::{fs, path::Path};

fn replay(folder: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut seeds = 0;
    for entry in fs::read_dir(folder).unwrap() {
        run(&fs::read(entry.unwrap().path()).unwrap());
        seeds += 1;
    }
    assert!(seeds > 0, "there are no seeds");
}

#[test]
fn manifests() {
    replay("seeds/manifest", fuzz::manifest);
    replay("../../config/samples", fuzz::manifest);
}

#[test]
fn events() {
    replay("seeds/event", fuzz::event);
}

#[test]
fn inventories() {
    replay("seeds/inventory", fuzz::inventory);
}
