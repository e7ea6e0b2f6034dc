use std::fmt::Write as _;

use super::{app, read, sample};
use crate::{
    appfile::Stamp,
    model::{ApplicationKey, ConfigWanted, Desired, Owner, Scaling},
};

pub(super) fn desired(yaml: &str, namespaces: &[&str]) -> Desired {
    let app = app(yaml);
    let application: ApplicationKey = app.key.clone();
    let owner = Owner { installation: "trellis".into(), application };
    let stamp =
        Stamp { owner, uid: "c0ffee".into(), revision: "app-v1".into(), shared: Vec::new() };
    let namespaces: Vec<std::sync::Arc<str>> = namespaces.iter().map(|n| (*n).into()).collect();
    app.desired(&stamp, &namespaces)
}

/// Everything, for people to compare.
fn show(desired: &Desired) -> String {
    let mut text = format!("owner {}\n", desired.owner);
    for (id, workload) in &desired.workloads {
        let _ = writeln!(text, "{} {id}", workload.kind);
        let _ = writeln!(text, "  of {} in {}", workload.component, workload.namespace);
        let _ = writeln!(text, "  image {}", workload.image);
        for name in &workload.config {
            let _ = writeln!(text, "  config {name}");
        }
        let (word, instances) = match &workload.scaling {
            Scaling::Spread { instances, .. } => ("in all", instances),
            Scaling::Daemon { instances, .. } => ("on each host", instances),
        };
        let _ = writeln!(text, "  {instances} {word}");
        for entry in workload.scaling.spread() {
            let (name, weight) = (&entry.name, entry.weight);
            let _ = writeln!(text, "    {name} weight {weight} {:?}", entry.requirements);
        }
        for (key, value) in workload.annotations.iter() {
            let _ = writeln!(text, "  {key}={value}");
        }
    }
    for (key, link) in &desired.links {
        let _ = writeln!(text, "link {key}-> {} {:?}", link.target, link.interfaces);
        let _ = writeln!(text, "  source {:?} target {:?}", link.source_config, link.target_config);
    }
    for (name, wanted) in &desired.configs {
        let _ = match wanted {
            ConfigWanted::Managed(values) => writeln!(text, "config {name} {values:?}"),
            ConfigWanted::Required => writeln!(text, "config {name} must exist"),
        };
    }
    text
}

#[test]
fn hello_world_is_wanted_as_written() {
    insta::assert_snapshot!(show(&desired(&sample("hello-world"), &["default"])));
}

#[test]
fn a_pipeline_in_the_older_forms_is_wanted_as_written() {
    insta::assert_snapshot!(show(&desired(&sample("go-data-stream"), &["default"])));
}

#[test]
fn linkdefs_are_wanted_as_the_links_that_they_meant() {
    for name in ["kvcounter-0.4", "messaging-0.4", "two-sites-0.4"] {
        let manifest = read(&format!("tests/manifests/wadm/{name}.yaml"));
        insta::assert_snapshot!(name, show(&desired(&manifest, &["default"])));
    }
}

#[test]
fn references_to_secrets_are_wanted_as_written() {
    insta::assert_snapshot!(show(&desired(&sample("secrets"), &["default"])));
}

#[test]
fn a_daemon_is_wanted_as_written() {
    insta::assert_snapshot!(show(&desired(&sample("log-shipper"), &["default"])));
}

#[test]
fn each_namespace_has_its_own_ids() {
    insta::assert_snapshot!(show(&desired(&sample("two-lattices"), &["default", "customers"])));
}

/// Two link traits that differ in nothing but interfaces.
const TWO_INTERFACES: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {name: app}
spec:
  components:
    - name: a
      type: component
      properties: {image: 'ghcr.io/example/a:1'}
      traits:
        - type: link
          properties: {target: kv, namespace: wasi, package: keyvalue, interfaces: [store]}
        - type: link
          properties: {target: kv, namespace: wasi, package: keyvalue, interfaces: [atomics]}
    - name: kv
      type: capability
      properties: {image: 'ghcr.io/example/kv:1'}
";

#[test]
fn links_that_differ_in_interfaces_only_are_one() {
    let desired = desired(TWO_INTERFACES, &["default"]);
    let interfaces: Vec<_> = desired.links.values().map(|link| link.interfaces.len()).collect();
    assert_eq!(interfaces, [2]);
}

#[test]
fn other_values_of_a_link_s_config_are_another_name_and_of_a_component_s_the_same() {
    let names = |yaml: &str| -> Vec<String> {
        desired(yaml, &["default"]).configs.keys().map(ToString::to_string).collect()
    };
    let hello = sample("hello-world");
    assert_ne!(names(&hello), names(&hello.replace("8080", "8081")));
    let shipper = sample("log-shipper");
    assert_eq!(names(&shipper), names(&shipper.replace("batch: 500", "batch: 501")));
}

#[test]
fn the_hash_tells_what_has_to_start_anew_from_what_one_scale_can_change() {
    let of = |yaml: &str| {
        let desired = desired(yaml, &["default"]);
        desired.workloads.into_values().find(|w| *w.component == *"shipper").unwrap().hash
    };
    let shipper = sample("log-shipper");
    let (before, image) = (of(&shipper), of(&shipper.replace("2.3.1", "2.4.0")));
    assert_ne!(before.start, image.start);
    assert_eq!(before.config, image.config);
    let config = of(&shipper.replace("name: shipping", "name: sending"));
    assert_eq!(before.start, config.start);
    assert_ne!(before.config, config.config);
    assert_eq!(before, of(&shipper.replace("batch: 500", "batch: 501")));
    let limits = "properties:\n        limits: {maxMemory: 64Mi}\n";
    let limited = of(&shipper.replacen("properties:\n", limits, 1));
    assert_ne!(before.start, limited.start);
    assert_eq!(before.config, limited.config);
}
