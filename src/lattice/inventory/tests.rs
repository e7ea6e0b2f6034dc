mod flow;
mod held;
mod hosts;
mod order;
mod take_over;
mod vitals;
mod world;
