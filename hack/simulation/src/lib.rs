//! The operator, an API server, a NATS server and hosts in one process: in virtual time, from one seed.
pub mod chance;
pub mod cluster;
pub mod log;
pub mod operator;
pub mod repeat;
pub mod asks;
pub mod life;
pub mod oracle;
pub mod stage;
