//! kubelet, which runs a node's Pods, and kube-proxy, which leads to them.

use std::path::Path;

use serde_json::json;

use super::{
    Error, NAME,
    namespaces::ADDRESS,
    runtime::{self, PODS},
};
use crate::{Cluster, Process, Program, Scratch, programs};

pub(super) fn start(scratch: &Scratch, cluster: &Cluster, cgroup: &Path) -> Result<Process, Error> {
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupRoot": cgroup,
        "cgroupDriver": "cgroupfs",
        // Old, but still what some machines have.
        "failCgroupV1": false,
        "containerRuntimeEndpoint": format!("unix://{}", runtime::socket(scratch).display()),
        "podLogsDir": scratch.folder("pod-logs")?,
        "volumePluginDir": scratch.folder("volume-plugins")?,
        // Nobody else reaches it.
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        "enforceNodeAllocatable": [],
        // There is no cluster DNS, and the machine's own is out of reach.
        "resolvConf": "",
        // How full the machine is elsewhere is none of our Pods' business.
        "evictionHard": {
            "imagefs.available": "0%",
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": false,
    });
    let program = Program::new("kubelet", programs::kubelet()?)
        .arg("--config")
        .arg(scratch.write("kubelet.json", config.to_string())?)
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .arg("--root-dir")
        .arg(scratch.folder("kubelet")?)
        .args(["--hostname-override", NAME, "--node-ip", &ADDRESS.to_string()])
        .envs(programs::node_tools()?.environment());
    Ok(Process::spawn(&program, &scratch.path().join("kubelet.log"))?)
}

pub(super) fn start_proxy(scratch: &Scratch, cluster: &Cluster) -> Result<Process, Error> {
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": { "kubeconfig": cluster.kubeconfig() },
        "clusterCIDR": PODS,
        "hostnameOverride": NAME,
        // The machine's own settings, which it could not change from in here.
        "conntrack": {
            "maxPerCore": 0,
            "tcpCloseWaitTimeout": "0s",
            "tcpEstablishedTimeout": "0s",
        },
    });
    let program = Program::new("kube-proxy", programs::kube_proxy()?)
        .arg("--config")
        .arg(scratch.write("proxy.json", config.to_string())?)
        .envs(programs::node_tools()?.environment());
    Ok(Process::spawn(&program, &scratch.path().join("proxy.log"))?)
}
