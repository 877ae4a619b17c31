//! The table of a profile.

use std::fmt::Write;

use super::{Ceilings, KernelTime, Report};

/// Launches that are listed one by one.
const LISTED: usize = 24;

/// One line a launch: time, share, calls, what it reached, and what share of the roofline that is.
pub fn table(report: &Report, ceilings: &Ceilings) -> String {
    let all: f64 = report.kernels.iter().map(|k| k.time.as_secs_f64()).sum();
    let mut out = String::new();
    let unit = match ceilings.products {
        0.0 => String::new(),
        products => format!(" ({:.0} in products, on its matrix unit)", products / 1e9),
    };
    let _ = writeln!(
        out,
        "kernels {:.1} ms of {:.1} ms; this machine: {:.0} GFLOP/s{unit}, {:.1} GB/s ({} threads, float32, measured now)",
        all * 1e3,
        report.wall.as_secs_f64() * 1e3,
        ceilings.operations / 1e9,
        ceilings.bandwidth / 1e9,
        ceilings.threads
    );
    let _ = writeln!(out, "{:>10} {:>6} {:>8} {:>8} {:>7} {:>6}  kernel", "ms", "share", "calls", "GFLOP/s", "GB/s", "roof");
    for kernel in report.kernels.iter().take(LISTED) {
        line(&mut out, kernel, all, ceilings);
    }
    if let [_, ..] = report.kernels.get(LISTED..).unwrap_or_default() {
        let rest = &report.kernels[LISTED..];
        let time: f64 = rest.iter().map(|k| k.time.as_secs_f64()).sum();
        let _ = writeln!(out, "{:>10.3} {:>5.1}% {:>8}  {} more", time * 1e3, 100.0 * time / all, "", rest.len());
    }
    out
}

fn line(out: &mut String, kernel: &KernelTime, all: f64, ceilings: &Ceilings) {
    let time = kernel.time.as_secs_f64().max(1e-9);
    let _ = writeln!(
        out,
        "{:>10.3} {:>5.1}% {:>8} {:>8.1} {:>7.1} {:>5.0}%  {:<20} {}",
        time * 1e3,
        100.0 * time / all,
        kernel.calls,
        kernel.operations / time / 1e9,
        kernel.bytes / time / 1e9,
        100.0 * ceilings.least_time(kernel) / time,
        kernel.name,
        kernel.reads
    );
}
