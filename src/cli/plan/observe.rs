//! What the lattices show.
use std::{collections::BTreeMap, fs, path::Path};

use super::{PlanArgs, wanted::Wanted};
use crate::{
    cli::Failure,
    lattice::wire::Snapshot,
    model::{Gate, LatticeName, Moment, Observed},
};

/// Each lattice that something is wanted on. Of all but the one that is looked at nothing is known.
pub(super) fn all(
    args: &PlanArgs,
    wanted: &Wanted,
) -> Result<BTreeMap<LatticeName, Observed>, Failure> {
    let mut all = BTreeMap::new();
    for one in &wanted.each {
        if one.lattice != wanted.shown {
            all.entry(one.lattice.clone()).or_insert_with(|| unknown(one.lattice.clone()));
        }
    }
    let mut shown = match &args.nats {
        Some(url) => {
            return Err(Failure::because(
                url,
                "looking at a lattice over NATS is not supported yet",
            ));
        }
        None => {
            read(args.inventory.as_deref())?.into_observed(wanted.shown.clone(), Moment::default())
        }
    };
    // The file is all of the lattice, so a config that isn't in it is surely absent.
    for one in wanted.each.iter().filter(|one| one.lattice == wanted.shown) {
        for name in one.desired.configs.keys() {
            shown.configs.entry(name.clone()).or_insert(None);
        }
    }
    all.insert(wanted.shown.clone(), shown);
    Ok(all)
}

fn unknown(lattice: LatticeName) -> Observed {
    let why = "what it shows wasn't given; look at it with --lattice".into();
    let mut observed = Observed::unknown(lattice);
    observed.gate = Gate::Disconnected { why };
    observed
}

fn read(inventory: Option<&Path>) -> Result<Snapshot, Failure> {
    let Some(path) = inventory else { return Ok(Snapshot::default()) };
    let text = fs::read(path).map_err(|error| Failure::because(path.display(), error))?;
    Snapshot::parse(&text).map_err(|error| Failure::because(path.display(), error))
}
