//! How many instances each entry of a spread gets, and which hosts meet it.

use crate::model::{Host, SpreadEntry, has_all};

/// Shares `instances` out by weight, one share an entry in the order of `spread`.
///
/// Each gets the floor of its part; what is left goes one by one to the entries by weight, the
/// heaviest first and the earlier of equals first. An entry of weight 0 gets nothing, unless all
/// weigh 0, which counts as equal weights. The shares add up to `instances`.
pub(super) fn shares(instances: u32, spread: &[SpreadEntry]) -> Vec<u32> {
    let weighted = spread.iter().any(|entry| entry.weight > 0);
    let weight = |entry: &SpreadEntry| if weighted { entry.weight } else { 1 };
    divide(instances, &spread.iter().map(weight).collect::<Vec<u32>>())
}

/// Nothing is given to a weight of 0.
fn divide(instances: u32, weights: &[u32]) -> Vec<u32> {
    let total = weights.iter().map(|&weight| u64::from(weight)).sum::<u64>().max(1);
    let floor = |&weight: &u32| {
        let share = u64::from(instances) * u64::from(weight) / total;
        u32::try_from(share).unwrap_or(instances)
    };
    let mut shares: Vec<u32> = weights.iter().map(floor).collect();
    let mut left = instances - shares.iter().sum::<u32>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.retain(|&entry| weights.get(entry).is_some_and(|&weight| weight > 0));
    order.sort_by_key(|&entry| std::cmp::Reverse(weights.get(entry)));
    for entry in order {
        if left > 0
            && let Some(share) = shares.get_mut(entry)
        {
            *share += 1;
            left -= 1;
        }
    }
    shares
}

/// Hands what found no host to the entries that found enough, by their weights and on top of their
/// shares. An entry that has lacked hosts is never given more: `full` remembers it.
///
/// # Returns
///
/// The shares that may be had then; `None` if nothing is left over, or nobody could take it.
pub(super) fn redistribute(
    given: &[u32],
    unplaced: &[u32],
    spread: &[SpreadEntry],
    full: &mut [bool],
) -> Option<Vec<u32>> {
    let left_over: u32 = unplaced.iter().sum();
    for (full, &unplaced) in full.iter_mut().zip(unplaced) {
        *full |= unplaced > 0;
    }
    let weight = |(full, entry): (&bool, &SpreadEntry)| if *full { 0 } else { entry.weight };
    let weights: Vec<u32> = full.iter().zip(spread).map(weight).collect();
    if left_over == 0 || weights.iter().all(|&weight| weight == 0) {
        return None;
    }
    let more = divide(left_over, &weights);
    let placed = given.iter().zip(unplaced).map(|(given, unplaced)| given - unplaced);
    Some(placed.zip(more).map(|(placed, more)| placed + more).collect())
}

/// Whether `host` has every label that the entry asks for, with exactly its value.
pub(super) fn meets(host: &Host, entry: &SpreadEntry) -> bool {
    has_all(&host.labels, &entry.requirements)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn spread(weights: &[u32]) -> Vec<SpreadEntry> {
        let entry =
            |&weight| SpreadEntry { name: "e".into(), weight, requirements: BTreeMap::new() };
        weights.iter().map(entry).collect()
    }

    #[test]
    fn what_finds_no_host_is_handed_on_by_weight() {
        let spread = spread(&[40, 20, 20, 0]);
        let mut full = [false; 4];
        let mut hand_on =
            |given: &[u32], unplaced: &[u32]| redistribute(given, unplaced, &spread, &mut full);
        assert_eq!(hand_on(&[4, 2, 2, 0], &[0, 0, 0, 0]), None, "nothing is left over");
        assert_eq!(hand_on(&[4, 2, 2, 0], &[3, 0, 0, 0]), Some(vec![1, 4, 3, 0]));
        assert_eq!(hand_on(&[1, 4, 3, 0], &[0, 2, 0, 0]), Some(vec![1, 2, 5, 0]));
        assert_eq!(hand_on(&[1, 2, 5, 0], &[0, 0, 1, 0]), None, "nobody is left to take it");
    }

    #[test]
    fn instances_are_shared_out_by_weight() {
        let cases: [(u32, &[u32], &[u32]); 9] = [
            (10, &[1, 1, 1], &[4, 3, 3]),
            (103, &[42, 3, 37], &[53, 3, 47]),
            (7, &[30, 40], &[3, 4]),
            (7, &[40, 30], &[4, 3]),
            (5, &[100], &[5]),
            (5, &[1, 0], &[5, 0]),
            (1, &[1, 1, 1], &[1, 0, 0]),
            (0, &[1, 2], &[0, 0]),
            (u32::MAX, &[u32::MAX, u32::MAX], &[2_147_483_648, 2_147_483_647]),
        ];
        for (instances, weights, expected) in cases {
            assert_eq!(
                shares(instances, &spread(weights)),
                expected,
                "{instances} over {weights:?}"
            );
        }
    }
}
