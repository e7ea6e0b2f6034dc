//! containerd, and how it connects Pods.

use std::{path::Path, time::Duration};

use serde_json::json;

use super::Error;
use crate::{Process, Program, Scratch, programs};

/// An idle machine takes half a second.
const START: Duration = Duration::from_secs(30);
/// Which addresses Pods get.
pub(super) const PODS: &str = "10.244.0.0/24";

/// Where kubelet finds it, in a node's folder.
pub(super) fn socket(scratch: &Scratch) -> std::path::PathBuf {
    scratch.path().join("containerd.sock")
}

/// Starts containerd, which pulls from `registry` without TLS and holds a Pod's namespaces with
/// the image `pause`.
pub(super) fn start(scratch: &Scratch, registry: &str, pause: &str) -> Result<Process, Error> {
    let tools = programs::node_tools()?;
    let network = scratch.folder("cni")?;
    std::fs::write(network.join("10-pods.conflist"), pod_network(scratch).to_string())?;
    let hosts = scratch.folder(&format!("registries/{registry}"))?;
    let plain = format!("[host.\"http://{registry}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
    std::fs::write(hosts.join("hosts.toml"), plain)?;
    let plugins = tools.path("host-local");
    let config = config(scratch, plugins.parent().unwrap_or(Path::new("/")), pause);
    let program = Program::new("containerd", tools.path("containerd"))
        .arg("--config")
        .arg(scratch.write("containerd.toml", config)?)
        .envs(tools.environment());
    let mut containerd = Process::spawn(&program, &scratch.path().join("containerd.log"))?;
    // kubelet ends at once if nothing answers there.
    containerd.wait_for("it served", START, |_| {
        std::os::unix::net::UnixStream::connect(socket(scratch)).ok()
    })?;
    Ok(containerd)
}

fn config(scratch: &Scratch, plugins: &Path, pause: &str) -> String {
    let folder = scratch.path().display();
    let socket = socket(scratch);
    let (socket, plugins) = (socket.display(), plugins.display());
    format!(
        r#"version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  # Machines that may not make the kernel spare a process let runc fail otherwise.
  restrict_oom_score_adj = true
  sandbox_image = "{pause}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder}/registries"
"#
    )
}

/// Every Pod has a link of its own to the node. On a bridge, an answer would go from Pod to Pod past
/// the node, which alone knows for which Service it was asked.
fn pod_network(scratch: &Scratch) -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "dataDir": scratch.path().join("addresses"),
                "ranges": [[{ "subnet": PODS }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
}
