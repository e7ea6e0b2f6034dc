mod layout;
mod links;
mod properties;
mod rollout;
mod support;
mod table;
mod wadm;
mod world;
