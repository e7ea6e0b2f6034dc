//! A Kubernetes API with our definitions, and what the measurements ask of it.

use std::{path::Path, process::Command, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, Client, Config,
    api::{ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use parts::{Cluster, ClusterOptions, Stopwatch};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{failure::Failure, size::Size};

/// Requests at a time, as from a few busy clients.
const AT_ONCE: usize = 16;
/// So many are listed to count what isn't as it should be.
const COUNTED: u32 = 500;

/// So long a time with no more writes than so many, as leases make, is rest.
const REST: Duration = Duration::from_secs(5);
const AT_REST: u64 = 20;

pub(crate) struct Kubernetes {
    pub(crate) cluster: Cluster,
    client: Client,
}

impl Kubernetes {
    /// Starts it, with the definitions that `trellis` prints.
    pub(crate) async fn start(trellis: &Path) -> Result<Self, Failure> {
        let cluster = Cluster::start(ClusterOptions::default())?;
        let printed = Command::new(trellis).arg("crds").output()?;
        let definitions = String::from_utf8_lossy(&printed.stdout);
        cluster.kubectl(&["apply", "--server-side", "-f", "-"], Some(&definitions))?;
        let wait = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
        cluster.kubectl(&wait, None)?;
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig())
            .map_err(Failure::step("read the kubeconfig"))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(Failure::step("read the kubeconfig"))?;
        let client = Client::try_from(config)?;
        Ok(Self { cluster, client })
    }

    /// A `Lattice` with its default settings for each of the simulated ones.
    pub(crate) async fn create_lattices(&self, size: Size, nats: &str) -> Result<(), Failure> {
        let api: Api<DynamicObject> =
            Api::all_with(self.client.clone(), &resource("lattice.oam.dev", "v1alpha1", "Lattice"));
        for number in 0..size.lattices {
            let name = size.lattice(number);
            let lattice = json!({
                "apiVersion": "lattice.oam.dev/v1alpha1",
                "kind": "Lattice",
                "metadata": { "name": name },
                "spec": { "lattice": name, "nats": { "urls": [nats] } },
            });
            api.create(&PostParams::default(), &object(lattice)?).await?;
        }
        Ok(())
    }

    pub(crate) async fn create_applications(&self, size: Size) -> Result<(), Failure> {
        let api = self.applications();
        let create = |number| {
            let api = api.clone();
            async move {
                let application = object(size.application(number))?;
                api.create(&PostParams::default(), &application).await?;
                Ok::<_, Failure>(())
            }
        };
        stream::iter(0..size.applications).map(create).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// How many Applications aren't `running` by their status; counted up to [`COUNTED`].
    pub(crate) async fn not_running(&self) -> Result<usize, Failure> {
        let params = ListParams::default().fields("status.status!=running").limit(COUNTED);
        Ok(self.applications().list_metadata(&params).await?.items.len())
    }

    /// Waits until hardly anything is written any more; how many writes there were until then since
    /// `before`, which a call of [`Kubernetes::written`] told.
    pub(crate) async fn rest(&self, before: u64, limit: Duration) -> Result<u64, Failure> {
        let clock = Stopwatch::start();
        let mut last = self.written().await?;
        loop {
            sleep(REST).await;
            let now = self.written().await?;
            if now - last <= AT_REST {
                return Ok(now - before);
            }
            if clock.elapsed() > limit {
                return Err(Failure::Never {
                    what: "the API server came to rest".to_owned(),
                    seconds: limit.as_secs(),
                    seen: format!("{} writes in {} s", now - last, REST.as_secs()),
                });
            }
            last = now;
        }
    }

    /// How many writes its store has seen: each makes the version of every list another.
    pub(crate) async fn written(&self) -> Result<u64, Failure> {
        let kind = resource("lattice.oam.dev", "v1alpha1", "Lattice");
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind);
        let version = api.list_metadata(&ListParams::default()).await?.metadata.resource_version;
        let version = version.unwrap_or_default();
        version.parse().map_err(Failure::step("read the version of a list"))
    }

    fn applications(&self) -> Api<DynamicObject> {
        let kind = resource("core.oam.dev", "v1beta1", "Application");
        Api::default_namespaced_with(self.client.clone(), &kind)
    }
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn object(manifest: Value) -> Result<DynamicObject, Failure> {
    serde_json::from_value(manifest).map_err(Failure::step("read a manifest of our own"))
}
