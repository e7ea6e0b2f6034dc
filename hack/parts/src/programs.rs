//! Where each program is: the user's own, or built into the cache from pinned sources.

mod go;
mod rust;

use std::{env, path::PathBuf, thread};

use crate::{
    cache,
    debian::{self, Packaged},
    toolchain,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Cache(#[from] cache::Error),

    #[error(transparent)]
    Debian(#[from] debian::Error),

    #[error(transparent)]
    Toolchain(#[from] toolchain::Error),

    #[error("{module} does not require {package}")]
    NotPinned { module: PathBuf, package: &'static str },

    #[error("{variable} is set, but there is no {path}")]
    NotThere { variable: &'static str, path: PathBuf },
}

/// A folder with the user's own `kube-apiserver`, `etcd` and `kubectl`, as envtest lays it out.
const KUBERNETES: &str = "KUBEBUILDER_ASSETS";
/// The path of the user's own `nats-server`.
const NATS: &str = "NATS_SERVER";

pub fn kube_apiserver() -> Result<PathBuf, Error> {
    match users_folder(KUBERNETES, "kube-apiserver")? {
        Some(program) => Ok(program),
        None => go::KUBE_APISERVER.build(),
    }
}

pub fn etcd() -> Result<PathBuf, Error> {
    match users_folder(KUBERNETES, "etcd")? {
        Some(program) => Ok(program),
        None => go::ETCD.build(),
    }
}

/// Any `kubectl` on the `PATH` does: what we ask of it has not changed for years.
pub fn kubectl() -> Result<PathBuf, Error> {
    let users = users_folder(KUBERNETES, "kubectl")?.or_else(|| toolchain::find("kubectl"));
    match users {
        Some(program) => Ok(program),
        None => go::KUBECTL.build(),
    }
}

pub fn kube_controller_manager() -> Result<PathBuf, Error> {
    go::KUBE_CONTROLLER_MANAGER.build()
}

pub fn kube_scheduler() -> Result<PathBuf, Error> {
    go::KUBE_SCHEDULER.build()
}

pub fn kube_proxy() -> Result<PathBuf, Error> {
    go::KUBE_PROXY.build()
}

pub fn kubelet() -> Result<PathBuf, Error> {
    go::KUBELET.build()
}

/// What a node sets up its network and runs containers with.
pub fn node_tools() -> Result<debian::Programs, Error> {
    const TOOLS: [Packaged; 6] = [
        Packaged { program: "containerd", package: "containerd" },
        Packaged { program: "containerd-shim-runc-v2", package: "containerd" },
        Packaged { program: "runc", package: "runc" },
        Packaged { program: "host-local", package: "containernetworking-plugins" },
        Packaged { program: "nft", package: "nftables" },
        IP,
    ];
    Ok(debian::Programs::find("node-tools", &TOOLS)?)
}

const IP: Packaged = Packaged { program: "ip", package: "iproute2" };

/// Sets up the interfaces of a network namespace.
pub fn ip() -> Result<debian::Programs, Error> {
    Ok(debian::Programs::find("iproute2", &[IP])?)
}

pub fn nats_server() -> Result<PathBuf, Error> {
    match env::var_os(NATS).map(PathBuf::from) {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => Err(Error::NotThere { variable: NATS, path }),
        None => go::NATS_SERVER.build(),
    }
}

pub fn registry() -> Result<PathBuf, Error> {
    go::REGISTRY.build()
}

/// Pushes images to registries, with the logins that Docker keeps.
pub fn crane() -> Result<PathBuf, Error> {
    go::CRANE.build()
}

/// Builds images from Dockerfiles, without a daemon.
pub fn buildah() -> Result<debian::Programs, Error> {
    const BUILDAH: Packaged = Packaged { program: "buildah", package: "buildah" };
    Ok(debian::Programs::find("buildah", &[BUILDAH])?)
}

/// Sleeps until it is told to end.
pub fn pause() -> Result<PathBuf, Error> {
    go::PAUSE.build()
}

/// Ours even where there is another: charts render differently from version to version.
pub fn helm() -> Result<PathBuf, Error> {
    go::HELM.build()
}

/// A real wasmCloud host: `hack/host`.
pub fn host() -> Result<PathBuf, Error> {
    rust::host()
}

/// wadm, to be measured beside the operator: `hack/wadm`.
pub fn wadm() -> Result<PathBuf, Error> {
    rust::wadm()
}

/// The HTTP server provider as an archive for a registry: `hack/http-provider`.
pub fn http_provider() -> Result<PathBuf, Error> {
    rust::http_provider()
}

/// Builds everything that is not there yet, so that tests need not wait for compilers.
pub fn prepare() -> Result<(), Error> {
    // What is missing is said before minutes are spent on the rest.
    for tool in [toolchain::GO, toolchain::CARGO, toolchain::RUSTC, toolchain::CC] {
        tool.find()?;
    }
    // Two at a time: the Go tools on one side, Rust on the other. More would only share the cores.
    thread::scope(|scope| {
        let rust = scope.spawn(|| {
            host()?;
            http_provider()?;
            Ok(())
        });
        let go = [
            nats_server,
            etcd,
            kube_apiserver,
            kubectl,
            kube_controller_manager,
            registry,
            crane,
            pause,
            helm,
        ];
        let go = go.iter().try_for_each(|program| program().map(drop)).and_then(|()| {
            // Images are of Linux programs, and made where these are.
            if cfg!(target_os = "linux") {
                buildah()?;
            }
            Ok(())
        });
        let rust = rust.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        go.and(rust)
    })
}

/// Builds and fetches everything that a [`Node`](crate::Node) consists of.
pub fn prepare_node() -> Result<(), Error> {
    let programs = [
        etcd,
        kube_apiserver,
        kube_controller_manager,
        kube_scheduler,
        kubelet,
        kube_proxy,
        kubectl,
        registry,
        crane,
        pause,
    ];
    node_tools()?;
    programs.iter().try_for_each(|program| program().map(drop))
}

/// `name` in the folder that `variable` names. `None` when it is not set or has no such program.
fn users_folder(variable: &'static str, name: &str) -> Result<Option<PathBuf>, Error> {
    let Some(folder) = env::var_os(variable).filter(|folder| !folder.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(folder);
    if !path.is_dir() {
        return Err(Error::NotThere { variable, path });
    }
    Ok(Some(path.join(name)).filter(|program| program.is_file()))
}
