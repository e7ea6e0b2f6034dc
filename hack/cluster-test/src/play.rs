//! The steps, each of which begins where the one before ended.

use std::path::PathBuf;

use crate::{
    failure::Failure,
    images::{self, Images},
    lattice::Lattice,
    operator::{self, Pod},
    site::{NAMESPACE, PATIENCE, SYSTEM, Site, eventually},
};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/trellis");
const APPLICATION: &str = "application.core.oam.dev/hello-world";
/// Everything that the chart makes carries it.
const RELEASE: &str = "app.kubernetes.io/instance=trellis";
/// What only the chart may leave behind: it says so.
const CRDS: [&str; 3] =
    ["applicationrevisions.core.oam.dev", "applications.core.oam.dev", "lattices.lattice.oam.dev"];

pub(crate) struct Play {
    site: Site,
    trellis: PathBuf,
    images: Option<Images>,
    lattice: Option<Lattice>,
    /// What a step wants to be read, after its line.
    notes: Vec<String>,
}

impl Play {
    pub(crate) fn new(site: Site, trellis: PathBuf) -> Self {
        Self { site, trellis, images: None, lattice: None, notes: Vec::new() }
    }

    /// Prints what the last step found worth reading.
    pub(crate) fn tell(&mut self) {
        for note in self.notes.drain(..) {
            println!("{}", note.trim_end());
        }
    }

    pub(crate) fn push_images(&mut self) -> Result<(), Failure> {
        let images = images::push(&self.site, &self.trellis)?;
        self.notes.push(format!("  uncompressed: {}", images.sizes.join(", ")));
        self.images = Some(images);
        Ok(())
    }

    pub(crate) fn install(&mut self) -> Result<(), Failure> {
        // Services come first, because only then their addresses are known.
        self.site.apply(include_str!("../manifests/namespaces.yaml"))?;
        let nats = self.site.address("nats")?;
        let (repository, tag) = split(&self.images()?.operator);
        let values = [
            format!("image.repository={repository}"),
            format!("image.tag={tag}"),
            "lattice.create=true".to_owned(),
            format!("lattice.urls[0]=nats://{nats}:4222"),
        ];
        let values = values.iter().flat_map(|value| ["--set", value]);
        let command = ["install", "trellis", CHART, "--namespace", SYSTEM];
        self.site.helm(&command.into_iter().chain(values).collect::<Vec<_>>())?;
        self.site.rolled_out(SYSTEM, "trellis")?;
        let ready = operator::pods(&self.site)?.iter().filter(|pod| pod.ready).count();
        if ready == 2 { Ok(()) } else { Err(Failure::Wrong(format!("{ready} Pods are ready"))) }
    }

    pub(crate) fn start_lattice(&mut self) -> Result<(), Failure> {
        let images = self.images()?;
        let nats = include_str!("../manifests/nats.yaml").replace("{nats-image}", &images.nats);
        let hosts = include_str!("../manifests/hosts.yaml")
            .replace("{host-image}", &images.host)
            .replace("{nats}", &self.site.address("nats")?)
            .replace("{registry}", self.site.plain_registry().unwrap_or("none"));
        self.site.apply(&nats)?;
        self.site.rolled_out(NAMESPACE, "nats")?;
        self.site.apply(&hosts)?;
        self.site.rolled_out(NAMESPACE, "wasmcloud-host")?;
        self.lattice = Some(Lattice::connect(&self.site.reach("nats", 4222)?)?);
        let hosts = format!("--for=jsonpath={{.status.hostCounts.ready}}={}", crate::HOSTS);
        self.site.wait(&["lattice/default", &hosts])
    }

    pub(crate) fn deploy(&mut self) -> Result<(), Failure> {
        self.greet("hello")?;
        let sent = self.lattice()?.commands()?;
        self.notes.push(format!("  commands: {}", sent.join(", ")));
        Ok(())
    }

    pub(crate) fn show(&mut self) -> Result<(), Failure> {
        let application = self.site.kubectl(&["get", "-n", NAMESPACE, APPLICATION])?;
        if !application.contains("running") {
            return Err(Failure::Wrong(format!("it isn't running:\n{application}")));
        }
        let objects = ["get", "pods,applications.core.oam.dev,lattices", "-A", "-o", "wide"];
        self.notes.push(self.site.kubectl(&objects)?);
        if self.site.is_own() {
            for pod in operator::pods(&self.site)? {
                self.notes.push(format!("memory of {}: {}", pod.name, pod.memory()?));
            }
        }
        Ok(())
    }

    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        let before = operator::pods(&self.site)?;
        self.site.kubectl(&["rollout", "restart", "deployment/trellis", "-n", SYSTEM])?;
        self.site.rolled_out(SYSTEM, "trellis")?;
        self.hands_over("good morning", |pod| before.iter().all(|old| old.name != pod.name))
    }

    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        let acting = operator::acting(&self.site)?;
        acting.kill(&self.site)?;
        eventually("the Pod that was killed ran again", || {
            let pods = operator::pods(&self.site).map_err(|error| parts::chain(&error))?;
            let again = |pod: &Pod| pod.name != acting.name || pod.restarts > acting.restarts;
            let whole = pods.len() == 2 && pods.iter().all(|pod| pod.ready && again(pod));
            whole.then_some(()).ok_or_else(|| "it doesn't yet".to_owned())
        })?;
        self.hands_over("good day", |_| true)
    }

    pub(crate) fn upgrade(&mut self) -> Result<(), Failure> {
        let before = operator::pods(&self.site)?;
        let command = ["upgrade", "trellis", CHART, "--namespace", SYSTEM, "--reuse-values"];
        let values = ["--set", "startDeadline=15s", "--set", "podLabels.upgraded=once"];
        self.site.helm(&[&command[..], &values].concat())?;
        self.site.rolled_out(SYSTEM, "trellis")?;
        self.hands_over("good evening", |pod| before.iter().all(|old| old.name != pod.name))
    }

    pub(crate) fn keep(&mut self) -> Result<(), Failure> {
        let command = ["uninstall", "trellis", "--namespace", SYSTEM];
        match self.site.helm(&command) {
            Err(Failure::Helm(refusal)) => {
                let said = parts::chain(&refusal);
                if !said.contains("hello-world") {
                    return Err(Failure::Wrong(format!("the Application isn't named: {said}")));
                }
            }
            Err(other) => return Err(other),
            Ok(_) => return Err(Failure::Wrong("nothing refused it".to_owned())),
        }
        self.quiet("uninstalling was refused")?;
        self.site.rolled_out(SYSTEM, "trellis")
    }

    pub(crate) fn delete(&mut self) -> Result<(), Failure> {
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        self.site.kubectl(&["delete", "-n", NAMESPACE, APPLICATION, &timeout])?;
        let sent = self.lattice()?.commands()?;
        self.notes.push(format!("  commands: {}", sent.join(", ")));
        let left = self.lattice()?.things()?;
        if left.is_empty() { Ok(()) } else { Err(Failure::Wrong(left.join("; "))) }
    }

    pub(crate) fn uninstall(&mut self) -> Result<(), Failure> {
        let timeout = format!("{}s", PATIENCE.as_secs());
        let command = ["uninstall", "trellis", "--namespace", SYSTEM, "--wait"];
        self.site.helm(&[&command[..], &["--timeout", &timeout]].concat())?;
        let kinds = "pods,deployments,replicasets,services,serviceaccounts,secrets,\
                     roles,rolebindings,clusterroles,clusterrolebindings,poddisruptionbudgets,\
                     validatingadmissionpolicies,lattices";
        let left = ["get", kinds, "-A", "-l", RELEASE, "-o=name"];
        eventually("everything of the chart was gone", || {
            let left = self.site.kubectl(&left).map_err(|error| parts::chain(&error))?;
            if left.is_empty() { Ok(()) } else { Err(left) }
        })?;
        // Kept, as the chart says, because deleting them would delete all Applications.
        let kept: Vec<_> = ["get", "crds", "-o=name"].iter().chain(&CRDS).copied().collect();
        self.site.kubectl(&kept)?;
        // Nothing with a finalizer of an operator that is no more may hold them.
        let gone: Vec<_> =
            ["delete", "crds", "--timeout=60s"].iter().chain(&CRDS).copied().collect();
        self.site.kubectl(&gone)?;
        self.site.kubectl(&["delete", "namespace", SYSTEM, NAMESPACE, "--timeout=60s"])?;
        Ok(())
    }

    /// Nothing was sent while one Pod handed over to another, which `is_new`; and that one acts.
    fn hands_over(&mut self, greeting: &str, is_new: impl Fn(&Pod) -> bool) -> Result<(), Failure> {
        let pod = eventually("a new Pod held the Lease", || {
            let pod = operator::acting(&self.site).map_err(|error| parts::chain(&error))?;
            if is_new(&pod) { Ok(pod) } else { Err(format!("{} holds it", pod.name)) }
        })?;
        self.quiet("the Pods changed")?;
        self.greet(greeting)?;
        let mut sent = self.lattice()?.commands()?;
        sent.dedup();
        if sent.is_empty() || sent.iter().any(|verb| verb != "config.put") {
            let (pod, sent) = (pod.name, sent.join(", "));
            return Err(Failure::Wrong(format!("for another greeting, {pod} sent [{sent}]")));
        }
        Ok(())
    }

    fn quiet(&mut self, while_: &str) -> Result<(), Failure> {
        let sent = self.lattice()?.commands()?;
        if sent.is_empty() {
            return Ok(());
        }
        Err(Failure::Wrong(format!("while {while_}, these were sent: {}", sent.join(", "))))
    }

    /// Gives the Application its greeting, and waits until all hosts say it.
    fn greet(&mut self, greeting: &str) -> Result<(), Failure> {
        let manifest = include_str!("../manifests/hello.yaml")
            .replace("{component}", &self.images()?.component)
            .replace("{greeting}", greeting);
        self.site.apply(&manifest)?;
        let expected = format!("{greeting} v1\n");
        // A Service leads to any of them.
        let mut said = 0;
        eventually("the Service led to the answer", || {
            let answer = self.site.http("hello");
            said = if answer.as_ref() == Some(&expected) { said + 1 } else { 0 };
            if said > 10 { Ok(()) } else { Err(format!("it answers {answer:?}")) }
        })?;
        self.site.wait(&["-n", NAMESPACE, APPLICATION, "--for=jsonpath={.status.status}=running"])
    }

    fn images(&self) -> Result<&Images, Failure> {
        self.images.as_ref().ok_or_else(|| Failure::Wrong("there are no images".to_owned()))
    }

    fn lattice(&mut self) -> Result<&mut Lattice, Failure> {
        self.lattice.as_mut().ok_or_else(|| Failure::Wrong("there is no lattice".to_owned()))
    }

    /// Prints what helps to understand a failure.
    pub(crate) fn explain(&self) {
        let questions: [&[&str]; 4] = [
            &["get", "pods,applications.core.oam.dev,lattices,leases", "-A", "-o", "wide"],
            &["get", "events", "-A", "--sort-by=.lastTimestamp"],
            &["logs", "-n", SYSTEM, "-l", RELEASE, "--tail=40", "--prefix"],
            &["logs", "-n", NAMESPACE, "--all-pods", "deployment/wasmcloud-host", "--tail=20"],
        ];
        for question in questions {
            let answer = self.site.kubectl(question);
            let answer = answer.unwrap_or_else(|error| parts::chain(&error));
            eprintln!("$ kubectl {}\n{answer}", question.join(" "));
        }
    }

    /// Takes out of the user's cluster what a failure left there. A node of our own just ends.
    pub(crate) fn leave(&self) {
        if self.site.is_own() {
            return;
        }
        let namespaced = ["delete", "-n", NAMESPACE, APPLICATION, "--ignore-not-found"];
        self.site.kubectl(&[&namespaced[..], &["--timeout=60s"]].concat()).ok();
        self.site.helm(&["uninstall", "trellis", "--namespace", SYSTEM, "--ignore-not-found"]).ok();
        let rest = ["delete", "--ignore-not-found", "--timeout=60s"];
        self.site.kubectl(&[&rest[..], &["crds"], &CRDS].concat()).ok();
        self.site.kubectl(&[&rest[..], &["namespace", SYSTEM, NAMESPACE]].concat()).ok();
    }
}

/// `REPOSITORY:TAG`, apart.
fn split(reference: &str) -> (&str, &str) {
    reference.rsplit_once(':').unwrap_or((reference, "latest"))
}
