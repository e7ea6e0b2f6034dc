//! A release from its installation to its end, in a cluster that has nothing of ours.
use std::{path::Path, process::Command};

use parts::{Cluster, ClusterOptions, programs};

use super::folder;

const ARGUMENTS: [&str; 9] = [
    "--namespace",
    "trellis-system",
    "--set",
    "image.repository=registry.example/trellis,lattice.create=true",
    "--set",
    "lattice.urls={nats://nats.default:4222}",
    // No node runs anything here.
    "--wait=hookOnly",
    "--timeout",
    "30s",
];

const CRDS: [&str; 3] = [
    "crd/applications.core.oam.dev",
    "crd/applicationrevisions.core.oam.dev",
    "crd/lattices.lattice.oam.dev",
];

fn helm(cluster: &Cluster, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(programs::helm().unwrap())
        .args(arguments)
        .env("KUBECONFIG", cluster.kubeconfig())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn it_is_installed_upgraded_and_uninstalled() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let kubectl = |arguments: &[&str]| cluster.kubectl(arguments, None).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));

    // Without Helm first: nothing else is there that it could lean on.
    let kustomized = root.join("config/default");
    let kustomized = kustomized.to_str().unwrap();
    kubectl(&["apply", "--server-side", "--kustomize", kustomized]);
    let kinds = "serviceaccounts,roles,rolebindings,deployments,poddisruptionbudgets";
    let made =
        |of: &str| kubectl(&["get", of, "--namespace", "trellis-system", "--output", "name"]);
    let by_kustomize = made(kinds);
    kubectl(&["delete", "--kustomize", kustomized, "--wait=false"]);
    kubectl(&["delete", kinds, "--all", "--namespace", "trellis-system"]);
    let gone = ["wait", "--for=delete", "--timeout=30s"];
    kubectl(&[&gone[..], &CRDS].concat());

    let chart = folder();
    let chart = chart.to_str().unwrap();
    // A namespace that goes takes its time where nobody finishes its deletion.
    let namespace = "trellis";
    kubectl(&["create", "namespace", namespace]);
    let arguments = ARGUMENTS.map(|it| if it == "trellis-system" { namespace } else { it });
    helm(&cluster, &[&["install", "trellis", chart][..], &arguments].concat()).unwrap();
    let by_helm = kubectl(&["get", kinds, "--namespace", namespace, "--output", "name"]);
    let shared: Vec<_> = by_helm.lines().filter(|name| !name.contains("guard")).collect();
    assert_eq!(shared, by_kustomize.lines().collect::<Vec<_>>());

    let lattice = |path: &str| kubectl(&["get", "lattice", "default", "--output", path]);
    let uid = lattice("jsonpath={.metadata.uid}");
    let changed = ["--set", "lattice.urls={nats://other:4222}"];
    helm(&cluster, &[&["upgrade", "trellis", chart][..], &arguments, &changed].concat()).unwrap();
    assert_eq!(lattice("jsonpath={.spec.nats.urls[0]}"), "nats://other:4222");
    assert_eq!(lattice("jsonpath={.metadata.uid}"), uid, "it is the same Lattice");

    // The guard would need a node.
    helm(&cluster, &["uninstall", "trellis", "--namespace", namespace, "--no-hooks"]).unwrap();
    assert_eq!(kubectl(&["get", kinds, "--namespace", namespace, "--output", "name"]), "");
    assert_eq!(lattice("jsonpath={.metadata.uid}"), uid, "the CRDs are kept, and what they hold");

    // And are taken up again.
    helm(&cluster, &[&["install", "trellis", chart][..], &arguments].concat()).unwrap();
    assert_eq!(lattice("jsonpath={.metadata.uid}"), uid, "it is still the same Lattice");
}
