mod flow;
mod hosts;
mod order;
mod take_over;
mod world;
