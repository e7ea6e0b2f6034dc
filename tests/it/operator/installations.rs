//! Two installations share the hosts of one lattice, and none of them touches what is the other's.
use serde_json::json;
use simhost::{Commands, SimLattice};
use trellis::api::{Application, Lattice};

use super::{
    owned::{because, message, with_id},
    rebuilt::lose_the_cluster,
    simulated::{SHOP, heartbeats, lattice},
    stage::Stage,
    tombstones::mentions,
};

/// What was written for one of them; a write that is for neither, or for both, is no test's.
fn written_for(sim: &SimLattice, since: std::time::Duration, who: &str) -> Commands {
    sim.commands().writes().since(since).only(|command| mentions(command, who))
}

async fn nothing_is_said_to_be_lost(stage: &Stage) {
    let counted = |lattice: &Lattice| {
        let status = lattice.status.as_ref();
        status.is_some_and(|status| {
            status.orphans.is_empty() && status.host_counts.is_some_and(|counts| counts.ready == 2)
        })
    };
    stage.lattice_until("both hosts, and no orphan", counted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_on_one_lattice_leave_each_other_alone() {
    let one = Stage::set("first-of-two").await;
    let two = Stage::set("other-of-two").await;
    one.put_lattice(&json!({ "installation": "first" })).await;
    let there = json!({ "urls": [one.nats.url()] });
    two.put_lattice(&json!({ "installation": "other", "nats": there })).await;
    one.start_operator().await;
    two.start_operator().await;
    let sim = lattice(&one, 2).await;
    let ids =
        |of: &str| ["web", "api", "http"].map(|part| sim.instances(&format!("{of}-shop-{part}")));
    let (of_one, of_two) = ("first_of_two", "other_of_two");

    for stage in [&one, &two] {
        stage.apply(&SHOP.replace("NAME", "shop")).await;
    }
    for stage in [&one, &two] {
        stage.settled("shop").await;
        nothing_is_said_to_be_lost(stage).await;
    }
    assert_eq!((ids(of_one), ids(of_two)), ([2, 1, 1], [2, 1, 1]));
    assert_eq!((sim.links().len(), sim.config().len()), (4, 4));

    // The same id: who has it keeps it.
    one.apply(&with_id("first")).await;
    one.settled("first").await;
    let since = sim.elapsed();
    two.apply(&with_id("second")).await;
    let app = two.until("second", "the refusal", |app| because(app, "Stalled", "NotOwned")).await;
    let said = message(&app);
    assert!(said.contains("first-of-two/first (installation first)"), "{said}");
    two.delete("second").await;
    heartbeats(&one, &sim, 2).await;
    assert_eq!(sim.commands().writes().since(since).0, []);

    // A start, each for itself, finds all as it should be.
    for stage in [&one, &two] {
        stage.kill_operator();
    }
    for stage in [&one, &two] {
        stage.start_operator().await;
        nothing_is_said_to_be_lost(stage).await;
    }
    assert_eq!(sim.commands().writes().since(since).0, []);

    // Each end is one's own.
    let since = sim.elapsed();
    one.delete("shop").await;
    assert_eq!((ids(of_one), ids(of_two)), ([0; 3], [2, 1, 1]));
    let all = sim.commands().writes().since(since).len();
    assert_eq!(
        (written_for(&sim, since, of_one).len(), written_for(&sim, since, of_two).len()),
        (all, 0)
    );
    assert!(all > 0);

    let since = sim.elapsed();
    two.apply(&with_id("second")).await;
    two.until("second", "the refusal", |app: &Application| because(app, "Stalled", "NotOwned"))
        .await;
    one.delete("first").await;
    two.settled("second").await;
    assert_eq!(sim.most_instances("shared"), 1);
    two.delete("shop").await;
    two.delete("second").await;
    assert_eq!(written_for(&sim, since, of_one).0, []);
    assert_eq!((sim.links().len(), sim.config().len(), sim.all_instances()), (0, 0, 0));
}

/// As a second cluster does whose Application has the same namespace and name: ids, links and configs
/// are the same too, and the latter two don't say whose they are.
#[tokio::test(flavor = "multi_thread")]
async fn regression_an_application_of_the_same_name_took_the_links_and_configs_of_another_installation()
 {
    let stage = Stage::set("same-name").await;
    stage.put_lattice(&json!({ "installation": "first" })).await;
    stage.start_operator().await;
    let sim = lattice(&stage, 2).await;
    let manifest = SHOP.replace("NAME", "shop");
    stage.apply(&manifest).await;
    stage.settled("shop").await;
    let (links, config, since) = (sim.links(), sim.config(), sim.elapsed());
    assert_eq!((links.len(), config.len()), (2, 2));

    stage.kill_operator();
    lose_the_cluster(&stage).await;
    stage.put_lattice(&json!({ "installation": "other" })).await;
    stage.start_operator().await;
    stage.apply(&manifest.replace("text: hi", "text: ho").replace(":8000", ":9000")).await;
    let refused = |app: &Application| because(app, "Stalled", "NotOwned");
    let app = stage.until("shop", "the refusal", refused).await;
    let said = message(&app);
    assert!(said.contains("belongs to same-name/shop (installation first)"), "{said}");
    heartbeats(&stage, &sim, 2).await;
    stage.delete("shop").await;
    heartbeats(&stage, &sim, 2).await;
    assert_eq!(sim.commands().writes().since(since).0, []);
    assert_eq!((sim.links(), sim.config()), (links, config));

    // Whoever is asked to takes it up as it is, and then it is theirs to remove.
    let since = sim.elapsed();
    let adopt = "name: shop, annotations: { lattice.oam.dev/adopt: 'true' }";
    stage.apply(&manifest.replace("name: shop", adopt)).await;
    stage.settled("shop").await;
    assert_eq!(sim.commands().writes().since(since).0, []);
    stage.delete("shop").await;
    assert_eq!((sim.links().len(), sim.config().len(), sim.all_instances()), (0, 0, 0));
}
