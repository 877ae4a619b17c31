//! What a profile found, for programs to read.

use serde_json::{Value, json};

use super::{Ceilings, KernelTime};

/// The ceilings, and all launches as they are in the table: seconds, operations and bytes of all their calls, and the least seconds by
/// the roofline.
pub fn json(kernels: &[KernelTime], ceilings: &Ceilings) -> String {
    let kernel = |k: &KernelTime| {
        json!({
            "kernel": k.name, "parameters": k.reads, "calls": k.calls, "seconds": k.time.as_secs_f64(), "operations": k.operations,
            "bytes": k.bytes, "least_seconds": ceilings.least_time(k),
        })
    };
    json!({
        "threads": ceilings.threads,
        "operations_per_second": ceilings.operations,
        "products_per_second": ceilings.products,
        "bytes_per_second": ceilings.bandwidth,
        "kernels": kernels.iter().map(kernel).collect::<Vec<Value>>(),
    })
    .to_string()
}
