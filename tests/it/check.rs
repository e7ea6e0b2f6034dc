//! `trellis check` against API servers of its own: what it finds, what it repairs, and that the
//! commands that it tells do what they say.
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use parts::{Cluster, ClusterOptions, Process, Program, Scratch};
use serde_json::{Value, json};

use crate::trellis::{Ended, trellis_with};

const APPLICATIONS: &str = "applications.core.oam.dev";
const REVISIONS: &str = "applicationrevisions.core.oam.dev";
const STALE: &str = "v1beta1.core.oam.dev";
const MARK: &str = "lattice.oam.dev/crd-version";

/// An API server, and a folder with a way to it for each who comes.
struct World {
    cluster: Cluster,
    scratch: Scratch,
}

impl World {
    fn start() -> Self {
        let cluster = Cluster::start(ClusterOptions::default()).unwrap();
        Self { cluster, scratch: Scratch::new("check").unwrap() }
    }

    fn apply(&self, object: &Value) {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.cluster.kubectl(&arguments, Some(&object.to_string())).unwrap();
    }

    fn get(&self, arguments: &[&str]) -> Value {
        let arguments = [&["get", "--output=json"], arguments].concat();
        serde_json::from_str(&self.cluster.kubectl(&arguments, None).unwrap()).unwrap()
    }

    /// Runs `trellis` as the administrator.
    fn trellis(&self, arguments: &[&str]) -> Ended {
        trellis_at(self.cluster.kubeconfig(), arguments)
    }

    fn check(&self, code: i32) -> String {
        let ended = self.trellis(&["check"]);
        assert_eq!(ended.code, code, "{ended:?}");
        ended.stdout
    }

    fn take_over(&self, code: i32) -> String {
        let ended = self.trellis(&["check", "--takeover"]);
        assert_eq!(ended.code, code, "{ended:?}");
        ended.stdout
    }

    /// Runs a command that was told, as the administrator, with our program and kubectl at hand.
    fn obey(&self, command: &str) {
        let folder = |program: &Path| program.parent().unwrap().to_owned();
        let programs: Vec<PathBuf> = vec![
            folder(Path::new(env!("CARGO_BIN_EXE_trellis"))),
            folder(&parts::programs::kubectl().unwrap()),
            "/usr/bin".into(),
            "/bin".into(),
        ];
        let ran = Command::new("sh")
            .args(["-c", command])
            .env("PATH", std::env::join_paths(programs).unwrap())
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("KUBECACHEDIR", self.scratch.path().join("cache"))
            .output()
            .unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// A `KUBECONFIG` of somebody else.
    fn kubeconfig_of(&self, user: &str) -> PathBuf {
        let text = std::fs::read_to_string(self.cluster.kubeconfig()).unwrap();
        let mut config: Value = serde_saphyr::from_str(&text).unwrap();
        config["users"][0]["user"]["as"] = json!(user);
        self.scratch.write("kubeconfig-of-another", config.to_string()).unwrap()
    }
}

fn trellis_at(kubeconfig: &Path, arguments: &[&str]) -> Ended {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    trellis_with(folder, arguments, "", &[("KUBECONFIG", kubeconfig)])
}

/// The first command of the line that has `what`, as it is told after `before`.
fn told<'a>(text: &'a str, what: &str, before: &str) -> &'a str {
    let line = text.lines().find(|line| line.contains(what)).expect(what);
    line.split_once(before).expect(before).1
}

/// What wasmcloud-operator registers, and leaves behind.
fn stale_api_service() -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": STALE },
        "spec": {
            "group": "core.oam.dev", "version": "v1beta1",
            "groupPriorityMinimum": 2100, "versionPriority": 100,
            "insecureSkipTLSVerify": true,
            "service": { "name": "wadm-operator", "namespace": "default", "port": 8443 },
        },
    })
}

/// A definition with the traits of KubeVela's: its short name, a version before ours, and a webhook
/// that converts between the two.
fn velas(plural: &str, kind: &str, short: &[&str], stored: &str) -> Value {
    let version = |name: &str| {
        json!({
            "name": name, "served": true, "storage": name == stored,
            "subresources": { "status": {} },
            "schema": { "openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                    "status": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                },
            } },
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.core.oam.dev"),
            "annotations": {
                "controller-gen.kubebuilder.io/version": "v0.16.5",
                "cert-manager.io/inject-ca-from": "vela-system/kubevela-vela-core-root-cert",
            },
        },
        "spec": {
            "group": "core.oam.dev", "scope": "Namespaced",
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                "singular": kind.to_lowercase(), "shortNames": short, "categories": ["oam"],
            },
            "versions": [version("v1alpha2"), version("v1beta1")],
            "conversion": {
                "strategy": "Webhook",
                "webhook": {
                    "conversionReviewVersions": ["v1"],
                    "clientConfig": { "service": {
                        "name": "vela-core-webhook", "namespace": "vela-system", "path": "/convert",
                    } },
                },
            },
        },
    })
}

#[test]
fn an_empty_cluster_and_a_stale_api_service_are_told_and_mended_only_when_asked() {
    let world = World::start();
    world.apply(&stale_api_service());
    let text = world.check(2);
    assert_eq!(text.lines().filter(|line| line.contains(" is missing: ")).count(), 3, "{text}");
    assert!(text.contains(&format!("kubectl delete apiservice {STALE}")), "{text}");
    assert!(world.get(&["apiservice", STALE])["spec"]["service"].is_object(), "left alone");
    assert_eq!(world.get(&["crd"])["items"], json!([]), "left alone");
    let ended = world.trellis(&["run", "--http-bind", "127.0.0.1:0"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("kubectl delete apiservice"), "{ended:?}");

    // Our definitions alone are not served.
    world.obey(told(&text, " is missing: ", "run: "));
    let text = world.check(2);
    assert_eq!(text.lines().count(), 1, "{text}");

    let text = world.take_over(0);
    assert!(text.contains(&format!("deleted APIService {STALE}")), "{text}");
    world.check(0);
    world.get(&["applications", "--all-namespaces"]);
    assert_eq!(world.take_over(0).lines().count(), 1, "nothing is left to do");

    // All of it at once, and in a form for machines.
    world.cluster.kubectl(&["delete", "crd", "--all"], None).unwrap();
    world.apply(&stale_api_service());
    let ended = world.trellis(&["check", "--takeover", "-o", "json"]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, &report["ok"]), (0, &json!(true)), "{report:#}");
    assert_eq!(report["done"].as_array().unwrap().len(), 4, "{report:#}");
    world.get(&["applications", "--all-namespaces"]);
}

#[test]
fn definitions_of_other_versions_are_told_from_ours() {
    let world = World::start();
    world.take_over(0);
    let marked = |mark: &str| {
        let mark = format!("{MARK}={mark}");
        world
            .cluster
            .kubectl(&["annotate", "--overwrite", "crd", APPLICATIONS, &mark], None)
            .unwrap();
    };
    marked("999.0.0+0");
    assert!(world.check(0).contains("which is newer than this"));
    assert_eq!(world.take_over(0).lines().count(), 2, "a newer one is left alone");
    marked("0.0.1+0");
    runs_on(&world, "which is older than this");
    let text = world.check(2);
    assert!(text.contains("which is older than this"), "{text}");
    world.obey(told(&text, "which is older", "run: "));
    world.check(0);
    marked("0.0.1+0");
    let text = world.take_over(0);
    assert!(text.contains(&format!("applied CustomResourceDefinition {APPLICATIONS}")), "{text}");
}

/// The operator says what it found and becomes ready all the same.
fn runs_on(world: &World, found: &str) {
    let program = Program::new("trellis", env!("CARGO_BIN_EXE_trellis"))
        .args(["run", "--http-bind", "127.0.0.1:0"])
        .env("KUBECONFIG", world.cluster.kubeconfig());
    let mut operator = Process::spawn(&program, &world.scratch.path().join("run.log")).unwrap();
    let ready = |operator: &mut Process| operator.log().contains(": ready\n").then_some(());
    operator.wait_for("it was ready", Duration::from_mins(1), ready).unwrap();
    assert!(operator.log().contains(found), "{}", operator.log());
}

#[test]
fn kubevelas_definitions_are_named_kept_and_replaced_only_when_asked() {
    let world = World::start();
    for stored in ["v1alpha2", "v1beta1"] {
        world.apply(&velas("applications", "Application", &["app", "velaapp"], stored));
    }
    world.apply(&velas("applicationrevisions", "ApplicationRevision", &["apprev"], "v1beta1"));
    let wait = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"];
    world.cluster.kubectl(&wait, None).unwrap();
    let theirs = json!({
        "apiVersion": "core.oam.dev/v1beta1", "kind": "Application",
        "metadata": { "name": "theirs", "namespace": "default" },
        "spec": { "components": [{ "name": "web", "type": "webservice" }] },
    });
    world.apply(&theirs);

    let text = world.check(2);
    for name in [APPLICATIONS, REVISIONS] {
        let line = format!("fatal: CustomResourceDefinition {name} is KubeVela's, not ours: ");
        assert!(text.contains(&line), "{text}");
    }
    let before = world.get(&["crd", APPLICATIONS])["metadata"]["resourceVersion"].clone();
    let app = ["application", "theirs"];
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    let object = version(&world.get(&app));
    let ended = world.trellis(&["run", "--http-bind", "127.0.0.1:0"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("is KubeVela's, not ours"), "{ended:?}");
    assert_eq!(version(&world.get(&["crd", APPLICATIONS])), before, "left alone");
    assert_eq!(version(&world.get(&app)), object, "left alone");

    // The API server would refuse to drop a version in which something is stored.
    let text = world.take_over(2);
    assert!(text.contains(&format!("replaced CustomResourceDefinition {REVISIONS}")), "{text}");
    assert_eq!(version(&world.get(&["crd", APPLICATIONS])), before, "left alone");
    let (rewrite, patch) = told(&text, "stored as v1alpha2", "have all written anew with: ")
        .split_once(", then say so with: ")
        .unwrap();
    world.obey(rewrite);
    world.obey(patch);
    let text = world.take_over(0);
    assert!(text.contains(&format!("replaced CustomResourceDefinition {APPLICATIONS}")), "{text}");
    world.check(0);

    let ours = world.get(&["crd", APPLICATIONS]);
    assert_eq!(ours["spec"]["conversion"]["strategy"], "None");
    assert!(
        ours["metadata"]["annotations"]["cert-manager.io/inject-ca-from"].is_null(),
        "{ours:#}"
    );
    let kept = world.get(&app);
    assert_eq!(kept["spec"]["components"][0]["type"], "webservice", "{kept:#}");
}

#[test]
fn a_definition_that_is_applied_over_ours_is_not_taken_for_ours() {
    let world = World::start();
    world.take_over(0);
    let mark = || world.get(&["crd", APPLICATIONS])["metadata"]["annotations"][MARK].clone();
    let ours = mark();
    for stored in ["v1alpha2", "v1beta1"] {
        world.apply(&velas("applications", "Application", &["app", "velaapp"], stored));
    }
    assert_eq!(mark(), ours, "the mark stays");
    let text = world.check(2);
    assert!(text.contains(&format!("{APPLICATIONS} is KubeVela's, not ours")), "{text}");
    // The storage went there and back, and nothing was written meanwhile.
    let stored = r#"--patch={"status":{"storedVersions":["v1beta1"]}}"#;
    let patch = ["patch", "crd", APPLICATIONS, "--subresource=status", "--type=merge", stored];
    world.cluster.kubectl(&patch, None).unwrap();
    let text = world.take_over(0);
    assert!(text.contains(&format!("replaced CustomResourceDefinition {APPLICATIONS}")), "{text}");
    world.check(0);

    // One field more would be kept that the program doesn't know.
    let field = json!([{ "op": "add", "value": { "type": "string" },
        "path": "/spec/versions/0/schema/openAPIV3Schema/properties/theirs" }]);
    let patch = format!("--patch={field}");
    let patch = ["patch", "crd", APPLICATIONS, "--type=json", &patch];
    world.cluster.kubectl(&patch, None).unwrap();
    let text = world.check(2);
    let marked = format!("fault: CustomResourceDefinition {APPLICATIONS} is marked as of Trellis");
    assert!(text.contains(&marked) && text.contains("with other schema"), "{text}");
    let text = world.take_over(0);
    assert!(text.contains(&format!("replaced CustomResourceDefinition {APPLICATIONS}")), "{text}");
    world.check(0);
}

#[test]
fn an_older_definition_with_anothers_webhook_is_taken_over_at_once() {
    let world = World::start();
    world.take_over(0);
    let changes = json!({
        "metadata": { "annotations": { MARK: "0.0.1+0" } },
        "spec": { "conversion": { "strategy": "Webhook", "webhook": {
            "conversionReviewVersions": ["v1"], "clientConfig": { "url": "https://a" },
        } } },
    });
    let patch = format!("--patch={changes}");
    world.cluster.kubectl(&["patch", "crd", APPLICATIONS, "--type=merge", &patch], None).unwrap();
    let text = world.take_over(0);
    assert_eq!(text.lines().count(), 2, "{text}");
    world.check(0);
    assert_eq!(world.get(&["crd", APPLICATIONS])["spec"]["conversion"]["strategy"], "None");
}

#[test]
fn a_definition_of_another_scope_is_told_with_what_to_do_and_not_tried() {
    let world = World::start();
    world.take_over(0);
    let name = "lattices.lattice.oam.dev";
    let mut other = world.get(&["crd", name]);
    world.cluster.kubectl(&["delete", "crd", name], None).unwrap();
    other["spec"]["scope"] = json!("Namespaced");
    other.as_object_mut().unwrap().remove("status");
    let metadata = json!({ "name": name, "annotations": other["metadata"]["annotations"] });
    other["metadata"] = metadata;
    world.apply(&other);
    let text = world.check(2);
    assert!(text.contains("the API server never changes its scope"), "{text}");
    let ended = world.trellis(&["check", "--takeover"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, text.as_str()), "{ended:?}");
    let (_, delete) = text.split_once("its scope: ").unwrap();
    world.obey(delete.split("; then").next().unwrap());
    world.take_over(0);
    world.check(0);
}

#[test]
fn what_the_api_server_refuses_is_told_in_its_words_alone() {
    let world = World::start();
    let role = ["create", "clusterrole", "reader", "--verb=get", "--resource=crds,apiservices"];
    world.cluster.kubectl(&role, None).unwrap();
    let binding =
        ["create", "clusterrolebinding", "reader", "--clusterrole=reader", "--user=reader"];
    world.cluster.kubectl(&binding, None).unwrap();
    let reader = world.kubeconfig_of("reader");
    let refusal = |command: &[&str]| {
        let ended = trellis_at(&reader, command);
        assert_eq!(ended.code, 1, "{ended:?}");
        let (server, refusal) = ended.stderr.split_once(": could").unwrap();
        assert_eq!(server, format!("error: {}", world.cluster.url()));
        format!("could{refusal}")
    };
    let forbidden = r#"User "reader" cannot patch resource "customresourcedefinitions""#;
    let takeover = refusal(&["check", "--takeover"]);
    assert_eq!(
        takeover,
        format!(
            "could not write CustomResourceDefinition {APPLICATIONS}: \
             customresourcedefinitions.apiextensions.k8s.io \"{APPLICATIONS}\" is forbidden: \
             {forbidden} in API group \"apiextensions.k8s.io\" at the cluster scope\n"
        )
    );
    world.take_over(0);
    assert_eq!(
        refusal(&["guard"]),
        "could not list applications: applications.core.oam.dev is forbidden: User \"reader\" cannot \
         list resource \"applications\" in API group \"core.oam.dev\" at the cluster scope\n"
    );
}

#[test]
fn without_a_cluster_the_cause_is_told_once() {
    let scratch = Scratch::new("check").unwrap();
    for command in ["check", "guard"] {
        let ended = trellis_at(&scratch.path().join("no-such-file"), &[command]);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert_eq!(ended.stderr.matches("No such file or directory").count(), 1, "{ended:?}");
        assert!(ended.stderr.contains("set KUBECONFIG, or run inside one"), "{ended:?}");
    }
}

#[test]
fn rights_that_lack_are_told_with_the_commands_that_grant_them() {
    let world = World::start();
    world.take_over(0);
    world.cluster.kubectl(&["create", "namespace", "trellis-system"], None).unwrap();
    world.apply(&json!({
        "apiVersion": "lattice.oam.dev/v1alpha1", "kind": "Lattice",
        "metadata": { "name": "default" },
        "spec": { "nats": {
            "urls": ["nats://127.0.0.1:4222"], "credentialsSecret": { "name": "nats" },
        } },
    }));
    let account = world.kubeconfig_of("system:serviceaccount:trellis-system:trellis");
    let check = |code: i32| {
        let ended = trellis_at(&account, &["check", "-o", "json"]);
        assert_eq!(ended.code, code, "{ended:?}");
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        report["findings"].as_array().unwrap().clone()
    };
    // Once for what it needs to see Lattices, and once for the Secret that one names.
    for _ in 0..2 {
        for finding in check(2).iter().filter(|finding| finding["severity"] == "fault") {
            let fix = finding["fix"].as_str().unwrap();
            world.obey(fix.split_once("by hand: ").unwrap().1);
        }
    }
    let left = check(0);
    assert!(left.iter().all(|finding| finding["severity"] == "unknown"), "{left:#?}");
    // Definitions and API services: nothing of an operator's work needs them.
    assert_eq!(left.len(), 5, "{left:#?}");
}

#[test]
fn a_cluster_that_cannot_be_reached_is_neither_well_nor_unwell() {
    let scratch = Scratch::new("check").unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": "http://127.0.0.1:1" } }],
        "users": [{ "name": "u", "user": {} }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    let kubeconfig = scratch.write("kubeconfig", config.to_string()).unwrap();
    let ended = trellis_at(&kubeconfig, &["check"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let said = "error: http://127.0.0.1:1: could not ask the API server";
    assert!(ended.stderr.starts_with(said), "{ended:?}");
    assert_eq!(ended.stdout, "");
}
