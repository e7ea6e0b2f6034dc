mod flow;
mod hosts;
mod order;
mod world;
