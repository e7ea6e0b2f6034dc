//! The cluster that the demo plays in: its own, or one that the user names.

use std::{
    env,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use parts::{Cluster, ClusterOptions, Kubectl, Scratch};

use crate::stage::Error;

/// A cluster to play in.
pub(crate) enum Kubernetes {
    Own(Box<Cluster>),
    /// With a folder for what `kubectl` caches.
    Users(Kubectl, #[allow(dead_code, reason = "held so that it is removed at the end")] Scratch),
}

impl Kubernetes {
    pub(crate) fn start() -> Result<Self, Error> {
        let Some(kubeconfig) = env::var_os("DEMO_KUBECONFIG").filter(|path| !path.is_empty())
        else {
            if env::var_os("KUBECONFIG").is_some() {
                println!("  (KUBECONFIG is left alone; DEMO_KUBECONFIG names a cluster to use)");
            }
            let options = ClusterOptions { controllers: true, ..ClusterOptions::default() };
            return Ok(Self::Own(Box::new(Cluster::start(options)?)));
        };
        let cache = Scratch::new("demo").map_err(Error::Files)?;
        let kubectl = Kubectl::new(&PathBuf::from(kubeconfig), cache.path())?;
        println!("  using the cluster of {}", kubectl.kubeconfig().display());
        kubectl.run(&["get", "--raw=/readyz"], None)?;
        Ok(Self::Users(kubectl, cache))
    }

    pub(crate) fn kubectl(&self) -> Kubectl {
        match self {
            Self::Own(cluster) => cluster.client().clone(),
            Self::Users(kubectl, _) => kubectl.clone(),
        }
    }

    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }
}

/// What the demo made in a cluster that outlives it.
#[derive(Default)]
pub(crate) struct Made(Mutex<Vec<(Kubectl, String)>>);

impl Made {
    /// Creates the objects of `manifest`. Fails if one is there already: it would be somebody's.
    pub(crate) fn create(&self, kubernetes: &Kubernetes, manifest: &str) -> Result<(), Error> {
        let kubectl = kubernetes.kubectl();
        if !kubernetes.is_own() {
            let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            made.push((kubectl.clone(), manifest.to_owned()));
        }
        kubectl.run(&["create", "-f", "-"], Some(manifest))?;
        Ok(())
    }

    /// Deletes what was made, last first, and waits until it is gone.
    pub(crate) fn delete(&self) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (kubectl, manifest) in made.drain(..).rev() {
            let delete = ["delete", "--ignore-not-found", "--timeout=60s", "-f", "-"];
            match kubectl.run(&delete, Some(&manifest)) {
                Ok(deleted) => print!("{deleted}"),
                Err(error) => eprintln!("demo: {error}"),
            }
        }
    }
}
