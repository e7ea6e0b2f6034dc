//! Decides what one Application needs done on one lattice.
//!
//! [`plan()`] compares what is wanted ([`Desired`]) with what the lattice last showed
//! ([`Observed`]) and answers with the commands that may be sent now, what follows, and what can't
//! be done and why. It talks to nothing: no clock, no randomness, no `async`; the time is an
//! argument, and only ever compared with times that this process noted itself.
//!
//! ```text
//!            spread ─▶ assign                     claims     image
//!                        │                          │          │
//! Desired ──┐            ▼                          ▼          ▼
//! former  ──┼──▶ survey: what each host should run, and what it runs (`cell`)
//! Observed ─┘            │
//!                        ▼ (`tally`)   adding ─────▶
//!             config ─▶ links ─▶ providers ─▶ components        every command passes `order`:
//!                    ◀─────  removing                           one a lane, gate, failures
//!                        │                                             │
//!                        ▼                                             ▼
//!                 report, reach ───────────────────────▶ Plan { now, later, blocked, progress, reach }
//! ```
//!
//! 1. *Settles*: obeying `now` again and again ends in a plan whose `now` is empty, after at most
//!    one round for each config, link and (host, id) that differs and one for each step of its
//!    change; `later` is empty then too, but for what waits for something that is blocked.
//! 2. *Exact*: then each entry of a spread has its share, or is in `blocked`.
//! 3. *Only its own*: no command for what carries other annotations than ours, for what another
//!    Application has, for links and configs that no revision of ours wanted, or for those of what
//!    runs under our ids and isn't ours.
//! 4. *Never below*: a change takes no more hosts away at a time than it may, and never the last that
//!    serves while another could take over; what moves starts first.
//! 5. *Crash-safe*: forgetting what is in flight leads to the same end.
//! 6. *Repeatable*: equal inputs give equal plans, in equal order.

use std::sync::Arc;

use crate::model::{Desired, Host, Moment, Observed, Plan, WorkloadKind};

mod assign;
mod cell;
pub mod claims;
mod config;
mod contended;
mod foreign;
mod image;
mod links;
mod order;
mod reach;
mod removal;
mod report;
mod spread;
mod survey;
mod tally;
#[cfg(test)]
mod tests;
mod unchanged;
mod workload;

pub use claims::{Claims, Created};
pub use unchanged::{Stamp, Versions};

use order::Draft;
use survey::Survey;

/// Everything that a plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub desired: &'a Desired,
    /// What earlier revisions wanted, newest first; what only they wanted has to be removed.
    pub former: &'a [Arc<Desired>],
    pub observed: &'a Observed,
    /// Up to date with `desired`.
    pub claims: &'a Claims,
    pub removal: Removal,
    pub time: Moment,
}

/// Whether what the Application wants no more may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The new revision's workflow hasn't succeeded yet.
    Hold,
    Allowed,
}

impl Inputs<'_> {
    fn may_remove(&self) -> bool {
        match self.removal {
            Removal::Allowed => true,
            Removal::Hold => false,
        }
    }

    /// Whether a start that an earlier process had acknowledged may be under way unseen on `host`:
    /// until it has shown its inventory after the last moment at which that may have been done.
    fn is_unseen_on(&self, host: &Host) -> bool {
        host.inventory_at < self.observed.unseen_until
    }

    /// The same, of any host. Costs a look at each, so it is asked last.
    fn is_unseen(&self) -> bool {
        self.time < self.observed.unseen_until
            || self.observed.hosts.values().any(|host| self.is_unseen_on(host))
    }
}

/// Compares what is wanted with what is shown.
///
/// # Returns
///
/// `now`: at most one command a lane, in the order in which they should be sent; counts are
/// absolute, per host. `later`: each with what it waits for. `blocked`: with what is wrong and what
/// to do. `wake_at`: when to plan again even if nothing is observed. Cost is O(own components ×
/// hosts), with a few dozen nanoseconds a host that nothing runs on.
pub fn plan(inputs: &Inputs<'_>) -> Plan {
    let survey = Survey::of(inputs);
    let mut draft = Draft::new(inputs);
    config::put(&mut draft);
    let open = links::put(&mut draft, &survey);
    workload::settle(&mut draft, &survey, &open, WorkloadKind::Provider);
    workload::settle(&mut draft, &survey, &open, WorkloadKind::Component);
    report::workloads(&mut draft, &survey);
    removal::workloads(&mut draft);
    links::delete(&mut draft);
    config::delete(&mut draft);
    removal::loose_ends(&mut draft, &survey);
    if removal::may_show_up(inputs) {
        draft.plan.unseen = true;
        draft.wake(inputs.observed.unseen_until);
    }
    draft.plan.reach = reach::of(&draft, &survey);
    draft.plan
}
