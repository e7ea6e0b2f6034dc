//! Providers: start, stop, auction, health.

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::claims::name_of;
use crate::dispatch::Answer;
use crate::host::{Cx, EffectiveLink, ProviderHealth, ProviderView};
use crate::image::{BadImage, Pulled};
use crate::rng::Rng;
use crate::verb::Verb;
use crate::wire::{self, Map, Reply, StartProvider, StopProvider};
use crate::{ids, lock};

/// Bids, unless the id runs here.
pub(crate) async fn auction(cx: &Cx, payload: &[u8]) -> Answer {
    let ask: wire::ProviderAuction = match wire::read(payload, "provider auction command") {
        Ok(ask) => ask,
        Err(refusal) => return refusal.into(),
    };
    let _providers = cx.host.providers_lock.read().await;
    let bids = cx.host.options.provider_auction
        && cx.host.with(|state| {
            ask.constraints.iter().all(|(key, value)| state.labels.get(key) == Some(value))
                && !state.providers.contains_key(&ask.provider_id)
        });
    if !bids {
        return Answer::default();
    }
    Reply::with(json!({
        "host_id": cx.host.id,
        "provider_ref": ask.provider_ref,
        "provider_id": ask.provider_id,
        "constraints": ask.constraints,
    }))
    .into()
}

/// The name of a builtin provider, as `http-server`.
fn builtin(image: &str) -> Option<&str> {
    image.strip_prefix("wasmcloud+builtin://")
}

/// A ref as events and inventory repeat it (T9).
fn shown(image: &str) -> &str {
    let schemes = ["wasmcloud+builtin://", "file://", "oci://", "http://", "https://"];
    schemes.iter().find_map(|scheme| image.strip_prefix(scheme)).unwrap_or(image)
}

/// Acknowledges at once ("successfully started"), unless the id runs. A builtin the host hasn't got is
/// not answered at all.
pub(crate) async fn start(cx: &Cx, payload: &[u8]) -> Answer {
    let ask: StartProvider = match wire::read(payload, "provider start command") {
        Ok(ask) => ask,
        Err(refusal) => return refusal.into(),
    };
    let runs = {
        let _providers = cx.host.providers_lock.read().await;
        cx.host.with(|state| state.providers.contains_key(&ask.provider_id))
    };
    if runs {
        return Reply::refused("provider with that ID is already running").into();
    }
    let silent = ["http-server", "messaging-nats"];
    if builtin(&ask.provider_ref)
        .is_some_and(|name| silent.contains(&name) && !cx.host.options.builtins.contains(name))
    {
        return Answer::default();
    }
    let cx = cx.clone();
    Answer::then(Reply::done("successfully started provider"), async move {
        if let Err(error) = carry_out(&cx, &ask).await {
            let failed = json!({
                "provider_ref": ask.provider_ref,
                "provider_id": ask.provider_id,
                "host_id": ask.host_id,
                "error": error,
                "link_name": "default",
            });
            cx.emit("provider_start_failed", failed).await;
        }
    })
}

/// Everything of a start that comes after its answer.
async fn carry_out(cx: &Cx, ask: &StartProvider) -> Result<(), String> {
    let (id, image) = (&ask.provider_id, &ask.provider_ref);
    let claims = match builtin(image) {
        Some(_) => None,
        None => Some(fetch(cx, image).await?),
    };
    cx.start_faults(id, Verb::ProviderStart).await?;
    cx.rewrite_record(id, shown(image)).await;
    let providers = cx.host.providers_lock.write().await;
    if cx.host.with(|state| state.providers.contains_key(id)) {
        return Err("provider is already running with that ID".to_owned());
    }
    cx.fetch_config(&ask.config, builtin(image).is_none()).await?;
    check_builtin(cx, image)?;
    let annotations = ask.annotations.clone().unwrap_or_default();
    let started = started(ask, &annotations, claims.as_ref());
    let provider = ProviderView {
        image_ref: shown(image).to_owned(),
        name: claims.map(|claims| claims.name),
        annotations,
        config: ask.config.clone(),
        links: links_at_start(cx, id),
        told: Vec::new(),
        health: ProviderHealth::Healthy,
        listens_from: Instant::now() + cx.host.options.provider_boot,
        start: 0,
    };
    cx.emit("provider_started", started).await;
    insert(cx, id, provider, builtin(image).is_some());
    drop(providers);
    Ok(())
}

/// Adds a provider to what runs, and begins to ask for its health; nobody asks builtins for theirs.
fn insert(cx: &Cx, id: &str, provider: ProviderView, is_builtin: bool) {
    let mut start = 0;
    cx.change(id, |state| {
        state.starts += 1;
        start = state.starts;
        state.providers.insert(id.to_owned(), ProviderView { start, ..provider });
    });
    if !is_builtin {
        tokio::spawn(watch_health(cx.clone(), id.to_owned(), start));
    }
}

/// Makes a provider run without a word.
pub(crate) fn seed(cx: &Cx, id: &str, image: &str, annotations: Map) {
    let provider = ProviderView {
        image_ref: shown(image).to_owned(),
        name: builtin(image).is_none().then(|| name_of(image)),
        annotations,
        config: Vec::new(),
        links: links_at_start(cx, id),
        told: Vec::new(),
        health: ProviderHealth::Healthy,
        listens_from: Instant::now(),
        start: 0,
    };
    insert(cx, id, provider, builtin(image).is_some());
}

/// What a signed archive says of itself.
struct Claims {
    name: String,
    issuer: String,
}

async fn fetch(cx: &Cx, image: &str) -> Result<Claims, String> {
    cx.pull(image, Pulled::Provider).await.map_err(|bad| match bad {
        BadImage::Missing(error) => error,
        BadImage::Garbage(_) => "failed to fetch provider: failed to read provider: failed to \
             load provider archive"
            .to_owned(),
    })?;
    let mut rng = Rng::fork(cx.lattice.options.seed, image);
    let claims = Claims { name: name_of(image), issuer: ids::account_key(&mut rng) };
    let subject = ids::provider_key(&mut rng);
    let stored = json!({
        "sub": subject,
        "subject": subject,
        "iss": claims.issuer,
        "issuer": claims.issuer,
        "name": claims.name,
        "rev": "0",
        "revision": "0",
        "version": "0.1.0",
        "config_schema": "",
    });
    lock(&cx.lattice.store).put_claims(&subject, stored);
    Ok(claims)
}

fn check_builtin(cx: &Cx, image: &str) -> Result<(), String> {
    match builtin(image) {
        None => Ok(()),
        Some(name) if cx.host.options.builtins.contains(name) => Ok(()),
        Some(name @ ("http-client" | "http-server" | "messaging-nats")) => {
            Err(format!("feature `builtin-{name}` is not enabled, denying start"))
        }
        Some(name) => Err(format!("unknown builtin name: {name}")),
    }
}

fn started(ask: &StartProvider, annotations: &Map, claims: Option<&Claims>) -> Value {
    let mut started = json!({
        "host_id": ask.host_id,
        "image_ref": shown(&ask.provider_ref),
        "provider_id": ask.provider_id,
        "annotations": annotations,
    });
    if let Some(claims) = claims {
        started["claims"] = json!({
            "issuer": claims.issuer,
            "tags": null,
            "name": claims.name,
            "version": "0.1.0",
            "not_before_human": "never",
            "expires_human": "never",
        });
        started["instance_id"] = ask.provider_id.clone().into();
        started["public_key"] = ask.provider_id.clone().into();
        started["link_name"] = "default".into();
    }
    started
}

/// The links a process is given when it starts, as source or target, as far as this host has heard of
/// them. One that names a missing config is left out, with a line in the log and no event.
fn links_at_start(cx: &Cx, id: &str) -> Vec<EffectiveLink> {
    let lag = cx.lattice.options.link_lag + cx.host.options.link_lag;
    let links = lock(&cx.lattice.store).links_seen(lag);
    links
        .into_iter()
        .filter(|link| link.source_id == id || link.target == id)
        .filter_map(|link| cx.resolve(link))
        .collect()
}

/// Stops a provider, whoever asks (annotations aren't looked at), and answers once it has stopped.
pub(crate) async fn stop(cx: &Cx, payload: &[u8]) -> Answer {
    let ask: StopProvider = match wire::read(payload, "provider stop command") {
        Ok(ask) => ask,
        Err(refusal) => return refusal.into(),
    };
    let id = &ask.provider_id;
    let _providers = cx.host.providers_lock.write().await;
    let running = cx.host.with(|state| state.providers.get(id).cloned());
    let Some(running) = running else {
        return Reply::refused("provider with that ID is not running").into();
    };
    sleep(cx.host.options.provider_stop_takes).await;
    cx.change(id, |state| {
        state.providers.remove(id);
    });
    let stopped = json!({
        "host_id": ask.host_id,
        "provider_id": id,
        "annotations": running.annotations,
        "reason": "stop",
        "instance_id": id,
        "public_key": id,
        "link_name": "default",
    });
    cx.emit("provider_stopped", stopped).await;
    Reply::done("successfully stopped provider").into()
}

/// Asks for the health of a provider for as long as this start of it runs.
async fn watch_health(cx: Cx, id: String, start: u64) {
    sleep(cx.host.options.first_health_check).await;
    let mut healthy = false;
    loop {
        let runs = cx.host.with(|state| state.providers.get(&id).map(|provider| provider.start));
        if runs != Some(start) || !cx.host.lives() {
            return;
        }
        if let Some(answer) = ask_health(&cx, &id) {
            let name = match (answer, healthy) {
                (true, false) => "health_check_passed",
                (false, true) => "health_check_failed",
                (true, true) | (false, false) => "health_check_status",
            };
            healthy = answer;
            cx.emit(name, json!({ "host_id": cx.host.id, "provider_id": id })).await;
        }
        sleep(cx.host.options.health_interval).await;
    }
}

/// The first answer on the subject that all processes of this id share: a healthy one anywhere speaks
/// for one that is gone here (T14). Nothing if no process answers.
fn ask_health(cx: &Cx, id: &str) -> Option<bool> {
    let mut answers: Vec<bool> = cx
        .lattice
        .all_hosts()
        .iter()
        .filter(|host| host.lives())
        .filter_map(|host| host.with(|state| state.providers.get(id).map(|it| it.health)))
        .filter(|health| *health != ProviderHealth::Gone)
        .map(|health| health == ProviderHealth::Healthy)
        .collect();
    lock(&cx.lattice.rng).shuffle(&mut answers);
    answers.first().copied()
}

/// The process of a provider dies, and its host starts it again or fails to.
pub(crate) fn crash(cx: &Cx, id: &str, comes_back: bool) {
    let links = links_at_start(cx, id);
    cx.host.with(|state| {
        let Some(provider) = state.providers.get_mut(id) else { return };
        provider.told.clear();
        if comes_back {
            provider.links = links;
            provider.listens_from = Instant::now() + cx.host.options.provider_boot;
        } else {
            provider.links.clear();
            provider.health = ProviderHealth::Gone;
        }
    });
}
