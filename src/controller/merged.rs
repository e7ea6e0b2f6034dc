//! Several watches of a kind as one: a listing of all of them, then the changes of each.
//!
//! Who listens may take a listing for everything that there is, so it ends only when every place
//! has been listed, and begins anew for all of them when one has to be listed again.
use futures::{
    FutureExt, Stream, StreamExt,
    future::select_all,
    stream::{self, BoxStream},
};
use kube::runtime::watcher::{self, Event};

use super::chain;

pub(super) type Watch<K> = BoxStream<'static, watcher::Result<Event<K>>>;

/// A place to watch; it is opened again when all have to be listed again.
pub(super) type Open<K> = Box<dyn Fn() -> Watch<K> + Send>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opened,
    Listing,
    Listed,
}

struct Place<K> {
    open: Open<K>,
    watch: Watch<K>,
    stage: Stage,
}

/// What happens in all of `places`. A watch that fails is logged and tries again, as kube's do.
pub(super) fn merged<K: Send + 'static>(
    places: Vec<Open<K>>,
) -> impl Stream<Item = Event<K>> + Send + 'static {
    let opened = |open: Open<K>| Place { watch: open(), open, stage: Stage::Opened };
    let places: Vec<_> = places.into_iter().map(opened).collect();
    stream::unfold(places, |mut places| async {
        let event = next(&mut places).await;
        Some((event, places))
    })
}

async fn next<K>(places: &mut [Place<K>]) -> Event<K> {
    loop {
        let (at, event) = first(places).await;
        match event {
            Some(Ok(Event::Init)) => {
                if begin(places, at) {
                    return Event::Init;
                }
            }
            Some(Ok(Event::InitDone)) => {
                places[at].stage = Stage::Listed;
                if places.iter().all(|place| place.stage == Stage::Listed) {
                    return Event::InitDone;
                }
            }
            Some(Ok(event)) => return event,
            Some(Err(error)) => tracing::warn!(error = said(&error), "watch"),
            // kube's watches have no end.
            None => std::future::pending().await,
        }
    }
}

/// What the API server says is wrong, if it does: kube's own text has all of its answer, twice.
fn said(error: &watcher::Error) -> String {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => status.message.clone(),
        error => chain(error),
    }
}

/// What comes first, and from where. While one place is still being listed, the others' changes
/// wait: they would be lost in a listing that hasn't ended.
async fn first<K>(places: &mut [Place<K>]) -> (usize, Option<watcher::Result<Event<K>>>) {
    let listing = places.iter().any(|place| place.stage != Stage::Listed);
    let heard = places
        .iter_mut()
        .enumerate()
        .filter(|(_, place)| !listing || place.stage != Stage::Listed)
        .map(|(at, place)| place.watch.next().map(move |event| (at, event)));
    let (first, _, _) = select_all(heard).await;
    first
}

/// Takes note that a listing begins at one place; whether that begins the listing of all.
fn begin<K>(places: &mut [Place<K>], at: usize) -> bool {
    let again = places[at].stage != Stage::Opened;
    places[at].stage = Stage::Listing;
    let mut others = places.iter_mut().enumerate().filter(|(other, _)| *other != at);
    if again {
        for (_, other) in others {
            other.watch = (other.open)();
            other.stage = Stage::Opened;
        }
        return true;
    }
    others.all(|(_, other)| other.stage == Stage::Opened)
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    /// A watch that shows `events`, the same each time that it is opened, and then nothing more.
    fn place(events: &'static str) -> Open<&'static str> {
        Box::new(move || {
            let event = |word: &'static str| {
                Ok(match word.split_at(1) {
                    ("(", "") => Event::Init,
                    (")", "") => Event::InitDone,
                    ("+", name) => Event::Apply(name),
                    ("-", name) => Event::Delete(name),
                    ("!", "") => return Err(watcher::Error::NoResourceVersion),
                    _ => Event::InitApply(word),
                })
            };
            let events: Vec<_> = events.split_whitespace().map(event).collect();
            stream::iter(events).chain(stream::pending()).boxed()
        })
    }

    /// All that is heard of `places` before they fall silent.
    fn heard(places: &[&'static str]) -> String {
        let word = |event: Event<&'static str>| match event {
            Event::Init => "(".to_owned(),
            Event::InitDone => ")".to_owned(),
            Event::InitApply(name) => name.to_owned(),
            Event::Apply(name) => format!("+{name}"),
            Event::Delete(name) => format!("-{name}"),
        };
        let mut all = Box::pin(merged(places.iter().copied().map(place).collect()));
        let words = std::iter::from_fn(|| all.next().now_or_never().flatten().map(word));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn places_are_heard_as_one() {
        let rows: &[(&[&str], &str)] = &[
            (&["( a b ) +c -a"], "( a b ) +c -a"),
            (&["( a ) +b", "( c ) -c"], "( a c ) +b -c"),
            // Nothing is told before every place is listed.
            (&["( a )", "( c"], "( a c"),
            (&["( a )", "!"], "( a"),
            (&["( a )", "! ( c )"], "( a c )"),
            (&["( a )", "( c ! ( d )"], "( a c ( a d )"),
        ];
        for (places, wanted) in rows {
            assert_eq!(heard(places), *wanted, "{places:?}");
        }
    }

    #[test]
    fn one_that_is_listed_again_has_all_listed_again() {
        assert_eq!(heard(&["( a ) +b", "( c ) ( d )"]), "( a c ) +b ( a d ) +b");
        assert_eq!(heard(&["( a ) ( b ) +d"]), "( a ) ( b ) +d");
    }
}
