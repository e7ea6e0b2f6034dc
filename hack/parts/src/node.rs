//! A whole Kubernetes cluster of one node, with Pods and Services, in namespaces of its own.
//!
//! ```text
//! main ─▶ enter(prepare) ─▶ outside: the exit status of the run inside
//!               └─────────▶ inside: Node::start ─▶ Pods, Services, and whatever uses them
//! ```
//!
//! Who starts a node lives where it lives, so that Services, Pods and the API are reached like
//! anything on the loopback interface, and so that all of it ends together.

mod cgroup;
mod kubelet;
mod namespaces;
mod runtime;

use std::{io, time::Duration};

pub use crate::programs::prepare_node as prepare;
use namespaces::ADDRESS;
pub use namespaces::{Entered, Error as NamespacesError, enter};

use crate::{
    Cluster, ClusterError, ClusterOptions, KubectlError, Process, Program, Registry, RegistryError,
    Scratch, images, process, programs,
};

/// An idle machine takes 4 s until the node is ready.
const START: Duration = Duration::from_mins(2);
const NAME: &str = "node-1";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not get the programs of a node")]
    Programs(#[from] programs::Error),

    #[error("a node starts only in namespaces of its own: enter them first")]
    Outside,

    #[error("could not lay out a node's files")]
    Files(#[from] io::Error),

    #[error("could not start the node's API")]
    Cluster(#[from] ClusterError),

    #[error("could not start the node's registry")]
    Registry(#[from] RegistryError),

    #[error("could not make the image that holds a Pod's namespaces")]
    Pause(#[from] images::Error),

    #[error(transparent)]
    Process(#[from] process::Error),

    #[error(transparent)]
    Kubectl(#[from] KubectlError),
}

/// A running node. Everything on it ends when the program that entered its namespaces does.
#[derive(Debug)]
pub struct Node {
    // Dropped in this order: what asks before what answers.
    _proxy: Process,
    _kubelet: Process,
    _scheduler: Process,
    _containerd: Process,
    cluster: Cluster,
    registry: Registry,
    _scratch: Scratch,
}

impl Node {
    /// Starts a node and waits until it is ready for Pods.
    pub fn start() -> Result<Self, Error> {
        let cgroup = namespaces::cgroup().ok_or(Error::Outside)?;
        let scratch = Scratch::new("node")?;
        let registry = Registry::start_at(ADDRESS)?;
        let pause = registry.push_image("pause:1", &images::pause()?)?;
        let containerd = runtime::start(&scratch, registry.authority(), &pause)?;
        let options = ClusterOptions { node: Some(ADDRESS), ..ClusterOptions::default() };
        let cluster = Cluster::start(options)?;
        let scheduler = start_scheduler(&scratch, &cluster)?;
        let mut kubelet = kubelet::start(&scratch, &cluster, &cgroup)?;
        let proxy = kubelet::start_proxy(&scratch, &cluster)?;
        kubelet.wait_for("its node was ready", START, |_| {
            let ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
            let status = cluster.kubectl(&["get", "node", NAME, "-o", ready], None).ok()?;
            (status == "True").then_some(())
        })?;
        Ok(Self {
            _proxy: proxy,
            _kubelet: kubelet,
            _scheduler: scheduler,
            _containerd: containerd,
            cluster,
            registry,
            _scratch: scratch,
        })
    }

    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Where Pods' images are pulled from, over plain HTTP. Pods reach it as well.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

fn start_scheduler(scratch: &Scratch, cluster: &Cluster) -> Result<Process, Error> {
    let program = Program::new("kube-scheduler", programs::kube_scheduler()?)
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        // It has nothing to serve, and nobody to share its work with.
        .args(["--secure-port=0", "--leader-elect=false"]);
    Ok(Process::spawn(&program, &scratch.path().join("scheduler.log"))?)
}
