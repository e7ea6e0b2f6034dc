//! The steps of the demo, in order.

use std::{io, path::Path, process::Command, time::Duration};

use parts::{
    Feature, Host, HostOptions, Nats, NatsOptions, Process, Program, Registry, Scratch, components,
    free_ports, http,
};

use crate::kubernetes::{Kubernetes, Made};

/// Two seconds are usual.
const RUNNING: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Cluster(#[from] parts::ClusterError),

    #[error(transparent)]
    Kubectl(#[from] parts::KubectlError),

    #[error(transparent)]
    Nats(#[from] parts::NatsError),

    #[error(transparent)]
    Registry(#[from] parts::RegistryError),

    #[error(transparent)]
    Host(#[from] parts::HostError),

    #[error(transparent)]
    Component(#[from] components::Error),

    #[error(transparent)]
    Operator(#[from] parts::ProcessError),

    #[error("could not get the CRDs")]
    Crds(#[from] parts::toolchain::Error),

    #[error("could not lay out the demo's files")]
    Files(#[source] io::Error),
}

/// Everything that runs, in the order in which it ends.
#[allow(dead_code, reason = "held, so that it runs")]
pub(crate) struct Stage {
    operator: Process,
    host: Host,
    registry: Registry,
    nats: Nats,
    kubernetes: Kubernetes,
    scratch: Scratch,
}

impl Stage {
    /// Plays all steps and returns with everything running.
    pub(crate) fn play(trellis: &Path, made: &Made) -> Result<Self, Error> {
        println!("» Kubernetes API, etcd");
        let kubernetes = Kubernetes::start()?;
        let kubectl = kubernetes.kubectl();

        println!("» NATS, a registry with one component in it");
        let nats = Nats::start(NatsOptions::default())?;
        let registry = Registry::start()?;
        let image = registry.push_component("hello:0.1.0", &components::hello("v1")?)?;
        println!("  {image}");

        println!("» a wasmCloud host");
        let options = HostOptions {
            features: vec![Feature::HttpServer],
            insecure_registries: vec![registry.authority().to_owned()],
            ..HostOptions::default()
        };
        let host = Host::start(&nats, &options)?;
        println!("  {}", host.id());

        println!("» Trellis");
        install_crds(trellis, &kubernetes, made)?;
        let scratch = Scratch::new("operator").map_err(Error::Files)?;
        let program = Program::new("trellis", trellis)
            .args(["run", "--http-bind", "127.0.0.1:0"])
            .env("KUBECONFIG", kubectl.kubeconfig());
        let log = scratch.path().join("trellis.log");
        let mut operator = Process::spawn(&program, &log)?;
        println!("  its log: {}", log.display());

        println!("» a Lattice and an Application");
        let [port] = free_ports().map_err(Error::Files)?;
        let address = format!("127.0.0.1:{port}");
        let lattice = include_str!("lattice.yaml").replace("{nats}", nats.url());
        made.create(&kubernetes, &lattice)?;
        let application =
            include_str!("hello.yaml").replace("{image}", &image).replace("{address}", &address);
        made.create(&kubernetes, &application)?;
        operator.wait_for("the Application was running", RUNNING, |_| {
            let phase =
                ["get", "application.core.oam.dev", "hello", "-o=jsonpath={.status.status}"];
            kubectl.run(&phase, None).ok().filter(|phase| phase == "running")
        })?;
        let url = format!("http://{address}/");
        let answer = operator.wait_for("the component answered", RUNNING, |_| {
            http::get(&url).filter(|(status, _)| *status == 200).map(|(_, body)| body)
        })?;

        println!("\n$ kubectl get application hello");
        print!("{}", kubectl.run(&["get", "application.core.oam.dev", "hello"], None)?);
        println!("\n$ curl {url}\n{answer}");
        println!("To look around from another shell:\n");
        println!("  export KUBECONFIG={}", kubectl.kubeconfig().display());
        println!("  kubectl describe application hello");
        Ok(Self { operator, host, registry, nats, kubernetes, scratch })
    }
}

/// Makes the operator's types known, unless the cluster knows them already.
fn install_crds(trellis: &Path, kubernetes: &Kubernetes, made: &Made) -> Result<(), Error> {
    let crds = parts::toolchain::run(Command::new(trellis).arg("crds"))?;
    let kubectl = kubernetes.kubectl();
    let existing =
        kubectl.run(&["get", "--ignore-not-found", "-o=name", "-f", "-"], Some(&crds))?;
    if existing.trim().is_empty() {
        made.create(kubernetes, &crds)?;
        kubectl.run(
            &["wait", "--for=condition=Established", "--timeout=30s", "-f", "-"],
            Some(&crds),
        )?;
    } else {
        println!("  the cluster has its CRDs already:\n{}", existing.trim_end());
    }
    Ok(())
}
