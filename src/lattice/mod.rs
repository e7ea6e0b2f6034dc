//! One lattice: what it shows, and what is sent to it.
//!
//! ```text
//!            NATS
//!             │ bytes                      ▲ bytes
//!             ▼                            │
//!   wire (decode)                    wire (encode)
//!             │ Event, HostInventory …     ▲ Command, Read
//!             ▼                            │
//!   inventory (fold) ──Observed──▶ placement
//!             │  ▲
//!             ▼  │ outcomes
//!   in_flight (lanes)
//! ```
//!
//! [`wire`], [`inventory`], [`in_flight`] and [`fault`] are pure; [`access`], [`mod@line`], [`client`],
//! [`mod@aside`] and [`watch`] are the edge, where one task owns a lattice. The only clock read is in [`clock`].

pub mod access;
pub mod aside;
pub mod client;
pub mod clock;
pub mod fault;
pub mod fence;
pub mod in_flight;
pub mod inventory;
pub mod line;
pub mod watch;
pub mod wire;
