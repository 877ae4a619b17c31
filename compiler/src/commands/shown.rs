//! How messages are shown: for people, or as JSON for programs.

use clap::Args;
use weft_compiler::compile::Failure;
use weft_dsl::diagnostic::Diagnostic;
use weft_dsl::render::{self, Style};
use weft_dsl::sources::Sources;
use weft_runtime::console::{self, Color};

/// Options of every command that does not run a model.
#[derive(Args, Clone, Debug, Default)]
pub struct Shown {
    /// Faults of specifications as JSON, one a line, on standard output
    #[arg(long)]
    pub json: bool,
    /// Colours in what is printed: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, hide_default_value = true, value_name = "WHEN")]
    pub color: Color,
}

impl Shown {
    /// Decides on colours for the whole process.
    pub fn choose_colors(&self) {
        console::set_color(self.color);
    }

    /// Shows diagnostics.
    pub fn diagnostics(&self, faults: &[Diagnostic], sources: &Sources) {
        if self.json {
            faults.iter().for_each(|fault| println!("{}", render::to_json(fault, sources)));
        } else {
            eprint!("{}", render::render(faults, sources, Style { color: console::colors_errors(), short: false }));
        }
    }
}

/// Says why nothing came of a command.
pub fn report(failure: &Failure, shown: &Shown) {
    match failure {
        Failure::Faults(faults, sources) => shown.diagnostics(faults, sources),
        Failure::Other(error) => console::error(error),
    }
}
