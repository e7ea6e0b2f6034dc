//! Components: scale, update, auction.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::dispatch::Answer;
use crate::fault::{Effect, Occasion};
use crate::host::{ComponentView, Cx};
use crate::image::{BadImage, Pulled};
use crate::verb::Verb;
use crate::wire::{self, Map, Reply, Scale, Update};

/// Bids. Asked for an id, the real host compares and repeats the ref: so it bids where the id runs.
pub(crate) async fn auction(cx: &Cx, payload: &[u8]) -> Answer {
    let ask: wire::ComponentAuction = match wire::read(payload, "component auction command") {
        Ok(ask) => ask,
        Err(refusal) => return refusal.into(),
    };
    let _components = cx.host.components_lock.read().await;
    let bids = cx.host.options.component_auction
        && cx.host.with(|state| {
            ask.constraints.iter().all(|(key, value)| state.labels.get(key) == Some(value))
                && !state.components.contains_key(&ask.component_ref)
        });
    if !bids {
        return Answer::default();
    }
    Reply::with(json!({
        "component_ref": ask.component_ref,
        "component_id": ask.component_ref,
        "host_id": cx.host.id,
        "constraints": ask.constraints,
    }))
    .into()
}

/// Acknowledges at once, whatever will come of it; the rest happens afterwards (T11).
pub(crate) async fn scale(cx: &Cx, payload: &[u8]) -> Answer {
    let ask: Scale = match wire::read(payload, "component scale command") {
        Ok(ask) => ask,
        Err(refusal) => return refusal.into(),
    };
    let runs = {
        let _components = cx.host.components_lock.read().await;
        let running = |state: &mut crate::host::State| {
            state.components.get(&ask.component_id).map(|component| component.image_ref.clone())
        };
        cx.host.with(running).filter(|runs| *runs != ask.component_ref)
    };
    let (message, update_after) = match (runs, ask.allow_update) {
        (None, _) => (String::new(), false),
        (Some(runs), false) => (
            format!(
                "Requested to scale existing component to a different image reference: {runs} != \
                 {}. The component will be scaled but the image reference will not be updated. If \
                 you meant to update this component to a new image ref, use the update command.",
                ask.component_ref
            ),
            false,
        ),
        (Some(runs), true) => (
            format!(
                "Requested to scale existing component, with a changed image reference: {runs} != \
                 {}. The component will be scaled, and the image reference will be updated \
                 afterwards.",
                ask.component_ref
            ),
            true,
        ),
    };
    let cx = cx.clone();
    Answer::then(Reply::done(message), async move { carry_out(&cx, &ask, update_after).await })
}

/// Everything of a scale that comes after its answer.
async fn carry_out(cx: &Cx, ask: &Scale, update_after: bool) {
    let annotations = ask.annotations.clone().unwrap_or_default();
    // Fetched for a stop as well. Only what is no WebAssembly at all fails a scale by itself.
    let pulled = match cx.pull(&ask.component_ref, Pulled::Component).await {
        Err(BadImage::Garbage(error)) => return fail(cx, ask, &annotations, &error).await,
        Err(BadImage::Missing(error)) => Err(error),
        Ok(()) => Ok(()),
    };
    let starts =
        ask.count > 0 && !cx.host.with(|state| state.components.contains_key(&ask.component_id));
    let struck = if starts {
        cx.start_faults(&ask.component_id, Verb::ComponentScale).await
    } else {
        Ok(())
    };
    match rescale(cx, ask, &annotations, struck.and(pulled)).await {
        Ok(scaled) => cx.emit("component_scaled", cx.claimed(scaled, &ask.component_ref)).await,
        Err(error) => return fail(cx, ask, &annotations, &error).await,
    }
    if update_after {
        // Without annotations: the owner's mark is wiped (T2).
        replace(cx, &ask.component_id, &ask.component_ref, &ask.host_id, Map::new()).await;
    }
}

async fn fail(cx: &Cx, ask: &Scale, annotations: &Map, error: &str) {
    let (host, image) = (&ask.host_id, &ask.component_ref);
    let mut failed = wire::scaled(host, &ask.component_id, image, ask.count, annotations);
    failed["error"] = error.into();
    cx.emit("component_scale_failed", cx.claimed(failed, image)).await;
}

/// The table of states and requests, under the lock that it holds from the first look to the last
/// change, over secrets and compiling too (T13). Gives the event to send once the lock is free.
async fn rescale(
    cx: &Cx,
    ask: &Scale,
    annotations: &Map,
    pulled: Result<(), String>,
) -> Result<serde_json::Value, String> {
    let _components = cx.host.components_lock.write().await;
    let (id, host) = (&ask.component_id, &ask.host_id);
    let signed = cx.lattice.images.is_signed(&ask.component_ref);
    let running = cx.host.with(|state| state.components.get(id).cloned());
    match (running, ask.count) {
        (None, 0) => Ok(wire::scaled(host, id, &ask.component_ref, 0, annotations)),
        (None, count) => {
            let config = cx.fetch_config(&ask.config, signed).await?;
            pulled?;
            start(cx, ask, annotations, config).await?;
            Ok(wire::scaled(host, id, &ask.component_ref, count, annotations))
        }
        (Some(running), 0) => {
            cx.change(id, |state| {
                state.components.remove(id);
            });
            Ok(wire::scaled(host, id, &running.image_ref, 0, &running.annotations))
        }
        (Some(running), count) => {
            // The event is made of what ran before (T1).
            let scaled = wire::scaled(host, id, &running.image_ref, count, &running.annotations);
            // The request's list has secrets, the kept one never: always another (T4).
            let other_config = ask.config != running.config;
            if running.max_instances != count || other_config {
                let config = if other_config {
                    cx.fetch_config(&ask.config, signed).await?
                } else {
                    running.config
                };
                let anew = ComponentView {
                    // What is told changes, what is loaded doesn't (T1).
                    image_ref: ask.component_ref.clone(),
                    annotations: annotations.clone(),
                    name: running.name,
                    max_instances: count,
                    config,
                    limits: ask.component_limits.clone(),
                    loaded: running.loaded,
                    serving: true,
                    restarts: running.restarts + 1,
                };
                cx.change(id, |state| {
                    state.components.insert(id.clone(), anew);
                });
            }
            Ok(scaled)
        }
    }
}

/// Starts a component that doesn't run and sends the first of its two `component_scaled`.
async fn start(cx: &Cx, ask: &Scale, annotations: &Map, config: Vec<String>) -> Result<(), String> {
    let (id, image) = (&ask.component_id, &ask.component_ref);
    cx.rewrite_record(id, image).await;
    cx.compile(image).await?;
    let scaled = wire::scaled(&cx.host.id, id, image, ask.count, annotations);
    cx.emit("component_scaled", cx.claimed(scaled, image)).await;
    let limits = ask.component_limits.clone();
    let component = ComponentView::started(image, ask.count, annotations.clone(), config, limits);
    cx.change(id, |state| {
        state.components.insert(id.clone(), component);
    });
    Ok(())
}

/// Acknowledges an update; what comes of it is told only if it goes well (T3).
pub(crate) async fn update(cx: &Cx, payload: &[u8]) -> Answer {
    let ask: Update = match wire::read(payload, "component update command") {
        Ok(ask) => ask,
        Err(refusal) => return refusal.into(),
    };
    let (id, image) = (&ask.component_id, &ask.new_component_ref);
    let runs = {
        let _components = cx.host.components_lock.read().await;
        cx.host.with(|state| state.components.get(id).map(|running| running.image_ref.clone()))
    };
    let Some(runs) = runs else {
        return Reply::refused(format!("component {id} not found")).into();
    };
    if runs == *image {
        return Reply::done(format!("component {id} already updated to {image}")).into();
    }
    let message = format!("component {id} updating from {runs} to {image}");
    let cx = cx.clone();
    Answer::then(Reply::done(message), async move {
        let annotations = ask.annotations.unwrap_or_default();
        replace(&cx, &ask.component_id, &ask.new_component_ref, &ask.host_id, annotations).await;
    })
}

/// Puts new code in the place of old, the way the real host does: it stops the wrong one of the two.
/// Callers in the same host reach the new code, callers elsewhere go on reaching the old (T3).
async fn replace(cx: &Cx, id: &str, image: &str, host: &str, annotations: Map) {
    {
        let _components = cx.host.components_lock.read().await;
        let running = cx.host.with(|state| state.components.get(id).cloned());
        let Some(running) = running.filter(|running| running.image_ref != image) else { return };
        let pulled = cx.pull(image, Pulled::Component).await.is_ok();
        if !pulled || cx.compile(image).await.is_err() {
            return;
        }
        let scaled = |count| cx.claimed(wire::scaled(host, id, image, count, &annotations), image);
        cx.emit("component_scaled", scaled(running.max_instances)).await;
        // The false one: the component runs on.
        cx.emit("component_scaled", scaled(0)).await;
    }
    let _components = cx.host.components_lock.write().await;
    cx.change(id, |state| {
        let Some(component) = state.components.get_mut(id) else { return };
        if component.serving {
            let old = component.loaded.clone();
            state.leftovers.entry(id.to_owned()).or_default().push(old);
        }
        image.clone_into(&mut component.image_ref);
        image.clone_into(&mut component.loaded);
        component.annotations = annotations;
        component.name = cx.component_name(image);
        component.serving = false;
    });
}

impl Cx {
    /// Pulls an image for this host, once.
    pub(crate) async fn pull(&self, image: &str, what: Pulled) -> Result<(), BadImage> {
        let pulled = self.host.with(|state| state.pulled.contains(image));
        self.lattice.images.pull(image, what, pulled).await?;
        self.host.with(|state| state.pulled.insert(image.to_owned()));
        Ok(())
    }

    /// Compiles an image, with the host's lock on its components held by the caller.
    async fn compile(&self, image: &str) -> Result<(), String> {
        let _deaf = if self.host.options.deaf_while_compiling {
            Some(self.host.deaf.write().await)
        } else {
            None
        };
        self.lattice.images.compile(image).await
    }

    /// Faults that strike a start: it takes longer, or it fails with a text.
    pub(crate) async fn start_faults(&self, id: &str, verb: Verb) -> Result<(), String> {
        let occasion = Occasion { host: &self.host.id, id, verb: Some(verb), event: None };
        let slow = self.lattice.strike(&occasion, |effect| match effect {
            Effect::SlowStart(by) => Some(*by),
            _ => None,
        });
        sleep(slow.unwrap_or(Duration::ZERO)).await;
        let failed = self.lattice.strike(&occasion, |effect| match effect {
            Effect::FailStart(error) => Some(error.clone()),
            _ => None,
        });
        failed.map_or(Ok(()), Err)
    }
}
