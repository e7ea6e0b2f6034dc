//! Namespaces that are to be watched, and come and go with the rights in them.
use parts::Scratch;
use serde_json::{Value, json};
use simhost::SimLattice;
use trellis::api::Application;

use super::{
    simulated::{SHOP, heartbeats, lattice},
    stage::{CLUSTER, PATIENCE, Stage},
};

const BESIDE: &str = "watched-beside";
const ONLY: &str = "watched-only";

fn kubectl(arguments: &[&str], input: Option<&str>) -> String {
    tokio::task::block_in_place(|| CLUSTER.kubectl(arguments, input).unwrap())
}

/// Puts the Application into another namespace.
fn put_in(namespace: &str, stage: &Stage) {
    let mut shop: Value = serde_saphyr::from_str(&SHOP.replace("NAME", "shop")).unwrap();
    shop["metadata"]["annotations"] = json!({ "lattice.oam.dev/controller-class": stage.name });
    kubectl(&["apply", "--namespace", namespace, "-f", "-"], Some(&shop.to_string()));
}

/// What the chart grants in a namespace goes with the namespace.
fn take_rights_away(namespace: &str) {
    for kind in ["rolebindings", "roles"] {
        kubectl(&["delete", kind, "--all", "--namespace", namespace], None);
    }
}

/// What a cluster's own controllers do about a namespace in which nothing is left.
fn delete_namespace(namespace: &str) {
    kubectl(&["delete", "namespace", namespace, "--wait=false"], None);
    let object = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace }, "spec": {},
    });
    let scratch = Scratch::new("namespace").unwrap();
    let file = scratch.write("namespace.json", object.to_string()).unwrap();
    let finalize = format!("/api/v1/namespaces/{namespace}/finalize");
    kubectl(&["replace", "--raw", &finalize, "-f", file.to_str().unwrap()], None);
}

async fn runs_beside(sim: &SimLattice, instances: u32) {
    runs_of(BESIDE, sim, instances).await;
}

async fn runs_of(namespace: &str, sim: &SimLattice, instances: u32) {
    let id = format!("{}-shop-web", namespace.replace('-', "_"));
    let runs = |it: &SimLattice| it.instances(&id) == instances;
    sim.wait_until(PATIENCE, runs).await.unwrap();
}

/// Releases another number of instances in the namespace that is always there.
async fn release(stage: &Stage, instances: usize) -> Application {
    let count = format!("instances: {instances}");
    stage.apply(&SHOP.replace("NAME", "shop").replace("instances: 2", &count)).await;
    stage.settled("shop").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_namespace_that_is_gone_holds_up_no_other_and_loses_nothing() {
    let stage = Stage::set("watched").await.may_be_refused().like_deployed();
    let stage = stage.with_values(&[r#"watchNamespaces=["watched","watched-beside"]"#]);
    kubectl(&["create", "namespace", BESIDE], None);
    stage.put_lattice(&json!({})).await;
    let sim = lattice(&stage, 2).await;
    stage.start_operator().await;
    put_in(BESIDE, &stage);
    release(&stage, 3).await;
    runs_beside(&sim, 2).await;

    // Only the rights have gone: what is there isn't known, and stays as it is.
    assert_eq!(stage.stop_operator().await, Some(0));
    take_rights_away(BESIDE);
    stage.start_operator().await;
    assert!(stage.log().contains("may not watch applications in namespace watched-beside"));
    release(&stage, 4).await;
    heartbeats(&stage, &sim, 3).await;
    runs_beside(&sim, 2).await;
    stage.upgrade().await;
    kubectl(&["delete", "application", "shop", "--namespace", BESIDE], None);
    runs_beside(&sim, 0).await;

    // All of it has gone, while nobody looked.
    stage.kill_operator();
    take_rights_away(BESIDE);
    delete_namespace(BESIDE);
    stage.start_operator().await;
    release(&stage, 5).await;
    kubectl(&["create", "namespace", BESIDE], None);
    stage.upgrade().await;
    put_in(BESIDE, &stage);
    runs_beside(&sim, 2).await;

    // And while somebody looks.
    kubectl(&["delete", "application", "shop", "--namespace", BESIDE], None);
    take_rights_away(BESIDE);
    delete_namespace(BESIDE);
    release(&stage, 6).await;
    stage.delete("shop").await;
    stage.delete_lattice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_watched_namespaces_are_gone_the_operator_is_ready_and_a_lattice_can_go() {
    let stage = Stage::set("watched-gone").await.may_be_refused().like_deployed();
    let stage = stage.with_values(&[r#"watchNamespaces=["watched-only"]"#]);
    kubectl(&["create", "namespace", ONLY], None);
    stage.put_lattice(&json!({})).await;
    let sim = lattice(&stage, 2).await;
    stage.start_operator().await;
    put_in(ONLY, &stage);
    runs_of(ONLY, &sim, 2).await;

    // While somebody looks: what is left of it is nobody's.
    take_rights_away(ONLY);
    kubectl(
        &[
            "patch",
            "application",
            "shop",
            "--namespace",
            ONLY,
            "--type=merge",
            "--patch",
            r#"{"metadata":{"finalizers":null}}"#,
        ],
        None,
    );
    kubectl(&["delete", "application", "shop", "--namespace", ONLY], None);
    delete_namespace(ONLY);
    stage.delete_lattice().await;

    // While nobody looks.
    assert_eq!(stage.stop_operator().await, Some(0));
    stage.put_lattice(&json!({})).await;
    stage.start_operator().await;
    stage.delete_lattice().await;

    stage.put_lattice(&json!({})).await;
    kubectl(&["create", "namespace", ONLY], None);
    stage.upgrade().await;
    put_in(ONLY, &stage);
    // What its predecessor left runs already.
    let ready = ["wait", "application", "shop", "--for=condition=Ready", "--timeout=60s"];
    kubectl(&[&ready[..], &["--namespace", ONLY]].concat(), None);
    runs_of(ONLY, &sim, 2).await;
    kubectl(&["delete", "application", "shop", "--namespace", ONLY], None);
    runs_of(ONLY, &sim, 0).await;
    stage.delete_lattice().await;
}
