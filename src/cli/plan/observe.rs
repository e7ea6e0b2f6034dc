//! What the lattices show.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    path::Path,
};

use super::{PlanArgs, live, wanted::Wanted};
use crate::{
    cli::Failure,
    lattice::wire::{Snapshot, Subjects},
    model::{ConfigName, Gate, LatticeName, Moment, Observed},
};

/// The largest inventory that is read, in bytes: ten thousand hosts with a dozen components each.
const MAX_INVENTORY: u64 = 64 << 20;

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
    let mut text = Vec::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(MAX_INVENTORY + 1).read_to_end(&mut text))
        .map_err(|error| Failure::because(path.display(), error))?;
    if read as u64 > MAX_INVENTORY {
        let wrong = format!("{}: is larger than {} MiB", path.display(), MAX_INVENTORY >> 20);
        return Err(Failure::Failed(wrong));
    }
    Snapshot::parse(&text).map_err(|error| Failure::because(path.display(), error))
}
