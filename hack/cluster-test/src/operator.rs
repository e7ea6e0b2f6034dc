//! The operator's Pods and, on a node of this test's own, their processes.

use std::{fs, path::Path};

use parts::toolchain;
use serde_json::Value;

use crate::{
    failure::Failure,
    site::{SYSTEM, Site, eventually},
};

pub(crate) struct Pod {
    pub(crate) name: String,
    uid: String,
    pub(crate) restarts: u64,
    pub(crate) ready: bool,
}

/// The operator's Pods.
pub(crate) fn pods(site: &Site) -> Result<Vec<Pod>, Failure> {
    let list = site.get(&["pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=trellis"])?;
    let items = list["items"].as_array().into_iter().flatten();
    Ok(items.map(Pod::of).collect())
}

/// Who acts.
pub(crate) struct Acting {
    /// Of the process: one that is started again in the same Pod has another.
    pub(crate) identity: String,
    pub(crate) pod: Pod,
}

/// Who holds the Lease, as soon as that is somebody `wanted`.
pub(crate) fn acting(site: &Site, wanted: impl Fn(&Acting) -> bool) -> Result<Acting, Failure> {
    eventually("the Pod that should act held the Lease", || {
        let holder = ["lease", "-n", SYSTEM, "trellis"];
        let lease = site.get(&holder).map_err(|error| parts::chain(&error))?;
        let identity = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        let pods = pods(site).map_err(|error| parts::chain(&error))?;
        pods.into_iter()
            .find(|pod| identity.starts_with(&pod.name))
            .map(|pod| Acting { identity: identity.clone(), pod })
            .filter(&wanted)
            .ok_or_else(|| format!("it is {identity:?} who holds it"))
    })
}

impl Pod {
    fn of(pod: &Value) -> Self {
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
        let container = &pod["status"]["containerStatuses"][0];
        Self {
            name: text("name"),
            uid: text("uid"),
            restarts: container["restartCount"].as_u64().unwrap_or_default(),
            ready: container["ready"] == true,
        }
    }

    /// SIGKILL: nothing of the operator's own gets to run any more. Elsewhere than on our own node,
    /// where its process can't be seen, the Pod is deleted without a grace period.
    pub(crate) fn kill(&self, site: &Site) -> Result<(), Failure> {
        if !site.is_own() {
            let pod = ["delete", "pod", "-n", SYSTEM, &self.name];
            let now = ["--grace-period=0", "--force"];
            site.kubectl(&[&pod[..], &now].concat())?;
            return Ok(());
        }
        let process = self.process()?;
        toolchain::run(std::process::Command::new("kill").args(["-KILL", &process]))?;
        Ok(())
    }

    /// How much memory its process takes.
    pub(crate) fn memory(&self) -> Result<String, Failure> {
        let status = Path::new("/proc").join(self.process()?).join("status");
        let text = read(&status)?;
        let resident = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let anonymous = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let [resident, anonymous] = [resident, anonymous].map(|size| size.unwrap_or("?").trim());
        Ok(format!("{resident} resident, {anonymous} of them its own"))
    }

    /// The id of the process `trellis` in one of the Pod's control groups.
    fn process(&self) -> Result<String, Failure> {
        let processes = Path::new("/proc");
        let entries = fs::read_dir(processes)?;
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            // A process may end while it is looked at.
            .find(|id| {
                let of =
                    |file| fs::read_to_string(processes.join(id).join(file)).unwrap_or_default();
                of("cgroup").contains(&self.uid) && of("comm").trim() == "trellis"
            })
            .ok_or_else(|| {
                Failure::Wrong(format!("no process of the Pod {} is to be seen", self.name))
            })
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::Unreadable { path: path.to_owned(), source })
}
