//! Ctrl-C: the first asks for an orderly end, the second ends at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a process returns that was interrupted: 128 + SIGINT.
pub const EXIT_CODE: i32 = 130;

static TIMES: AtomicU32 = AtomicU32::new(0);

/// From here on Ctrl-C is counted: the first one says `reply`, the second one ends the process.
pub fn listen(reply: &'static str) {
    static SET: OnceLock<()> = OnceLock::new();
    SET.get_or_init(|| {
        let handler = move || {
            if TIMES.fetch_add(1, Ordering::Relaxed) > 0 {
                std::process::exit(EXIT_CODE);
            }
            eprintln!("\n{reply}");
        };
        // Without a handler Ctrl-C ends the process, which loses nothing that is written: no reason not to train.
        if let Err(error) = ctrlc::set_handler(handler) {
            eprintln!("warning: Ctrl-C will end at once, without saving: {error}");
        }
    });
}

/// Whether Ctrl-C was pressed.
pub fn asked() -> bool {
    TIMES.load(Ordering::Relaxed) > 0
}
