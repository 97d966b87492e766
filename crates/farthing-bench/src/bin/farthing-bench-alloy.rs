//! The same measurements of a payee that verifies as most do, by recovering each signer with alloy: what ours is compared
//! with. A program of its own, because one build verifies in one way.

fn main() {
    farthing_bench::run();
}
