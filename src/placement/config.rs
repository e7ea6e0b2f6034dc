//! Config entries: there before anything names them, gone after nothing does.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Inputs, foreign,
    order::{Draft, Effect},
};
use crate::model::{Command, ConfigName, ConfigWanted, Desired, Reason, Subject, WaitsFor};

/// Puts what is managed and differs, and says what is required and missing.
pub(super) fn put(draft: &mut Draft<'_>) {
    let inputs = draft.inputs;
    for (name, wanted) in &inputs.desired.configs {
        let shown = inputs.observed.configs.get(name);
        match wanted {
            ConfigWanted::Managed(values) => {
                if matches!(shown, Some(Some(shown)) if **shown == *values) {
                    continue;
                }
                let namespace = namespace(inputs, name);
                if let Some(holder) = inputs.claims.config_holder(name, inputs.observed)
                    && *holder != inputs.desired.owner.application
                {
                    let message = format!("{holder} manages config {name}: rename one of the two");
                    draft.block(
                        namespace,
                        Subject::Config(name.clone()),
                        Reason::IdConflict,
                        message,
                    );
                    continue;
                }
                if foreign::has_config(inputs, inputs.desired, name) {
                    continue; // Whoever runs there is said to be another's.
                }
                let unread = shown.is_none().then(|| read(name));
                let command = Command::PutConfig { name: name.clone(), values: values.clone() };
                draft.offer(namespace, command, Effect::Adds, Vec::from_iter(unread));
            }
            ConfigWanted::Required => {
                if matches!(shown, Some(None)) {
                    let namespace = namespace(inputs, name);
                    let message =
                        format!("config {name} doesn't exist on the lattice: put it there");
                    let subject = Subject::Config(name.clone());
                    draft.block(namespace, subject, Reason::ConfigMissing, message);
                }
            }
        }
    }
}

/// Those of `names` that a command must wait for, because the lattice doesn't show them as wanted.
pub(super) fn missing<'n>(
    inputs: &Inputs<'_>,
    names: impl IntoIterator<Item = &'n ConfigName>,
) -> Vec<WaitsFor> {
    let there = |name: &ConfigName| {
        let shown = inputs.observed.configs.get(name);
        match inputs.desired.configs.get(name) {
            Some(ConfigWanted::Managed(values)) => {
                matches!(shown, Some(Some(shown)) if **shown == *values)
            }
            Some(ConfigWanted::Required) => matches!(shown, Some(Some(_))),
            // Not ours to look after: the host will say if it is missing.
            None => true,
        }
    };
    let missing = names.into_iter().filter(|name| !there(name)).cloned();
    missing.map(WaitsFor::Config).collect()
}

/// Deletes what only earlier revisions managed, once all else is done and nobody names it.
pub(super) fn delete(draft: &mut Draft<'_>) {
    let inputs = draft.inputs;
    let mut seen = BTreeSet::new();
    for former in inputs.former {
        for (name, wanted) in &former.configs {
            let ours = match wanted {
                ConfigWanted::Managed(_) => !inputs.desired.configs.contains_key(name),
                ConfigWanted::Required => false,
            };
            if ours
                && seen.insert(name)
                && !inputs.claims.names_config(name)
                && !foreign::has_config(inputs, former, name)
            {
                delete_one(draft, former, name);
            }
        }
    }
}

fn delete_one(draft: &mut Draft<'_>, former: &Desired, name: &ConfigName) {
    let inputs = draft.inputs;
    let mut waits = Vec::new();
    match inputs.observed.configs.get(name) {
        Some(None) => return,
        Some(Some(_)) => {}
        None => waits.push(read(name)),
    }
    let deletes = |command: &Command| matches!(command, Command::DeleteConfig { .. });
    let busy = draft.plan.now.iter().any(|planned| !deletes(&planned.command))
        || draft.plan.later.iter().any(|later| !deletes(&later.command));
    if busy || !inputs.may_remove() {
        waits.push(WaitsFor::Rollout);
    }
    if inputs.is_unseen() {
        waits.push(WaitsFor::Unseen);
        draft.wake(inputs.observed.unseen_until);
    }
    let namespace =
        namespace_in(former, name).unwrap_or(&inputs.desired.owner.application.namespace);
    draft.offer(namespace, Command::DeleteConfig { name: name.clone() }, Effect::Takes, waits);
}

/// The target's namespace that a config is for, by who names it.
fn namespace<'a>(inputs: &Inputs<'a>, name: &ConfigName) -> &'a Arc<str> {
    namespace_in(inputs.desired, name).unwrap_or(&inputs.desired.owner.application.namespace)
}

fn namespace_in<'a>(desired: &'a Desired, name: &ConfigName) -> Option<&'a Arc<str>> {
    let own = desired.workloads.values().find(|workload| workload.config.contains(name));
    let linked = || {
        let (key, link) = desired.links.iter().find(|(_, link)| link.names(name))?;
        desired.workloads.get(&key.source).or_else(|| desired.workloads.get(&link.target))
    };
    own.or_else(linked).map(|workload| &workload.namespace)
}

fn read(name: &ConfigName) -> WaitsFor {
    WaitsFor::Read { what: format!("config {name}") }
}
