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

fn kubectl(arguments: &[&str], input: Option<&str>) -> String {
    tokio::task::block_in_place(|| CLUSTER.kubectl(arguments, input).unwrap())
}

/// Puts the Application into the other namespace.
fn put_beside(stage: &Stage) {
    let mut shop: Value = serde_saphyr::from_str(&SHOP.replace("NAME", "shop")).unwrap();
    shop["metadata"]["annotations"] = json!({ "lattice.oam.dev/controller-class": stage.name });
    kubectl(&["apply", "--namespace", BESIDE, "-f", "-"], Some(&shop.to_string()));
}

/// What the chart grants in a namespace goes with the namespace.
fn take_rights_away() {
    for kind in ["rolebindings", "roles"] {
        kubectl(&["delete", kind, "--all", "--namespace", BESIDE], None);
    }
}

/// What a cluster's own controllers do about a namespace in which nothing is left.
fn delete_namespace() {
    kubectl(&["delete", "namespace", BESIDE, "--wait=false"], None);
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": BESIDE }, "spec": {},
    });
    let scratch = Scratch::new("namespace").unwrap();
    let file = scratch.write("namespace.json", namespace.to_string()).unwrap();
    let finalize = format!("/api/v1/namespaces/{BESIDE}/finalize");
    kubectl(&["replace", "--raw", &finalize, "-f", file.to_str().unwrap()], None);
}

async fn runs_beside(sim: &SimLattice, instances: u32) {
    let runs = |it: &SimLattice| it.instances("watched_beside-shop-web") == instances;
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
    put_beside(&stage);
    release(&stage, 3).await;
    runs_beside(&sim, 2).await;

    // Only the rights have gone: what is there isn't known, and stays as it is.
    assert_eq!(stage.stop_operator().await, Some(0));
    take_rights_away();
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
    take_rights_away();
    delete_namespace();
    stage.start_operator().await;
    release(&stage, 5).await;
    kubectl(&["create", "namespace", BESIDE], None);
    stage.upgrade().await;
    put_beside(&stage);
    runs_beside(&sim, 2).await;

    // And while somebody looks.
    kubectl(&["delete", "application", "shop", "--namespace", BESIDE], None);
    take_rights_away();
    delete_namespace();
    release(&stage, 6).await;
    stage.delete("shop").await;
    stage.delete_lattice().await;
}
