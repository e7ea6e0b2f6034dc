//! A watched lattice of simulated hosts over a real NATS server.

mod access;
mod client;
mod commands;
mod hosts;
mod permissions;
mod scale;
mod stored;
mod world;
