//! The steps, each of which begins where the one before ended.

use std::{collections::BTreeSet, path::PathBuf};

use parts::{Stopwatch, chain};

use crate::{
    failure::Failure,
    images::{self, Images},
    lattice::Lattice,
    operator::{self, Acting, Pod},
    site::{NAMESPACE, PATIENCE, SYSTEM, Site, eventually},
};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/trellis");
/// How many operators the chart runs.
const REPLICAS: usize = 2;
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
    /// The cluster's objects before anything was installed.
    before: BTreeSet<String>,
    /// What a step wants to be read, after its line.
    notes: Vec<String>,
}

impl Play {
    pub(crate) fn new(site: Site, trellis: PathBuf) -> Self {
        Self {
            site,
            trellis,
            images: None,
            lattice: None,
            before: BTreeSet::new(),
            notes: Vec::new(),
        }
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
        self.site.kubectl(&[
            "wait",
            "--for=create",
            "-n",
            SYSTEM,
            "serviceaccount/default",
            "configmap/kube-root-ca.crt",
        ])?;
        self.before = self.objects()?;
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
        if ready == REPLICAS { Ok(()) } else { Err(Failure::Wrong(format!("{ready} are ready"))) }
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
        // A Service leads to its Pods a little later than they are ready.
        let address = self.site.reach("nats", 4222)?;
        let connect = || Lattice::connect(&address).map_err(|error| chain(&error));
        self.lattice = Some(eventually("the lattice's NATS server was reached", connect)?);
        let hosts = format!("--for=jsonpath={{.status.hostCounts.ready}}={}", crate::HOSTS);
        self.site.wait(&["lattice/default", &hosts])
    }

    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        let timeout = format!("{}s", PATIENCE.as_secs());
        self.site.helm(&["test", "trellis", "--namespace", SYSTEM, "--timeout", &timeout])?;
        Ok(())
    }

    pub(crate) fn deploy(&mut self) -> Result<(), Failure> {
        self.greet("hello")?;
        // Each once a host, or once: two operators that act would send them twice.
        let expected = [
            ["component.scale", "component.scale", "config.put", "config.put"].as_slice(),
            &["link.put", "provider.start", "provider.start"],
        ];
        self.sent("it was deployed", &expected.concat())
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
        self.hands_over("good morning", |now| before.iter().all(|old| old.name != now.pod.name))
    }

    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        let killed = operator::acting(&self.site, |_| true)?;
        killed.pod.kill(&self.site)?;
        let watch = Stopwatch::start();
        let next = operator::acting(&self.site, |now| now.identity != killed.identity)?;
        let seconds = watch.elapsed().as_secs_f64();
        self.notes.push(format!("  {} took over after {seconds:.1} s", next.pod.name));
        eventually("the Pod that was killed ran again", || {
            let pods = operator::pods(&self.site).map_err(|error| parts::chain(&error))?;
            let Pod { name, restarts, .. } = &killed.pod;
            let again = |pod: &Pod| pod.name != *name || pod.restarts > *restarts;
            let whole = pods.len() == REPLICAS && pods.iter().all(|pod| pod.ready && again(pod));
            whole.then_some(()).ok_or_else(|| "it doesn't yet".to_owned())
        })?;
        self.hands_over("good day", |now| now.identity == next.identity)
    }

    pub(crate) fn upgrade(&mut self) -> Result<(), Failure> {
        let before = operator::pods(&self.site)?;
        let command = ["upgrade", "trellis", CHART, "--namespace", SYSTEM, "--reuse-values"];
        let values = ["--set", "startDeadline=15s", "--set", "podLabels.upgraded=once"];
        self.site.helm(&[&command[..], &values].concat())?;
        self.site.rolled_out(SYSTEM, "trellis")?;
        self.hands_over("good evening", |now| before.iter().all(|old| old.name != now.pod.name))
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
        // Installed and upgraded: this was the second.
        self.site.helm(&["rollback", "trellis", "2", "--namespace", SYSTEM])?;
        let again = ["upgrade", "trellis", CHART, "--namespace", SYSTEM, "--reuse-values"];
        self.site.helm(&again)?;
        self.sent("uninstalling was refused", &[])?;
        self.site.rolled_out(SYSTEM, "trellis")
    }

    pub(crate) fn delete(&mut self) -> Result<(), Failure> {
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        self.site.kubectl(&["delete", "-n", NAMESPACE, APPLICATION, &timeout])?;
        let expected = [
            ["component.scale", "component.scale", "config.del", "config.del"].as_slice(),
            &["link.del", "provider.stop", "provider.stop"],
        ];
        self.sent("it was deleted", &expected.concat())?;
        let left = self.lattice()?.things()?;
        if left.is_empty() { Ok(()) } else { Err(Failure::Wrong(left.join("; "))) }
    }

    pub(crate) fn uninstall(&mut self) -> Result<(), Failure> {
        let timeout = format!("{}s", PATIENCE.as_secs());
        let command = ["uninstall", "trellis", "--namespace", SYSTEM, "--wait"];
        self.site.helm(&[&command[..], &["--timeout", &timeout]].concat())?;
        let before = self.before.clone();
        eventually("everything of the release was gone", || {
            let now = self.objects().map_err(|error| parts::chain(&error))?;
            let left: Vec<_> = now.difference(&before).map(String::as_str).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("left is {}", left.join(" "))) }
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

    /// Nothing was sent while one Pod handed over `to` another, and that one acts.
    fn hands_over(&mut self, greeting: &str, to: impl Fn(&Acting) -> bool) -> Result<(), Failure> {
        let pod = operator::acting(&self.site, to)?.pod;
        self.sent("the Pods changed", &[])?;
        self.greet(greeting)?;
        self.sent(&format!("{} gave it another greeting", pod.name), &["config.put"])
    }

    /// Exactly these commands were sent since this was last asked, in whatever order.
    fn sent(&mut self, while_: &str, expected: &[&str]) -> Result<(), Failure> {
        let mut sent = self.lattice()?.commands()?;
        sent.sort();
        if sent == expected {
            return Ok(());
        }
        let (sent, expected) = (sent.join(", "), expected.join(", "));
        Err(Failure::Wrong(format!("while {while_}, [{sent}] was sent instead of [{expected}]")))
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

    /// The names of everything in the operator's namespace, and of what is the whole cluster's and
    /// has to do with Trellis; but not its CRDs, which have a rule of their own, with the API that
    /// they make.
    fn objects(&self) -> Result<BTreeSet<String>, Failure> {
        let kinds = |namespaced: &str| {
            let kinds = ["api-resources", "--verbs=list", "-o=name", namespaced];
            let kinds = self.site.kubectl(&kinds)?;
            // What happened is no object that is left.
            let kinds = kinds.lines().filter(|kind| !kind.starts_with("events"));
            Ok::<_, Failure>(kinds.collect::<Vec<_>>().join(","))
        };
        let inside = ["get", &kinds("--namespaced=true")?, "-n", SYSTEM, "-o=name"];
        let inside = self.site.kubectl(&inside)?;
        let outside = ["get", &kinds("--namespaced=false")?, "-o=name"];
        let outside = self.site.kubectl(&outside)?;
        let outside =
            outside.lines().filter(|name| name.contains("trellis") || name.contains("oam.dev"));
        let stays = ["customresourcedefinition", "apiservice"];
        let objects = inside.lines().chain(outside);
        let objects = objects.filter(|name| !stays.iter().any(|kind| name.starts_with(kind)));
        Ok(objects.map(str::to_owned).collect())
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
