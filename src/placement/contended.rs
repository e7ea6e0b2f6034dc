//! What somebody else changes back again and again is left to them, until they leave it alone or
//! something else is wanted.

use super::Inputs;
use crate::model::{
    Command, ConfigWanted, Contended, HASH, Links, MANAGED_BY, Owner, Subject, Thing, Workload,
};

/// Who fights over what `command` is about, if it asks once more for what they undo.
pub(super) fn by_others<'a>(inputs: &Inputs<'a>, command: &Command) -> Option<&'a Contended> {
    if inputs.observed.contended.is_empty() {
        return None;
    }
    let thing = command.thing();
    let contended = inputs.observed.contended.get(&thing)?;
    let made = &contended.made;
    let again = match &thing {
        Thing::Link(key) => match inputs.desired.links.get(key) {
            Some(wanted) => {
                made.removes() || matches!(made, Command::PutLink { link, .. } if link == wanted)
            }
            None => made.removes(),
        },
        Thing::Config(name) => match inputs.desired.configs.get(name) {
            Some(ConfigWanted::Managed(wanted)) => {
                matches!(made, Command::PutConfig { values, .. } if values == wanted)
            }
            Some(ConfigWanted::Required) | None => made.removes(),
        },
        Thing::Workload(_, id) => match inputs.desired.workloads.get(id) {
            _ if made.removes() => command.removes(),
            Some(wanted) => asks_for(made, wanted) && same_count(made, command),
            None => false,
        },
    };
    (again && inputs.time < contended.until).then_some(contended)
}

/// Whether what was asked for is what is wanted still, whatever the number.
fn asks_for(made: &Command, wanted: &Workload) -> bool {
    match made {
        Command::ScaleComponent { image, config, annotations, .. }
        | Command::StartProvider { image, config, annotations, .. } => {
            *image == wanted.image
                && *config == wanted.config
                && annotations.get(HASH) == wanted.annotations.get(HASH)
        }
        Command::StopProvider { .. }
        | Command::PutConfig { .. }
        | Command::DeleteConfig { .. }
        | Command::PutLink { .. }
        | Command::DeleteLink { .. } => false,
    }
}

/// Stopping what others run in its place has no number of its own.
fn same_count(made: &Command, command: &Command) -> bool {
    match (made, command) {
        (
            Command::ScaleComponent { count: before, .. },
            Command::ScaleComponent { count: now @ 1.., .. },
        ) => before == now,
        _ => true,
    }
}

/// Which thing, how they leave it, and the way out.
pub(super) fn told(
    inputs: &Inputs<'_>,
    command: &Command,
    contended: &Contended,
) -> (Subject, String) {
    let subject = match command.thing() {
        Thing::Workload(_, id) => Subject::Workload(id),
        Thing::Link(key) => Subject::Link(*key),
        Thing::Config(name) => Subject::Config(name),
    };
    let message = format!(
        "somebody else has undone \"{}\" {} times in ten minutes ({}): it is left to them until \
         nobody has touched it for ten minutes, or something else is asked for; find who else \
         writes it, such as wadm or wash, and have one of the two give way",
        contended.made,
        contended.times,
        shown(inputs, &command.thing())
    );
    (subject, message)
}

/// How something is now.
fn shown(inputs: &Inputs<'_>, thing: &Thing) -> String {
    let gone = || "it is gone".to_owned();
    match thing {
        Thing::Link(key) => match &inputs.observed.links {
            Links::Read(links) => links.get(&**key).map_or_else(gone, |link| {
                let interfaces: Vec<_> = link.interfaces.iter().map(|it| &**it).collect();
                format!("it leads to {}, through {}", link.target, interfaces.join(", "))
            }),
            Links::Unread | Links::Unreadable => "it isn't read".to_owned(),
        },
        Thing::Config(name) => match inputs.observed.configs.get(name) {
            Some(Some(_)) => "it has other values".to_owned(),
            Some(None) => gone(),
            None => "it isn't read".to_owned(),
        },
        Thing::Workload(host, id) => {
            let inventory = inputs.observed.hosts.get(host).and_then(|it| it.inventory.as_ref());
            let Some(inventory) = inventory else { return "it isn't shown".to_owned() };
            let annotations = inventory.annotations(id).next();
            let whose = annotations.map_or_else(String::new, |annotations| {
                let owner = Owner::of(annotations).map(|owner| format!(" of {owner}"));
                let manager = annotations.get(MANAGED_BY);
                owner.or_else(|| manager.map(|by| format!(" of {by}"))).unwrap_or_default()
            });
            if let Some(running) = inventory.components.get(id) {
                format!("{} instances of {} run there{whose}", running.instances, running.image)
            } else if let Some(running) = inventory.providers.get(id) {
                format!("{} runs there{whose}", running.image)
            } else {
                gone()
            }
        }
    }
}
