//! `weft check`: what is wrong with specifications, and with the data of their recipes.

use std::path::PathBuf;

use clap::Args;
use weft_compiler::compile;

use super::{FAILED, Outcome, Shown, report};

pub const EXAMPLE: &str = "\
Example: all faults of two specifications, then more about one of them
  weft check gpt.weft bert.weft
  weft explain W0001";

#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The specifications; the data that their recipes name is read, too
    #[arg(value_name = "SPEC", required = true)]
    pub specs: Vec<PathBuf>,
    #[command(flatten)]
    pub shown: Shown,
}

pub fn check(args: &CheckArgs) -> Outcome {
    let mut code = 0;
    for spec in &args.specs {
        match compile::load(spec) {
            Ok(specification) => {
                let sources = specification.program.sources();
                args.shown.diagnostics(&specification.warnings, sources);
                let faults = specification.check_data();
                if !faults.is_empty() {
                    args.shown.diagnostics(&faults, sources);
                    code = FAILED;
                }
            }
            Err(failure) => {
                report(&failure, &args.shown);
                code = FAILED;
            }
        }
    }
    Ok(code)
}
