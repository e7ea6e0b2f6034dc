//! What a heartbeat and an event cost, from bytes to what is observed.
#![allow(clippy::unwrap_used, reason = "a bench that can't go on says so by panicking")]

use std::{collections::BTreeMap, hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use trellis::{
    lattice::{
        in_flight::Deadlines,
        inventory::{Fold, Input, Settings},
        wire::{decode_event, decode_news},
    },
    model::{HostId, Moment},
};

const HOSTS: usize = 1_000;
const COMPONENTS: usize = 10;

fn fold() -> Fold {
    let second = Duration::from_secs(1);
    Fold::new(Settings {
        name: "bench".parse().unwrap(),
        heartbeat_interval: 30 * second,
        missed: 3,
        probe_interval: 4 * second,
        loss_grace: 30 * second,
        mass_loss_timeout: 900 * second,
        known_hosts: Vec::new(),
        missed_links: BTreeMap::new(),
        on_host_loss: Vec::new(),
        forgotten: std::collections::BTreeSet::new(),
        confirmed_loss: None,
        deadlines: Deadlines { start: 60 * second, other: 15 * second, request: 2 * second },
    })
}

fn host(number: usize) -> String {
    format!("N{number:055}")
}

/// A heartbeat as hosts send it: 10 components with eight annotations each.
fn heartbeat(number: usize, instances: u32) -> Vec<u8> {
    let component = |component: usize| {
        let annotations = BTreeMap::from([
            ("lattice.oam.dev/application", "shop-production/checkout-service".to_owned()),
            ("lattice.oam.dev/component", format!("component-{component}")),
            ("lattice.oam.dev/hash", "1.3f9c2a1bd04e5f67.90ab12cd34ef5678".to_owned()),
            ("lattice.oam.dev/installation", "trellis".to_owned()),
            ("lattice.oam.dev/revision", "checkout-service-v12".to_owned()),
            ("lattice.oam.dev/uid", "6f1d2c3b-4a59-4878-9675-a4b3c2d1e0f9".to_owned()),
            ("wasmcloud.dev/appspec", "checkout-service".to_owned()),
            ("wasmcloud.dev/managed-by", "trellis".to_owned()),
        ]);
        json!({ "annotations": annotations, "id": format!("shop_production-checkout-{component}"),
                "image_ref": format!("ghcr.io/shop/checkout-{component}:1.12.0"), "limits": null,
                "max_instances": instances, "revision": 0 })
    };
    let components: Vec<Value> = (0..COMPONENTS).map(component).collect();
    let event = json!({
        "specversion": "1.0", "id": "01a200da-ec97-2ee2-818c-436a5653caa8",
        "type": "com.wasmcloud.lattice.host_heartbeat", "source": host(number),
        "datacontenttype": "application/json", "time": "2026-11-22T01:24:37.143974302Z",
        "data": {
            "components": components, "friendly_name": "empty-butterfly-9083",
            "host_id": host(number),
            "labels": { "hostcore.arch": "x86_64", "hostcore.os": "linux",
                        "hostcore.osfamily": "unix", "zone": "b" },
            "providers": [], "uptime_human": "4m", "uptime_seconds": 240, "version": "1.9.2",
        },
    });
    event.to_string().into_bytes()
}

fn take(fold: &mut Fold, subject: &str, payload: &[u8], now: Moment) {
    let known = |host: &HostId, print| fold.shows(host, print);
    let event = decode_news(subject, payload, known).unwrap().unwrap();
    black_box(fold.fold(Input::Event(event), now));
}

fn folding(criterion: &mut Criterion) {
    let now = Moment(Duration::from_secs(1_000));
    let subject = "wasmbus.evt.default.host_heartbeat";
    let mut fold = fold();
    black_box(fold.fold(Input::Connected, now));
    for number in 0..HOSTS {
        take(&mut fold, subject, &heartbeat(number, 3), now);
    }
    let now = Moment(Duration::from_secs(1_004));
    black_box(fold.fold(Input::Tick, now));

    let same = heartbeat(500, 3);
    let mut group = criterion.benchmark_group("fold");
    group.bench_function("heartbeat", |bencher| {
        bencher.iter(|| take(&mut fold, subject, black_box(&same), now));
    });
    group.bench_function("heartbeat/decode", |bencher| {
        bencher.iter(|| decode_event(subject, black_box(&same)));
    });
    let other = heartbeat(500, 4);
    let mut turn = false;
    group.bench_function("heartbeat/changed", |bencher| {
        bencher.iter(|| {
            turn = !turn;
            take(&mut fold, subject, if turn { &other } else { &same }, now);
        });
    });
    take(&mut fold, subject, &same, now);
    let health = format!(r#"{{"source":"{}","data":{{"provider_id":"p"}}}}"#, host(500));
    group.bench_function("health_check", |bencher| {
        let subject = "wasmbus.evt.default.health_check_status";
        bencher.iter(|| take(&mut fold, subject, health.as_bytes(), now));
    });
    group.bench_function("tick/1000_hosts", |bencher| {
        bencher.iter(|| black_box(fold.fold(Input::Tick, now)));
    });
    group.finish();
}

criterion_group!(benches, folding);
criterion_main!(benches);
