//! A cluster that is lost and built anew from manifests finds its own things again.
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use trellis::api::{Application, ApplicationRevision, Lattice};

use super::{
    simulated::{SHOP, heartbeats, lattice},
    stage::Stage,
};

/// All that an Application may have beside what SHOP has: secrets, a daemon, and somebody else's
/// component.
const MORE: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: more }
spec:
  policies:
    - name: vault
      type: policy.secret.wasmcloud.dev/v1alpha1
      properties: { backend: vault }
  components:
    - name: agent
      type: component
      properties:
        image: registry.example/agent:1
        secrets: [{ name: token, properties: { policy: vault, key: token } }]
      traits:
        - { type: daemonscaler, properties: { instances: 2 } }
        - type: link
          properties:
            target: { name: store, config: [{ name: bucket, properties: { bucket: agents } }] }
            namespace: wasi
            package: keyvalue
            interfaces: [store]
    - name: store
      type: capability
      properties: { application: { name: shared, component: store } }
";

const SHARED: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: shared
  annotations: { experimental.wasmcloud.dev/shared: 'true' }
spec:
  components:
    - name: store
      type: capability
      properties: { image: registry.example/store:1 }
";

const NAMES: [&str; 3] = ["shop", "more", "shared"];

/// As if it had never been there.
async fn lose<K>(api: Api<K>)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    for object in api.list(&ListParams::default()).await.unwrap() {
        let let_go = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        api.patch(&object.name_any(), &PatchParams::default(), &let_go).await.unwrap();
        api.delete(&object.name_any(), &DeleteParams::default()).await.unwrap();
    }
}

/// The Applications, their revisions and the Lattice of `stage`, while no operator runs.
pub(super) async fn lose_the_cluster(stage: &Stage) {
    lose(stage.applications()).await;
    lose(Api::<ApplicationRevision>::namespaced(stage.kube.clone(), &stage.name)).await;
    let lattices = Api::<Lattice>::all(stage.kube.clone());
    let let_go = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    lattices.patch(&stage.name, &PatchParams::default(), &let_go).await.unwrap();
    lattices.delete(&stage.name, &DeleteParams::default()).await.unwrap();
}

async fn put_manifests(stage: &Stage) {
    // Who refers to another may come first.
    stage.apply(MORE).await;
    stage.apply(SHARED).await;
    stage.apply(&SHOP.replace("NAME", "shop").replace("instances: 2", "instances: 3")).await;
}

async fn all_settled(stage: &Stage) -> Vec<Application> {
    let mut all = Vec::new();
    for name in NAMES {
        all.push(stage.settled(name).await);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_built_anew_from_manifests_sends_nothing() {
    let stage = Stage::start("rebuilt").await;
    let sim = lattice(&stage, 3).await;
    for image in ["agent", "store"] {
        sim.images().signed(&format!("registry.example/{image}:1"));
    }
    // So that the numbers of the revisions differ from those of the first day.
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;
    put_manifests(&stage).await;
    all_settled(&stage).await;
    assert_eq!(sim.instances("rebuilt-more-agent"), 6);
    assert_eq!((sim.links().len(), sim.config().len()), (3, 4));
    let since = sim.elapsed();

    // The manifests are there before the operator is.
    stage.kill_operator();
    lose_the_cluster(&stage).await;
    stage.put_lattice(&json!({})).await;
    put_manifests(&stage).await;
    stage.start_operator().await;
    let all = all_settled(&stage).await;
    let revision = all[0].status.as_ref().unwrap().latest_revision.as_ref().unwrap();
    assert_eq!(revision.name, "shop-v1");
    heartbeats(&stage, &sim, 2).await;
    assert_eq!(sim.commands().writes().since(since).0, []);

    // The operator is there first, and finds what seems to be nobody's.
    stage.kill_operator();
    lose_the_cluster(&stage).await;
    stage.start_operator().await;
    stage.put_lattice(&json!({})).await;
    let orphans = |lattice: &Lattice| {
        lattice.status.as_ref().is_some_and(|status| {
            let of: std::collections::BTreeSet<_> =
                status.orphans.iter().map(|orphan| orphan.application.as_str()).collect();
            of.len() == NAMES.len()
        })
    };
    stage.lattice_until("all of them to be missed", orphans).await;
    put_manifests(&stage).await;
    all_settled(&stage).await;
    heartbeats(&stage, &sim, 2).await;
    assert_eq!(sim.commands().writes().since(since).0, []);

    // Nor has it lost what it owns.
    for name in ["more", "shared", "shop"] {
        stage.delete(name).await;
    }
    assert_eq!((sim.links().len(), sim.config().len(), sim.all_instances()), (0, 0, 0));
}
