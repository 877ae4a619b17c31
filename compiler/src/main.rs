//! The `weft` command.

mod commands;

use std::process::ExitCode;

use weft_runtime::console;

fn main() -> ExitCode {
    console::end_with_reader();
    std::panic::set_hook(Box::new(commands::report_fault));
    // The hook has said all there is to say; 101 is what Rust programs return after a panic.
    let code = std::panic::catch_unwind(|| commands::main(std::env::args_os())).unwrap_or(101);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
