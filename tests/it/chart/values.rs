//! What users may set, and what becomes of it.
use std::fs;

use kube::ResourceExt;
use serde_json::{Value, json};
use trellis::api::{CLASS, Lattice};

use super::{folder, helm, objects, template};
use crate::{
    operator::stage::{CLUSTER, Stage},
    trellis::trellis_with,
};

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
    &["guard.enabled=false", "networkPolicy.enabled=true", "replicas=1"],
    &["crds.keep=false", r#"watchNamespaces=["chart-values"]"#],
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
        ("replicas=33", "'/replicas'"),
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
        ("guard=null", "'guard'"),
        ("replicas=null", "'replicas'"),
        ("image.tag=null", "'tag'"),
        ("crds.keep=false\nguard.enabled=false", "crds.keep=false has the guard delete"),
        (r#"podLabels={"app.kubernetes.io/name": "a"}"#, "podLabels: app.kubernetes.io/name is"),
        (
            r#"podAnnotations={"kubectl.kubernetes.io/default-container": "a"}"#,
            "podAnnotations: kubectl.kubernetes.io/default-container is",
        ),
        ("networkPolicy.apiServerPorts=[]", "'/networkPolicy/apiServerPorts'"),
        ("lattice.create=true", "lattice.urls is empty"),
        (r#"lattice.urls=["http://nats"]"#, "'/lattice/urls/0'"),
        (r#"lattice.name="a.b""#, "'/lattice/name'"),
        (r#"lattice.spec={"nats": null}"#, "'/lattice/spec/nats'"),
        (r#"lattice.spec={"nats": {"tls": null}}"#, "'/lattice/spec/nats/tls'"),
        (r#"lattice.spec={"missed": null}"#, "'/lattice/spec/missed'"),
        (
            "lattice.create=true\nlattice.urls=[\"nats://a\"]\n\
             lattice.spec={\"nats\": {\"credentialsSecret\": {\"name\": \"a\"}}}",
            "lattice.spec.nats.credentialsSecret: say lattice.credentialsSecret instead",
        ),
        (
            "lattice.create=true\nlattice.urls=[\"nats://a\"]\n\
             lattice.spec={\"nats\": {\"urls\": [\"nats://b\"]}}",
            "lattice.spec.nats.urls: say lattice.urls instead",
        ),
        (r#"lattice.credentialsSecret="A""#, "'/lattice/credentialsSecret'"),
        ("networkPolicy.natsPorts=[0]", "'/networkPolicy/natsPorts/0'"),
        (r#"resources="few""#, "'/resources'"),
        (r#"nodeSelector={"a": 1}"#, "'/nodeSelector/a'"),
        (r#"tolerations=["all"]"#, "'/tolerations/0'"),
    ];
    for (value, said) in rows {
        let refusal =
            template("it", "it", &owned(&value.lines().collect::<Vec<_>>())).expect_err(value);
        assert!(refusal.contains(said), "{value}: {refusal}");
    }
}

#[test]
fn a_large_number_is_an_integer_all_the_same() {
    let values = [
        "lattice.create=true",
        r#"lattice.urls=["nats://a"]"#,
        r#"lattice.spec={"maxInFlight": 10000000}"#,
        r#"tolerations=[{"tolerationSeconds": 10000000}]"#,
        r#"resources={"limits": {"memory": 10000000}}"#,
    ];
    let manifest = template("it", "it", &owned(&values)).unwrap();
    for key in ["\"maxInFlight\":", "tolerationSeconds: ", "memory: "] {
        assert!(manifest.contains(&format!("{key}10000000")), "{key}: {manifest}");
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
    assert_eq!(required(&schema), described.as_object().unwrap().keys().collect::<Vec<_>>());
    check("", &described, &values);
}

/// What must not be null, in the order of names.
fn required(about: &Value) -> Vec<&String> {
    let Value::Array(names) = &about["required"] else { panic!("{about}: nothing is required") };
    let mut names: Vec<_> = names
        .iter()
        .map(|name| if let Value::String(text) = name { text } else { panic!("{name}") })
        .collect();
    names.sort();
    names
}

#[test]
fn a_lease_is_refused_if_the_operator_would_refuse_it() {
    let durations = [
        ("5s", false),
        ("5s999ms", false),
        ("0h0m5s", false),
        ("5999ms", false),
        ("6s", true),
        ("6000ms", true),
        ("0m06s", true),
        ("1m500ms", true),
        ("5m", true),
        ("4m60s1ms", false),
        ("1h", false),
    ];
    both_take("leaseDuration", "--lease-duration", &durations);
}

#[test]
fn a_start_that_would_be_waited_for_without_end_is_refused() {
    let durations = [
        ("0s", false),
        ("999ms", false),
        ("1s", true),
        ("1h", true),
        ("60m1ms", false),
        ("999999h", false),
    ];
    both_take("startDeadline", "--start-deadline", &durations);
}

/// Whether the chart and the operator take a duration, and say of which value it is if not.
fn both_take(key: &str, option: &str, durations: &[(&str, bool)]) {
    let folder = std::env::temp_dir();
    let nowhere = folder.join("no-such-kubeconfig");
    for (duration, is_taken) in durations {
        let rendered = template("it", "it", &[format!("{key}={}", json!(duration))]);
        assert_eq!(rendered.is_ok(), *is_taken, "{duration}: {rendered:?}");
        let says = |text: &str| text.contains(&format!("{key} is"));
        assert!(*is_taken || says(&rendered.unwrap_err()), "{duration}");
        let arguments = ["run", "--leader-elect", option, duration];
        let ended = trellis_with(&folder, &arguments, "", &[("KUBECONFIG", &nowhere)]);
        assert_eq!(!ended.stderr.contains(option), *is_taken, "{duration}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_yaml_takes_for_something_else_are_names_all_the_same() {
    let stage = Stage::set("456").await;
    CLUSTER.kubectl(&["create", "priorityclass", "456", "--value=1"], None).unwrap();
    let longest = "a2345678901234567890123456789012345678901234567-9.b.c";
    for name in ["123", "1e5", "0x1f", "2026-01-01", "true", "null", longest] {
        let values = [
            r#"watchNamespaces=["456"]"#,
            "lattice.create=true",
            r#"lattice.urls=["nats://a"]"#,
            r#"lattice.name="789""#,
            "networkPolicy.enabled=true",
            "crds.enabled=false",
            r#"priorityClassName="456""#,
        ];
        let manifest = template(name, &stage.name, &owned(&values)).unwrap();
        let dry = ["apply", "--server-side", "--dry-run=server", "--filename", "-"];
        let applied = CLUSTER.kubectl(&dry, Some(&manifest));
        applied.unwrap_or_else(|error| panic!("{name}: {error}\n{manifest}"));
    }
}

fn check(path: &str, described: &Value, values: &Value) {
    for (name, about) in described.as_object().unwrap() {
        let path = format!("{path}.{name}");
        assert!(!values[name].is_null(), "{path}: not in values.yaml");
        if about["description"].is_null() {
            assert_eq!(about["additionalProperties"], false, "{path}: takes what isn't known");
            let named: Vec<_> = about["properties"].as_object().unwrap().keys().collect();
            assert_eq!(required(about), named, "{path}: null would take one away");
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
        notes.split("NOTES:").nth(1).unwrap().to_owned()
    };
    let commands = |notes: &str| -> Vec<String> {
        let lines = notes.lines().filter_map(|line| line.strip_prefix("  kubectl "));
        lines.map(str::to_owned).collect()
    };
    let plain = install(&["--set", "controllerClass=blue"]);
    assert_eq!(
        commands(&plain),
        [
            "rollout status deployment/it --namespace here",
            "apply --filename - <<'END'",
            "apply --filename config/samples/hello-world.yaml",
        ]
    );
    let lattice = plain.split("<<'END'\n").nth(1).unwrap().split("  END").next().unwrap();
    let lattice: Lattice = serde_saphyr::from_str(lattice).unwrap();
    assert_eq!(lattice.spec.nats.urls, ["nats://nats.default:4222"]);
    assert_eq!(lattice.annotations()[CLASS], "blue");
    let first = ["--set", "lattice.create=true,lattice.name=edge,lattice.urls={nats://a}"];
    assert_eq!(commands(&install(&first))[1], "wait lattice/edge --for=condition=Ready");
}
