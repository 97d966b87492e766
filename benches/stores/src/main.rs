//! Measures embedded stores for the payee's ledger: speed, and what becomes of it when things go wrong.

mod bench;
mod faults;
mod fjall_ledger;
mod ledger;
mod power;
mod redb_ledger;

use ledger::Engine;
use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |at: usize| arguments.get(at).map(String::as_str).unwrap_or_default();
    let number = |at: usize| text(at).parse::<u64>().expect("a number");
    let engines = || text(2).split(',').map(Engine::parse).collect::<Vec<_>>();
    let engine = || Engine::parse(text(2));
    let folder = Path::new(text(1));
    match text(0) {
        "bench" => {
            let seconds = text(4).parse().expect("seconds");
            bench::bench(folder, &engines(), number(3) as usize, seconds, number(5));
        }
        "fill" => bench::fill_and_end(folder, engine(), number(3), text(4) == "closed").expect("fills"),
        "start" => bench::start(folder, engine(), number(3)),
        "starts" => {
            let sizes: Vec<u64> = text(3).split(',').map(|size| size.parse().expect("a number")).collect();
            bench::starts(folder, &engines(), &sizes);
        }
        "worker" => {
            if let Err(reason) = faults::worker(folder, engine(), number(3), text(4) == "closed") {
                eprintln!("{reason}");
                std::process::exit(1);
            }
        }
        "inspect" => faults::inspect_folder(folder, engine(), number(3)),
        "kill" => faults::kill(folder, engine(), number(3)),
        "flip" => faults::flip(folder, engine(), number(3), number(4), text(5)),
        "aim" => faults::aim(folder, engine(), number(3), text(4)),
        "cut" => faults::cut(folder, engine(), number(3), text(4)),
        "script" => faults::script(folder, engine(), arguments.get(3).map(Path::new)),
        "hold" => faults::hold(folder, engine()),
        "lock" => faults::lock(folder, engine()),
        "power" => power::power(folder, engine(), number(3), text(4)),
        _ => {
            eprintln!("usage: see README.md beside Cargo.toml");
            std::process::exit(2);
        }
    }
}
