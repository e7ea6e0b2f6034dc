//! What hosts are at work on, to tell when commands are sent that may overtake each other.

use std::sync::Arc;
use std::time::Duration;

use crate::host::Host;
use crate::lock;
use crate::log::Command;
use crate::verb::Verb;

/// Commands that hosts have begun and not ended, and what was sent beside them that shouldn't have been.
#[derive(Debug, Default)]
pub(crate) struct Works {
    begun: Vec<Work>,
    next: u64,
    /// In words.
    clashes: Vec<String>,
    /// Of what was sent before, who sends now knows nothing.
    unknown_before: Duration,
}

#[derive(Debug)]
struct Work {
    number: u64,
    host: Arc<Host>,
    command: Command,
    /// One that is the same to the letter has ended meanwhile: from outside nobody can tell the two
    /// apart, so for whoever sent them this one may have ended as well.
    twin_ended: bool,
}

/// Ends a piece of work when it is dropped.
pub(crate) struct Begun {
    number: u64,
    lattice: Arc<crate::lattice::Lattice>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        lock(&self.lattice.works).end(self.number);
    }
}

pub(crate) fn begin(cx: &crate::host::Cx, command: &Command) -> Begun {
    let mut works = lock(&cx.lattice.works);
    works.next += 1;
    let number = works.next;
    let (host, command) = (cx.host.clone(), command.clone());
    let work = Work { number, host, command, twin_ended: false };
    let unknown_before = works.unknown_before;
    let clash = works.begun.iter().find(|other| {
        other.command.at >= unknown_before
            && !other.twin_ended
            && other.host.lives()
            && work.clashes_with(other)
    });
    if let Some(other) = clash {
        let said = format!("{} beside {}", told(&work), told(other));
        works.clashes.push(said);
    }
    works.begun.push(work);
    Begun { number, lattice: cx.lattice.clone() }
}

fn told(work: &Work) -> String {
    let Command { verb, body, at, .. } = &work.command;
    format!("{verb:?} {body} on {}, sent at {:.3} s", work.host.friendly_name, at.as_secs_f64())
}

impl Works {
    pub(crate) fn clashes(&self) -> &[String] {
        &self.clashes
    }

    fn end(&mut self, number: u64) {
        let Some(at) = self.begun.iter().position(|work| work.number == number) else { return };
        let ended = self.begun.swap_remove(at);
        for work in &mut self.begun {
            let (one, two) = (&work.command, &ended.command);
            work.twin_ended |= Arc::ptr_eq(&work.host, &ended.host)
                && one.verb == two.verb
                && one.body == two.body;
        }
    }

    pub(crate) fn unknown_before(&mut self, at: Duration) {
        self.unknown_before = at;
    }
}

impl Work {
    /// Nothing orders two for one id on one host (T11), and a start rewrites the record of its id's
    /// links (T10). One that is the same to the letter does no harm.
    fn clashes_with(&self, other: &Self) -> bool {
        let (one, two) = (&self.command, &other.command);
        if one.id() != two.id() || one.id().is_empty() {
            return false;
        }
        let same_host = Arc::ptr_eq(&self.host, &other.host);
        match (changes(one.verb), changes(two.verb)) {
            (Some(Lane::Workload), Some(Lane::Workload)) => same_host && one.body != two.body,
            (Some(Lane::Links), Some(Lane::Links)) => one.body != two.body,
            (Some(Lane::Links), Some(Lane::Workload)) => starts(two),
            (Some(Lane::Workload), Some(Lane::Links)) => starts(one),
            (None, _) | (_, None) => false,
        }
    }
}

enum Lane {
    Workload,
    Links,
}

fn changes(verb: Verb) -> Option<Lane> {
    match verb {
        Verb::ComponentScale | Verb::ComponentUpdate | Verb::ProviderStart | Verb::ProviderStop => {
            Some(Lane::Workload)
        }
        Verb::LinkPut | Verb::LinkDel => Some(Lane::Links),
        _ => None,
    }
}

fn starts(command: &Command) -> bool {
    command.verb == Verb::ProviderStart
        || (command.verb == Verb::ComponentScale && command.body["count"] != 0)
}
