//! Several watches of a kind as one: a listing of all of them, then the changes of each.
//!
//! ```text
//!            ┌────────── refused, several times ──────────▶ Refused ─┐
//! Opened ─▶ Listing ─▶ Listed ── refused, several times ──▶    ▲     │ may be listed:
//!   ▲                    │ is listed again                           │ all begin anew
//!   └────────────────────┴───────────────────────────────────────────┘
//! ```
//!
//! 1. Who listens may take a listing for everything that there is, so it ends only when every place
//!    has been listed, and begins anew for all of them when one has to be listed again.
//! 2. A place that the API server refuses doesn't hold up the others, as long as there are any. Who
//!    listens is told: what is there isn't known.
//! 3. A place that is refused and gone is known to be empty, and counts as listed: in a namespace that
//!    was deleted, the rights have gone with it, and the API server says no more than that.
use std::time::Duration;

use futures::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, select_all},
    stream::{self, BoxStream},
};
use kube::runtime::watcher::{self, Event};

use super::chain;

pub(super) type Watch<K> = BoxStream<'static, watcher::Result<Event<K>>>;

/// A place to watch; it is opened again when all have to be listed again.
pub(super) type Open<K> = Box<dyn Fn() -> Watch<K> + Send>;

/// An API server that has just begun refuses what it allows a little later. kube's watches try again
/// after about a second, however often.
const REFUSALS: u32 = 4;
/// The first and the longest pause before a place is tried again that was refused so often: who has
/// just granted a right waits for it to be noticed.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opened,
    Listing,
    Listed,
    Refused,
}

/// What is known of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    Seen,
    /// What was seen there before may not be so any more.
    Old,
    /// A listing has ended without it.
    Missing,
}

struct Place<K> {
    open: Open<K>,
    watch: Watch<K>,
    stage: Stage,
    /// What has been told of it.
    sight: Sight,
    /// Whether it has begun a listing of which nothing was heard yet: kube's watches say so before
    /// they ask, and so also when they are refused.
    begun: bool,
    /// How often in a row it was refused.
    refusals: u32,
    /// What is wrong, as it was logged.
    said: Option<String>,
}

/// What is known of the places from elsewhere.
pub(super) trait Places {
    /// Whether a place is gone, by its number.
    fn is_gone(&self, at: usize) -> bool;

    /// What is known of it is something else.
    fn told(&self, at: usize, sight: Sight);
}

/// Places that can't go, and whose sight nobody asks for.
pub(super) struct Lasting;

impl Places for Lasting {
    fn is_gone(&self, _: usize) -> bool {
        false
    }

    fn told(&self, _: usize, _: Sight) {}
}

struct Merged<K, T> {
    places: Vec<Place<K>>,
    known: T,
    /// Whether a listing has begun that hasn't ended.
    listing: bool,
    /// What comes next, and from where.
    pending: Option<(usize, Event<K>)>,
    wait: Wait,
}

type Wait = fn(Duration) -> BoxFuture<'static, ()>;

/// What happens in all of `places`. A watch that fails is logged and tries again, as kube's do.
/// `known` is told that a place can be seen again only after all that is there has been taken.
pub(super) fn merged<K: Send + 'static>(
    places: Vec<Open<K>>,
    known: impl Places + Send + 'static,
) -> impl Stream<Item = Event<K>> + Send + 'static {
    merged_with(places, known, |pause| tokio::time::sleep(pause).boxed())
}

fn merged_with<K: Send + 'static>(
    places: Vec<Open<K>>,
    known: impl Places + Send + 'static,
    wait: Wait,
) -> impl Stream<Item = Event<K>> + Send + 'static {
    let opened = |open: Open<K>| Place {
        watch: open(),
        open,
        stage: Stage::Opened,
        sight: Sight::Seen,
        begun: false,
        refusals: 0,
        said: None,
    };
    let places = places.into_iter().map(opened).collect();
    let merged = Merged { places, known, listing: false, pending: None, wait };
    stream::unfold(merged, |mut merged| async {
        let event = merged.next().await;
        Some((event, merged))
    })
}

impl<K: Send + 'static, T: Places> Merged<K, T> {
    async fn next(&mut self) -> Event<K> {
        // Whoever asks for the next event has taken the one before, such as the end of a listing.
        if !self.listing {
            self.tell(Stage::Listed, Sight::Seen);
        }
        loop {
            if self.has_ended() {
                return Event::InitDone;
            }
            if self.is_emptied() {
                return Event::Init;
            }
            let (at, event) = match self.pending.take() {
                Some((at, event)) => (at, Some(Ok(event))),
                None => self.first().await,
            };
            match event {
                Some(Ok(Event::Init)) => self.places[at].begun = true,
                Some(Ok(event)) => {
                    let place = &mut self.places[at];
                    (place.refusals, place.said) = (0, None);
                    if std::mem::take(&mut place.begun) && self.begin(at) {
                        self.pending = Some((at, event));
                        return Event::Init;
                    }
                    if !matches!(event, Event::InitDone) {
                        return event;
                    }
                    self.places[at].stage = Stage::Listed;
                }
                Some(Err(error)) => self.failed(at, &error),
                // kube's watches have no end.
                None => std::future::pending().await,
            }
        }
    }

    /// What comes first, and from where. While one place is still being listed, the others' changes
    /// wait: they would be lost in a listing that hasn't ended.
    async fn first(&mut self) -> (usize, Option<watcher::Result<Event<K>>>) {
        let listing = self.places.iter().any(Place::is_underway);
        let heard = self
            .places
            .iter_mut()
            .enumerate()
            .filter(|(_, place)| !listing || place.stage != Stage::Listed)
            .map(|(at, place)| place.watch.next().map(move |event| (at, event)));
        let (first, _, _) = select_all(heard).await;
        first
    }

    /// Takes note that a listing begins at one place; whether that begins the listing of all.
    fn begin(&mut self, at: usize) -> bool {
        let again = self.places[at].stage != Stage::Opened;
        self.places[at].stage = Stage::Listing;
        let mut others = self.places.iter_mut().enumerate().filter(|(other, _)| *other != at);
        if again {
            others.for_each(|(_, other)| other.reopen());
            self.listing = true;
            return true;
        }
        let first = !self.listing
            && others.all(|(_, other)| matches!(other.stage, Stage::Opened | Stage::Refused));
        self.listing |= first;
        first
    }

    fn failed(&mut self, at: usize, error: &watcher::Error) {
        let place = &mut self.places[at];
        let wrong = said(error);
        if place.said.as_ref() == Some(&wrong) {
            tracing::debug!(error = wrong, "watch");
        } else {
            tracing::warn!(error = wrong, "watch");
            place.said = Some(wrong);
        }
        if !is_refusal(error) {
            return;
        }
        place.refusals = place.refusals.saturating_add(1);
        let Some(more) = place.refusals.checked_sub(REFUSALS) else { return };
        if place.stage == Stage::Listed {
            // What was seen stays until it can be listed again, and only that tells that it can.
            place.sight = Sight::Old;
            self.known.told(at, Sight::Old);
        }
        (place.stage, place.begun) = (Stage::Refused, false);
        let (first, longest) = PAUSES;
        let pause = (self.wait)(first.saturating_mul(1 << more.min(16)).min(longest));
        let watch = (place.open)();
        place.watch = stream::once(pause.map(|()| watch)).flatten().boxed();
    }

    /// Takes note that what was seen at places that are gone is there no more, or that all places are
    /// gone that there ever were; whether that begins the listing of all.
    fn is_emptied(&mut self) -> bool {
        let (places, known) = (&self.places, &self.known);
        let emptied = |sight: Sight| {
            places.iter().enumerate().any(|(at, place)| {
                place.sight == sight && place.stage == Stage::Refused && known.is_gone(at)
            })
        };
        let is_emptied =
            !self.listing && (emptied(Sight::Old) || self.are_gone() && emptied(Sight::Seen));
        if is_emptied {
            let listed = self.places.iter_mut().filter(|place| place.stage == Stage::Listed);
            listed.for_each(Place::reopen);
            self.listing = true;
        }
        is_emptied
    }

    fn are_gone(&self) -> bool {
        let mut places = self.places.iter().enumerate();
        places.all(|(at, place)| place.stage == Stage::Refused && self.known.is_gone(at))
    }

    /// Whether the listing ends here: all places are listed but those that can't be.
    fn has_ended(&mut self) -> bool {
        let ended = self.listing
            && !self.places.iter().any(Place::is_underway)
            && (self.places.iter().any(|place| place.stage == Stage::Listed) || self.are_gone());
        if ended {
            self.listing = false;
            self.tell(Stage::Refused, Sight::Missing);
        }
        ended
    }

    /// Tells what is known of the places at `stage`, where that is something else than before.
    fn tell(&mut self, stage: Stage, sight: Sight) {
        for (at, place) in self.places.iter_mut().enumerate() {
            if place.stage == stage && place.sight != sight {
                place.sight = sight;
                self.known.told(at, sight);
            }
        }
    }
}

impl<K> Place<K> {
    fn reopen(&mut self) {
        self.watch = (self.open)();
        (self.stage, self.begun) = (Stage::Opened, false);
    }

    fn is_underway(&self) -> bool {
        matches!(self.stage, Stage::Opened | Stage::Listing)
    }
}

/// What the API server answered, if it did.
fn answered(error: &watcher::Error) -> Option<&kube::core::Status> {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => Some(status),
        _ => None,
    }
}

/// kube's own text has all of the API server's answer, twice.
fn said(error: &watcher::Error) -> String {
    answered(error).map_or_else(|| chain(error), |status| status.message.clone())
}

/// Whether asking again is no use before somebody has changed something.
fn is_refusal(error: &watcher::Error) -> bool {
    answered(error).is_some_and(|status| status.is_forbidden() || status.is_not_found())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use futures::stream;
    use kube::core::Status;

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
                    ("x", "") => return Err(watcher::Error::WatchError(forbidden())),
                    _ => Event::InitApply(word),
                })
            };
            let events: Vec<_> = events.split_whitespace().map(event).collect();
            stream::iter(events).chain(stream::pending()).boxed()
        })
    }

    /// As [`place`], with other events each time that it is opened, and none after these.
    fn in_turn(events: &[&'static str]) -> Open<&'static str> {
        let places: Vec<_> = events.iter().copied().map(place).collect();
        let opened = AtomicUsize::new(0);
        Box::new(move || match places.get(opened.fetch_add(1, Relaxed)) {
            Some(open) => open(),
            None => stream::pending().boxed(),
        })
    }

    fn forbidden() -> Box<Status> {
        Box::new(Status { code: 403, reason: "Forbidden".into(), ..Status::default() })
    }

    /// All that is heard of `places` before they fall silent, and `NUMBER?` where one is missing,
    /// `NUMBER~` where it is old, `NUMBER!` where it is seen again.
    fn heard(places: &[&'static str]) -> String {
        heard_of(places.iter().copied().map(place).collect())
    }

    fn heard_of(places: Vec<Open<&'static str>>) -> String {
        heard_without(&[], places)
    }

    /// What is known of places in these tests.
    struct Known {
        gone: &'static [usize],
        heard: Arc<Mutex<Vec<String>>>,
    }

    impl Places for Known {
        fn is_gone(&self, at: usize) -> bool {
            self.gone.contains(&at)
        }

        fn told(&self, at: usize, sight: Sight) {
            let mark = match sight {
                Sight::Seen => '!',
                Sight::Old => '~',
                Sight::Missing => '?',
            };
            self.heard.lock().unwrap().push(format!("{at}{mark}"));
        }
    }

    /// As [`heard_of`], where some places are gone.
    fn heard_without(gone: &'static [usize], places: Vec<Open<&'static str>>) -> String {
        let word = |event: Event<&'static str>| match event {
            Event::Init => "(".to_owned(),
            Event::InitDone => ")".to_owned(),
            Event::InitApply(name) => name.to_owned(),
            Event::Apply(name) => format!("+{name}"),
            Event::Delete(name) => format!("-{name}"),
        };
        let heard = Arc::new(Mutex::new(Vec::new()));
        let known = Known { gone, heard: Arc::clone(&heard) };
        let mut all = Box::pin(merged_with(places, known, |_| std::future::ready(()).boxed()));
        while let Some(event) = all.next().now_or_never().flatten() {
            heard.lock().unwrap().push(word(event));
        }
        heard.lock().unwrap().join(" ")
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
            (&["( a )", "( c ! ( d )"], "( a c ( d a )"),
            // kube's watches say that they begin before they ask.
            (&["( a )", "( ! ( ! ( c )"], "( a c )"),
            (&["( )", "( )"], "( )"),
        ];
        for (places, wanted) in rows {
            assert_eq!(heard(places), *wanted, "{places:?}");
        }
    }

    #[test]
    fn one_that_is_listed_again_has_all_listed_again() {
        assert_eq!(heard(&["( a ) +b", "( c ) ( d )"]), "( a c ) +b ( d a ) +b");
        assert_eq!(heard(&["( a ) ( b ) +d"]), "( a ) ( b ) +d");
    }

    #[test]
    fn one_that_is_refused_holds_up_no_other() {
        let often = "( x ( x ( x ( x";
        let rows: &[(&[&str], &str)] = &[
            (&["( a )", "( x ( x ( x"], "( a"),
            // An API server that has just begun is given a little time.
            (&["( a )", "( x ( x ( x ( b )"], "( a b )"),
        ];
        for (places, wanted) in rows {
            assert_eq!(heard(places), *wanted, "{places:?}");
        }
        let refused = || in_turn(&[often]);
        assert_eq!(heard_of(vec![place("( a ) +b"), refused()]), "( a 1? ) +b");
        assert_eq!(heard_of(vec![refused(), place("( a ) +b")]), "( a 0? ) +b");
        // Without any that can be listed, nothing is known.
        assert_eq!(heard_of(vec![refused()]), "");
        assert_eq!(heard_of(vec![refused(), refused()]), "");
    }

    #[test]
    fn places_that_are_all_gone_are_known_to_be_empty_until_one_is_made_again() {
        let often = "( x ( x ( x ( x";
        let refused = || in_turn(&[often]);
        assert_eq!(heard_without(&[0, 1], vec![refused(), refused()]), "( 0? 1? )");
        assert_eq!(heard_without(&[1], vec![refused(), refused()]), "", "of one nothing is known");
        assert_eq!(heard_without(&[0], vec![place("( a"), refused()]), "( a");
        let again = in_turn(&[often, "x", "( b ) +c"]);
        assert_eq!(heard_without(&[0], vec![again]), "( 0? ) ( b ) 0! +c");
    }

    #[test]
    fn what_was_seen_at_a_place_that_is_gone_is_there_no_more() {
        let lost = "( a ) x x x x";
        assert_eq!(heard_without(&[0], vec![in_turn(&[lost])]), "( a ) 0~ ( 0? )");
        let places = vec![in_turn(&[lost, "x"]), place("( c ) +d")];
        assert_eq!(heard_without(&[0], places), "( a c ) 0~ ( c 0? ) +d");
    }

    #[test]
    fn one_that_is_refused_no_longer_has_all_listed_again() {
        let refused = in_turn(&["( x ( x ( x ( x", "( b )"]);
        assert_eq!(heard_of(vec![place("( a )"), refused]), "( a 1? ) ( b a ) 1!");
    }

    #[test]
    fn what_was_seen_stays_when_it_is_refused_later_until_others_are_listed_again() {
        let lost = "( a ) x x x x";
        assert_eq!(heard_of(vec![in_turn(&[lost, "( b )"])]), "( a ) 0~ ( b ) 0!");
        let places = vec![in_turn(&[lost, "", "x"]), place("( c ) ( d )")];
        assert_eq!(heard_of(places), "( a c ) 0~ ( d 0? )");
    }

    #[test]
    fn one_that_stays_refused_is_asked_ever_more_seldom() {
        static PAUSED: Mutex<Vec<u64>> = Mutex::new(Vec::new());
        let mut openings = vec!["x x x x"];
        openings.extend(["x"; 8]);
        let open = in_turn(&openings);
        let wait: Wait = |pause| {
            PAUSED.lock().unwrap().push(pause.as_secs());
            std::future::ready(()).boxed()
        };
        let mut all = Box::pin(merged_with(vec![open], Lasting, wait));
        assert!(all.next().now_or_never().is_none());
        assert_eq!(*PAUSED.lock().unwrap(), [1, 2, 4, 8, 15, 15, 15, 15, 15]);
    }
}
