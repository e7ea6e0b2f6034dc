//! How many instances each entry of a spread gets, and which hosts meet it.

use crate::model::{Host, SpreadEntry};

/// Shares `instances` out by weight, one share an entry in the order of `spread`.
///
/// Each gets the floor of its part; what is left goes one by one to the entries by weight, the
/// heaviest first and the earlier of equals first. An entry of weight 0 gets nothing, unless all
/// weigh 0, which counts as equal weights. The shares add up to `instances`.
pub(super) fn shares(instances: u32, spread: &[SpreadEntry]) -> Vec<u32> {
    let weighted = spread.iter().any(|entry| entry.weight > 0);
    let weight = |entry: &SpreadEntry| if weighted { u64::from(entry.weight) } else { 1 };
    let total = spread.iter().map(weight).sum::<u64>().max(1);
    let floor = |entry| {
        let share = u64::from(instances) * weight(entry) / total;
        u32::try_from(share).unwrap_or(instances)
    };
    let mut shares: Vec<u32> = spread.iter().map(floor).collect();
    let mut left = instances - shares.iter().sum::<u32>();
    let mut order: Vec<usize> = (0..spread.len()).collect();
    order.retain(|&entry| spread.get(entry).is_some_and(|entry| weight(entry) > 0));
    order.sort_by_key(|&entry| std::cmp::Reverse(spread.get(entry).map(weight)));
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

/// Whether `host` has every label that the entry asks for, with exactly its value.
pub(super) fn meets(host: &Host, entry: &SpreadEntry) -> bool {
    // This is asked of every host for every plan. Hosts have few labels, and texts of different
    // length differ at once, so going through them all is quicker than a look-up.
    entry.requirements.iter().all(|wanted| host.labels.iter().any(|label| label == wanted))
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
