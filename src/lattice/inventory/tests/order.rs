//! Hints may come in any order, twice or not at all: with the next inventories all is the same.
use proptest::prelude::*;
use serde_json::json;

use super::world::{SECOND, World, event, host, scaled};
use crate::{
    lattice::inventory::{Effect, Input},
    model::{Gate, Host, HostId},
};

const HOSTS: [&str; 3] = ["a", "b", "c"];

/// A hint that is true or false, as events are.
fn hint() -> impl Strategy<Value = Input> {
    let at = prop::sample::select(&HOSTS[..]);
    let id = prop::sample::select(&["x", "y", "z"][..]);
    (0..7_u8, at, id, 0..3_u32).prop_map(|(kind, at, id, count)| {
        let provider = json!({ "provider_id": id, "image_ref": "r/p:1", "annotations": {} });
        match kind {
            0..=2 => scaled(at, id, count),
            3 => event("provider_started", at, &provider),
            4 => event("provider_stopped", at, &provider),
            5 => event("host_stopped", at, &json!({ "labels": {} })),
            _ => event("host_started", at, &json!({ "version": "1.9.2", "uptime_seconds": 0 })),
        }
    })
}

/// What a plan sees of the hosts.
fn seen(world: &World) -> Vec<(HostId, Host)> {
    let moments_apart = |host: &Host| Host {
        joined: crate::model::Moment::default(),
        inventory_at: crate::model::Moment::default(),
        ..host.clone()
    };
    let hosts = world.fold.observed().hosts.iter();
    hosts.map(|(id, host)| (id.clone(), moments_apart(host))).collect()
}

/// Every question is answered with the truth, every ping too, and heartbeats come as they should.
fn live_on(world: &mut World, truth: &[&str]) {
    for second in 0..40_u64 {
        world.pass(SECOND, &HOSTS);
        for effect in std::mem::take(&mut world.effects) {
            if let Effect::Inventory(asked) = effect {
                let at = HOSTS.iter().position(|id| host(id) == asked).unwrap();
                world.shows(HOSTS[at], 141 + second, truth[at]);
            }
        }
        if second % 30 == 29 {
            for (id, running) in HOSTS.iter().zip(truth) {
                world.beats(id, 141 + second, running);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hints_leave_no_trace_once_the_inventories_have_come(
        hints in prop::collection::vec(hint(), 0..12),
        truth in prop::collection::vec(prop::sample::select(&["", "x=1", "x=2 y=1", "z=2"][..]), 3),
        sent in prop::collection::vec(0..3_usize, 0..2),
    ) {
        let mut plain = World::whole(&HOSTS, "x=1");
        let mut hinted = World::whole(&HOSTS, "x=1");
        for at in sent {
            let command = super::world::scale(HOSTS[at], "x", 2);
            if plain.fold.observed().in_flight.pending.contains_key(&command.lane()) {
                continue;
            }
            plain.send(&command);
            hinted.send(&command);
        }
        for hint in hints {
            hinted.input(hint.clone());
            hinted.input(hint);
        }
        live_on(&mut plain, &truth);
        live_on(&mut hinted, &truth);
        prop_assert_eq!(seen(&plain), seen(&hinted));
        prop_assert_eq!(&hinted.fold.observed().gate, &Gate::Open);
    }
}
