mod schedule;
mod world;
