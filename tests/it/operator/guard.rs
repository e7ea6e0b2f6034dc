//! What keeps an uninstallation from leaving objects that nobody could delete.
use kube::Api;
use trellis::api::Lattice;

use super::{
    simulated::{SHOP, lattice},
    stage::Stage,
};

/// Runs the guard as the chart's Job would; what it refuses is an error.
pub(crate) async fn guard(stage: &Stage) -> Result<(), String> {
    guard_with(stage, &[]).await
}

/// The same with variables that count instead of those that the chart sets.
async fn guard_with(stage: &Stage, variables: &[(&str, &str)]) -> Result<(), String> {
    let ended = stage.installed().await.run_with(&stage.kube, "Job", variables).await;
    if ended.code == 0 { Ok(()) } else { Err(ended.stderr) }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_names_what_is_left_of_its_own_installation_alone() {
    let stage = Stage::start("guard").await;
    let other = Stage::start("guard-other").await;
    let _sim = lattice(&stage, 1).await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;

    let refusal = guard(&stage).await.unwrap_err();
    let all = "error: without the operator nobody could delete 1 Application and 1 Lattice:\n  \
               Application guard/shop\n  Lattice guard\n";
    assert!(refusal.starts_with(all), "{refusal}");
    let then = "then:\n  helm uninstall guard --namespace guard\n";
    assert!(refusal.contains(then), "{refusal}");
    let objects = &stage.installed().await.objects;
    let job = objects.iter().find(|object| object["kind"] == "Job").unwrap();
    let job = job["metadata"]["name"].as_str().unwrap();
    let read = format!("  kubectl logs job/{job} --namespace guard\n");
    assert!(refusal.ends_with(&read), "{refusal}");
    let lattice_alone = guard(&other).await.unwrap_err();
    assert!(lattice_alone.contains("kubectl delete lattices guard-other\n"), "{lattice_alone}");
    assert!(!lattice_alone.contains("shop"), "{lattice_alone}");

    // What the chart calls for works.
    stage.delete("shop").await;
    stage.delete_lattice().await;
    guard(&stage).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lattice_whose_operator_is_gone_is_said() {
    let stage = Stage::set("guard-late").await.with_first_lattice();
    stage.put_first_lattice().await;
    stage.start_operator().await;
    stage.kill_operator();

    let refusal = guard_with(&stage, &[("TRELLIS_GUARD_TIMEOUT", "3s")]).await.unwrap_err();
    let said = "error: gave up after 3 s: it was waiting for Lattice guard-late to be gone: the \
                operator has not let go of it";
    assert!(refusal.starts_with(said), "{refusal}");
    let api = Api::<Lattice>::all(stage.kube.clone());
    assert!(api.get("guard-late").await.unwrap().metadata.deletion_timestamp.is_some());

    // Once it runs again the same works.
    stage.start_operator().await;
    guard(&stage).await.unwrap();
    assert!(api.get_opt("guard-late").await.unwrap().is_none());
}
