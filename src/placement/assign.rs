//! Which host gets how many, given what is there already.
//!
//! ```text
//! shares by weight ─▶ the ideal: even over each entry's hosts
//!                         │  keep what is there within it, then what is there beyond it
//!                         ▼
//!                     sticky counts ─▶ fill up the emptiest ─▶ move, if uneven for long
//! ```
//!
//! 1. *Exact*: an entry's hosts get its share in all, if any of them takes work.
//! 2. *Sticky*: what stands where it may stand stays, unless hosts differ by more than one.
//! 3. *Repeatable*: ties go to who runs it as wanted, then to who runs it at all, then by the hash
//!    of (id, host), then by host id; so a host that joins or leaves moves the fewest.

use std::cmp::Reverse;

use crate::model::{Fill, Host, HostId, Moment, Rebalance, WorkloadId};

/// A host that may get some, or has some.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) host: &'a HostId,
    pub(super) info: &'a Host,
    /// Instances that it runs, or that were asked of it.
    pub(super) have: u32,
    pub(super) rank: Rank,
    /// It keeps what it has and gets nothing new.
    pub(super) held: bool,
}

/// Who is preferred where hosts are equal otherwise; the first is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Beside a link peer that reaches only its own host.
    Beside,
    AsWanted,
    Present,
    Absent,
    /// It has to make room: the only one that runs what must be replaced.
    Leaving,
}

/// One entry of a spread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share<'h> {
    pub(super) count: u32,
    /// Indexes of candidates that meet it, in order.
    pub(super) hosts: &'h [usize],
}

/// Counts by candidate, and when a move that isn't due yet will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) counts: Vec<u32>,
    pub(super) unplaced: Vec<u32>,
    pub(super) wake_at: Option<Moment>,
}

/// Whether what runs may stay where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moves {
    /// As far as this lets it move, one host at a time.
    Sticky(Rebalance, Moment),
    /// At once and in full, because what runs has to be replaced anyway.
    Free,
}

/// Shares components out; a host that several entries match gets the sum.
pub(super) fn components(
    id: &WorkloadId,
    shares: &[Share<'_>],
    candidates: &[Candidate<'_>],
    filling: Fill,
    moves: Moves,
) -> Assignment {
    let ideal = |share| match filling {
        Fill::Spread => even(id, share, candidates),
        Fill::Pack => packed(id, share, candidates),
    };
    let ideals: Vec<Vec<u32>> = shares.iter().map(ideal).collect();
    let mut taken = keep(shares, &ideals, candidates);
    let mut assignment = Assignment {
        counts: vec![0; candidates.len()],
        unplaced: Vec::with_capacity(shares.len()),
        wake_at: None,
    };
    for ((share, ideal), taken) in shares.iter().zip(&ideals).zip(&mut taken) {
        match moves {
            Moves::Free => taken.clone_from(ideal),
            Moves::Sticky(rebalance, time) => {
                match filling {
                    Fill::Spread => fill(id, share, ideal, candidates, taken),
                    Fill::Pack => fill_one(id, share, candidates, taken),
                }
                if let Rebalance::After(delay) = rebalance
                    && is_uneven(share, ideal, candidates, taken, filling)
                {
                    let joined = |host: &Host| host.joined + delay;
                    let due = move_one(share, ideal, candidates, taken, (joined, time));
                    assignment.wake_at = earliest(assignment.wake_at, due);
                }
            }
        }
        for (&host, &count) in share.hosts.iter().zip(taken.iter()) {
            assignment.counts[host] += count;
        }
        assignment.unplaced.push(share.count - taken.iter().sum::<u32>());
    }
    assignment
}

/// All on one host of the entry, but for what hosts that are held have. Aligned with
/// [`Share::hosts`].
fn packed(id: &WorkloadId, share: &Share<'_>, candidates: &[Candidate<'_>]) -> Vec<u32> {
    let mut left = share.count;
    let mut keep = |&host: &usize| {
        let candidate = &candidates[host];
        let count = if candidate.held { candidate.have.min(left) } else { 0 };
        left -= count;
        count
    };
    let mut counts: Vec<u32> = share.hosts.iter().map(&mut keep).collect();
    if let Some(position) = fullest(id, share, candidates) {
        counts[position] += left;
    }
    counts
}

/// The host that gets everything where one does: who has most already, of those that have it as it
/// is wanted if there are any, or what has just moved would move back.
fn fullest(id: &WorkloadId, share: &Share<'_>, candidates: &[Candidate<'_>]) -> Option<usize> {
    let at = |position: usize| &candidates[share.hosts[position]];
    let standing = |&position: &usize| {
        let candidate = at(position);
        // To have to make room, or to stand beside a peer, counts more than what is there.
        let first = match candidate.rank {
            Rank::Beside => 0,
            Rank::AsWanted => 1,
            Rank::Present | Rank::Absent => 2,
            Rank::Leaving => 3,
        };
        (first, Reverse(candidate.have))
    };
    let mut free: Vec<usize> = (0..share.hosts.len()).filter(|&host| !at(host).held).collect();
    let first = free.iter().map(standing).min()?;
    free.retain(|position| standing(position) == first);
    best(id, 1, free, at).pop()
}

/// An even distribution over the hosts of one entry, aligned with [`Share::hosts`]. Held hosts
/// keep at most their fair part.
fn even(id: &WorkloadId, share: &Share<'_>, candidates: &[Candidate<'_>]) -> Vec<u32> {
    let mut counts = vec![0; share.hosts.len()];
    let Some(fair) = share.count.checked_div(as_count(share.hosts.len())) else { return counts };
    let fair = fair + u32::from(!share.count.is_multiple_of(as_count(share.hosts.len())));
    let (mut left, mut free) = (share.count, Vec::with_capacity(share.hosts.len()));
    for (position, &host) in share.hosts.iter().enumerate() {
        let candidate = &candidates[host];
        if candidate.held {
            counts[position] = candidate.have.min(fair).min(left);
            left -= counts[position];
        } else {
            free.push(position);
        }
    }
    let Some(base) = left.checked_div(as_count(free.len())) else { return counts };
    for &position in &free {
        counts[position] = base;
    }
    let extra = (left - base * as_count(free.len())) as usize;
    for position in best(id, extra, free, |position| &candidates[share.hosts[position]]) {
        counts[position] += 1;
    }
    counts
}

/// The `wanted` best of `positions`. The hash of a host is only worked out where its rank doesn't
/// decide, so that a lattice at rest costs none.
fn best<'a>(
    id: &WorkloadId,
    wanted: usize,
    mut positions: Vec<usize>,
    candidate: impl Fn(usize) -> &'a Candidate<'a>,
) -> Vec<usize> {
    if wanted == 0 || positions.is_empty() {
        return Vec::new();
    }
    if wanted >= positions.len() {
        return positions;
    }
    let rank =
        candidate(*positions.select_nth_unstable_by_key(wanted - 1, |&p| (candidate(p).rank, p)).1)
            .rank;
    let mut chosen: Vec<usize> =
        positions.iter().copied().filter(|&position| candidate(position).rank < rank).collect();
    let mut ties: Vec<(u64, usize)> = Vec::new();
    let missing = wanted - chosen.len();
    positions.retain(|&position| candidate(position).rank == rank);
    if missing == positions.len() {
        chosen.extend(positions);
        return chosen;
    }
    let rendezvous = Rendezvous::of(id);
    ties.extend(positions.iter().map(|&p| (!rendezvous.weight(candidate(p).host), p)));
    ties.select_nth_unstable(missing - 1);
    chosen.extend(ties.iter().take(missing).map(|&(_, position)| position));
    chosen
}

/// What each entry keeps of what is there: within the ideal first, then beyond it, up to its share.
fn keep(shares: &[Share<'_>], ideals: &[Vec<u32>], candidates: &[Candidate<'_>]) -> Vec<Vec<u32>> {
    let mut have: Vec<u32> = candidates.iter().map(|candidate| candidate.have).collect();
    let mut kept = Vec::with_capacity(shares.len());
    for (share, ideal) in shares.iter().zip(ideals) {
        let take = |(&host, &most): (&usize, &u32)| {
            let count = have[host].min(most);
            have[host] -= count;
            count
        };
        kept.push(share.hosts.iter().zip(ideal).map(take).collect::<Vec<u32>>());
    }
    for (share, kept) in shares.iter().zip(&mut kept) {
        let mut missing = share.count - kept.iter().sum::<u32>();
        for (&host, count) in share.hosts.iter().zip(kept) {
            let more = have[host].min(missing);
            have[host] -= more;
            missing -= more;
            *count += more;
        }
    }
    kept
}

/// Hands what is missing of a share to the hosts that have the least of it.
fn fill(
    id: &WorkloadId,
    share: &Share<'_>,
    ideal: &[u32],
    candidates: &[Candidate<'_>],
    taken: &mut [u32],
) {
    let mut missing = share.count - taken.iter().sum::<u32>();
    if missing == 0 {
        return;
    }
    let held = |position: usize| candidates[share.hosts[position]].held;
    let mut both = taken.iter().zip(ideal).enumerate();
    if both.all(|(at, (taken, ideal))| taken == ideal || (taken < ideal && !held(at))) {
        taken.copy_from_slice(ideal);
        return;
    }
    let mut free: Vec<usize> = (0..taken.len()).filter(|&position| !held(position)).collect();
    free.sort_by_key(|&position| taken[position]);
    // Raise the lowest together, level by level, until what is missing doesn't lift them all.
    let mut low = free.len().min(1);
    while missing > 0 && low > 0 {
        let level = taken[free[low - 1]];
        if let Some(&next) = free.get(low)
            && taken[next] == level
        {
            low += 1;
            continue;
        }
        let room = free.get(low).map_or(u32::MAX, |&next| taken[next] - level);
        let each = (missing / as_count(low)).min(room);
        if each == 0 {
            let lowest = free[..low].to_vec();
            for position in best(id, missing as usize, lowest, |p| &candidates[share.hosts[p]]) {
                taken[position] += 1;
            }
            return;
        }
        for &position in &free[..low] {
            taken[position] += each;
        }
        missing -= each * as_count(low);
    }
}

/// Gives all that is missing of a share to one host.
fn fill_one(id: &WorkloadId, share: &Share<'_>, candidates: &[Candidate<'_>], taken: &mut [u32]) {
    let missing = share.count - taken.iter().sum::<u32>();
    if missing > 0
        && let Some(position) = fullest(id, share, candidates)
    {
        taken[position] += missing;
    }
}

/// Whether what stands is far enough from the ideal to be moved: where instances are spread, hosts
/// must differ by more than one.
fn is_uneven(
    share: &Share<'_>,
    ideal: &[u32],
    candidates: &[Candidate<'_>],
    taken: &[u32],
    filling: Fill,
) -> bool {
    let free = |&position: &usize| !candidates[share.hosts[position]].held;
    let free = || (0..taken.len()).filter(free);
    match filling {
        Fill::Spread => {
            let (most, least) =
                (free().map(|at| taken[at]).max(), free().map(|at| taken[at]).min());
            most.unwrap_or(0) - least.unwrap_or(0) > 1
        }
        Fill::Pack => free().any(|at| taken[at] < ideal[at]),
    }
}

/// Moves one host's part to where it belongs, or says when that may be done: once the host that
/// gains has been there for long enough.
fn move_one(
    share: &Share<'_>,
    ideal: &[u32],
    candidates: &[Candidate<'_>],
    taken: &mut [u32],
    (ripe, time): (impl Fn(&Host) -> Moment, Moment),
) -> Option<Moment> {
    let at = |position: usize| &candidates[share.hosts[position]];
    let free = (0..taken.len()).filter(|&position| !at(position).held);
    let lacking = free.clone().filter(|&position| taken[position] < ideal[position]);
    let (due, gains) = lacking.map(|position| (ripe(at(position).info), position)).min()?;
    let resting = share.hosts.iter().map(|&host| candidates[host].have).sum::<u32>() == share.count;
    if due > time {
        return Some(due);
    }
    if !resting {
        return None;
    }
    for gives in free.filter(|&position| taken[position] > ideal[position]).collect::<Vec<_>>() {
        let moved = (ideal[gains] - taken[gains]).min(taken[gives] - ideal[gives]);
        taken[gives] -= moved;
        taken[gains] += moved;
    }
    None
}

/// Chooses hosts for providers, of which a host runs one; no host serves two entries.
pub(super) fn providers(
    id: &WorkloadId,
    shares: &[Share<'_>],
    candidates: &[Candidate<'_>],
) -> Assignment {
    let mut assignment = Assignment {
        counts: vec![0; candidates.len()],
        unplaced: vec![0; shares.len()],
        wake_at: None,
    };
    // The entry with the fewest hosts chooses first, or one that any host would do for takes them.
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_key(|&entry| shares[entry].hosts.len());
    for entry in order {
        let share = &shares[entry];
        let may = |&host: &usize| {
            let candidate = &candidates[host];
            assignment.counts[host] == 0 && (!candidate.held || candidate.have > 0)
        };
        let hosts: Vec<usize> = share.hosts.iter().copied().filter(may).collect();
        let chosen = best(id, share.count as usize, hosts, |host| &candidates[host]);
        assignment.unplaced[entry] = share.count - as_count(chosen.len());
        for host in chosen {
            assignment.counts[host] = 1;
        }
    }
    assignment
}

/// The earlier of two moments, where there are any.
pub(super) fn earliest(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Lengths here are numbers of hosts.
fn as_count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// What a host weighs for an id: the same on every machine and in every version of Trellis. As
/// FNV-1a, but over eight bytes at a time, each mixed well because nkeys share most of their
/// letters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rendezvous {
    of_id: u64,
}

impl Rendezvous {
    pub(super) fn of(id: &WorkloadId) -> Self {
        Self { of_id: mixed(0xcbf2_9ce4_8422_2325, id.as_str()) }
    }

    pub(super) fn weight(self, host: &HostId) -> u64 {
        mixed(self.of_id, host.as_str())
    }
}

/// `hash` with `text` mixed in.
fn mixed(hash: u64, text: &str) -> u64 {
    let mix = |hash: u64, word: u64| {
        let hash = (hash ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^ (hash >> 32)
    };
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, &word| mix(hash, u64::from_le_bytes(word)));
    let mut last = [0; 8];
    for (to, &from) in last.iter_mut().zip(rest) {
        *to = from;
    }
    // No text holds the byte 255, so that where one ends and the other begins counts.
    mix(mix(hash, u64::from_le_bytes(last)), u64::MAX)
}
