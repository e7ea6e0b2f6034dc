//! What users may set, and what becomes of it.
use std::fs;

use serde_json::{Value, json};

use super::{folder, helm, objects, template};
use crate::operator::stage::{CLUSTER, Stage};

/// Sets of values that take every branch of the templates at least once.
const SETS: &[&[&str]] = &[
    &[],
    &[r#"watchNamespaces=["chart-values"]"#, r#"secrets=["nats", "other"]"#],
    &["lattice.create=true", r#"lattice.urls=["nats://nats:4222"]"#],
    &[
        "lattice.create=true",
        r#"lattice.urls=["nats://nats:4222", "tls://nats.example:4222"]"#,
        r#"lattice.credentialsSecret="nats""#,
        r#"secrets=["nats"]"#,
        r#"lattice.spec={"lattice": "prod", "nats": {"tls": {"required": true}}}"#,
        r#"controllerClass="second""#,
        r#"watchNamespaces=["chart-values"]"#,
        "crds.enabled=false",
    ],
    &["crds.keep=false", "guard.enabled=false", "networkPolicy.enabled=true", "replicas=1"],
    &[
        r#"image.digest="sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef""#,
        r#"imagePullSecrets=[{"name": "pull"}]"#,
        r#"log={"format": "text", "filter": "debug"}"#,
        r#"podLabels={"team": "a"}"#,
        r#"podAnnotations={"note": "b"}"#,
        r#"nodeSelector={"disk": "fast"}"#,
        r#"tolerations=[{"key": "edge", "operator": "Exists"}]"#,
        r#"affinity={"nodeAffinity": {}}"#,
        r#"priorityClassName="system-cluster-critical""#,
    ],
];

fn owned(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn helm_finds_nothing_wrong_with_the_chart() {
    for values in SETS {
        let folder = folder();
        let given = values.iter().flat_map(|value| ["--set-json", value]);
        let fixed = ["lint", "--strict", folder.to_str().unwrap(), "--set", "image.repository=it"];
        let arguments: Vec<_> = fixed.into_iter().chain(given).collect();
        helm(&arguments).unwrap_or_else(|error| panic!("{values:?}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_accepts_whatever_the_chart_makes() {
    Stage::set("chart-values").await;
    for values in SETS {
        let manifest = template("chart-values", "chart-values", &owned(values)).unwrap();
        let dry = ["apply", "--server-side", "--force-conflicts", "--dry-run=server"];
        let dry = [&dry[..], &["--field-manager=chart", "--filename", "-"]].concat();
        CLUSTER
            .kubectl(&dry, Some(&manifest))
            .unwrap_or_else(|error| panic!("{values:?}: {error}\n{manifest}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_pods_are_as_restricted_as_a_namespace_can_ask() {
    let stage = Stage::set("restricted").await;
    let label = "pod-security.kubernetes.io/enforce=restricted";
    CLUSTER.kubectl(&["label", "namespace", "restricted", label], None).unwrap();
    let admitted = |pod: &Value| {
        let create = ["create", "--dry-run=server", "--filename", "-"];
        CLUSTER.kubectl(&create, Some(&pod.to_string())).map_err(|error| error.to_string())
    };
    let mut seen = Vec::new();
    for object in objects("restricted", "restricted", &[]) {
        let kind = object["kind"].as_str().unwrap();
        let spec = match kind {
            "Pod" => &object["spec"],
            "Deployment" | "Job" => &object["spec"]["template"]["spec"],
            _ => continue,
        };
        let metadata = json!({ "name": "it", "namespace": stage.name });
        let mut pod =
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
        admitted(&pod).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(
            pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true,
            "{kind}"
        );
        // It is that level which admits it.
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        assert!(admitted(&pod).unwrap_err().contains("violates PodSecurity"), "{kind}");
        seen.push(kind.to_owned());
    }
    seen.sort();
    assert_eq!(seen, ["Deployment", "Job", "Pod"]);
}

#[test]
fn a_wrong_value_is_refused_by_its_name() {
    let rows = [
        ("replica=3", "'replica'"),
        ("replicas=-1", "'/replicas'"),
        (r#"replicas="two""#, "'/replicas'"),
        (r#"image.name="x""#, "'name'"),
        (r#"image.tag="a b""#, "'/image/tag'"),
        (r#"image.digest="0123""#, "'/image/digest'"),
        (r#"image.repository="Registry/X""#, "'/image/repository'"),
        (r#"image.repository="""#, "image.repository is not set"),
        (r#"image.pullPolicy="Sometimes""#, "'/image/pullPolicy'"),
        (r#"imagePullSecrets=["pull"]"#, "'/imagePullSecrets/0'"),
        (r#"watchNamespaces="a""#, "'/watchNamespaces'"),
        (r#"watchNamespaces=["A"]"#, "'/watchNamespaces/0'"),
        (r#"watchNamespaces=["a", "a"]"#, "'/watchNamespaces'"),
        (r#"secrets=[{"name": "a"}]"#, "'/secrets/0'"),
        (r#"controllerClass="a b""#, "'/controllerClass'"),
        (r#"startDeadline="soon""#, "'/startDeadline'"),
        (r#"startDeadline="""#, "'/startDeadline'"),
        ("leaseDuration=15", "'/leaseDuration'"),
        (r#"log.format="xml""#, "'/log/format'"),
        (r#"crds.keep="yes""#, "'/crds/keep'"),
        (r#"guard="off""#, "'/guard'"),
        ("lattice.create=true", "lattice.urls is empty"),
        (r#"lattice.urls=["http://nats"]"#, "'/lattice/urls/0'"),
        (r#"lattice.name="a.b""#, "'/lattice/name'"),
        (r#"lattice.credentialsSecret="A""#, "'/lattice/credentialsSecret'"),
        ("networkPolicy.natsPorts=[0]", "'/networkPolicy/natsPorts/0'"),
        (r#"resources="few""#, "'/resources'"),
        (r#"nodeSelector={"a": 1}"#, "'/nodeSelector/a'"),
        (r#"tolerations=["all"]"#, "'/tolerations/0'"),
    ];
    for (value, said) in rows {
        let refusal = template("it", "it", &owned(&[value])).expect_err(value);
        assert!(refusal.contains(said), "{value}: {refusal}");
    }
}

#[test]
fn every_value_that_is_described_is_there() {
    let read = |file| fs::read_to_string(folder().join(file)).unwrap();
    let values: Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut described = schema["properties"].clone();
    // Helm gives it to every chart that is a part of another.
    described.as_object_mut().unwrap().remove("global").unwrap();
    check("", &described, &values);
}

fn check(path: &str, described: &Value, values: &Value) {
    for (name, about) in described.as_object().unwrap() {
        let path = format!("{path}.{name}");
        assert!(!values[name].is_null(), "{path}: not in values.yaml");
        if about["description"].is_null() {
            assert_eq!(about["additionalProperties"], false, "{path}: takes what isn't known");
            check(&path, &about["properties"], &values[name]);
        }
    }
}

#[test]
fn notes_say_what_to_run_next() {
    let folder = folder();
    let install = |values: &[&str]| {
        let fixed = ["install", "it", folder.to_str().unwrap(), "--dry-run=client"];
        let image = ["--set", "image.repository=it", "--namespace", "here"];
        let notes = helm(&[&fixed[..], &image, values].concat()).unwrap();
        let notes = notes.split("NOTES:").nth(1).unwrap().to_owned();
        notes
            .lines()
            .filter_map(|line| line.strip_prefix("  kubectl "))
            .map(str::to_owned)
            .collect()
    };
    let plain: Vec<String> = install(&[]);
    assert_eq!(
        plain,
        [
            "rollout status deployment/it --namespace here",
            "apply -f lattice.yaml   # which NATS servers your hosts use: docs/install.md has one",
            "apply -f application.yaml",
        ]
    );
    let first: Vec<String> =
        install(&["--set", "lattice.create=true,lattice.name=edge,lattice.urls={nats://a}"]);
    assert_eq!(first[1], "get lattice edge");
}
