//! An API server in a few lines: as much of one as the operator uses.
//!
//! It keeps objects with versions that grow, refuses what was decided on an older one, keeps status
//! apart from the rest, waits for finalizers, takes dependents away with their owner, and tells watches
//! everything in order.
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Method, Request, Response, StatusCode},
};
use bytes::Bytes;
use kube::Client;
use serde_json::{Map, Value, json};
use tokio::{sync::watch, time::sleep};
use tower::service_fn;

/// Clones are the same one.
#[derive(Clone)]
pub struct Cluster(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    grown: watch::Sender<()>,
}

type Teller = Box<dyn FnMut(&str) + Send>;
type Judge = Box<dyn FnMut(&Method, &str) -> Verdict + Send>;

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Value>,
    /// Every change, by the version that it made.
    history: Vec<(u64, &'static str, Key, Value)>,
    version: u64,
    uids: u64,
    judge: Option<Judge>,
    told: Option<Teller>,
}

/// Plural, namespace, name.
type Key = (String, String, String);

/// What becomes of a request that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// It isn't carried out.
    Refuse,
    /// It is carried out, and who asked doesn't hear of it.
    LoseAnswer,
}

/// Between a request and its answer, and between a change and its news.
const TAKES: Duration = Duration::from_millis(2);
/// Clocks of simulations begin here, and no deadline by the API server's clock is ever over.
const CREATED: u64 = 1_700_000_000;
const DELETED: &str = "2100-01-01T00:00:00Z";

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Cluster {
    #[must_use]
    pub fn new() -> Self {
        let (grown, _) = watch::channel(());
        Self(Arc::new(Shared { state: Mutex::default(), grown }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client of one process; it hears and says nothing any more once `lives` is false.
    #[must_use]
    pub fn client(&self, lives: watch::Receiver<bool>) -> Client {
        let cluster = self.clone();
        let service = service_fn(move |request: Request<kube::client::Body>| {
            let (cluster, mut lives) = (cluster.clone(), lives.clone());
            async move {
                let answered = tokio::select! {
                    biased;
                    // Its sender may be gone with the process.
                    _ = lives.wait_for(|lives| !lives) => None,
                    response = cluster.serve(request) => Some(response),
                };
                match answered {
                    Some(response) => Ok::<_, Infallible>(response),
                    None => std::future::pending().await,
                }
            }
        });
        Client::new(service, "default")
    }

    /// Has every request that changes something judged.
    pub fn judge(&self, judge: impl FnMut(&Method, &str) -> Verdict + Send + 'static) {
        self.lock().judge = Some(Box::new(judge));
    }

    /// Has every change told that is worth a line.
    pub fn tell(&self, told: impl FnMut(&str) + Send + 'static) {
        self.lock().told = Some(Box::new(told));
    }

    /// The version of the last change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    #[must_use]
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        self.lock().objects.get(&key(plural, namespace, name)).cloned()
    }

    /// All objects of a kind.
    #[must_use]
    pub fn all(&self, plural: &str) -> Vec<Value> {
        let state = self.lock();
        let objects = state.objects.iter().filter(|((of, ..), _)| of == plural);
        objects.map(|(_, object)| object.clone()).collect()
    }

    /// Creates an object, or changes all of it but its status, as somebody who applies it does.
    pub fn apply(&self, plural: &str, object: &Value) {
        let mut state = self.lock();
        let place = key(plural, text(object, "namespace"), text(object, "name"));
        match state.objects.get(&place).cloned() {
            None => drop(state.create(&place, object.clone())),
            Some(old) => {
                let mut new = old.clone();
                new["spec"] = object["spec"].clone();
                for field in ["labels", "annotations"] {
                    new["metadata"][field] = object["metadata"][field].clone();
                }
                state.update(&place, &old, new);
            }
        }
        drop(state);
        self.0.grown.send_replace(());
    }

    /// What has changed after a version, in words.
    #[must_use]
    pub fn changes_since(&self, version: u64) -> Vec<String> {
        let state = self.lock();
        let at = state.history.partition_point(|(of, ..)| *of <= version);
        let (earlier, since) = state.history.split_at(at);
        let mut known: BTreeMap<&Key, &Value> =
            earlier.iter().map(|(_, _, key, object)| (key, object)).collect();
        let mut said = Vec::new();
        for (_, kind, key, object) in since {
            let old = known.insert(key, object).unwrap_or(&Value::Null);
            let diff = serde_json::to_string(&json_patch::diff(old, object)).unwrap_or_default();
            said.push(format!("{kind} {} {}: {diff}", key.0, key.2));
        }
        said
    }

    /// Asks for an object to go.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) {
        self.lock().delete(&key(plural, namespace, name));
        self.0.grown.send_replace(());
    }

    async fn serve(&self, request: Request<kube::client::Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap_or_default();
        sleep(TAKES).await;
        let query: BTreeMap<String, String> =
            parts.uri.query().unwrap_or_default().split('&').filter_map(pair).collect();
        let Some(path) = Path::parse(parts.uri.path()) else {
            return refused(StatusCode::NOT_FOUND, "NotFound", "no such path");
        };
        if parts.method == Method::GET {
            return self.read(&path, &query);
        }
        let verdict = {
            let mut state = self.lock();
            let judge = state.judge.as_mut();
            judge.map_or(Verdict::Pass, |judge| judge(&parts.method, parts.uri.path()))
        };
        if verdict == Verdict::Refuse {
            return refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "out of order");
        }
        let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok());
        let response = self.write(&parts.method, &path, kind.unwrap_or_default(), &body);
        self.0.grown.send_replace(());
        sleep(TAKES).await;
        match verdict {
            Verdict::Pass | Verdict::Refuse => response,
            Verdict::LoseAnswer => {
                refused(StatusCode::GATEWAY_TIMEOUT, "Timeout", "the answer was lost")
            }
        }
    }

    fn read(&self, path: &Path, query: &BTreeMap<String, String>) -> Response<Body> {
        let state = self.lock();
        if let Some(name) = &path.name {
            return match state.objects.get(&key(&path.plural, &path.namespace, name)) {
                Some(object) => found(object),
                None => refused(StatusCode::NOT_FOUND, "NotFound", "not found"),
            };
        }
        if query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
            let from = query.get("resourceVersion").and_then(|version| version.parse().ok());
            drop(state);
            return self.watch(path, from.unwrap_or_default());
        }
        let items: Vec<_> = state
            .objects
            .iter()
            .filter(|(key, _)| path.covers(key))
            .map(|(_, object)| object.clone())
            .collect();
        let kind = items.first().map_or(Value::Null, |item| item["kind"].clone());
        found(&json!({
            "kind": format!("{}List", kind.as_str().unwrap_or("Object")),
            "apiVersion": path.version,
            "metadata": { "resourceVersion": state.version.to_string() },
            "items": items,
        }))
    }

    /// Everything that changes after version `from`.
    fn watch(&self, path: &Path, from: u64) -> Response<Body> {
        let at = self.lock().history.partition_point(|(version, ..)| *version <= from);
        let place = (self.clone(), path.clone(), at, self.0.grown.subscribe());
        let events =
            futures::stream::unfold(place, |(cluster, path, mut at, mut grown)| async move {
                loop {
                    grown.mark_unchanged();
                    let next = {
                        let state = cluster.lock();
                        let news = state.history.iter().enumerate().skip(at);
                        let mut ours = news.filter(|(_, (_, _, key, _))| path.covers(key));
                        ours.next().map(|(index, (_, kind, _, object))| {
                            (index, json!({ "type": kind, "object": object }))
                        })
                    };
                    if let Some((index, event)) = next {
                        at = index + 1;
                        sleep(TAKES).await;
                        let line = Bytes::from(format!("{event}\n"));
                        return Some((Ok::<_, Infallible>(line), (cluster, path, at, grown)));
                    }
                    at = at.max(cluster.lock().history.len());
                    // The sender lives as long as the cluster.
                    grown.changed().await.ok()?;
                }
            });
        Response::new(Body::from_stream(events))
    }

    fn write(&self, method: &Method, path: &Path, kind: &str, body: &Bytes) -> Response<Body> {
        if path.plural == "events" {
            return Response::new(Body::from(body.clone()));
        }
        let mut state = self.lock();
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let name = path.name.as_deref().unwrap_or_else(|| text(&asked, "name"));
        let place = key(&path.plural, &path.namespace, name);
        let old = state.objects.get(&place).cloned();
        if *method == Method::POST {
            if old.is_some() {
                return refused(StatusCode::CONFLICT, "AlreadyExists", "there is one");
            }
            let mut object = asked;
            object["metadata"]["namespace"] = path.namespace.as_str().into();
            if let Some(object) = object.as_object_mut() {
                object.remove("status");
            }
            return found(&state.create(&place, object));
        }
        let Some(old) = old else {
            return refused(StatusCode::NOT_FOUND, "NotFound", "not found");
        };
        if *method == Method::DELETE {
            state.delete(&place);
            return found(&old);
        }
        let wanted = match (method.as_str(), kind) {
            ("PUT", _) => asked,
            ("PATCH", "application/merge-patch+json") => {
                let mut new = old.clone();
                json_patch::merge(&mut new, &asked);
                new
            }
            ("PATCH", "application/json-patch+json") => match patched(&old, asked) {
                Some(new) => new,
                None => {
                    return refused(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", "no such value");
                }
            },
            (method, kind) => {
                let message = format!("{method} of {kind} isn't known here");
                return refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &message);
            }
        };
        let decided_on = &wanted["metadata"]["resourceVersion"];
        if !decided_on.is_null() && *decided_on != old["metadata"]["resourceVersion"] {
            return refused(StatusCode::CONFLICT, "Conflict", "the object has been changed");
        }
        let mut new = old.clone();
        if path.status {
            new["status"] = wanted["status"].clone();
        } else {
            let status = old["status"].clone();
            new = wanted;
            new["status"] = status;
        }
        found(&state.update(&place, &old, new))
    }
}

/// What a JSON patch makes of an object. As in a real API server, what isn't there is null to a test.
fn patched(old: &Value, mut operations: Value) -> Option<Value> {
    let absent = |operation: &Value| {
        let path = operation["path"].as_str().unwrap_or_default();
        operation["op"] == "test" && operation["value"].is_null() && old.pointer(path).is_none()
    };
    operations.as_array_mut()?.retain(|operation| !absent(operation));
    let patch: json_patch::Patch = serde_json::from_value(operations).ok()?;
    let mut new = old.clone();
    json_patch::patch(&mut new, &patch).ok().map(|()| new)
}

impl State {
    fn changed(&mut self, kind: &'static str, place: &Key, object: &mut Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.history.push((self.version, kind, place.clone(), object.clone()));
    }

    fn create(&mut self, place: &Key, mut object: Value) -> Value {
        self.uids += 1;
        let metadata = &mut object["metadata"];
        metadata["uid"] = format!("uid-{}", self.uids).into();
        metadata["generation"] = 1.into();
        metadata["creationTimestamp"] = time(CREATED + self.uids).into();
        self.changed("ADDED", place, &mut object);
        self.objects.insert(place.clone(), object.clone());
        object
    }

    fn update(&mut self, place: &Key, old: &Value, mut new: Value) -> Value {
        if *old == new {
            return new;
        }
        if old["spec"] != new["spec"] {
            let generation = old["metadata"]["generation"].as_u64().unwrap_or_default();
            new["metadata"]["generation"] = (generation + 1).into();
        }
        self.say(place, old, &new);
        if !new["metadata"]["deletionTimestamp"].is_null() && is_empty(&new) {
            self.remove(place, new.clone());
            return new;
        }
        self.changed("MODIFIED", place, &mut new);
        self.objects.insert(place.clone(), new.clone());
        new
    }

    fn delete(&mut self, place: &Key) {
        let Some(old) = self.objects.get(place).cloned() else { return };
        if is_empty(&old) {
            return self.remove(place, old);
        }
        if old["metadata"]["deletionTimestamp"].is_null() {
            let mut new = old.clone();
            new["metadata"]["deletionTimestamp"] = DELETED.into();
            self.update(place, &old, new);
        }
    }

    fn remove(&mut self, place: &Key, mut object: Value) {
        self.objects.remove(place);
        self.changed("DELETED", place, &mut object);
        if let Some(told) = &mut self.told {
            told(&format!("{} {} is gone", place.0, place.2));
        }
        let uid = &object["metadata"]["uid"];
        let owned = |dependent: &Value| {
            let owners = dependent["metadata"]["ownerReferences"].as_array();
            owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == *uid))
        };
        let dependents: Vec<_> = self
            .objects
            .iter()
            .filter(|(_, dependent)| owned(dependent))
            .map(|(key, _)| key.clone())
            .collect();
        for dependent in dependents {
            self.delete(&dependent);
        }
    }

    /// A line for a status that has another phase or another reason than before.
    fn say(&mut self, place: &Key, old: &Value, new: &Value) {
        let Some(told) = &mut self.told else { return };
        let (before, after) = (told_of(old), told_of(new));
        if place.0 != "applicationrevisions" && before != after && !after.is_empty() {
            told(&format!("{} is {after}", place.2));
        }
    }
}

/// What an object's status says, in a few words.
#[must_use]
pub fn told_of(object: &Value) -> String {
    let status = &object["status"];
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |name: &str| conditions.iter().find(|condition| condition["type"] == *name);
    let reason = |name: &str| {
        let condition = of(name)?;
        let value = condition["status"].as_str()?;
        Some(format!("{name}={value} ({})", condition["reason"].as_str().unwrap_or_default()))
    };
    let stalled = of("Stalled").filter(|condition| condition["status"] == "True");
    let parts = [
        status["status"].as_str().map(str::to_owned),
        reason("Ready"),
        stalled.and_then(|_| reason("Stalled")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn is_empty(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
}

fn key(plural: &str, namespace: &str, name: &str) -> Key {
    (plural.to_owned(), namespace.to_owned(), name.to_owned())
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// RFC 3339 of a time within one day of the start.
fn time(seconds: u64) -> String {
    let since = seconds - CREATED;
    format!("2026-01-01T{:02}:{:02}:{:02}Z", since / 3600 % 24, since / 60 % 60, since % 60)
}

fn pair(text: &str) -> Option<(String, String)> {
    text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// `/apis/{group}/{version}/[namespaces/{namespace}/]{plural}[/{name}[/status]]`, or `/api/v1/…`.
#[derive(Debug, Clone)]
struct Path {
    version: String,
    namespace: String,
    plural: String,
    name: Option<String>,
    status: bool,
}

impl Path {
    fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/');
        let version = match parts.next()? {
            "api" => parts.next()?.to_owned(),
            "apis" => format!("{}/{}", parts.next()?, parts.next()?),
            _ => return None,
        };
        let rest: Vec<&str> = parts.collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (plural, name, status) = match rest {
            [plural] => (*plural, None, false),
            [plural, name] => (*plural, Some((*name).to_owned()), false),
            [plural, name, "status"] => (*plural, Some((*name).to_owned()), true),
            _ => return None,
        };
        let (namespace, plural) = (namespace.to_owned(), plural.to_owned());
        Some(Self { version, namespace, plural, name, status })
    }

    fn covers(&self, (plural, namespace, _): &Key) -> bool {
        *plural == self.plural && (self.namespace.is_empty() || self.namespace == *namespace)
    }
}

fn found(object: &Value) -> Response<Body> {
    Response::new(Body::from(object.to_string()))
}

fn refused(code: StatusCode, reason: &str, message: &str) -> Response<Body> {
    let status = Map::from_iter([
        ("kind".to_owned(), json!("Status")),
        ("apiVersion".to_owned(), json!("v1")),
        ("status".to_owned(), json!("Failure")),
        ("message".to_owned(), json!(message)),
        ("reason".to_owned(), json!(reason)),
        ("code".to_owned(), json!(code.as_u16())),
    ]);
    let mut response = found(&Value::Object(status));
    *response.status_mut() = code;
    response
}
