//! The operator as a process, against a real API server and a real NATS server.

mod kill;
mod real;
mod simulated;
mod stage;
