//! Maps and sets of a few: sorted `Vec`s, because a `BTreeMap` of one has room for eleven, and there are
//! tens of thousands of such maps.
use std::fmt;

use litemap::LiteMap;
use serde::{Serialize, Serializer};

/// A map of a few. [`few`] makes one that has room for nothing else.
pub type Few<K, V> = LiteMap<K, V>;

/// A map of just these.
pub fn few<K: Ord, V>(all: impl ExactSizeIterator<Item = (K, V)>) -> Few<K, V> {
    let mut map = Few::with_capacity(all.len());
    for (key, value) in all {
        map.insert(key, value);
    }
    map
}

/// A set of a few, in order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FewOf<T>(Vec<T>);

impl<T> Default for FewOf<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> FewOf<T> {
    /// Whether it is new.
    pub fn insert(&mut self, item: T) -> bool {
        let Err(place) = self.0.binary_search(&item) else { return false };
        if self.0.is_empty() {
            // A second one is rare, and room for three more would be most of all there is.
            self.0.reserve_exact(1);
        }
        self.0.insert(place, item);
        true
    }

    /// Whether it was there.
    pub fn remove(&mut self, item: &T) -> bool {
        self.0.binary_search(item).map(|place| self.0.remove(place)).is_ok()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    pub fn contains(&self, item: &T) -> bool {
        self.0.binary_search(item).is_ok()
    }

    /// The least.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.0.first()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: fmt::Debug> fmt::Debug for FewOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.0).finish()
    }
}

impl<T: Ord> FromIterator<T> for FewOf<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut set = Self::default();
        set.extend(items);
        set
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for FewOf<T> {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Ord> Extend<T> for FewOf<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        for item in items {
            self.insert(item);
        }
    }
}

impl<T: Serialize> Serialize for FewOf<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T> IntoIterator for FewOf<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a FewOf<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_a_few_is_ordered_and_has_each_once() {
        let mut set = FewOf::default();
        assert!(set.insert(2) && set.insert(1) && set.insert(3));
        assert!(!set.insert(2));
        assert_eq!(set.iter().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert!(set.remove(&1) && !set.remove(&1));
        assert_eq!((set.first(), set.len()), (Some(&2), 2));
    }

    #[test]
    fn a_map_of_a_few_has_the_last_value_of_a_key() {
        let map = few([("b", 1), ("a", 2), ("b", 3)].into_iter());
        assert_eq!(map.into_iter().collect::<Vec<_>>(), [("a", 2), ("b", 3)]);
    }
}
