//! Links carry no heartbeat: they are read, and read again.
use std::{sync::Arc, time::Duration};

use super::{Effect, Fold, LinksUnread, Silence, StoredLinks};
use crate::{
    lattice::in_flight::backoff,
    model::{Command, Lane, LatticeName, LinkKey, LinkMap, Links, Moment, Thing, WorkloadId},
};

/// One host's answer may be stale; two that agree, this far apart, are acted on.
const TWICE: Duration = Duration::from_secs(1);
/// Links and configs are read again this often, give or take a tenth.
pub(super) const REREAD: Duration = Duration::from_mins(5);
/// What the read of a link weighs: after a start of which nobody knows that it has changed any, all are
/// read again so much later as they are more.
const WEIGHT: Duration = Duration::from_millis(10);
/// So many failed reads in a row, while there are hosts, and the links are unreadable.
const FAILURES: u32 = 3;

/// Where the reading of links stands.
#[derive(Debug)]
pub(super) struct LinkReads {
    pause: Duration,
    reading: bool,
    /// Something may have changed since the read under way was asked for.
    dirty: bool,
    due: Option<Moment>,
    /// Something was started: a read that begins after the first moment is due at the second.
    after_starts: Option<(Moment, Moment)>,
    /// What the last read showed, if it isn't what is published.
    candidate: Option<Arc<LinkMap>>,
    failures: u32,
    /// No host is asked for the links, for they don't fit one message: the bucket is read.
    stored: bool,
}

impl LinkReads {
    pub(super) fn new(lattice: &LatticeName) -> Self {
        let pause = backoff(REREAD, REREAD, 1, lattice);
        Self {
            pause,
            reading: false,
            dirty: false,
            due: None,
            after_starts: None,
            candidate: None,
            failures: 0,
            stored: false,
        }
    }

    pub(super) fn reset(&mut self, now: Moment) {
        self.reading = false;
        self.dirty = false;
        self.candidate = None;
        self.failures = 0;
        self.stored = false;
        self.due = Some(now);
        self.after_starts = None;
    }

    fn due_at(&mut self, at: Moment) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

impl Fold {
    pub(super) fn tick_links(&mut self, now: Moment) {
        let after_starts = self.links.after_starts;
        let mut due = self.links.due.into_iter().chain(after_starts.map(|(_, due)| due));
        if !self.links.reading && due.any(|due| due <= now) {
            self.links.reading = true;
            self.links.dirty = false;
            self.links.due = None;
            let later = after_starts.filter(|(after, _)| *after > now);
            self.links.after_starts = later.map(|(after, _)| (after, now + self.weight()));
            let how = if self.links.stored { Effect::StoredLinks } else { Effect::Links };
            self.outcome.effects.push(how);
        }
    }

    /// The links may have changed: they are read at the next tick.
    pub(super) fn links_due(&mut self, now: Moment) {
        self.links.dirty = true;
        self.links.due_at(now);
    }

    /// An id has been started, which makes its host write the record of its links again (T10): what was
    /// put or deleted lately may have been undone by that.
    pub(super) fn started(&mut self, id: &WorkloadId, now: Moment) {
        let Links::Read(links) = &self.observed.links else { return };
        if links_of(links, id).next().is_none() {
            return;
        }
        if self.observed.links_written.last(id).is_some() {
            self.links.dirty = true;
            return self.links.due_at(now + TWICE);
        }
        let due = self.links.after_starts.map_or(now + self.weight(), |(_, due)| due);
        self.links.after_starts = Some((now + TWICE, due));
    }

    /// How long a read of all links is put off that is most likely for nothing.
    fn weight(&self) -> Duration {
        let Links::Read(links) = &self.observed.links else { return TWICE };
        let links = u32::try_from(links.len()).unwrap_or(u32::MAX);
        (TWICE + WEIGHT.saturating_mul(links)).min(REREAD)
    }

    pub(super) fn links_read(&mut self, read: Result<LinkMap, LinksUnread>, now: Moment) {
        let reads = &mut self.links;
        reads.reading = false;
        let map = match read {
            Ok(map) => map,
            // Without a host there is nobody who could tell, and nothing to do about it.
            Err(LinksUnread::NoResponders) => {
                return reads.due_at(now + self.settings.probe_interval);
            }
            Err(LinksUnread::TooLarge) => {
                reads.failures = 0;
                return self.read_stored();
            }
            Err(LinksUnread::Failed) => {
                reads.failures = reads.failures.saturating_add(1);
                if reads.failures < FAILURES {
                    return reads.due_at(now + self.settings.probe_interval);
                }
                return self.read_stored();
            }
        };
        reads.failures = 0;
        self.links_shown(map, now);
    }

    /// What hosts can't say in one message is in their bucket.
    fn read_stored(&mut self) {
        self.links.reading = true;
        self.outcome.effects.push(Effect::StoredLinks);
    }

    pub(super) fn stored_links_read(&mut self, read: Result<StoredLinks, Silence>, now: Moment) {
        let reads = &mut self.links;
        reads.reading = false;
        match read {
            // Links that are too many for a message aren't none: this bucket is another lattice's.
            Ok(stored) if !stored.links.is_empty() => {
                reads.stored = !stored.fit;
                reads.failures = 0;
                self.links_shown(stored.links, now);
            }
            Ok(_) | Err(Silence::NoResponders | Silence::NoAnswer) => {
                reads.stored = false;
                // A host that is asked for too many links loses its connection over it.
                let pause = match reads.failures.checked_sub(FAILURES) {
                    None => reads.pause,
                    Some(more) => {
                        backoff(self.settings.probe_interval, reads.pause, more + 1, &more)
                    }
                };
                reads.due_at(now + pause);
                self.publish_links(Links::Unreadable, now);
            }
        }
    }

    fn links_shown(&mut self, map: LinkMap, now: Moment) {
        let reads = &mut self.links;
        let again = now + reads.pause;
        if let Links::Read(published) = &self.observed.links
            && *published == map
        {
            reads.candidate = None;
            let at = if reads.dirty { now + TWICE } else { again };
            return reads.due_at(at);
        }
        if reads.candidate.as_deref() == Some(&map) && !reads.dirty {
            reads.candidate = None;
            reads.due_at(again);
            return self.publish_links(Links::Read(map), now);
        }
        reads.candidate = Some(Arc::new(map));
        reads.due_at(now + TWICE);
    }

    fn publish_links(&mut self, links: Links, now: Moment) {
        if self.observed.links == links {
            return;
        }
        let mut others = Vec::new();
        match (&self.observed.links, &links) {
            (Links::Read(old), Links::Read(new)) => {
                let changed = new.iter().filter(|(key, link)| old.get(*key) != Some(*link));
                let gone = old.keys().filter(|key| !new.contains_key(*key));
                others.extend(changed.map(|(key, _)| key).chain(gone).cloned());
                let sources = others.iter().map(|key| key.source.clone());
                self.outcome.change.link_sources.extend(sources);
            }
            (Links::Unread | Links::Unreadable | Links::Read(_), _) => {
                self.outcome.change.links = true;
                self.outcome.change.health = true;
            }
        }
        let observed = Arc::make_mut(&mut self.observed);
        let before = std::mem::replace(&mut observed.links, links.clone());
        self.resolve_links(now);
        let Links::Read(links) = links else { return };
        for key in others {
            let link = links.get(&key);
            if let Links::Read(before) = &before {
                self.link_changed(&key, [before.get(&key), link], now);
            }
            self.look_at_link(&Thing::Link(Box::new(key)), link, now);
        }
    }

    /// Resolves link commands that the links now published prove done.
    fn resolve_links(&mut self, now: Moment) {
        let pending = self.observed.in_flight.pending.keys();
        let links = pending.filter(|lane| matches!(lane, Lane::Links(_)));
        for lane in links.cloned().collect::<Vec<_>>() {
            self.resolve_link(&lane, now);
        }
    }

    /// Resolves the link command of one source if the links that are published prove it done.
    fn resolve_link(&mut self, lane: &Lane, now: Moment) {
        let Links::Read(links) = &self.observed.links else { return };
        let Some(pending) = self.observed.in_flight.pending.get(lane) else { return };
        let shown = match &pending.command {
            Command::PutLink { key, link } => links.get(key) == Some(link),
            Command::DeleteLink { key } => !links.contains_key(key),
            Command::PutConfig { .. }
            | Command::DeleteConfig { .. }
            | Command::StartProvider { .. }
            | Command::StopProvider { .. }
            | Command::ScaleComponent { .. } => false,
        };
        if shown && self.lanes.is_answered(lane) {
            let command = pending.command.clone();
            let observed = Arc::make_mut(&mut self.observed);
            self.lanes.succeed(&mut observed.in_flight, lane);
            self.outcome.change.lane(lane.clone());
            self.made(&command, now);
        }
    }

    /// Somebody put or deleted a link. If it was us, and the host has answered too, it is so.
    pub(super) fn link_hint(&mut self, hint: &Command, now: Moment) {
        let lane = hint.lane();
        let ours = self.observed.in_flight.pending.get(&lane).is_some_and(|p| p.command == *hint);
        if ours {
            let observed = Arc::make_mut(&mut self.observed);
            if self.lanes.link_event(&mut observed.in_flight, &lane, now) {
                self.outcome.change.lane(lane);
                self.apply_link(hint.clone(), now);
            }
            return;
        }
        let known = match (&self.observed.links, hint) {
            (Links::Read(links), Command::PutLink { key, link }) => links.get(key) == Some(link),
            (Links::Read(links), Command::DeleteLink { key }) => !links.contains_key(key),
            _ => false,
        };
        if !known {
            self.links_due(now);
        }
    }

    /// Shows a link command of ours that was answered and whose event was seen: its host wrote it
    /// before it said so. A read confirms it.
    pub(super) fn apply_link(&mut self, command: Command, now: Moment) {
        self.made(&command, now);
        self.links.candidate = None;
        self.links.dirty = true;
        self.links.due_at(now + TWICE);
        let Links::Read(links) = &mut Arc::make_mut(&mut self.observed).links else { return };
        let (key, before, after) = match command {
            Command::PutLink { key, link } => {
                (key.clone(), links.insert(key, link.clone()), Some(link))
            }
            Command::DeleteLink { key } => {
                let before = links.remove(&key);
                (key, before, None)
            }
            Command::PutConfig { .. }
            | Command::DeleteConfig { .. }
            | Command::StartProvider { .. }
            | Command::StopProvider { .. }
            | Command::ScaleComponent { .. } => return,
        };
        if before != after {
            self.link_changed(&key, [before.as_ref(), after.as_ref()], now);
            self.resolve_link(&Lane::Links(key.source.clone()), now);
            self.outcome.change.link_sources.insert(key.source);
        }
    }
}

/// The links whose source is `id`.
fn links_of<'a>(links: &'a LinkMap, id: &'a WorkloadId) -> impl Iterator<Item = &'a LinkKey> {
    let first =
        LinkKey { source: id.clone(), name: "".into(), namespace: "".into(), package: "".into() };
    links.range(first..).map(|(key, _)| key).take_while(move |key| key.source == *id)
}
