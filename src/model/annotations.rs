use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, MapAccess, Visitor},
};

/// What is written on something that runs: texts by key, in order of keys. Hosts that show the same
/// of one id share it.
///
/// All keys and values are one text, because there are tens of thousands of these, and a map of
/// strings takes three times the room.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Annotations {
    text: Box<str>,
    /// Where in `text` each key and each value ends, in turns.
    ends: Box<[u32]>,
}

impl Annotations {
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// All, in order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        let mut next = move |end: u32| {
            let end = end as usize;
            // Each end was the length of a text, and later ends are not smaller.
            let piece = self.text.get(start..end).unwrap_or_default();
            start = end;
            piece
        };
        let pairs = self.ends.as_chunks().0.iter();
        pairs.map(move |[key, value]| (next(*key), next(*value)))
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Annotations {
    /// Of a key that comes twice, the last value stands.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut draft = Draft::default();
        for (key, value) in pairs {
            draft.push(key.as_ref());
            draft.push(value.as_ref());
        }
        draft.finish()
    }
}

impl<K: AsRef<str>, V: AsRef<str>, const N: usize> From<[(K, V); N]> for Annotations {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl fmt::Debug for Annotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Annotations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs)
    }
}

/// Keys and values as they come.
#[derive(Default)]
struct Draft {
    text: String,
    ends: Vec<u32>,
}

impl Draft {
    fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.end();
    }

    fn end(&mut self) {
        // No message of NATS comes near four gigabytes.
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    fn finish(self) -> Annotations {
        let drafted = Annotations { text: self.text.into(), ends: self.ends.into() };
        if drafted.iter().is_sorted_by(|(one, _), (other, _)| one < other) {
            return drafted;
        }
        let sorted: std::collections::BTreeMap<_, _> = drafted.iter().collect();
        sorted.into_iter().collect()
    }
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Annotations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
        let mut draft = Draft::default();
        while map.next_key_seed(Piece(&mut draft))?.is_some() {
            map.next_value_seed(Piece(&mut draft))?;
        }
        Ok(draft.finish())
    }
}

/// Where the next text goes, with no string of its own in between.
struct Piece<'a>(&'a mut Draft);

impl<'de> DeserializeSeed<'de> for Piece<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Piece<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let text = r#"{"a":"1","b/c":"","ä":"ö\n"}"#;
        let read: Annotations = serde_json::from_str(text).unwrap();
        assert_eq!(
            (read.get("a"), read.get("b/c"), read.get("ä")),
            (Some("1"), Some(""), Some("ö\n"))
        );
        assert_eq!((read.get("b"), read.get("")), (None, None));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(format!("{read:?}"), r#"{"a": "1", "b/c": "", "ä": "ö\n"}"#);
        assert_eq!(serde_json::from_str::<Annotations>("{}").unwrap(), Annotations::default());
    }

    #[test]
    fn neither_order_nor_what_was_said_before_counts() {
        let read = |text| serde_json::from_str::<Annotations>(text).unwrap();
        assert_eq!(read(r#"{"b":"2","a":"0","a":"1"}"#), read(r#"{"a":"1","b":"2"}"#));
        assert_eq!(Annotations::from([("b", "2"), ("a", "1")]), read(r#"{"a":"1","b":"2"}"#));
        assert_ne!(Annotations::from([("a", "bc")]), Annotations::from([("ab", "c")]));
        assert_ne!(Annotations::from([("a", "b")]), Annotations::from([("a", "b"), ("", "")]));
    }

    #[test]
    fn what_is_no_map_of_texts_is_refused() {
        for text in ["[]", r#"{"a":1}"#, r#"{"a":null}"#, "null"] {
            serde_json::from_str::<Annotations>(text).unwrap_err();
        }
    }
}
