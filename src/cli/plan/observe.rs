//! What the lattices show.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{PlanArgs, live, wanted::Wanted};
use crate::{
    cli::Failure,
    lattice::wire::{Snapshot, Subjects},
    model::{ConfigName, Gate, LatticeName, Moment, Observed},
};

/// Each lattice that something is wanted on. Of all but the one that is looked at nothing is known.
pub(super) fn all(
    args: &PlanArgs,
    wanted: &Wanted,
) -> Result<BTreeMap<LatticeName, Observed>, Failure> {
    let shown = &wanted.shown;
    let mut all: BTreeMap<LatticeName, Observed> =
        wanted.each.iter().map(|one| (one.lattice.clone(), unknown(&one.lattice))).collect();
    let configs: BTreeSet<ConfigName> = wanted
        .each
        .iter()
        .filter(|one| one.lattice == shown.name)
        .flat_map(|one| one.desired.configs.keys().cloned())
        .collect();
    let mut observed = match &args.nats {
        Some(url) => {
            let subjects =
                Subjects::new(&shown.control_prefix, &shown.event_prefix, &shown.wire_name)
                    .map_err(|error| Failure::because(format!("Lattice {}", shown.name), error))?;
            live::look(url, shown.name.clone(), subjects, &configs)?
        }
        None => {
            read(args.inventory.as_deref())?.into_observed(shown.name.clone(), Moment::default())
        }
    };
    // This is all of the lattice, so a config that wasn't shown is surely absent.
    for name in configs {
        observed.configs.entry(name).or_insert(None);
    }
    all.insert(shown.name.clone(), observed);
    Ok(all)
}

fn unknown(lattice: &LatticeName) -> Observed {
    let mut observed = Observed::unknown(lattice.clone());
    let why = "what it shows wasn't given; look at it with --lattice".into();
    observed.gate = Gate::Disconnected { why };
    observed
}

/// An inventory file; without one the lattice is empty.
fn read(inventory: Option<&Path>) -> Result<Snapshot, Failure> {
    let Some(path) = inventory else { return Ok(Snapshot::default()) };
    let text = fs::read(path).map_err(|error| Failure::because(path.display(), error))?;
    Snapshot::parse(&text).map_err(|error| Failure::because(path.display(), error))
}
