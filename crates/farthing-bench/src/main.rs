//! See `farthing-bench --help`.

fn main() {
    farthing_bench::run();
}
