//! What is said to the person at the terminal: errors, warnings and headings, coloured only where colours are read.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU8, Ordering};

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into files and pipes.
    Always,
    /// Not at all.
    Never,
}

static CHOICE: AtomicU8 = AtomicU8::new(0);

/// Decides for the whole process.
pub fn set_color(color: Color) {
    CHOICE.store(color as u8, Ordering::Relaxed);
}

fn colored(is_terminal: bool) -> bool {
    match CHOICE.load(Ordering::Relaxed) {
        1 => true,
        2 => false,
        _ => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// Whether errors, which go to standard error, are coloured.
pub fn colors_errors() -> bool {
    colored(std::io::stderr().is_terminal())
}

/// A reader that goes away (`| head`) ends the process quietly, whatever its parent set. For the start of `main`.
pub fn end_with_reader() {
    // SAFETY: the default action needs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Why a panic is no fault of ours, where it is none: standard output takes no more.
pub fn excused(panic: &std::panic::PanicHookInfo) -> Option<String> {
    let why = panic.payload_as_str()?.strip_prefix("failed printing to stdout: ")?;
    Some(format!("what is to be printed cannot be written: {why}"))
}

/// A heading for standard output.
pub fn heading(text: &str) -> String {
    if colored(std::io::stdout().is_terminal()) { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// Says why nothing came of it: the error and what led to it, on standard error.
pub fn error(error: &anyhow::Error) {
    let text = format!("{error:#}");
    if colors_errors() {
        eprintln!("\x1b[1;31merror:\x1b[0m {text}");
    } else {
        eprintln!("error: {text}");
    }
}

/// Says what may surprise, on standard error.
pub fn warning(text: &str) {
    if colors_errors() {
        eprintln!("\x1b[1;33mwarning:\x1b[0m {text}");
    } else {
        eprintln!("warning: {text}");
    }
}

/// A whole number with its thousands apart: `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let all = [0, 999, 1000, 1_234_567].map(thousands);
        assert_eq!(all, ["0", "999", "1,000", "1,234,567"]);
    }
}
