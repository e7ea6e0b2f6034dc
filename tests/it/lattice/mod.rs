//! A watched lattice of simulated hosts over a real NATS server.

mod access;
mod commands;
mod hosts;
mod world;
