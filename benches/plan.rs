//! What planning costs: `plan/steady` when nothing moved, `plan/scale` for one component on so many
//! eligible hosts, among nine others on each: at rest, and when all of it is still to be placed.
#![expect(clippy::expect_used, reason = "a bench that can't be set up has nothing to measure")]
use std::{collections::BTreeMap, hint::black_box, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use trellis::{
    model::{
        APPLICATION, Annotations, ApplicationKey, AskHash, Desired, Gate, HASH, Host, HostId,
        HostState, INSTALLATION, Inventory, Layout, LinkMap, Links, Moment, Observed, Owner,
        Rollout, RunningComponent, Scaling, SpreadEntry, Workload, WorkloadKind,
    },
    placement::{Claims, Inputs, Removal, Stamp, Versions, claims::Created, plan},
};

const SIZES: [u32; 3] = [10, 100, 1000];

fn annotations(application: &str) -> Arc<Annotations> {
    let pairs = [
        ("wasmcloud.dev/managed-by", "trellis"),
        ("wasmcloud.dev/appspec", "front"),
        (INSTALLATION, "trellis"),
        (APPLICATION, application),
        ("lattice.oam.dev/component", "web"),
        (HASH, "1.0123456789abcdef.0123456789abcdef"),
        ("lattice.oam.dev/revision", "front-v1"),
        ("lattice.oam.dev/uid", "0b7c4d2e-9a51-4b7e-8f6e-3c2f1f9d7a10"),
    ];
    Arc::new(pairs.into())
}

/// `instances` of one component over the hosts of one zone.
fn desired(instances: u32) -> Desired {
    let owner =
        Owner { installation: "trellis".into(), application: ApplicationKey::new("shop", "front") };
    let mut desired = Desired::nothing(owner);
    let requirements = BTreeMap::from([("zone".to_owned(), "eu".to_owned())]);
    let entry = SpreadEntry { name: "eu".into(), weight: 100, requirements };
    let workload = Workload {
        kind: WorkloadKind::Component,
        component: "web".into(),
        namespace: "shop".into(),
        image: "ghcr.io/shop/web:1".into(),
        config: Vec::new(),
        scaling: Scaling::Spread { instances, spread: vec![entry] },
        on_host_loss: None,
        layout: Layout::default(),
        rollout: Rollout::default(),
        max_memory: None,
        annotations: annotations("shop/front"),
        hash: AskHash { start: "0123456789abcdef".into(), config: "0123456789abcdef".into() },
    };
    desired.workloads.insert("shop-front-web".parse().expect("an id"), workload.into());
    desired
}

/// Hosts with nkeys for ids and nine components of others each; the first `running` run ours too.
fn observed(hosts: u32, running: u32) -> Observed {
    let mut observed = Observed::unknown("default".parse().expect("a name"));
    observed.gate = Gate::Open;
    observed.links = Links::Read(LinkMap::new());
    let component = |application: &str| RunningComponent {
        image: "ghcr.io/shop/web:1".into(),
        annotations: annotations(application),
        instances: 1,
        max_memory: None,
    };
    for host in 0..hosts {
        let key = u64::from(host).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let name: HostId = format!("N{key:0>55X}").parse().expect("an id");
        let mut inventory = Inventory::default();
        for other in 0..9 {
            let id = format!("shop-other-{other}").parse().expect("an id");
            inventory.components.insert(id, component("shop/other"));
        }
        if host < running {
            let id = "shop-front-web".parse().expect("an id");
            inventory.components.insert(id, component("shop/front"));
        }
        let labels = [("hostcore.arch", "x86_64"), ("hostcore.os", "linux"), ("zone", "eu")];
        let host = Host {
            friendly_name: "a host".into(),
            version: "1.9.2".into(),
            labels: Arc::new(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            state: HostState::Ready,
            joined: Moment::default(),
            inventory_at: Moment::default(),
            inventory: Some(inventory.into()),
        };
        observed.put_host(name, host);
    }
    observed
}

fn claims(desired: &Desired) -> Claims {
    let mut claims = Claims::default();
    let created = Created { at: 1, uid: "u".into() };
    claims.set(&desired.owner.application, created, Arc::new(desired.clone()));
    claims
}

fn steady(c: &mut Criterion) {
    let mut group = c.benchmark_group("plan/steady");
    for hosts in SIZES {
        let (desired, observed) = (desired(hosts), observed(hosts, hosts));
        let (claims, time) = (claims(&desired), Moment(Duration::from_hours(1)));
        let (removal, desired) = (Removal::Allowed, &desired);
        let inputs =
            Inputs { desired, former: &[], observed: &observed, claims: &claims, removal, time };
        let versions = Versions { desired: 1, observed: 1, claims: 1, removal };
        let stamp = Stamp::new(versions, &plan(&inputs));
        group.bench_function(BenchmarkId::from_parameter(hosts), |b| {
            b.iter(|| black_box(&stamp).unchanged(black_box(&versions), black_box(time)));
        });
    }
}

fn scale(c: &mut Criterion) {
    let cases = [
        // One instance on each tenth host, on each, and on none yet where each tenth should.
        ("plan/scale", 10, true),
        ("plan/scale-full", 1, true),
        ("plan/scale-up", 10, false),
    ];
    for (name, each, placed) in cases {
        let mut group = c.benchmark_group(name);
        for hosts in SIZES {
            let running = if placed { hosts / each } else { 0 };
            let (desired, observed) = (desired(hosts / each), observed(hosts, running));
            let (claims, time) = (claims(&desired), Moment(Duration::from_hours(1)));
            let (removal, desired) = (Removal::Allowed, &desired);
            let inputs = Inputs {
                desired,
                former: &[],
                observed: &observed,
                claims: &claims,
                removal,
                time,
            };
            group.bench_function(BenchmarkId::from_parameter(hosts), |b| {
                b.iter(|| plan(black_box(&inputs)));
            });
        }
    }
}

criterion_group!(benches, steady, scale);
criterion_main!(benches);
