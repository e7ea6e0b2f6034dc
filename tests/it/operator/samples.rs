//! What the API server itself makes of our kinds.
use std::{fs, path::Path};

use super::{
    simulated::{SHOP, lattice},
    stage::{CLUSTER, Stage},
};

/// What the API server says to `manifest`, without storing it.
fn dry_run(manifest: &str) -> Result<String, String> {
    let arguments = ["apply", "--server-side", "--dry-run=server", "--filename", "-"];
    CLUSTER.kubectl(&arguments, Some(manifest)).map_err(|error| error.to_string())
}

fn application(spec: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: shop}}\nspec: {spec}\n"
    )
}

fn lattice_named(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: lattice.oam.dev/v1alpha1\nkind: Lattice\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_is_accepted() {
    Stage::set("samples").await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue; // What a lattice shows, for `trellis plan`.
        }
        let manifest = fs::read_to_string(&path).unwrap();
        let answer = dry_run(&manifest).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        // Nothing that stands in a sample is dropped.
        let strict = ["create", "--dry-run=server", "--validate=strict", "--filename", "-"];
        let strict = CLUSTER.kubectl(&strict, Some(&manifest));
        assert!(strict.is_ok(), "{path:?}: {strict:?} {answer}");
        seen += 1;
    }
    assert!(seen >= 7, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_object_shows_to_be_wrong_is_refused_at_once() {
    Stage::set("rules").await;
    let nats = "nats: { urls: [nats://n:4222] }";
    let lattice = |more: &str| lattice_named("edge", &format!("{{ {nats}{more} }}"));
    let accepted = [
        application("{components: []}"),
        application("{components: null}"),
        application(
            "{components: [{name: a, type: component, properties: {image: a}, traits: null}]}",
        ),
        application("{components: [], policies: null, workflow: {ref: w}}"),
        application("{components: [], workflow: {ref: '', steps: [{type: deploy}]}}"),
        application("{components: [], workflow: {ref: w, steps: []}}"),
        lattice(""),
        lattice(", heartbeatInterval: 1m30s, crossNamespace: Consent"),
    ];
    for manifest in accepted {
        dry_run(&manifest).unwrap_or_else(|error| panic!("{manifest}: {error}"));
    }
    let refused = [
        (
            application("{components: [], workflow: {ref: w, steps: [{type: deploy}]}}"),
            "spec.workflow: Invalid value: workflow has both ref and steps; keep one of them",
        ),
        (application("{components: [{name: a}]}"), "spec.components[0].type: Required value"),
        (
            lattice_named("local", &format!("{{ {nats} }}")),
            "`local` is the default lattice's other name; choose another",
        ),
        (lattice_named("edge", "{nats: {urls: []}}"), "spec.nats.urls"),
        (lattice(", lattice: a.b"), "spec.lattice"),
        (lattice(", heartbeatInterval: soon"), "spec.heartbeatInterval"),
        (lattice(", missed: 0"), "spec.missed"),
        (lattice(", crossNamespace: Perhaps"), "spec.crossNamespace"),
    ];
    for (manifest, said) in refused {
        let refusal = dry_run(&manifest).unwrap_err();
        // kubectl prints what a rule was given too.
        let plain = refusal.replace("\"object\": ", "");
        assert!(plain.contains(said), "{manifest}: {refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_what_matters_and_a_revision_never_changes() {
    let stage = Stage::start("columns").await;
    let _sim = lattice(&stage, 2).await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;
    let rows = |what: &[&str]| -> Vec<Vec<String>> {
        let all = [&["get", "--namespace", "columns"], what].concat();
        let table = CLUSTER.kubectl(&all, None).unwrap();
        table.lines().map(|row| row.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let app = rows(&["app"]);
    assert_eq!(app[0], ["NAME", "PHASE", "READY", "LATTICES", "REVISION", "AGE"]);
    assert_eq!(app[1][..5], ["shop", "running", "3/3", "columns", "shop-v1"]);
    let wide = rows(&["app", "--output", "wide"]);
    assert_eq!(wide[0][6..], ["STEP", "MESSAGE"]);
    let lattice = rows(&["lat", "columns"]);
    let columns = ["NAME", "READY", "HOSTS", "UNREACHABLE", "HELD", "DEFAULT", "AGE"];
    assert_eq!(lattice[0], columns);
    assert_eq!(lattice[1][..6], ["columns", "True", "2", "0", "0", "false"]);
    for category in ["all", "oam", "wasmcloud"] {
        let all = rows(&[category, "--output", "name"]).concat();
        assert!(all.contains(&"application.core.oam.dev/shop".to_owned()), "{category}: {all:?}");
    }

    let patch =
        ["patch", "applicationrevision", "shop-v1", "--namespace", "columns", "--type=merge"];
    let patch = [&patch[..], &["--patch", "{\"spec\": {\"revision\": 2}}"]].concat();
    let refusal = CLUSTER.kubectl(&patch, None).unwrap_err().to_string();
    assert!(refusal.contains("spec"), "{refusal}");
}
