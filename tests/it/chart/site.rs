//! A cluster that has nothing of ours, and releases of the chart in it. No node runs anything there.
use std::{path::Path, process::Command, time::Duration};

use parts::{Cluster, ClusterOptions, Scratch, poll, programs};
use serde_json::{Value, json};

use super::{IMAGE, folder, objects};
use crate::trellis::{Ended, trellis_with};

/// Longer than the API server takes to heed a right.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Site {
    cluster: Cluster,
    scratch: Scratch,
}

impl Site {
    pub(super) fn start() -> Self {
        let cluster = Cluster::start(ClusterOptions::default()).unwrap();
        Self { cluster, scratch: Scratch::new("chart").unwrap() }
    }

    pub(super) fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl(arguments, None).unwrap()
    }

    /// As [`Site::kubectl`], for what may not work.
    pub(super) fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        self.cluster.kubectl(arguments, None).map_err(|error| parts::chain(&error))
    }

    pub(super) fn namespace(&self, name: &str) {
        self.kubectl(&["create", "namespace", name]);
    }

    pub(super) fn put(&self, object: &Value) {
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.cluster.kubectl(&apply, Some(&object.to_string())).unwrap();
    }

    /// Leaves nothing of what is there.
    pub(super) fn replace(&self, object: &Value) {
        self.cluster.kubectl(&["replace", "-f", "-"], Some(&object.to_string())).unwrap();
    }

    pub(super) fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(programs::helm().unwrap())
            .args(arguments)
            .env("KUBECONFIG", self.cluster.kubeconfig())
            // What is cached at home is of clusters that had the same port.
            .env("KUBECACHEDIR", self.scratch.path().join("helm-cache"))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// `helm install` or `helm upgrade` of a release of the chart, with values as `key=JSON`.
    pub(super) fn release(
        &self,
        command: &str,
        name: &str,
        namespace: &str,
        values: &[&str],
    ) -> Result<String, String> {
        self.release_with(command, name, namespace, values, &[])
    }

    /// The same with further flags.
    pub(super) fn release_with(
        &self,
        command: &str,
        name: &str,
        namespace: &str,
        values: &[&str],
        flags: &[&str],
    ) -> Result<String, String> {
        let folder = folder();
        let fixed = [command, name, folder.to_str().unwrap(), "--namespace", namespace];
        // Whatever waits for Pods waits in vain.
        let options = ["--wait=hookOnly", "--timeout=30s", "--set-json", IMAGE];
        let given = values.iter().flat_map(|value| ["--set-json", value]);
        let flags = flags.iter().copied();
        self.helm(&fixed.into_iter().chain(options).chain(given).chain(flags).collect::<Vec<_>>())
    }

    /// Runs `trellis` as the administrator.
    pub(super) fn trellis(&self, arguments: &[&str]) -> Ended {
        let kubeconfig = self.cluster.kubeconfig();
        trellis_with(self.scratch.path(), arguments, "", &[("KUBECONFIG", kubeconfig)])
    }

    /// A copy of the chart that is said to be of another version.
    pub(super) fn chart_of(&self, version: &str) -> std::path::PathBuf {
        let copy = self.scratch.path().join(version);
        let copied = Command::new("cp").arg("-r").arg(folder()).arg(&copy).status().unwrap();
        assert!(copied.success());
        let crds = copy.join("files/crds.yaml");
        let mark = |version: &str| format!("crd-version: {version}+");
        let text = std::fs::read_to_string(&crds).unwrap();
        let changed = text.replace(&mark(env!("CARGO_PKG_VERSION")), &mark(version));
        assert_ne!(changed, text);
        std::fs::write(&crds, changed).unwrap();
        copy
    }

    /// What the guard of a release with these values does when that is uninstalled: its arguments,
    /// its variables and its rights.
    pub(super) fn guard(&self, name: &str, namespace: &str, values: &[&str]) -> Ended {
        let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
        let objects = objects(name, namespace, &values);
        let job = objects.iter().find(|object| object["kind"] == "Job").unwrap();
        let pod = &job["spec"]["template"]["spec"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let user = format!(
            "system:serviceaccount:{namespace}:{}",
            pod["serviceAccountName"].as_str().unwrap()
        );
        self.await_rights(&user);
        let kubeconfig = self.kubeconfig_of(&user);
        let variables = pod["containers"][0]["env"].as_array().unwrap().iter();
        let variables: Vec<_> =
            variables.map(|it| (text(&it["name"]), text(&it["value"]))).collect();
        let set = variables.iter().map(|(name, value)| (name.as_str(), Path::new(value)));
        let set: Vec<_> = set.chain([("KUBECONFIG", kubeconfig.as_path())]).collect();
        trellis_with(self.scratch.path(), &["guard"], "", &set)
    }

    /// Ends a namespace as the controller would that isn't there.
    pub(super) fn finalize(&self, namespace: &Value) {
        let name = namespace["metadata"]["name"].as_str().unwrap();
        let path = format!("/api/v1/namespaces/{name}/finalize");
        let replace = ["replace", "--raw", &path, "-f", "-"];
        self.cluster.kubectl(&replace, Some(&namespace.to_string())).unwrap();
    }

    fn await_rights(&self, user: &str) {
        let ask = ["auth", "can-i", "list", "lattices.lattice.oam.dev", "--as", user];
        let granted = poll(PATIENCE, || self.cluster.kubectl(&ask, None).ok());
        assert!(granted.is_some(), "{user} was not given its rights");
    }

    fn kubeconfig_of(&self, user: &str) -> std::path::PathBuf {
        let text = std::fs::read_to_string(self.cluster.kubeconfig()).unwrap();
        let mut config: Value = serde_saphyr::from_str(&text).unwrap();
        config["users"][0]["user"]["as"] = json!(user);
        self.scratch.write("kubeconfig", config.to_string()).unwrap()
    }
}

/// An Application as it is once an operator of `class` has taken it up.
pub(super) fn application(namespace: &str, name: &str, class: Option<&str>) -> Value {
    let annotations =
        class.map_or(json!({}), |class| json!({ "lattice.oam.dev/controller-class": class }));
    json!({
        "apiVersion": "core.oam.dev/v1beta1", "kind": "Application",
        "metadata": {
            "name": name, "namespace": namespace, "annotations": annotations,
            "finalizers": ["lattice.oam.dev/cleanup"],
        },
        "spec": { "components": [] },
    })
}
