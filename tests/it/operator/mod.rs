//! The operator as a process, against a real API server and a real NATS server.

mod real;
mod kill;
mod simulated;
mod stage;
