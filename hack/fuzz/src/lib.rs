//! What is read from users and hosts, given whatever bytes: it may refuse, and must not panic, hang or
//! grow without end. `make fuzz` looks for inputs; those worth keeping are in `seeds`, and a test
//! replays them.
#![allow(clippy::panic, clippy::missing_panics_doc, reason = "that is how a finding is told")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use trellis::{
    appfile,
    lattice::{
        in_flight::Deadlines,
        inventory::{Fold, Input, Settings},
        wire::{
            Snapshot, decode_config, decode_event, decode_inventory, decode_links, decode_ping,
        },
    },
    model::Moment,
};

const SECOND: Duration = Duration::from_secs(1);

/// A manifest, from a user: YAML, and the JSON that an API server hands on.
pub fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let from_yaml = serde_saphyr::from_str::<Value>(text).ok();
    let from_json = serde_json::from_str::<Value>(text).ok();
    for document in from_yaml.into_iter().chain(from_json) {
        if let Err(problems) = appfile::parse_document(&document, "default") {
            assert!(!problems.to_string().is_empty(), "a refusal says why");
        }
    }
}

/// What comes from a lattice: the name of an event, a line's end, and its text; also as answers.
pub fn event(data: &[u8]) {
    if let Some((name, payload)) = name_and_text(data) {
        decode_event(&format!("wasmbus.evt.default.{name}"), payload).ok();
    }
    decode_ping(data).ok();
    decode_inventory(data).ok();
    decode_links(data).ok();
    decode_config(data).ok();
    Snapshot::parse(data).ok();
}

/// What comes from a lattice one after the other: each line is the seconds since the one before, the
/// name of an event and its text. What is held of all of it has to stay in proportion.
pub fn inventory(data: &[u8]) {
    let mut fold = Fold::new(settings());
    let mut now = Moment(1_000 * SECOND);
    fold.fold(Input::Connected, now);
    for line in data.split(|byte| *byte == b'\n') {
        let Some((seconds, rest)) = word(line) else { continue };
        now = now + SECOND * u32::from(seconds.parse::<u8>().unwrap_or_default());
        fold.fold(Input::Tick, now);
        let Some((name, text)) = word(rest) else { continue };
        let subject = format!("wasmbus.evt.default.{name}");
        if let Ok(Some(event)) = decode_event(&subject, text) {
            fold.fold(Input::Event(event), now);
        }
        match name {
            "disconnected" => drop(fold.fold(Input::Disconnected { why: "away".into() }, now)),
            "connected" => drop(fold.fold(Input::Connected, now)),
            "missed" => drop(fold.fold(Input::Missed, now)),
            _ => {}
        }
    }
    let observed = fold.observed();
    let runs = observed.hosts.values().filter_map(|host| host.inventory.as_ref());
    let things: usize = runs.map(|it| it.components.len() + it.providers.len()).sum();
    assert!(observed.hosts.len() + things <= data.len(), "more is held than was said");
}

fn name_and_text(data: &[u8]) -> Option<(&str, &[u8])> {
    let end = data.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&data[..end]).ok()?, &data[end + 1..]))
}

fn word(line: &[u8]) -> Option<(&str, &[u8])> {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let word = std::str::from_utf8(&line[..end]).ok()?;
    Some((word, line.get(end + 1..).unwrap_or_default()))
}

fn settings() -> Settings {
    Settings {
        name: "default".parse().unwrap_or_else(|_| panic!("`default` is a lattice's name")),
        heartbeat_interval: 30 * SECOND,
        missed: 3,
        probe_interval: 4 * SECOND,
        loss_grace: 30 * SECOND,
        mass_loss_timeout: 900 * SECOND,
        known_hosts: Vec::new(),
        missed_links: BTreeMap::new(),
        on_host_loss: Vec::new(),
        forgotten: BTreeSet::new(),
        confirmed_loss: None,
        deadlines: Deadlines { start: 60 * SECOND, other: 15 * SECOND, request: 2 * SECOND },
    }
}
