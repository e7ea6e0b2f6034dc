//! Links: put, get, del, and what the processes of providers are told of them.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::bucket;
use crate::config::SECRET;
use crate::dispatch::Answer;
use crate::host::{Cx, EffectiveLink, State, Told};
use crate::lock;
use crate::store::Record;
use crate::wire::{self, DelLink, Link, Reply};

const OTHER_TARGET: &str = "link already exists with different target, consider deleting the \
     existing link or using a different link name";

impl Link {
    /// Whether both leave the same source for the same namespace, package and name.
    fn same_origin(&self, other: &Self) -> bool {
        self.source_id == other.source_id
            && self.wit_namespace == other.wit_namespace
            && self.wit_package == other.wit_package
            && self.name == other.name
    }

    /// Whether one takes the other's place: interfaces don't count (T6).
    fn same_place(&self, other: &Self) -> bool {
        self.same_origin(other) && self.target == other.target
    }
}

/// Reads the record of the source, changes it, writes it back. In the gap another host may do the
/// same, and one of the two is lost (T5).
pub(crate) async fn put(cx: &Cx, payload: &[u8]) -> Answer {
    let link: Link = match wire::read(payload, "wrpc link definition") {
        Ok(link) => link,
        Err(refusal) => return refusal.into(),
    };
    let mut data = json!(link);
    if let Err(error) = set(cx, &link).await {
        data["error"] = error.clone().into();
        cx.emit("linkdef_set_failed", data).await;
        return Reply::refused(error).into();
    }
    cx.emit("linkdef_set", data).await;
    Reply::done("successfully set link").into()
}

async fn set(cx: &Cx, link: &Link) -> Result<(), String> {
    check_config(cx, link)?;
    let gap = cx.lattice.options.store_gap;
    let mut record = cx.record(&link.source_id, gap).await.unwrap_or_default();
    let conflict = record.links.iter().any(|old| {
        old.same_origin(link)
            && old.target != link.target
            && old.interfaces.iter().any(|interface| link.interfaces.contains(interface))
    });
    if conflict {
        return Err(OTHER_TARGET.to_owned());
    }
    match record.links.iter_mut().find(|old| old.same_place(link)) {
        Some(old) => *old = link.clone(),
        None => record.links.push(link.clone()),
    }
    cx.put_record(&link.source_id, record).await;
    // Told on the spot to every process of either end, besides what hosts pass on once they see the
    // record.
    if let Some(effective) = cx.resolve(link.clone()) {
        tell_everywhere(cx, &effective);
    }
    Ok(())
}

fn check_config(cx: &Cx, link: &Link) -> Result<(), String> {
    let store = lock(&cx.lattice.store);
    let mut missing = String::new();
    for name in link.source_config.iter().chain(&link.target_config) {
        if store.config(name).is_none() {
            let kind = if name.starts_with(SECRET) { "Secret reference" } else { "Configuration" };
            missing.extend([kind, " ", name.as_str(), " not found in config store. "]);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("Failed to validate configuration and secrets. {missing}"))
}

/// All links of the lattice in one message, as this host has heard of them. Too large a message is
/// never sent (T12).
pub(crate) fn get(cx: &Cx) -> Reply {
    let lag = cx.lattice.options.link_lag + cx.host.options.link_lag;
    let mut links = lock(&cx.lattice.store).links_seen(lag);
    lock(&cx.lattice.rng).shuffle(&mut links);
    Reply::with(json!(links))
}

/// Removes the first link that matches, whatever its target (T7).
pub(crate) async fn del(cx: &Cx, payload: &[u8]) -> Answer {
    let ask: DelLink = match wire::read(payload, "wrpc link definition") {
        Ok(ask) => ask,
        Err(refusal) => return refusal.into(),
    };
    let gap = cx.lattice.options.store_gap;
    let Some(mut record) = cx.record(&ask.source_id, gap).await else {
        // Of a source nobody has ever heard of there is no event either.
        return Reply::done("successfully deleted link (spec doesn't exist)").into();
    };
    let found = record.links.iter().position(|link| {
        link.wit_namespace == ask.wit_namespace
            && link.wit_package == ask.wit_package
            && link.name == ask.name
    });
    let mut data = json!({
        "source_id": ask.source_id,
        "name": ask.name,
        "wit_namespace": ask.wit_namespace,
        "wit_package": ask.wit_package,
    });
    if let Some(found) = found {
        let link = record.links.swap_remove(found);
        cx.put_record(&ask.source_id, record).await;
        forget_everywhere(cx, &link);
        data["target"] = link.target.into();
        data["interfaces"] = link.interfaces.into();
    }
    cx.emit("linkdef_deleted", data).await;
    Reply::done("successfully deleted link").into()
}

impl Cx {
    /// Reads a record, and leaves the gap in which others may write it.
    async fn record(&self, source: &str, gap: Duration) -> Option<Record> {
        let record = lock(&self.lattice.store).record(source);
        self.lattice.records_in_hand.fetch_add(1, Relaxed);
        self.lattice.touch();
        sleep(gap).await;
        self.lattice.records_in_hand.fetch_sub(1, Relaxed);
        record
    }

    /// Writes a record; every host hears of it a little later and tells its own providers what is new.
    async fn put_record(&self, source: &str, record: Record) {
        let kept = self.lattice.options.bucket.then(|| record.clone());
        let new = lock(&self.lattice.store).put_record(source, record);
        if let Some(record) = kept {
            bucket::put(&self.lattice, source, &record).await;
        }
        self.lattice.touch();
        if new.is_empty() {
            return;
        }
        let (lattice, lag) = (self.lattice.clone(), self.lattice.options.link_lag);
        tokio::spawn(async move {
            sleep(lag).await;
            for host in lattice.all_hosts().into_iter().filter(|host| host.hears()) {
                pass_on(&Cx { lattice: lattice.clone(), host }, &new).await;
            }
        });
    }

    /// What every start does to the record of its own id: reads it, and writes it back as it was. A put
    /// or del in the gap is undone without an event (T10).
    pub(crate) async fn rewrite_record(&self, id: &str, url: &str) {
        let fresh = || Record { url: url.to_owned(), links: Vec::new() };
        let record = self.record(id, self.lattice.options.start_gap).await.unwrap_or_else(fresh);
        if self.host.lives() {
            self.put_record(id, record).await;
        }
    }
}

/// One host has seen new links and tells its own providers, once none is being started or stopped.
async fn pass_on(cx: &Cx, links: &[Link]) {
    let concerns = |state: &mut State| {
        links.iter().any(|link| {
            [&link.source_id, &link.target].iter().any(|id| state.providers.contains_key(*id))
        })
    };
    if cx.host.options.provider_boot.is_zero() && !cx.host.with(concerns) {
        return;
    }
    let _providers = cx.host.providers_lock.read().await;
    for link in links {
        if let Some(effective) = cx.resolve(link.clone()) {
            cx.host.with(|state| tell(state, &effective));
        }
    }
}

/// A host that was out of reach sees all records as they are by now, and passes on what its providers
/// may not know. Of links that are gone nobody tells them.
pub(crate) async fn catch_up(cx: Cx) {
    let links = lock(&cx.lattice.store).links();
    pass_on(&cx, &links).await;
    cx.lattice.touch();
}

fn tell_everywhere(cx: &Cx, link: &EffectiveLink) {
    for host in cx.lattice.all_hosts().into_iter().filter(|host| host.hears()) {
        host.with(|state| tell(state, link));
    }
}

/// Tells the processes at both ends of a link, each of which listens, ignores or isn't there yet.
fn tell(state: &mut State, told: &EffectiveLink) {
    let ends = [told.link.source_id.clone(), told.link.target.clone()];
    for id in ends {
        let Some(provider) = state.providers.get_mut(&id) else { continue };
        let known = provider.links.iter().any(|known| known.link.same_place(&told.link));
        let heard = match (provider.listens_from <= Instant::now(), known) {
            (false, _) => Told::Lost(told.link.clone()),
            (true, true) => Told::Ignored(told.link.clone()),
            (true, false) => {
                provider.links.push(told.clone());
                Told::Put(told.link.clone())
            }
        };
        provider.told.push(heard);
    }
}

fn forget_everywhere(cx: &Cx, gone: &Link) {
    for host in cx.lattice.all_hosts().into_iter().filter(|host| host.hears()) {
        host.with(|state| {
            for id in [&gone.source_id, &gone.target] {
                let Some(provider) = state.providers.get_mut(id) else { continue };
                if provider.listens_from <= Instant::now() {
                    provider.links.retain(|known| !known.link.same_place(gone));
                    provider.told.push(Told::Del(gone.clone()));
                }
            }
        });
    }
}

/// The JSON of links, for tests that compare with what travelled.
impl From<Link> for Value {
    fn from(link: Link) -> Self {
        json!(link)
    }
}
