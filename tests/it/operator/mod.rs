//! The operator as a process, against a real API server and a real NATS server.

mod audit;
mod bad_input;
mod diagnosis;
mod kill;
mod lattices;
mod needs;
mod owned;
mod quiet;
mod real;
mod regression;
mod samples;
mod simulated;
mod stage;
