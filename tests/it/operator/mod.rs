//! The operator as a process, against a real API server and a real NATS server.

mod audit;
mod bad_input;
mod contended;
mod diagnosis;
mod guard;
mod hold;
mod installations;
mod installed;
mod kill;
mod lattices;
mod lease;
mod metrics;
mod owned;
mod proportional;
mod quiet;
mod real;
mod rebuilt;
mod regression;
mod replica;
mod rights;
mod samples;
mod scrape;
mod sharing;
mod simulated;
pub(crate) mod stage;
mod tombstones;
mod watched;
