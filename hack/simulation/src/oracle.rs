//! What must be true, worked out from what users want and what hosts there are, without the planner.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use simhost::HostHandle;

use crate::{
    asks::{App, Component, SHARER, Scale},
    stage::Stage,
};

/// What is not as users want it, in words; empty once all is.
#[must_use]
pub fn differences(stage: &Stage) -> Vec<String> {
    let mut wrong = stage.foreign_harm();
    let mut ids = BTreeSet::from(["theirs".to_owned()]);
    let mut links = BTreeSet::new();
    let hosts = stage.living();
    for object in stage.cluster.all("applications") {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if !stage.wanted.contains_key(name) {
            wrong.push(format!("{name} is still there"));
        }
    }
    for lattice in stage.cluster.all("lattices") {
        if is_true(&lattice, "MassHostLoss") || !is_true(&lattice, "Ready") && !hosts.is_empty() {
            wrong.push("the lattice isn't as it should be".to_owned());
        }
    }
    for app in stage.wanted.values() {
        let Some(object) = stage.application(&app.name) else {
            wrong.push(format!("{} isn't there", app.name));
            continue;
        };
        if app.shares && !offers(stage) {
            // There is nothing to share, so the last that could be released stays, or nothing.
            if is_true(&object, "Ready") {
                wrong.push(format!("{} is Ready, and {SHARER} isn't there", app.name));
            }
            ids.extend(running(stage, &hosts).into_iter().filter(|id| belongs(id, app)));
            continue;
        }
        let mut expected_ready = true;
        for component in &app.components {
            let id = app.id(&component.name);
            expected_ready &= placed(stage, app, component, &mut wrong);
            if let Some(called) = &component.calls {
                links.insert((id.clone(), app.id(called), None));
            }
            ids.insert(id);
        }
        expected_ready &= provided(stage, app, &mut wrong);
        if app.provider.is_some() {
            ids.insert(app.id("http"));
        }
        links.extend(http_links(app));
        check_status(app, &object, expected_ready, &mut wrong);
    }
    let running = running(stage, &hosts);
    for id in running.difference(&ids).filter(|id| !is_of_blocked(stage, id)) {
        wrong.push(format!("{id} runs, and nobody wants it"));
    }
    check_links(stage, &links, &mut wrong);
    check_configs(stage, &mut wrong);
    wrong
}

fn belongs(id: &str, app: &App) -> bool {
    id.starts_with(&app.id(""))
}

/// Whether there is something to share.
fn offers(stage: &Stage) -> bool {
    stage.wanted.get(SHARER).is_some_and(|app| app.provider.is_some())
}

fn is_true(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == *condition && c["status"] == "True")
}

fn check_status(app: &App, object: &Value, expected: bool, wrong: &mut Vec<String>) {
    let name = &app.name;
    if object["status"]["observedGeneration"] != object["metadata"]["generation"] {
        wrong.push(format!("{name}'s status is of another generation"));
    }
    if expected && is_true(object, "Reconciling") {
        wrong.push(format!("{name} is still at work"));
    }
    if is_true(object, "Ready") != expected {
        wrong.push(format!("{name} should {}be Ready", if expected { "" } else { "not " }));
    }
}

/// Everything that hosts run. Of an Application that is gone, what a host was out of reach with isn't
/// stopped when the host is back, but reported.
fn running(stage: &Stage, hosts: &[&HostHandle]) -> BTreeSet<String> {
    let orphans = orphans(stage);
    let of = |host: &&HostHandle| -> Vec<String> {
        let inventory = host.inventory();
        let lists = ["components", "providers"].map(|list| inventory[list].clone());
        let ids = lists.iter().filter_map(Value::as_array).flatten();
        let ids = ids.filter_map(|thing| thing["id"].as_str().map(str::to_owned));
        let reported = |id: &String| {
            stage.was_lost(host) && orphans.contains(&(host.id().to_owned(), id.clone()))
        };
        ids.filter(|id| !reported(id)).collect()
    };
    hosts.iter().flat_map(of).collect()
}

/// What the Lattice reports as nobody's: host and id.
fn orphans(stage: &Stage) -> BTreeSet<(String, String)> {
    let lattices = stage.cluster.all("lattices");
    let reported = lattices.iter().filter_map(|lattice| lattice["status"]["orphans"].as_array());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    reported.flatten().map(|orphan| (text(&orphan["host"]), text(&orphan["id"]))).collect()
}

/// Checks that a component runs where and as it should; whether all of it can.
fn placed(stage: &Stage, app: &App, wanted: &Component, wrong: &mut Vec<String>) -> bool {
    let id = app.id(&wanted.name);
    let image = app.image(&wanted.name, wanted.image);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    // While a share has no host, as much stays elsewhere, and as it is, as it lacks.
    let whole = placeable(stage, wanted);
    for host in stage.living() {
        let Some(view) = host.component(&id) else { continue };
        counts.insert(host.id().to_owned(), view.max_instances);
        if !whole {
            continue;
        }
        let code = host.code_running(&id);
        if code != [image.clone()] || view.image_ref != image {
            wrong.push(format!("{id} on {}: {} runs as {code:?}", host.name(), view.image_ref));
        }
        let values = wanted.config.map(|value| value.to_string());
        let seen = host.config_seen(&id).get("value").cloned();
        if seen != values {
            wrong.push(format!("{id} on {}: config {seen:?}, not {values:?}", host.name()));
        }
    }
    let lacking: u32 = shares(&wanted.scale)
        .into_iter()
        .filter(|(zone, _)| !has_host(stage, zone.as_deref()))
        .map(|(_, share)| share)
        .sum();
    for (zone, share) in shares(&wanted.scale) {
        let hosts: Vec<_> = stage
            .living()
            .into_iter()
            .filter(|host| zone.as_ref().is_none_or(|zone| stage.zone(host) == zone))
            .collect();
        let here: Vec<u32> =
            hosts.iter().map(|host| counts.remove(host.id()).unwrap_or_default()).collect();
        let right = match &wanted.scale {
            Scale::Daemon(_) => here.iter().all(|count| *count == share),
            Scale::Spread(..) if hosts.is_empty() => true,
            Scale::Spread(..) => {
                let (least, most) = (here.iter().min(), here.iter().max());
                let apart = most.unwrap_or(&0) - least.unwrap_or(&0);
                let sum: u32 = here.iter().sum();
                sum == share && apart <= 1 || sum > share && sum <= share + lacking
            }
        };
        if !right {
            let zone = zone.as_deref().unwrap_or("all zones");
            wrong.push(format!("{id}: {here:?} in {zone}, of {share}"));
        }
    }
    let elsewhere: u32 = counts.values().sum();
    if whole && elsewhere > 0 {
        wrong.push(format!("{id}: {elsewhere} where no spread wants any"));
    }
    whole
}

/// What each zone should have: by weight, floored, the remainder one by one from the heaviest on.
fn shares(scale: &Scale) -> Vec<(Option<String>, u32)> {
    let (instances, zones) = match scale {
        Scale::Daemon(instances) => return vec![(None, *instances)],
        Scale::Spread(instances, zones) if zones.is_empty() => return vec![(None, *instances)],
        Scale::Spread(instances, zones) => (*instances, zones),
    };
    let total: u32 = zones.values().sum();
    let mut sorted: Vec<_> = zones.iter().collect();
    sorted.sort_by_key(|(_, weight)| std::cmp::Reverse(**weight));
    let mut shares: Vec<_> = sorted
        .iter()
        .map(|(zone, weight)| (Some((*zone).clone()), instances * **weight / total))
        .collect();
    let given: u32 = shares.iter().map(|(_, share)| share).sum();
    let rest = usize::try_from(instances - given).unwrap_or_default();
    for (_, share) in shares.iter_mut().take(rest) {
        *share += 1;
    }
    shares
}

/// Checks an Application's own provider; whether it can run.
fn provided(stage: &Stage, app: &App, wrong: &mut Vec<String>) -> bool {
    let Some(wanted) = &app.provider else { return true };
    let (id, image) = (app.id("http"), app.image("http", wanted.image));
    let hosts = stage.living();
    let mut running = 0;
    for host in &hosts {
        let Some(view) = host.provider(&id) else { continue };
        running += 1;
        if view.image_ref != image {
            wrong.push(format!("{id} on {}: {}", host.name(), view.image_ref));
        }
        let known: BTreeMap<_, _> = view
            .links
            .iter()
            .map(|of| (of.link.target.as_str(), of.source_values.get("address").cloned()))
            .collect();
        let Some(first) = app.components.first() else { continue };
        let address = Some(wanted.address.to_string());
        if known.get(app.id(&first.name).as_str()) != Some(&address) {
            wrong.push(format!("{id} on {} goes by {known:?}", host.name()));
        }
    }
    let right = if wanted.everywhere { hosts.len() } else { hosts.len().min(1) };
    if running != right {
        wrong.push(format!("{id}: on {running} hosts, of {right}"));
    }
    !hosts.is_empty()
}

/// Source, target, and the value of the config that the link names.
type Wanted = (String, String, Option<String>);

fn http_links(app: &App) -> Vec<Wanted> {
    let Some(first) = app.components.first() else { return Vec::new() };
    let target = app.id(&first.name);
    let own = app
        .provider
        .as_ref()
        .map(|provider| (app.id("http"), target.clone(), Some(provider.address.to_string())));
    let shared = app.shares.then(|| {
        let sharer = format!("{}-{SHARER}-http", crate::asks::NAMESPACE);
        (sharer, target.clone(), Some("0".to_owned()))
    });
    own.into_iter().chain(shared).collect()
}

fn check_links(stage: &Stage, wanted: &BTreeSet<Wanted>, wrong: &mut Vec<String>) {
    let configs = stage.lattice.config();
    let waits = stage.wanted.values().any(|app| app.shares) && !offers(stage);
    let links = stage.lattice.links();
    let there: BTreeSet<Wanted> = links
        .iter()
        .filter(|link| link.source_id != "theirs")
        .map(|link| {
            let values = link.source_config.iter().find_map(|name| configs.get(name));
            let value = values.and_then(|values| values.get("address").cloned());
            (link.source_id.clone(), link.target.clone(), value)
        })
        .collect();
    for (source, target, value) in wanted.difference(&there) {
        wrong.push(format!("{source} isn't linked to {target} with {value:?}"));
    }
    if waits {
        // What the last release of who waits wants isn't known here.
        return;
    }
    let unwanted = there.difference(wanted);
    for (source, target, value) in unwanted.filter(|(_, target, _)| !is_of_blocked(stage, target)) {
        wrong.push(format!("{source} is linked to {target} with {value:?}, unwanted"));
    }
}

/// Every config is one that something names.
fn check_configs(stage: &Stage, wrong: &mut Vec<String>) {
    let mut named = BTreeSet::from(["theirs-config".to_owned()]);
    for link in stage.lattice.links() {
        named.extend(link.source_config.into_iter().chain(link.target_config));
    }
    for host in stage.living() {
        for app in stage.wanted.values() {
            for component in &app.components {
                let view = host.component(&app.id(&component.name));
                named.extend(view.into_iter().flat_map(|view| view.config));
            }
        }
    }
    let waits = stage.wanted.values().any(|app| app.shares) && !offers(stage);
    for name in stage.lattice.config().keys() {
        if !named.contains(name) && !waits && !is_of_blocked(stage, name) {
            wrong.push(format!("config {name} is named by nothing"));
        }
    }
}

/// Whether this is an Application's that hasn't become what it is to be, so that nothing of what it was
/// goes.
fn is_of_blocked(stage: &Stage, name: &str) -> bool {
    let blocked = |app: &App| !app.components.iter().all(|it| placeable(stage, it));
    stage.wanted.values().any(|app| belongs(name, app) && blocked(app))
}

fn placeable(stage: &Stage, component: &Component) -> bool {
    let placeable =
        |(zone, share): &(Option<String>, u32)| *share == 0 || has_host(stage, zone.as_deref());
    shares(&component.scale).iter().all(placeable)
}

fn has_host(stage: &Stage, zone: Option<&str>) -> bool {
    stage.living().iter().any(|host| zone.is_none_or(|zone| stage.zone(host) == zone))
}

/// What is left after everything was deleted.
#[must_use]
pub fn left(stage: &Stage) -> Vec<String> {
    let mut left = differences(stage);
    for plural in ["applications", "applicationrevisions"] {
        for object in stage.cluster.all(plural) {
            left.push(format!("{plural} {} is left", object["metadata"]["name"]));
        }
    }
    left
}
