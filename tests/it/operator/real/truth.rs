//! What a lattice really holds, read over its control protocol with nothing of the operator's.
use std::collections::{BTreeMap, BTreeSet};

use async_nats::Client;
use serde_json::{Value, json};

/// What every thing of ours has written on it, and nothing else.
const ANNOTATIONS: [&str; 8] = [
    "lattice.oam.dev/application",
    "lattice.oam.dev/component",
    "lattice.oam.dev/hash",
    "lattice.oam.dev/installation",
    "lattice.oam.dev/revision",
    "lattice.oam.dev/uid",
    "wasmcloud.dev/appspec",
    "wasmcloud.dev/managed-by",
];
const NOTHING: Value = Value::Null;

/// Reads a lattice.
pub(super) struct Truth {
    nats: Client,
    /// What generated ids begin with; a line says `~` instead.
    prefix: String,
    /// Where images are; lines leave it out.
    registry: String,
}

impl Truth {
    pub(super) async fn of(nats: &str, namespace: &str, registry: &str) -> Self {
        Self {
            nats: async_nats::connect(nats).await.unwrap(),
            prefix: format!("{}-", namespace.replace('-', "_")),
            registry: format!("{registry}/"),
        }
    }

    /// A line a component, provider, link and config, in order; `hosts` are names by id, and a host
    /// that doesn't answer is left out. A component's limit of memory stands behind its count. Such as
    ///
    /// ```text
    /// a: component ~shop-web = web:1 x4, of shop/web
    /// config ~shop-words {"greeting":"hi"}
    /// link ~shop-http -> ~shop-web wasi:http/incoming-handler [~shop-at-#] []
    /// ```
    ///
    /// `#` stands for the hash in the name of a link's config.
    pub(super) async fn lines<'h>(
        &self,
        hosts: impl IntoIterator<Item = (&'h str, &'h str)>,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, name) in hosts {
            let Some(answer) = self.ask(&format!("host.get.{id}")).await else { continue };
            let inventory = &answer["response"];
            lines.extend(inventory["components"].as_array().unwrap().iter().map(|component| {
                let count = &component["max_instances"];
                let limit = component["limits"]["max_memory_limit"].as_str();
                let limit = limit.map(|bytes| format!(" of {bytes} B")).unwrap_or_default();
                format!(
                    "{name}: component {} x{count}{limit}, {}",
                    what(component),
                    whose(component)
                )
            }));
            lines.extend(inventory["providers"].as_array().unwrap().iter().map(|provider| {
                format!("{name}: provider {}, {}", what(provider), whose(provider))
            }));
        }
        if let Some(answer) = self.ask("link.get").await {
            lines.extend(answer["response"].as_array().unwrap().iter().map(link));
        }
        for (name, values) in self.configs().await {
            lines.push(format!("config {} {values}", without_hash(&name)));
        }
        for line in &mut lines {
            *line = line.replace(&self.prefix, "~").replace(&self.registry, "");
        }
        lines.sort();
        lines
    }

    /// Every config that there is, with its values. Names come from the bucket that hosts keep
    /// them in, which remembers those that are gone as well; the values from a host.
    async fn configs(&self) -> BTreeMap<String, Value> {
        const BUCKET: &str = "CONFIGDATA_default";
        let subject = format!("$JS.API.STREAM.INFO.KV_{BUCKET}");
        let body = json!({ "subjects_filter": format!("$KV.{BUCKET}.>") });
        let answer = self.nats.request(subject, body.to_string().into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        let mut configs = BTreeMap::new();
        for subject in answer["state"]["subjects"].as_object().into_iter().flat_map(|s| s.keys()) {
            let name = subject.rsplit('.').next().unwrap();
            let answer = self.ask(&format!("config.get.{name}")).await;
            if let Some(values) = answer.as_ref().and_then(|answer| answer.get("response")) {
                configs.insert(name.to_owned(), values.clone());
            }
        }
        configs
    }

    /// Changes something behind the operator's back.
    pub(super) async fn interfere(&self, command: &str, body: &Value) {
        self.request(command, body.to_string()).await.unwrap();
    }

    /// The answer to a question; `None` where nobody is there to answer it.
    async fn ask(&self, rest: &str) -> Option<Value> {
        self.request(rest, String::new()).await
    }

    /// The answer to a request that must succeed; `None` where nobody is there to answer it.
    async fn request(&self, rest: &str, body: String) -> Option<Value> {
        let subject = format!("wasmbus.ctl.v1.default.{rest}");
        let answer = self.nats.request(subject, body.into()).await.ok()?;
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["success"], true, "{rest}: {answer}");
        Some(answer)
    }
}

fn what(thing: &Value) -> String {
    format!("{} = {}", thing["id"].as_str().unwrap(), thing["image_ref"].as_str().unwrap())
}

/// `of APPLICATION/COMPONENT` if it is marked as ours, exactly; else how it is marked.
fn whose(thing: &Value) -> String {
    let annotations = thing["annotations"].as_object().cloned().unwrap_or_default();
    let text = |key: &str| annotations.get(key).and_then(Value::as_str).unwrap_or_default();
    let app = text("wasmcloud.dev/appspec");
    let revision = text("lattice.oam.dev/revision").strip_prefix(app);
    let ours = annotations.keys().map(String::as_str).collect::<BTreeSet<_>>()
        == BTreeSet::from(ANNOTATIONS)
        && text("wasmcloud.dev/managed-by") == "trellis"
        && text("lattice.oam.dev/installation") == "trellis"
        && text("lattice.oam.dev/application").split_once('/').is_some_and(|(_, name)| name == app)
        && revision.and_then(|r| r.strip_prefix("-v")).is_some_and(|v| v.parse::<u32>().is_ok())
        && text("lattice.oam.dev/hash").split('.').count() == 3
        && text("lattice.oam.dev/uid").len() == 36;
    if ours {
        format!("of {app}/{}", text("lattice.oam.dev/component"))
    } else {
        format!("marked {}", Value::Object(annotations))
    }
}

fn link(link: &Value) -> String {
    let text = |key: &str| link[key].as_str().unwrap();
    let list = |key: &str| {
        let mut names: Vec<_> = link[key].as_array().unwrap().iter().map(without_hash_of).collect();
        if key == "interfaces" {
            names.sort();
        }
        names.join(",")
    };
    let name = match text("name") {
        "default" => String::new(),
        name => format!(" ({name})"),
    };
    format!(
        "link {} -> {} {}:{}/{}{name} [{}] [{}]",
        text("source_id"),
        text("target"),
        text("wit_namespace"),
        text("wit_package"),
        list("interfaces"),
        list("source_config"),
        list("target_config"),
    )
}

fn without_hash_of(name: &Value) -> String {
    without_hash(name.as_str().unwrap())
}

/// `a-b-1234abcd` → `a-b-#`.
fn without_hash(name: &str) -> String {
    match name.rsplit_once('-') {
        Some((stem, hash)) if hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            format!("{stem}-#")
        }
        _ => name.to_owned(),
    }
}

/// Commands that were sent on a lattice, by anybody, in order: what changes something.
pub(super) struct Commands(async_nats::Subscriber, Client);

impl Commands {
    pub(super) async fn record(nats: &str) -> Self {
        let client = async_nats::connect(nats).await.unwrap();
        let subscriber = client.subscribe("wasmbus.ctl.v1.default.>").await.unwrap();
        let mut commands = Self(subscriber, client);
        // Once a mark has come, everything does: `flush` is no round trip.
        commands.so_far().await;
        commands
    }

    /// Those that came since the last call: what each is about, such as `link.put`, and its body.
    pub(super) async fn so_far(&mut self) -> Vec<(String, Value)> {
        use futures::StreamExt;
        // What the server had before this comes before it.
        self.1.publish("wasmbus.ctl.v1.default.mark", "".into()).await.unwrap();
        let mut commands = Vec::new();
        loop {
            let message = self.0.next().await.unwrap();
            let verb = message.subject.strip_prefix("wasmbus.ctl.v1.default.").unwrap();
            if verb == "mark" {
                return commands;
            }
            let verb = verb.split('.').take(2).collect::<Vec<_>>().join(".");
            let reads = ["host.ping", "host.get", "link.get", "config.get", "claims.get"];
            if !reads.contains(&verb.as_str()) {
                let body = serde_json::from_slice(&message.payload).unwrap_or(NOTHING);
                commands.push((verb, body));
            }
        }
    }
}
