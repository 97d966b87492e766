//! The gateway from the outside: requests in, answers, ledger and socket files out.

mod admin;
mod buying;
mod catalog;
mod interoperation;
mod layer;
mod parallel;
mod recalling;
mod refusing;
mod serving;
mod shop;
mod tipping;
