//! The operator dies again and again, and nobody can tell from what it leaves.
//!
//! Some Applications are deployed, updated and deleted, over and over, while the operator is killed
//! at moments that a seed draws. Pulls are slow, so that much is under way at each of them.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kube::{Api, ResourceExt, api::ListParams};
use serde_json::Value;
use simhost::{SimLattice, Verb};
use trellis::api::ApplicationRevision;

use super::{
    simulated::{SHOP, lattice},
    stage::Stage,
};

const KILLS: usize = 20;
const SEED: u64 = 7;
/// At most so many commands the operator gets to send before it dies.
const MOST_COMMANDS: u64 = 8;
/// It dies so long after the last of them, in milliseconds.
const LATEST: u64 = 300;
/// It dies after so long if there is nothing to send: more than a restart keeps an update waiting.
const BORED: Duration = Duration::from_secs(8);
/// Every so many times it dies this soon, in milliseconds: about when it has listed everything.
const EARLY: (usize, u64) = (4, 1500);
const PULL: Duration = Duration::from_millis(600);
/// What runs at the same time, each at a step of its own.
const APPLICATIONS: [&str; 3] = ["red", "green", "blue"];

/// Another image, count, config, link and link config.
fn second() -> String {
    [
        ("web:1", "web:2"),
        ("instances: 2", "instances: 3"),
        ("text: hi", "text: hello"),
        ("interfaces: [call]", "interfaces: [call, cancel]"),
        ("0.0.0.0:8000", "0.0.0.0:9000"),
    ]
    .into_iter()
    .fold(SHOP.to_owned(), |manifest, (old, new)| {
        assert!(manifest.contains(old), "{old}");
        manifest.replace(old, new)
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Deploy,
    Update,
    Delete,
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twenty_times_the_operator_ends_where_it_would_have() {
    let stage = Stage::start("kill").await;
    let sim = lattice(&stage, 3).await;
    let run = Run { stage: &stage, sim: &sim, phases: Mutex::default() };
    let undisturbed = run.life("undisturbed").await;

    let over = AtomicBool::new(false);
    let lives = APPLICATIONS.map(|name| run.lives(name, &over));
    let (lives, struck) = tokio::join!(futures::future::join_all(lives), async {
        let struck = run.kill_again_and_again().await;
        over.store(true, Ordering::Relaxed);
        struck
    });

    for pictures in lives.into_iter().flatten() {
        assert_eq!(pictures, undisturbed);
    }
    eprintln!("killed during {struck:?}");
    let hit: BTreeSet<Phase> = struck.into_keys().collect();
    assert_eq!(hit, BTreeSet::from([Phase::Deploy, Phase::Update, Phase::Delete]));
    run.nothing_is_left().await;
    run.no_other_start_was_sent();
    let log = stage.log();
    assert!(!log.contains("panicked") && !log.contains(" ERROR "), "{log}");
}

struct Run<'a> {
    stage: &'a Stage,
    sim: &'a SimLattice,
    /// What each Application is going through.
    phases: Mutex<BTreeMap<String, Phase>>,
}

impl Run<'_> {
    /// Kills the operator and starts it again; how often during what.
    async fn kill_again_and_again(&self) -> BTreeMap<Phase, usize> {
        let mut lots = Lots(SEED);
        let mut struck = BTreeMap::new();
        for kill in 0..KILLS {
            if kill % EARLY.0 == 0 {
                tokio::time::sleep(Duration::from_millis(lots.below(EARLY.1))).await;
            } else {
                let commands = usize::try_from(1 + lots.below(MOST_COMMANDS)).unwrap();
                let before = self.sim.commands().writes().len();
                let sent = |sim: &SimLattice| sim.commands().writes().len() >= before + commands;
                // None may come: everything is as it should be, or every host is busy.
                let _ = self.sim.wait_until(BORED, sent).await;
                tokio::time::sleep(Duration::from_millis(lots.below(LATEST))).await;
            }
            self.stage.kill_operator();
            for phase in self.phases.lock().unwrap().values() {
                *struck.entry(*phase).or_default() += 1;
            }
            self.stage.launch_operator().await;
        }
        struck
    }

    /// One Application after another, until nobody kills any more.
    async fn lives(&self, name: &str, over: &AtomicBool) -> Vec<[Value; 3]> {
        let mut pictures = Vec::new();
        while pictures.is_empty() || !over.load(Ordering::Relaxed) {
            pictures.push(self.life(&format!("{name}-{}", pictures.len())).await);
        }
        pictures
    }

    /// Deploys, updates and deletes an Application; what it left on the lattice each time.
    async fn life(&self, name: &str) -> [Value; 3] {
        for image in ["web:1", "web:2", "api:1", "http:1"] {
            self.sim.images().slow(&format!("registry.example/{name}/{image}"), PULL);
        }
        let mut pictures = Vec::new();
        for (phase, manifest) in [(Phase::Deploy, SHOP), (Phase::Update, &second())] {
            self.enter(name, phase);
            self.stage.apply(&manifest.replace("NAME", name)).await;
            self.stage.settled(name).await;
            pictures.push(self.picture(name));
        }
        self.enter(name, Phase::Delete);
        self.stage.delete(name).await;
        pictures.push(self.picture(name));
        self.phases.lock().unwrap().remove(name);
        for (component, most) in [("web", 3), ("api", 1), ("http", 1)] {
            let id = id(name, component);
            assert_eq!(self.sim.most_instances(&id), most, "{id}");
        }
        pictures.try_into().unwrap()
    }

    fn enter(&self, name: &str, phase: Phase) {
        self.phases.lock().unwrap().insert(name.to_owned(), phase);
    }

    /// All that there is of an Application on the lattice, but on which host.
    fn picture(&self, name: &str) -> Value {
        let things: BTreeMap<String, Value> = ["web", "api", "http"]
            .into_iter()
            .map(|component| {
                let id = id(name, component);
                let mut codes = BTreeSet::new();
                let mut seen = BTreeSet::new();
                let mut links = BTreeSet::new();
                for host in self.sim.hosts() {
                    codes.extend(host.code_running(&id));
                    seen.extend(
                        host.component(&id).map(|_| format!("{:?}", host.config_seen(&id))),
                    );
                    let provider = host.provider(&id).into_iter();
                    links.extend(provider.flat_map(|it| it.links).map(|it| format!("{it:?}")));
                }
                let instances = self.sim.instances(&id);
                let shown = serde_json::json!([instances, codes, seen, links]);
                (component.to_owned(), shown)
            })
            .collect();
        let links = self.sim.links().into_iter().map(|link| format!("{link:?}"));
        let ours = format!("kill-{}", id_part(name));
        let links: BTreeSet<String> = links.filter(|link| link.contains(&ours)).collect();
        let mut config = self.sim.config();
        config.retain(|config, _| config.starts_with(&ours));
        let picture = serde_json::json!({ "things": things, "links": links, "config": config });
        let text = picture.to_string().replace(name, "NAME").replace(&id_part(name), "NAME");
        serde_json::from_str(&text).unwrap()
    }

    async fn nothing_is_left(&self) {
        for host in self.sim.hosts() {
            let inventory = host.inventory();
            assert_eq!(inventory["components"], Value::Array(Vec::new()), "{inventory}");
            assert_eq!(inventory["providers"], Value::Array(Vec::new()), "{inventory}");
        }
        assert_eq!(self.sim.links(), []);
        assert_eq!(self.sim.config(), BTreeMap::new());
        let api = Api::<ApplicationRevision>::namespaced(self.stage.kube.clone(), "kill");
        let left = api.list(&ListParams::default()).await.unwrap();
        let left: Vec<_> = left.items.iter().map(ResourceExt::name_any).collect();
        assert_eq!(left, Vec::<String>::new());
        let left = self.stage.applications().list(&ListParams::default()).await.unwrap();
        assert_eq!(left.items.len(), 0);
    }

    /// On one host a start was sent again as it was, or not at all after anything else.
    fn no_other_start_was_sent(&self) {
        let mut sent = BTreeMap::<(String, String), Vec<(Verb, Value)>>::new();
        for command in self.sim.commands().writes().0 {
            let verbs = [Verb::ComponentScale, Verb::ProviderStart, Verb::ProviderStop];
            if verbs.contains(&command.verb) {
                let lane = (command.target.clone().unwrap_or_default(), command.id().to_owned());
                sent.entry(lane).or_default().push((command.verb, command.body));
            }
        }
        assert!(!sent.is_empty());
        for (lane, mut commands) in sent {
            let all = commands.len();
            commands.dedup();
            eprintln!("{lane:?}: {} of {all} commands were sent again", all - commands.len());
            let mut starts = commands;
            starts.retain(|(verb, body)| *verb != Verb::ProviderStop && body["count"] != 0);
            for (n, start) in starts.iter().enumerate() {
                assert!(!starts[..n].contains(start), "{lane:?}: {starts:#?}");
            }
        }
    }
}

fn id_part(name: &str) -> String {
    name.replace('-', "_")
}

fn id(application: &str, component: &str) -> String {
    format!("kill-{}-{component}", id_part(application))
}

/// A SplitMix64 generator: the same lots in each run.
struct Lots(u64);

impl Lots {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }
}
