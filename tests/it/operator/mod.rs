//! The operator as a process, against a real API server and a real NATS server.

mod audit;
mod kill;
mod quiet;
mod real;
mod simulated;
mod stage;
