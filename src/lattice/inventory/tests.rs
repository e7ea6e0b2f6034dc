mod flow;
mod held;
mod hosts;
mod missed;
mod order;
mod take_over;
mod vitals;
mod world;
