//! What a launch costs: `cargo run --release -p weft-runtime --example latency [THREADS]`.
//!
//! Prints the time of an empty launch, and of launches with 100 µs of work, as a ratio to that work shared ideally.

use std::hint::black_box;
use std::time::Instant;
use weft_runtime::pool::{Pool, choose_threads};

fn spin(nanoseconds: u128) {
    let start = Instant::now();
    while start.elapsed().as_nanos() < nanoseconds {
        black_box(0);
    }
}

fn main() -> anyhow::Result<()> {
    let asked = std::env::args().nth(1).map(|text| text.parse()).transpose()?;
    let mut pool = Pool::new(choose_threads(asked)?)?;
    const LAUNCHES: u32 = 10_000;
    let start = Instant::now();
    for _ in 0..LAUNCHES {
        pool.run(64, &|begin, _, _| {
            black_box(begin);
        });
    }
    println!("{} threads: empty launch {:?}", pool.threads(), start.elapsed() / LAUNCHES);
    let start = Instant::now();
    for _ in 0..1000 {
        pool.run(20, &|begin, end, _| spin(5000 * (end - begin) as u128));
    }
    let ideal = 100e-6 / pool.threads() as f64;
    println!("100 µs of work: {:.2} of its ideal time", start.elapsed().as_secs_f64() / 1000.0 / ideal);
    Ok(())
}
