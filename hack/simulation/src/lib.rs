//! The operator, an API server, a NATS server and hosts in one process: in virtual time, from one seed.
pub mod asks;
pub mod chance;
pub mod cluster;
pub mod life;
pub mod log;
pub mod operator;
pub mod oracle;
pub mod repeat;
pub mod stage;
pub mod stories;
