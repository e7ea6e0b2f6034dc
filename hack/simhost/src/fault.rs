//! Things that go wrong on demand.

use std::time::Duration;

use crate::event::HEARTBEAT;
use crate::rng::Rng;
use crate::verb::Verb;

/// In the place of an event's name: all but heartbeats, which are the truth that the others hint at.
pub const ANY_EVENT: &str = "*";

/// One thing that goes wrong, where, how often and how likely.
///
/// Made by the constructors, narrowed by the builders, handed to `SimLattice::inject`. Where several
/// fit one occasion the one that was injected first is taken.
#[derive(Debug, Clone)]
pub struct Fault {
    effect: Effect,
    verb: Option<Verb>,
    event: Option<String>,
    host: Option<String>,
    id: Option<String>,
    left: Option<u32>,
    percent: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Refuse(String),
    LoseReply,
    DelayReply(Duration),
    FailStart(String),
    SlowStart(Duration),
    LoseEvent,
    DoubleEvent,
    DelayEvent(Duration),
}

impl Fault {
    /// Commands are answered with `success: false` and `text`, and nothing is done.
    pub fn refuse(text: impl Into<String>) -> Self {
        Self::new(Effect::Refuse(text.into()))
    }

    /// Commands are carried out, their answers are lost.
    #[must_use]
    pub fn lose_reply() -> Self {
        Self::new(Effect::LoseReply)
    }

    /// Commands are carried out at once, their answers come late.
    #[must_use]
    pub fn delay_reply(by: Duration) -> Self {
        Self::new(Effect::DelayReply(by))
    }

    /// Starts of components and providers fail with `text`.
    pub fn fail_start(text: impl Into<String>) -> Self {
        Self::new(Effect::FailStart(text.into()))
    }

    /// Starts of components and providers take longer, after they were acknowledged.
    #[must_use]
    pub fn slow_start(by: Duration) -> Self {
        Self::new(Effect::SlowStart(by))
    }

    /// Events of this name, or [`ANY_EVENT`], are never sent.
    pub fn lose_event(name: impl Into<String>) -> Self {
        Self::new(Effect::LoseEvent).named(name)
    }

    /// Events of this name, or [`ANY_EVENT`], are sent twice, the second time the same to the letter.
    pub fn double_event(name: impl Into<String>) -> Self {
        Self::new(Effect::DoubleEvent).named(name)
    }

    /// Events of this name, or [`ANY_EVENT`], are sent late, after others that happened later.
    pub fn delay_event(name: impl Into<String>, by: Duration) -> Self {
        Self::new(Effect::DelayEvent(by)).named(name)
    }

    fn new(effect: Effect) -> Self {
        let (verb, event, host, id, left) = (None, None, None, None, None);
        Self { effect, verb, event, host, id, left, percent: 100 }
    }

    fn named(mut self, event: impl Into<String>) -> Self {
        self.event = Some(event.into());
        self
    }

    /// Only for this kind of command.
    #[must_use]
    pub fn on(mut self, verb: Verb) -> Self {
        self.verb = Some(verb);
        self
    }

    /// Only on this host.
    #[must_use]
    pub fn at(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Only for this component, provider, or source of links.
    #[must_use]
    pub fn about(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// Only the first `times`; otherwise always.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    /// Only in `percent` of a hundred cases, drawn from the lattice's seed.
    #[must_use]
    pub fn percent(mut self, percent: u8) -> Self {
        self.percent = percent;
        self
    }

    fn fits_event(&self, event: Option<&str>) -> bool {
        match self.event.as_deref() {
            None => true,
            Some(ANY_EVENT) => event.is_some_and(|event| event != HEARTBEAT),
            Some(name) => event == Some(name),
        }
    }

    fn fits(&self, occasion: &Occasion<'_>) -> bool {
        fn allows(wanted: Option<&str>, is: &str) -> bool {
            wanted.is_none_or(|wanted| wanted == is)
        }
        self.left != Some(0)
            && allows(self.host.as_deref(), occasion.host)
            && allows(self.id.as_deref(), occasion.id)
            && self.fits_event(occasion.event)
            && self.verb.is_none_or(|verb| Some(verb) == occasion.verb)
    }
}

/// A moment at which something may go wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Occasion<'a> {
    pub(crate) host: &'a str,
    pub(crate) id: &'a str,
    pub(crate) verb: Option<Verb>,
    pub(crate) event: Option<&'a str>,
}

#[derive(Debug)]
pub(crate) struct Faults {
    injected: Vec<Fault>,
    rng: Rng,
}

impl Faults {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { injected: Vec::new(), rng }
    }

    pub(crate) fn inject(&mut self, fault: Fault) {
        self.injected.push(fault);
    }

    pub(crate) fn heal(&mut self) {
        self.injected.clear();
    }

    /// The first fault of one kind that fits and whose lot is drawn; uses up one of its times.
    pub(crate) fn strike<T>(
        &mut self,
        occasion: &Occasion<'_>,
        kind: impl Fn(&Effect) -> Option<T>,
    ) -> Option<T> {
        for fault in &mut self.injected {
            let Some(effect) = kind(&fault.effect) else { continue };
            if fault.fits(occasion) && self.rng.percent(fault.percent) {
                fault.left = fault.left.map(|left| left.saturating_sub(1));
                return Some(effect);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, Fault, Faults, Occasion};
    use crate::rng::Rng;
    use crate::verb::Verb;

    fn refusals(faults: &mut Faults, host: &str) -> bool {
        let occasion = Occasion { host, verb: Some(Verb::LinkPut), ..Occasion::default() };
        faults
            .strike(&occasion, |effect| (*effect == Effect::Refuse("no".into())).then_some(()))
            .is_some()
    }

    #[test]
    fn a_fault_strikes_as_often_as_it_was_told_to() {
        let mut faults = Faults::new(Rng::fork(1, "test"));
        faults.inject(Fault::refuse("no").times(2));
        let struck: Vec<bool> = (0..3).map(|_| refusals(&mut faults, "a")).collect();
        assert_eq!(struck, [true, true, false]);
    }

    #[test]
    fn a_fault_strikes_only_where_it_was_told_to() {
        let mut faults = Faults::new(Rng::fork(1, "test"));
        faults.inject(Fault::refuse("no").at("a").on(Verb::LinkPut));
        assert!(refusals(&mut faults, "a"));
        assert!(!refusals(&mut faults, "b"));
    }
}
