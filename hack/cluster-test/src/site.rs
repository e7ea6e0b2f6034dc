//! The cluster that Trellis is installed in: a node of this test's own, or the user's cluster.

use std::{
    cell::RefCell,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use parts::{Kubectl, Node, Process, Program, Scratch, http, poll, programs, toolchain};
use serde_json::Value;

use crate::failure::Failure;

/// Long enough for two cores that are busy otherwise, and for a cluster that pulls from afar.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// Where NATS, hosts and Applications are.
pub(crate) const NAMESPACE: &str = "trellis-cluster-test";
/// Where the operator is.
pub(crate) const SYSTEM: &str = "trellis-system";

pub(crate) struct Site {
    kubectl: Kubectl,
    helm: PathBuf,
    /// What images' names begin with.
    registry: String,
    /// Connections into a cluster that is elsewhere.
    forwards: RefCell<Vec<Process>>,
    node: Option<Node>,
    scratch: Scratch,
}

impl Site {
    /// A node that ends with this program, in whose namespaces this program is.
    pub(crate) fn own() -> Result<Self, Failure> {
        let node = Node::start()?;
        let kubectl = node.cluster().client().clone();
        let registry = node.registry().authority().to_owned();
        Self::of(kubectl, registry, Some(node), Scratch::new("cluster-test")?)
    }

    /// The cluster that the user names, if so.
    pub(crate) fn of_user() -> Result<Option<Self>, Failure> {
        let set = |name| env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let Some(kubeconfig) = set("KUBECONFIG") else { return Ok(None) };
        let registry = set("REGISTRY").ok_or(Failure::NoRegistry)?;
        let registry = registry.to_string_lossy().trim_end_matches('/').to_owned();
        let scratch = Scratch::new("cluster-test")?;
        let kubectl = Kubectl::new(Path::new(&kubeconfig), &scratch.folder("kubectl")?)?;
        let site = Self::of(kubectl, registry, None, scratch)?;
        site.is_free()?;
        Ok(Some(site))
    }

    fn of(
        kubectl: Kubectl,
        registry: String,
        node: Option<Node>,
        scratch: Scratch,
    ) -> Result<Self, Failure> {
        let helm = programs::helm()?;
        Ok(Self { kubectl, helm, registry, forwards: RefCell::default(), node, scratch })
    }

    /// This test removes all that it installs, which must not be anybody else's.
    fn is_free(&self) -> Result<(), Failure> {
        let taken = [
            ("CustomResourceDefinition", "applications.core.oam.dev"),
            ("CustomResourceDefinition", "lattices.lattice.oam.dev"),
            ("Namespace", SYSTEM),
            ("Namespace", NAMESPACE),
        ];
        for (kind, name) in taken {
            if !self.kubectl(&["get", kind, name, "--ignore-not-found", "-o=name"])?.is_empty() {
                return Err(Failure::InUse { kind, name });
            }
        }
        Ok(())
    }

    pub(crate) fn is_own(&self) -> bool {
        self.node.is_some()
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// `REGISTRY/NAME`.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.registry)
    }

    /// The registry's host and port, if it is spoken to over plain HTTP.
    pub(crate) fn plain_registry(&self) -> Option<&str> {
        let authority = self.registry.split('/').next()?;
        let (status, _) = http::get(&format!("http://{authority}/v2/"))?;
        (status == 200).then_some(authority)
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, Failure> {
        Ok(self.kubectl.run(arguments, None)?)
    }

    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Value, Failure> {
        let all: Vec<_> = ["get", "-o=json"].iter().chain(arguments).copied().collect();
        Ok(serde_json::from_str(&self.kubectl(&all)?)?)
    }

    pub(crate) fn apply(&self, manifest: &str) -> Result<(), Failure> {
        self.kubectl.run(&["apply", "-f", "-"], Some(manifest))?;
        Ok(())
    }

    /// Waits until all Pods of a Deployment are those that it wants, and ready.
    pub(crate) fn rolled_out(&self, namespace: &str, deployment: &str) -> Result<(), Failure> {
        let (name, timeout) = (format!("deployment/{deployment}"), timeout());
        self.kubectl(&["rollout", "status", &name, "-n", namespace, &timeout])?;
        Ok(())
    }

    /// Runs `kubectl wait` until `what` (`--for=…`) holds.
    pub(crate) fn wait(&self, arguments: &[&str]) -> Result<(), Failure> {
        let timeout = timeout();
        let all: Vec<_> = ["wait", timeout.as_str()].iter().chain(arguments).copied().collect();
        self.kubectl(&all)?;
        Ok(())
    }

    pub(crate) fn helm(&self, arguments: &[&str]) -> Result<String, Failure> {
        let homes = ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "KUBECACHEDIR"];
        let mut helm = Command::new(&self.helm);
        helm.args(arguments)
            .env("KUBECONFIG", self.kubectl.kubeconfig())
            .envs(homes.map(|home| (home, self.scratch.path().join("helm"))));
        Ok(toolchain::run(&mut helm)?)
    }

    /// `ADDRESS:PORT` of a Service, as it is reached from here.
    pub(crate) fn reach(&self, service: &str, port: u16) -> Result<String, Failure> {
        if self.is_own() {
            return Ok(format!("{}:{port}", self.address(service)?));
        }
        let log = self.scratch.path().join(format!("forward-{service}.log"));
        let program = Program::new("kubectl port-forward", programs::kubectl()?)
            .args(["port-forward", "-n", NAMESPACE])
            .args([format!("service/{service}"), format!(":{port}")])
            .env("KUBECONFIG", self.kubectl.kubeconfig());
        let mut forward = Process::spawn(&program, &log)?;
        let address = forward.wait_for("it listened", PATIENCE, |forward| {
            let log = forward.log();
            let rest = log.lines().find_map(|line| line.strip_prefix("Forwarding from "))?;
            Some(rest.split(' ').next()?.to_owned())
        })?;
        self.forwards.borrow_mut().push(forward);
        Ok(address)
    }

    /// The address of a Service inside of the cluster.
    pub(crate) fn address(&self, service: &str) -> Result<String, Failure> {
        let address = "-o=jsonpath={.spec.clusterIP}";
        self.kubectl(&["get", "service", "-n", NAMESPACE, service, address])
    }

    /// What a Service answers to HTTP, `None` while it doesn't.
    pub(crate) fn http(&self, service: &str) -> Option<String> {
        if self.is_own() {
            let url = format!("http://{}/", self.address(service).ok()?);
            return http::get(&url).filter(|(status, _)| *status == 200).map(|(_, body)| body);
        }
        let path = format!("/api/v1/namespaces/{NAMESPACE}/services/{service}:80/proxy/");
        self.kubectl(&["get", "--raw", &path]).ok()
    }
}

/// Asks `probe` until it answers `Ok`; what it said last otherwise is part of the failure.
pub(crate) fn eventually<T>(
    what: &str,
    mut probe: impl FnMut() -> Result<T, String>,
) -> Result<T, Failure> {
    let mut seen = String::new();
    let answer = poll(PATIENCE, || probe().map_err(|said| seen = said).ok());
    answer.ok_or_else(|| Failure::Never {
        what: what.to_owned(),
        seconds: PATIENCE.as_secs(),
        seen,
    })
}

fn timeout() -> String {
    format!("--timeout={}s", PATIENCE.as_secs())
}
