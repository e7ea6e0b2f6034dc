//! Where the operator plays: one API server for all tests, and for each a namespace, a NATS server
//! and an operator of its own that acts on nothing but its objects, with the chart's rights.
use std::{
    future::Future,
    path::PathBuf,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::watcher,
};
use parts::{Cluster, ClusterOptions, Nats, NatsOptions, Process, Program, Scratch};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use trellis::api::{Application, Lattice};

use super::{
    audit,
    installed::{Installed, install},
};
use crate::permissions::{REFUSED, documented};

/// Longer than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Which operator an object is for; every test has its own.
const CLASS: &str = "lattice.oam.dev/controller-class";

/// The Secret with the operator's NATS user.
pub(crate) const NATS_USER: &str = "nats";

/// The one API server. Its process ends with this one.
pub(crate) static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cluster = Cluster::start(ClusterOptions { audit: true, ..Default::default() }).unwrap();
    let crds = trellis::cli::crds::render().unwrap();
    cluster.kubectl(&["apply", "--server-side", "-f", "-"], Some(&crds)).unwrap();
    let wait = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"];
    cluster.kubectl(&wait, None).unwrap();
    cluster
});

/// A namespace, a lattice and an operator, all of one name.
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) nats: Nats,
    pub(crate) kube: Client,
    operator: Mutex<Option<Process>>,
    scratch: Scratch,
    arguments: Vec<String>,
    values: Vec<String>,
    installed: OnceCell<Installed>,
    may_be_refused: bool,
    like_deployed: bool,
}

impl Stage {
    /// Everything but the operator.
    pub(crate) async fn set(name: &str) -> Self {
        Self::set_with(name, "").await
    }

    /// As [`Stage::set`], with further lines of the NATS server's configuration.
    pub(crate) async fn set_with(name: &str, config: &str) -> Self {
        let name = name.to_owned();
        let (of, config) = (name.clone(), config.to_owned());
        let (nats, scratch) = tokio::task::spawn_blocking(move || {
            LazyLock::force(&CLUSTER);
            CLUSTER.kubectl(&["create", "namespace", &of], None).unwrap();
            let users = vec![documented()];
            let options = NatsOptions { users, config, ..NatsOptions::default() };
            (Nats::start(options).unwrap(), Scratch::new("operator").unwrap())
        })
        .await
        .unwrap();
        let kube = client().await;
        let stage = Self {
            name,
            nats,
            kube,
            operator: Mutex::default(),
            scratch,
            arguments: Vec::new(),
            values: Vec::new(),
            installed: OnceCell::new(),
            may_be_refused: false,
            like_deployed: false,
        };
        stage.put_nats_user().await;
        stage
    }

    /// The Secret that lets the operator into NATS, as a user who may do what is documented and
    /// no more. Hosts and tests come without one, and may do all.
    async fn put_nats_user(&self) {
        let user = documented();
        self.put(&json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": NATS_USER },
            "stringData": { "user": user.name, "password": user.password },
        }))
        .await;
    }

    /// With a `Lattice` for its NATS server, and an operator that is ready.
    pub(crate) async fn start(name: &str) -> Self {
        let stage = Self::set(name).await;
        stage.put_lattice(&json!({})).await;
        stage.start_operator().await;
        stage
    }

    /// Further arguments of `trellis run`.
    pub(crate) fn with_arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Values of the chart that this operator is installed with, as `key=JSON`.
    pub(crate) fn with_values(mut self, values: &[&str]) -> Self {
        self.values.extend(values.iter().map(|value| (*value).to_owned()));
        self
    }

    /// The only Secrets that the operator may read.
    pub(crate) fn with_secrets<T: AsRef<str>>(self, names: &[T]) -> Self {
        let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
        self.with_values(&[&format!("secrets={}", json!(names))])
    }

    /// The chart's first `Lattice` is ours.
    pub(crate) fn with_first_lattice(self) -> Self {
        let urls = json!([self.nats.url()]);
        let name = json!(self.name);
        let spec =
            json!({ "heartbeatInterval": "1s", "probeInterval": "500ms", "lossGrace": "3s" });
        self.with_values(&[
            "lattice.create=true",
            &format!("lattice.credentialsSecret={}", json!(NATS_USER)),
            &format!("lattice.name={name}"),
            &format!("lattice.urls={urls}"),
            &format!("lattice.spec={spec}"),
        ])
    }

    /// Creates what the chart makes of that.
    pub(crate) async fn put_first_lattice(&self) {
        let objects = &self.installed().await.objects;
        let lattice = objects.iter().find(|object| object["kind"] == "Lattice").unwrap();
        self.put(lattice).await;
    }

    /// The API server may refuse this operator something. No other's test passes then.
    pub(crate) fn may_be_refused(mut self) -> Self {
        self.may_be_refused = true;
        self
    }

    /// The operator runs with what the chart's Deployment sets.
    pub(crate) fn like_deployed(mut self) -> Self {
        self.like_deployed = true;
        self
    }

    /// The chart's release that the operator runs as.
    pub(crate) async fn installed(&self) -> &Installed {
        self.installed.get_or_init(|| self.upgrade()).await
    }

    /// Brings the release in line with the values.
    pub(crate) async fn upgrade(&self) -> Installed {
        let class = format!("controllerClass={}", json!(self.name));
        let secrets = format!("secrets={}", json!([NATS_USER]));
        let values: Vec<_> = [class, secrets].into_iter().chain(self.values.clone()).collect();
        install(&self.kube, &self.name, &values).await
    }

    /// Creates or changes the `Lattice`; `spec` is merged over what its NATS server needs.
    pub(crate) async fn put_lattice(&self, spec: &Value) {
        let mut whole = json!({
            "nats": {
                "urls": [self.nats.url()],
                "credentialsSecret": { "name": NATS_USER },
            },
            "heartbeatInterval": "1s",
            "probeInterval": "500ms",
            "lossGrace": "3s",
        });
        merge(&mut whole, spec);
        self.put(&json!({
            "apiVersion": "lattice.oam.dev/v1alpha1",
            "kind": "Lattice",
            "metadata": { "name": self.name },
            "spec": whole,
        }))
        .await;
    }

    /// Starts the operator and waits until it is ready.
    pub(crate) async fn start_operator(&self) {
        let before = self.log().matches(READY).count();
        let mut operator = self.spawn().await;
        let operator = tokio::task::spawn_blocking(move || {
            let ready = |operator: &mut Process| {
                (operator.log().matches(READY).count() > before).then_some(())
            };
            operator.wait_for("it was ready", PATIENCE, ready).unwrap();
            operator
        });
        *self.operator() = Some(operator.await.unwrap());
    }

    /// Starts the operator, and doesn't wait for anything.
    pub(crate) async fn launch_operator(&self) {
        let operator = self.spawn().await;
        *self.operator() = Some(operator);
    }

    async fn spawn(&self) -> Process {
        let (program, log) = (self.program().await, self.log_path());
        let spawned = tokio::task::spawn_blocking(move || Process::spawn(&program, &log).unwrap());
        spawned.await.unwrap()
    }

    /// The operator, to be started.
    pub(crate) async fn program(&self) -> Program {
        let runs = self.installed().await.runs(&self.kube, "Deployment").await;
        let kubeconfig = self.scratch.write("kubeconfig", runs.kubeconfig.to_string()).unwrap();
        let environment = runs.environment.iter().filter(|_| self.like_deployed);
        // Nothing that is simulated takes longer to start, and a new operator waits for it.
        let default = ["--start-deadline", "3s"];
        let given = self.arguments.iter().any(|argument| argument == default[0]);
        Program::new("trellis", env!("CARGO_BIN_EXE_trellis"))
            .args(["run", "--http-bind", "127.0.0.1:0"])
            .args(default.iter().filter(|_| !given))
            .args(["--controller-class", &self.name, "--namespace", &self.name])
            .args(["--log", "info,trellis=debug", "--log-format", "text"])
            .args(&self.arguments)
            .envs(environment.map(|(name, value)| (name, value)))
            .env("KUBECONFIG", kubeconfig)
    }

    /// A file of this stage's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn operator(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.operator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_path(&self) -> PathBuf {
        self.file("trellis.log")
    }

    /// Where the operator serves health and metrics.
    pub(crate) fn operator_url(&self) -> String {
        let log = std::fs::read_to_string(self.log_path()).unwrap();
        let line = log.lines().rev().find(|line| line.contains("serving health")).unwrap();
        let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap();
        format!("http://{address}")
    }

    /// `kill -9` of the operator.
    pub(crate) fn kill_operator(&self) {
        drop(self.operator().take());
    }

    /// SIGTERM; the operator's exit code.
    pub(crate) async fn stop_operator(&self) -> Option<i32> {
        let mut operator = self.operator().take().unwrap();
        tokio::task::spawn_blocking(move || operator.stop().unwrap()).await.unwrap().code()
    }

    /// What the operator has logged.
    pub(crate) fn stop_nats(&mut self) {
        tokio::task::block_in_place(|| self.nats.stop()).unwrap();
    }

    pub(crate) fn restart_nats(&mut self) {
        tokio::task::block_in_place(|| self.nats.restart()).unwrap();
    }

    /// Leaves connections open that nobody answers on.
    pub(crate) fn pause_nats(&self) {
        tokio::task::block_in_place(|| self.nats.pause()).unwrap();
    }

    pub(crate) fn resume_nats(&self) {
        tokio::task::block_in_place(|| self.nats.resume()).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Applies every document of `manifest`, for this operator and in this namespace.
    pub(crate) async fn apply(&self, manifest: &str) {
        let documents: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap();
        for document in documents {
            self.put(&document).await;
        }
    }

    /// Creates or replaces an object, for this operator.
    pub(crate) async fn put(&self, object: &Value) {
        self.try_put(object).await.unwrap();
    }

    /// As [`Stage::put`], for what the API server may refuse.
    pub(crate) async fn try_put(&self, object: &Value) -> kube::Result<DynamicObject> {
        self.try_put_for(&self.name, object).await
    }

    /// Creates or replaces an object in this namespace for the operator of another stage.
    pub(crate) async fn put_for(&self, other: &str, object: &Value) {
        self.try_put_for(other, object).await.unwrap();
    }

    async fn try_put_for(&self, operator: &str, object: &Value) -> kube::Result<DynamicObject> {
        let mut object = object.clone();
        object["metadata"]["annotations"][CLASS] = json!(operator);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let types = object.types.clone().unwrap();
        let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
        let api: Api<DynamicObject> = if types.kind == "Lattice" {
            Api::all_with(self.kube.clone(), &kind)
        } else {
            Api::namespaced_with(self.kube.clone(), &self.name, &kind)
        };
        let params = PatchParams::apply("test").force();
        api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await
    }

    pub(crate) fn applications(&self) -> Api<Application> {
        Api::namespaced(self.kube.clone(), &self.name)
    }

    /// Waits until the Application is what `holds` asks for.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&Application) -> bool,
    ) -> Application {
        self.wait(what, async {
            let mut seen = std::pin::pin!(watcher::watch_object(self.applications(), name));
            loop {
                if let Some(Ok(Some(app))) = seen.next().await
                    && holds(&app)
                {
                    return app;
                }
            }
        })
        .await
    }

    /// Waits until the Application runs as its present spec says, and nothing is left to remove.
    pub(crate) async fn settled(&self, name: &str) -> Application {
        self.until(name, "the Application to run", |app| {
            let status = app.status.as_ref();
            let is = |type_: &str, wanted: &str| {
                status.is_some_and(|status| {
                    status.conditions.iter().any(|condition| {
                        condition.type_ == type_
                            && format!("{:?}", condition.status) == wanted
                            && condition.observed_generation == app.metadata.generation
                    })
                })
            };
            is("Ready", "True") && is("Reconciling", "False")
        })
        .await
    }

    /// Waits until the `Lattice` is what `holds` asks for.
    pub(crate) async fn lattice_until(
        &self,
        what: &str,
        holds: impl Fn(&Lattice) -> bool,
    ) -> Lattice {
        self.wait(what, async {
            let api = Api::<Lattice>::all(self.kube.clone());
            let mut seen = std::pin::pin!(watcher::watch_object(api, &self.name));
            loop {
                if let Some(Ok(Some(lattice))) = seen.next().await
                    && holds(&lattice)
                {
                    return lattice;
                }
            }
        })
        .await
    }

    /// Deletes the Application and waits until it is gone.
    pub(crate) async fn delete(&self, name: &str) {
        self.applications().delete(name, &DeleteParams::default()).await.unwrap();
        self.gone(name).await;
    }

    /// Deletes the `Lattice` and waits until it is gone.
    pub(crate) async fn delete_lattice(&self) {
        let api = Api::<Lattice>::all(self.kube.clone());
        api.delete(&self.name, &DeleteParams::default()).await.unwrap();
        self.wait("the Lattice to be gone", async {
            let mut seen = std::pin::pin!(watcher::watch_object(api, &self.name));
            while !matches!(seen.next().await, Some(Ok(None))) {}
        })
        .await;
    }

    /// Waits until there is no such Application.
    pub(crate) async fn gone(&self, name: &str) {
        self.wait("the Application to be gone", async {
            let mut seen = std::pin::pin!(watcher::watch_object(self.applications(), name));
            while !matches!(seen.next().await, Some(Ok(None))) {}
        })
        .await;
    }

    /// Waits, but not for ever; the operator's log tells what went on instead.
    pub(crate) async fn wait<T>(&self, what: &str, waiting: impl Future<Output = T>) -> T {
        if let Ok(done) = tokio::time::timeout(PATIENCE, waiting).await {
            return done;
        }
        let apps = self.applications().list(&ListParams::default()).await.unwrap();
        let status: Vec<_> = apps.items.iter().map(|app| &app.status).collect();
        let status = serde_json::to_string_pretty(&status).unwrap();
        let refused = audit::refusals(&self.name, &self.name);
        let log = self.log();
        panic!("waited in vain for {what}; status: {status}\nrefused: {refused:?}\nlog:\n{log}")
    }
}

impl Drop for Stage {
    /// Whatever a test had the operator do, the API server and NATS have let it.
    fn drop(&mut self) {
        drop(self.operator().take());
        if std::thread::panicking() {
            return;
        }
        let refused = audit::refusals(&self.name, &self.name);
        assert!(
            refused.is_empty() || self.may_be_refused,
            "the chart grants too little: {refused:#?}"
        );
        let log = self.nats.log();
        let refused: Vec<_> = log.lines().filter(|line| line.contains(REFUSED)).collect();
        assert!(refused.is_empty(), "{}", refused.join("\n"));
    }
}

/// What the operator logs once it has listed everything.
pub(crate) const READY: &str = "trellis::controller::run: ready\n";

async fn client() -> Client {
    let kubeconfig = Kubeconfig::read_from(CLUSTER.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    Client::try_from(config).unwrap()
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
