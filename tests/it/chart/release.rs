//! A release from its installation to its end, in a cluster that has nothing of ours.
use std::path::Path;

use super::site::Site;

const FIRST: [&str; 2] = ["lattice.create=true", r#"lattice.urls=["nats://nats.default:4222"]"#];

const CRDS: [&str; 3] = [
    "crd/applications.core.oam.dev",
    "crd/applicationrevisions.core.oam.dev",
    "crd/lattices.lattice.oam.dev",
];

#[test]
fn it_is_installed_upgraded_and_uninstalled() {
    let site = Site::start();
    let kubectl = |arguments: &[&str]| site.kubectl(arguments);
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

    // A namespace that goes takes its time where nobody finishes its deletion.
    let namespace = "trellis";
    site.namespace(namespace);
    site.release("install", "trellis", namespace, &FIRST).unwrap();
    let by_helm = kubectl(&["get", kinds, "--namespace", namespace, "--output", "name"]);
    let shared: Vec<_> = by_helm.lines().filter(|name| !name.contains("guard")).collect();
    assert_eq!(shared, by_kustomize.lines().collect::<Vec<_>>());

    let lattice = |path: &str| kubectl(&["get", "lattice", "default", "--output", path]);
    let uid = lattice("jsonpath={.metadata.uid}");
    let url = || lattice("jsonpath={.spec.nats.urls[0]}");
    let changed = ["lattice.create=true", r#"lattice.urls=["nats://other:4222"]"#];
    site.release("upgrade", "trellis", namespace, &changed).unwrap();
    assert_eq!(url(), "nats://other:4222");
    // It goes back with the rest of the release.
    site.release("upgrade", "trellis", namespace, &FIRST).unwrap();
    let back = ["rollback", "trellis", "2", "--namespace", namespace, "--wait=hookOnly"];
    site.helm(&back).unwrap();
    assert_eq!(url(), "nats://other:4222");
    assert_eq!(lattice("jsonpath={.metadata.uid}"), uid, "it is the same Lattice");

    // The guard would need a node.
    site.helm(&["uninstall", "trellis", "--namespace", namespace, "--no-hooks"]).unwrap();
    assert_eq!(kubectl(&["get", kinds, "--namespace", namespace, "--output", "name"]), "");
    assert_eq!(lattice("jsonpath={.metadata.uid}"), uid, "the CRDs are kept, and what they hold");

    // And are taken up again.
    site.release("install", "trellis", namespace, &FIRST).unwrap();
    assert_eq!(lattice("jsonpath={.metadata.uid}"), uid, "it is still the same Lattice");
    assert_eq!(url(), "nats://nats.default:4222");
}
