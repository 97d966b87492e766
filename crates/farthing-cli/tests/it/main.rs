//! The `farthing` binary as a process, against a real anvil: what it prints, what it exits with, what it leaves behind.

mod band;
mod books;
mod codes;
mod crash;
mod demo;
mod deployment;
mod durable;
mod explaining;
mod gasless;
mod help;
mod money;
mod nodes;
mod purse;
mod servers;
mod shop;
mod two_shops;
mod wallet;
mod world;
