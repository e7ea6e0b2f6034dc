//! The operator as a process, against a real API server and a real NATS server.

mod audit;
mod bad_input;
mod kill;
mod real;
mod quiet;
mod simulated;
mod stage;
