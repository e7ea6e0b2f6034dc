//! `trellis plan`, as it is called.
use std::path::{Path, PathBuf};

use crate::trellis::{Ended, trellis};

/// Two hosts, one in the cloud and one at the edge.
const TWO_HOSTS: &str = r#"{"hosts": [
    {"host_id": "NCLOUD", "friendly_name": "cloud-1",
     "labels": {"host-type": "cloud", "zone": "a"}},
    {"host_id": "NEDGE", "friendly_name": "edge-1",
     "labels": {"host-type": "edge", "zone": "b"}}
]}"#;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples")
}

/// Plans `args` against an inventory on standard input.
fn plan(args: &[&str], inventory: &str) -> Ended {
    let args = [&["plan"], args, &["--inventory", "/dev/stdin"]].concat();
    trellis(&samples(), &args, inventory)
}

fn json(ended: &Ended) -> serde_json::Value {
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn a_pipeline_that_prefers_the_cloud_is_planned_there() {
    let ended = plan(&["-f", "go-data-stream.yaml"], TWO_HOSTS);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    insta::assert_snapshot!(ended.stdout);
}

#[test]
fn what_can_t_be_placed_is_blocked_with_its_reason() {
    let ended = plan(&["-f", "hello-world.yaml"], "{}");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(ended.stdout);
}

#[test]
fn the_json_has_commands_what_waits_and_what_is_blocked() {
    let ended = plan(&["-f", "hello-world.yaml", "-o", "json"], TWO_HOSTS);
    insta::assert_snapshot!(format!("{:#}", json(&ended)));
}

#[test]
fn each_target_is_planned_and_only_the_one_that_was_looked_at_gets_commands() {
    let ended =
        plan(&["-f", "two-lattices.yaml", "lattices-by-region.yaml", "-o", "json"], TWO_HOSTS);
    let targets = json(&ended)["targets"].as_array().unwrap().clone();
    let shown: Vec<_> = targets
        .iter()
        .map(|target| {
            let count = |key: &str| target[key].as_array().unwrap().len();
            (target["lattice"].clone(), target["namespace"].clone(), count("commands"))
        })
        .collect();
    assert_eq!(
        shown,
        [("eu-west".into(), "default".into(), 2), ("us-east".into(), "customers".into(), 0)]
    );
}

#[test]
fn of_two_applications_with_one_id_the_earlier_has_it() {
    let manifest = |name: &str| {
        format!(
            "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: {name}}}\n\
             spec: {{components: [{{name: a, type: component, properties: \
             {{id: same, image: \"ghcr.io/example/a:1\"}}}}]}}\n---\n"
        )
    };
    let manifests = [manifest("first"), manifest("second")].concat();
    let args = ["plan", "-f", "-", "-o", "json"];
    let targets = json(&trellis(&samples(), &args, &manifests))["targets"].clone();
    let reason = |i: usize| targets[i]["blocked"][0]["reason"].clone();
    assert_eq!((reason(0), reason(1)), ("NoEligibleHosts".into(), "IdConflict".into()));
}

#[test]
fn all_samples_are_planned_without_a_problem() {
    for entry in std::fs::read_dir(samples()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if file.starts_with("lattice") || !file.contains(".yaml") {
            continue;
        }
        let ended = plan(&["-f", &file, "lattices-by-region.yaml"], "{}");
        assert_eq!(ended.code, 0, "{file}: {}", ended.stderr);
    }
}

#[test]
fn all_samples_of_lattices_are_read() {
    let files = ["lattice.yaml", "lattice-factory.yaml", "lattices-by-region.yaml"];
    for file in files {
        let ended = plan(&["-f", "hello-world.yaml", file, "--lattice", "default"], "{}");
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{file}");
    }
}

#[test]
fn wrong_arguments_and_files_that_aren_t_there_end_with_1() {
    let cases: &[(&[&str], &str)] = &[
        (&["plan"], "required arguments were not provided"),
        (&["plan", "-f", "hello-world.yaml", "-o", "xml"], "possible values: text, json"),
        (&["plan", "-f", "hello-world.yaml", "--lattice", "a.b"], "one token of a NATS subject"),
        (&["plan", "-f", "nowhere.yaml"], "error: nowhere.yaml: No such file"),
        (&["plan", "-f", "lattice.yaml"], "error: there is no Application in these files"),
        (&["plan", "-f", "hello-world.yaml", "--inventory", "nowhere.json"], "error: nowhere.json"),
        (&["plan", "-f", "hello-world.yaml", "--inventory", "hello-world.yaml"], "error: hello-"),
        (&["fly"], "unrecognized subcommand"),
    ];
    for (args, expected) in cases {
        let ended = trellis(&samples(), args, "");
        assert!(ended.stderr.contains(expected), "{args:?}: {}", ended.stderr);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{args:?}");
    }
}

#[test]
fn warnings_go_to_standard_error() {
    let ended = plan(&["-f", "go-data-stream.yaml"], "{}");
    assert_eq!(
        ended.stderr,
        "go-data-stream.yaml: warning: spec.components[1].traits[0].properties.source_config: is \
         the older form; write it as source.config\n"
    );
}

#[test]
fn help_and_version_end_with_0() {
    for args in [&["--help"][..], &["plan", "--help"], &["version"], &["--version"]] {
        let ended = trellis(&samples(), args, "");
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lattice_is_looked_at_over_nats() {
    use simhost::{HostOptions, LatticeOptions, SimLattice};

    let start = || parts::Nats::start(parts::NatsOptions::default());
    let nats = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    let url = nats.url().to_owned();
    let sim = SimLattice::start(&url, LatticeOptions::default()).await.unwrap();
    let host = sim.add_host(HostOptions::default()).await.unwrap();
    let plan = move || {
        let args = ["plan", "-f", "hello-world.yaml", "--nats", &url, "-o", "json"];
        json(&trellis(&samples(), &args, ""))["targets"][0].clone()
    };
    let target = tokio::task::spawn_blocking(plan).await.unwrap();
    assert_eq!(target["commands"][0]["command"], "put-config");
    let hosts: Vec<_> = target["waiting"].as_array().unwrap()[1..]
        .iter()
        .map(|command| command["host"].as_str().unwrap())
        .collect();
    assert_eq!(hosts, [host.id(), host.id()]);
    assert_eq!(target["blocked"].as_array().unwrap().len(), 0);
}

#[test]
fn a_nats_server_that_isn_t_there_ends_with_1() {
    let args = ["plan", "-f", "hello-world.yaml", "--nats", "nats://127.0.0.1:1"];
    let ended = trellis(&samples(), &args, "");
    assert!(ended.stderr.starts_with("error: nats://127.0.0.1:1: "), "{}", ended.stderr);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
}

/// The fields of the config that `plan` of this manifest puts.
fn config(properties: &str) -> serde_json::Value {
    let manifest = format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: a}}
spec:
  components:
    - name: c
      type: component
      properties:
        image: 127.0.0.1:5000/c:1
        config: [{{name: k, properties: {properties}}}]
"
    );
    let ended = trellis(&samples(), &["plan", "-f", "-", "-o", "json"], &manifest);
    json(&ended)["targets"][0]["commands"][0]["values"].clone()
}

#[test]
fn yaml_is_read_as_kubectl_reads_it() {
    let read = config(r#"{a: "yes", b: 'on', c: "010", d: "1.0"}"#);
    assert_eq!(read, serde_json::json!({"a": "yes", "b": "on", "c": "010", "d": "1.0"}));
    for bare in ["yes", "off", "010", "1.0", "1e3"] {
        let manifest = format!(
            "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: a}}\n\
             spec: {{components: [{{name: c, type: {bare}, properties: {{image: i}}}}]}}"
        );
        let ended = trellis(&samples(), &["plan", "-f", "-"], &manifest);
        assert_eq!(ended.code, 2, "{bare}: {}", ended.stdout);
        assert!(ended.stderr.contains("spec.components[0].type"), "{bare}: {}", ended.stderr);
    }
    let instances = |text: &str| {
        let manifest = include_str!("../../config/samples/hello-world.yaml")
            .replace("instances: 1", &format!("instances: {text}"));
        assert!(manifest.contains(text));
        let args = ["plan", "-f", "-", "--inventory", "inventory.json"];
        trellis(&samples(), &args, &manifest).stdout
    };
    assert_ne!(instances("8"), instances("10"));
    assert_eq!(instances("8"), instances("010"));
    assert_eq!(instances("2"), instances("2.0"));
    assert_eq!(instances("1000"), instances("1e3"));
}

#[test]
fn what_can_t_be_held_or_is_given_twice_is_refused() {
    let ended = trellis(&samples(), &["plan", "-f", "/dev/zero"], "");
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("/dev/zero: file: is larger than"), "{}", ended.stderr);

    let args = ["plan", "-f", "hello-world.yaml", "--inventory", "/dev/zero"];
    let ended = trellis(&samples(), &args, "");
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("/dev/zero: is larger than"), "{}", ended.stderr);

    let ended = trellis(&samples(), &["plan", "-f", "-", "-f", "-"], "");
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.contains("give - once"), "{}", ended.stderr);
}

#[test]
fn a_mistyped_field_of_a_lattice_is_refused() {
    let lattice = "apiVersion: lattice.oam.dev/v1alpha1
kind: Lattice
metadata: {name: eu}
spec: {nats: {urls: ['nats://n:4222'], credentialSecret: {name: s}}, instalation: x}
";
    let ended = trellis(&samples(), &["plan", "-f", "-", "hello-world.yaml"], lattice);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    for path in ["spec.nats.credentialSecret", "spec.instalation"] {
        let line = format!("standard input: {path}: is an unknown field; ");
        assert!(ended.stderr.contains(&line), "{}", ended.stderr);
    }
}
