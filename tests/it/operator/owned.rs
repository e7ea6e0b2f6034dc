//! It changes what is its own, leaves what is others', and goes when it is told to.
//!
//! | promise about ownership | shown by |
//! |---|---|
//! | an owner is (installation, namespace/name) | `installations::two_installations_on_one_lattice_leave_each_other_alone` |
//! | of the same name, links and configs too stay with whoever runs | `installations::regression_an_application_of_the_same_name_took_the_links_and_configs_of_another_installation` |
//! | `NotOwned` | [`what_looks_alike_and_is_not_ours_is_left_alone`] |
//! | `IdConflict`, and who has the id next | [`an_id_has_one_application_and_the_next_when_that_is_gone`] |
//! | `adopt: "true"` | the test of the same name above, `placement::tests::table::look_alikes_are_taken_up_only_as_the_annotation_says` |
//! | `adopt: wadm`, `adopt: restamp` | `sharing::what_wadm_runs_is_taken_up_with_no_command_and_goes_with_its_application`, `placement::tests::properties::what_is_taken_up_serves_on_and_is_changed_only_where_it_differs` |
//! | `Contended` | `contended` |
//! | orphans are reported, and `deletion-policy: Orphan` | [`an_application_that_is_let_go_leaves_everything_running`] |
//! | tombstones | `tombstones` |
//! | a deletion while its lattice is away | [`a_deletion_waits_for_its_lattice_and_says_how_not_to`] |
//! | a cluster that is lost and made anew sends nothing | `rebuilt::a_cluster_that_is_built_anew_from_manifests_sends_nothing` |
use std::{collections::BTreeMap, time::Duration};

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use simhost::SimLattice;
use trellis::api::{Application, Phase};

use super::{
    simulated::{SHOP, heartbeats, lattice},
    stage::{CLUSTER, PATIENCE, Stage},
    tombstones::tombstones,
};

/// `condition` is true, false or unknown for this reason.
pub(crate) fn because(app: &Application, condition: &str, reason: &str) -> bool {
    let conditions = app.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|c| c.type_ == condition && c.reason.as_deref() == Some(reason))
}

pub(crate) fn message(app: &Application) -> String {
    app.status.clone().and_then(|status| status.summary).unwrap_or_default().message
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_alike_and_is_not_ours_is_left_alone() {
    let stage = Stage::start("look-alike").await;
    let sim = lattice(&stage, 2).await;
    let id = "look_alike-shop-api";
    let wadm = BTreeMap::from([("wasmcloud.dev/managed-by".to_owned(), "wadm".to_owned())]);
    sim.hosts()[0].seed_component(id, "registry.example/other:1", 1, wadm);
    // So that the operator has seen it before it is asked for the same.
    heartbeats(&stage, &sim, 2).await;

    stage.apply(&SHOP.replace("NAME", "shop")).await;
    let not_owned = |app: &Application| because(app, "Ready", "NotOwned");
    let app = stage.until("shop", "the refusal", not_owned).await;
    assert!(because(&app, "Stalled", "NotOwned"), "{:?}", app.status);
    assert!(message(&app).contains("is managed by wadm"), "{}", message(&app));
    heartbeats(&stage, &sim, 2).await;
    assert_eq!(sim.commands().writes().about(id).0, []);

    stage.delete("shop").await;
    assert_eq!(sim.commands().writes().about(id).0, []);
    assert_eq!(sim.instances(id), 1);
    assert_eq!((sim.links(), sim.config()), (Vec::new(), BTreeMap::new()));
}

pub(crate) fn with_id(name: &str) -> String {
    format!(
        "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: {name} }}
spec:
  components:
    - name: web
      type: component
      properties: {{ id: shared, image: registry.example/{name}:1 }}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_has_one_application_and_the_next_when_that_is_gone() {
    let stage = Stage::start("one-id").await;
    let sim = lattice(&stage, 2).await;
    let code = |sim: &SimLattice| -> Vec<String> {
        sim.hosts().iter().flat_map(|host| host.code_running("shared")).collect()
    };
    stage.apply(&with_id("first")).await;
    stage.settled("first").await;
    stage.apply(&with_id("second")).await;
    let conflict = |app: &Application| because(app, "Stalled", "IdConflict");
    let app = stage.until("second", "the conflict", conflict).await;
    assert!(message(&app).contains("one-id/first has this id"), "{}", message(&app));
    assert_eq!(code(&sim), ["registry.example/first:1"]);

    stage.delete("first").await;
    stage.settled("second").await;
    assert_eq!(code(&sim), ["registry.example/second:1"]);
    assert_eq!(sim.most_instances("shared"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_let_go_leaves_everything_running() {
    let stage = Stage::start("orphan").await;
    let sim = lattice(&stage, 2).await;
    let policy = "name: NAME, annotations: { lattice.oam.dev/deletion-policy: Orphan }";
    let manifest = SHOP.replace("name: NAME", policy).replace("NAME", "shop");
    stage.apply(&manifest).await;
    stage.settled("shop").await;
    let (links, config, since) = (sim.links(), sim.config(), sim.elapsed());
    assert_eq!((links.len(), config.len()), (2, 2));

    stage.delete("shop").await;
    heartbeats(&stage, &sim, 2).await;
    assert_eq!(sim.commands().writes().since(since).0, []);
    assert_eq!((sim.links(), sim.config()), (links, config));
    let lattices = kube::Api::<trellis::api::Lattice>::all(stage.kube.clone());
    let listed = kube::runtime::wait::await_condition(
        lattices.clone(),
        "orphan",
        |lattice: Option<&trellis::api::Lattice>| {
            let orphans = lattice.and_then(|it| it.status.as_ref()).map(|status| &status.orphans);
            orphans.is_some_and(|orphans| {
                orphans.len() == 4 && orphans.iter().all(|of| of.application == "orphan/shop")
            })
        },
    );
    stage.wait("the orphans to be listed", listed).await.unwrap();
    let left = ["get", "applicationrevisions", "--namespace", "orphan", "--output", "name"];
    assert_eq!(CLUSTER.kubectl(&left, None).unwrap(), "");

    // Whoever comes back under that name has it all again, without a command.
    stage.apply(&manifest).await;
    stage.settled("shop").await;
    let none = |lattice: Option<&trellis::api::Lattice>| {
        let status = lattice.and_then(|it| it.status.as_ref());
        status.is_some_and(|status| status.orphans.is_empty())
    };
    let emptied = kube::runtime::wait::await_condition(lattices, "orphan", none);
    stage.wait("no orphan to be left", emptied).await.unwrap();
    assert_eq!(sim.commands().writes().since(since).0, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_its_lattice_and_says_how_not_to() {
    let mut stage = Stage::start("cut-off").await;
    let sim = lattice(&stage, 2).await;
    for name in ["waits", "forced"] {
        stage.apply(&SHOP.replace("NAME", name)).await;
        stage.settled(name).await;
    }
    stage.stop_nats();
    let api = stage.applications();
    for name in ["waits", "forced"] {
        api.delete(name, &DeleteParams::default()).await.unwrap();
        let says = |app: &Application| {
            app.status.as_ref().is_some_and(|status| status.status == Some(Phase::Deleting))
                && message(app).contains("lattice.oam.dev/force-delete: \"true\"")
        };
        stage.until(name, "the way out", says).await;
    }
    let force =
        json!({ "metadata": { "annotations": { "lattice.oam.dev/force-delete": "true" } } });
    api.patch("forced", &PatchParams::default(), &Patch::Merge(&force)).await.unwrap();
    stage.gone("forced").await;
    assert_eq!(sim.instances("cut_off-forced-web"), 2);
    assert!(api.get_opt("waits").await.unwrap().is_some());

    stage.restart_nats();
    stage.gone("waits").await;
    assert_eq!(sim.instances("cut_off-waits-web"), 0);
    stage.lattice_until("what was forced to be gone", |it| tombstones(it).is_empty()).await;
    assert_eq!(sim.instances("cut_off-forced-web"), 0);
    assert_eq!((sim.links(), sim.config()), (Vec::new(), BTreeMap::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_how_it_is_and_ends_when_it_is_told_to() {
    let stage = Stage::set("endpoints").await.with_arguments(&["--instance", "trellis-0"]);
    stage.put_lattice(&json!({})).await;
    stage.start_operator().await;
    let sim = lattice(&stage, 1).await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;
    let url = stage.operator_url();
    let get = |path: &str| {
        let url = format!("{url}{path}");
        let (status, body) = tokio::task::block_in_place(|| parts::http::get(&url).unwrap());
        assert_eq!(status, 200, "{url}");
        body
    };
    assert_eq!(get("/healthz"), "ok");
    assert_eq!(get("/readyz"), "ok");
    let metrics = get("/metrics");
    assert!(metrics.contains("trellis_"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");

    let by = ["get", "events", "--namespace", "endpoints", "--output"];
    let by = [&by[..], &["jsonpath={.items[0].reportingInstance}"]].concat();
    assert_eq!(CLUSTER.kubectl(&by, None).unwrap(), "trellis-0");

    let ended = tokio::time::timeout(Duration::from_secs(5), stage.stop_operator()).await;
    assert_eq!(ended.unwrap(), Some(0), "{}", stage.log());

    // A start that takes longer than anybody waits for a process to end.
    stage.start_operator().await;
    sim.images().hold("registry.example/slow/web:1");
    stage.apply(&SHOP.replace("NAME", "slow")).await;
    let sent = |it: &SimLattice| !it.commands().writes().about("endpoints-slow-web").is_empty();
    sim.wait_until(PATIENCE, sent).await.unwrap();
    // Longer, and it would be killed, and its exit code be none.
    assert_eq!(stage.stop_operator().await, Some(0), "{}", stage.log());
}
