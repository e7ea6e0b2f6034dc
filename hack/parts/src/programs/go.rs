//! Programs that are Go modules, pinned by `hack/tools/*/go.mod`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::Error;
use crate::{
    cache::{self, Key, Thing},
    toolchain,
};

/// A program built from a package that one of our modules requires.
pub(super) struct GoProgram {
    name: &'static str,
    /// The folder in `hack/tools` with the module.
    module: &'static str,
    package: &'static str,
    /// How long building takes on two cores when nothing of its module is built yet.
    about: &'static str,
}

pub(super) const KUBE_APISERVER: GoProgram = GoProgram {
    name: "kube-apiserver",
    module: "kube",
    package: "k8s.io/kubernetes/cmd/kube-apiserver",
    about: "4 minutes",
};
pub(super) const KUBE_CONTROLLER_MANAGER: GoProgram = GoProgram {
    name: "kube-controller-manager",
    module: "kube",
    package: "k8s.io/kubernetes/cmd/kube-controller-manager",
    about: "2 minutes",
};
pub(super) const KUBECTL: GoProgram = GoProgram {
    name: "kubectl",
    module: "kube",
    package: "k8s.io/kubernetes/cmd/kubectl",
    about: "20 seconds",
};
pub(super) const ETCD: GoProgram = GoProgram {
    name: "etcd",
    module: "kube",
    // The module's root is its program.
    package: "go.etcd.io/etcd/server/v3",
    about: "30 seconds",
};
pub(super) const NATS_SERVER: GoProgram = GoProgram {
    name: "nats-server",
    module: "lattice",
    package: "github.com/nats-io/nats-server/v2",
    about: "30 seconds",
};
pub(super) const REGISTRY: GoProgram = GoProgram {
    name: "registry",
    module: "lattice",
    package: "github.com/distribution/distribution/v3/cmd/registry",
    about: "2 minutes",
};
pub(super) const CRANE: GoProgram = GoProgram {
    name: "crane",
    module: "delivery",
    package: "github.com/google/go-containerregistry/cmd/crane",
    about: "20 seconds",
};
pub(super) const HELM: GoProgram = GoProgram {
    name: "helm",
    module: "delivery",
    package: "helm.sh/helm/v4/cmd/helm",
    about: "2 minutes",
};
pub(super) const PAUSE: GoProgram = GoProgram {
    name: "pause",
    module: "pause",
    package: "trellis.test/tools/pause",
    about: "2 seconds",
};

const KUBERNETES: &str = "k8s.io/kubernetes";

impl GoProgram {
    /// The program in the cache, built if it is not there.
    pub(super) fn build(&self) -> Result<PathBuf, Error> {
        let module = super::rust::hack().join("tools").join(self.module);
        let pins = module.join("go.mod");
        let link = self.link_flags(&pins)?;
        let mut key = Key::default();
        // Modules of programs by others have only sums, ours only sources.
        for input in ["go.mod", "go.sum", "main.go"].map(|name| module.join(name)) {
            if input.exists() {
                key = key.and_files(&input)?;
            }
        }
        let key = key.and(self.package).and(&link).and(toolchain::GO.version("version")?);
        let thing = Thing { name: self.name, about: self.about };
        let folder = cache::ensure(thing, key, |folder| {
            toolchain::run(
                Command::new(toolchain::GO.find()?)
                    .args(["build", "-trimpath", "-mod=readonly", "-ldflags", &link, "-o"])
                    .arg(folder.join(self.name))
                    .arg(self.package)
                    .current_dir(&module)
                    // Static programs, and one compiler less that a machine needs.
                    .env("CGO_ENABLED", "0")
                    .env("GOFLAGS", "")
                    .env("GOWORK", "off"),
            )?;
            Ok::<_, Error>(())
        })?;
        Ok(folder.join(self.name))
    }

    /// Symbols are left out. Kubernetes takes its version from the linker and, without one, tells
    /// its clients that it is `v0.0.0`.
    fn link_flags(&self, pins: &Path) -> Result<String, Error> {
        let mut flags = "-s -w".to_owned();
        if self.package.starts_with(KUBERNETES) {
            let version = required(pins, KUBERNETES)?;
            let mut numbers = version.trim_start_matches('v').split('.');
            for (name, value) in [
                ("gitVersion", Some(version.as_str())),
                ("gitMajor", numbers.next()),
                ("gitMinor", numbers.next()),
            ] {
                let value = value.unwrap_or_default();
                flags.push_str(" -X k8s.io/component-base/version.");
                flags.extend([name, "=", value]);
            }
        }
        Ok(flags)
    }
}

/// The version of `package` that the `go.mod` at `pins` requires.
fn required(pins: &Path, package: &'static str) -> Result<String, Error> {
    let text = fs::read_to_string(pins).map_err(cache::Error::at(pins))?;
    text.lines()
        .find_map(|line| {
            line.trim().trim_start_matches("require ").strip_prefix(package)?.strip_prefix(' ')
        })
        .and_then(|rest| rest.split_whitespace().next())
        .map(str::to_owned)
        .ok_or_else(|| Error::NotPinned { module: pins.to_owned(), package })
}
