//! Tests of [`super::plan()`] as a whole: tables that read like a specification, and properties
//! over a small world with the traps of real hosts.

mod properties;
mod support;
mod table;
mod world;
