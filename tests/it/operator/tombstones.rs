//! Applications that go before all of theirs is gone, and what becomes of it.
use std::collections::BTreeMap;

use futures::StreamExt;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
    runtime::watcher,
};
use serde_json::json;
use simhost::{Command, SimLattice};
use trellis::api::{ApplicationRevision, Lattice, Tombstone};

use super::{
    simulated::{SHOP, lattice},
    stage::Stage,
};

pub(crate) fn tombstones(lattice: &Lattice) -> &[Tombstone] {
    lattice.status.as_ref().map_or(&[], |status| &status.tombstones)
}

/// Deletes the Application, whatever is left.
async fn force(stage: &Stage, name: &str) {
    let force =
        json!({ "metadata": { "annotations": { "lattice.oam.dev/force-delete": "true" } } });
    let api = stage.applications();
    api.patch(name, &PatchParams::default(), &Patch::Merge(&force)).await.unwrap();
    stage.delete(name).await;
}

/// Whether a command is about what ids and names of this beginning stand for.
pub(crate) fn mentions(command: &Command, beginning: &str) -> bool {
    let target = command.target.as_deref().unwrap_or_default();
    target.contains(beginning) || command.body.to_string().contains(&format!("\"{beginning}"))
}

fn running(sim: &SimLattice, application: &str) -> [u32; 3] {
    ["web", "api", "http"].map(|of| sim.instances(&format!("{application}-{of}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_goes_once_the_lattice_is_back_though_nothing_else_tells_of_it() {
    let mut stage = Stage::start("left").await;
    let sim = lattice(&stage, 2).await;
    for name in ["goes", "stays"] {
        stage.apply(&SHOP.replace("NAME", name)).await;
        stage.settled(name).await;
    }
    stage.stop_nats();
    stage.applications().delete("goes", &DeleteParams::default()).await.unwrap();
    // As a namespace that is deleted does.
    let revisions = Api::<ApplicationRevision>::namespaced(stage.kube.clone(), &stage.name);
    revisions.delete("goes-v1", &DeleteParams::default()).await.unwrap();
    force(&stage, "goes").await;
    let api = Api::<Lattice>::all(stage.kube.clone());
    let written = api.get(&stage.name).await.unwrap();
    let [tombstone] = tombstones(&written) else { panic!("{:?}", written.status) };
    assert_eq!((tombstone.application.as_str(), tombstone.left.len()), ("left/goes", 1));
    let left = &tombstone.left[0];
    assert_eq!((left.workloads.len(), left.links.len(), left.configs.len()), (3, 2, 2));

    stage.kill_operator();
    let since = sim.elapsed();
    stage.restart_nats();
    stage.start_operator().await;
    let clear = stage.lattice_until("nothing to be left", |it| tombstones(it).is_empty()).await;
    assert_eq!(clear.status.unwrap().orphans, []);
    assert_eq!((running(&sim, "left-goes"), running(&sim, "left-stays")), ([0; 3], [2, 1, 1]));
    assert_eq!((sim.links().len(), sim.config().len()), (2, 2));
    let others =
        sim.commands().writes().since(since).only(|it| format!("{it:?}").contains("stays"));
    assert_eq!(others.0, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_takes_up_what_it_wants_of_what_was_left_and_the_rest_goes() {
    let mut stage = Stage::start("back").await;
    let sim = lattice(&stage, 2).await;
    for name in ["same", "less"] {
        stage.apply(&SHOP.replace("NAME", name)).await;
        stage.settled(name).await;
    }
    stage.stop_nats();
    for name in ["same", "less"] {
        force(&stage, name).await;
    }
    let since = sim.elapsed();
    stage.apply(&SHOP.replace("NAME", "same")).await;
    let only_api = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: less }
spec:
  components:
    - { name: api, type: component, properties: { image: registry.example/less/api:1 } }
";
    stage.apply(only_api).await;
    stage.restart_nats();
    for name in ["same", "less"] {
        stage.settled(name).await;
    }
    stage.lattice_until("both tombstones to be gone", |it| tombstones(it).is_empty()).await;
    assert_eq!((running(&sim, "back-same"), running(&sim, "back-less")), ([2, 1, 1], [0, 1, 0]));
    assert_eq!((sim.links().len(), sim.config().len()), (2, 2), "those of the one that is whole");
    let sent = || sim.commands().writes().since(since);
    assert_eq!(sent().only(|command| mentions(command, "back-same")).0, []);
    assert_eq!(sent().about("back-less-api").0, [], "what is wanted again is taken up as it is");

    stage.delete("same").await;
    stage.delete("less").await;
    assert_eq!((sim.links(), sim.config()), (Vec::new(), BTreeMap::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_goes_when_its_deadline_is_over_and_at_once_where_nothing_is_to_be_removed() {
    let mut stage = Stage::set("deadline").await;
    stage.put_lattice(&json!({ "deletionDeadline": "5s" })).await;
    stage.start_operator().await;
    let sim = lattice(&stage, 2).await;
    let orphan = "name: kept, annotations: { lattice.oam.dev/deletion-policy: Orphan }";
    stage.apply(&SHOP.replace("name: NAME", orphan).replace("NAME", "kept")).await;
    stage.apply(&SHOP.replace("NAME", "waits")).await;
    for name in ["kept", "waits"] {
        stage.settled(name).await;
    }
    stage.stop_nats();
    stage.delete("kept").await;
    stage.delete("waits").await;
    let api = Api::<Lattice>::all(stage.kube.clone());
    let left = api.get(&stage.name).await.unwrap();
    let whose: Vec<_> = tombstones(&left).iter().map(|it| it.application.as_str()).collect();
    assert_eq!(whose, ["deadline/waits"]);

    stage.restart_nats();
    stage.lattice_until("nothing to be left", |it| tombstones(it).is_empty()).await;
    assert_eq!(
        (running(&sim, "deadline-kept"), running(&sim, "deadline-waits")),
        ([2, 1, 1], [0; 3])
    );
    assert_eq!((sim.links().len(), sim.config().len()), (2, 2), "those of the one that is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lattice_with_something_left_waits_for_it_and_says_how_not_to() {
    let mut stage = Stage::start("last-rites").await;
    let sim = lattice(&stage, 1).await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;
    stage.stop_nats();
    force(&stage, "shop").await;
    let api = Api::<Lattice>::all(stage.kube.clone());
    api.delete(&stage.name, &DeleteParams::default()).await.unwrap();
    let waits = |lattice: &Lattice| {
        let conditions = lattice.status.iter().flat_map(|status| &status.conditions);
        let mut message = conditions.filter(|c| c.reason.as_deref() == Some("LeftBehind"));
        message.any(|c| {
            let message = c.message.as_deref().unwrap_or_default();
            message.contains("last-rites/shop") && message.contains("lattice.oam.dev/force-delete")
        })
    };
    stage.lattice_until("the Lattice to say who left something", waits).await;
    let force =
        json!({ "metadata": { "annotations": { "lattice.oam.dev/force-delete": "true" } } });
    api.patch(&stage.name, &PatchParams::default(), &Patch::Merge(&force)).await.unwrap();
    stage
        .wait("the Lattice to be gone", async {
            let mut seen = std::pin::pin!(watcher::watch_object(api, &stage.name));
            while !matches!(seen.next().await, Some(Ok(None))) {}
        })
        .await;
    assert_eq!(running(&sim, "last_rites-shop"), [2, 1, 1]);
}
