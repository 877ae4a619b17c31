//! What rewriting does to the programs of a specification.

use anyhow::{Result, anyhow};

use crate::compile::{Failure, Options, Specification, Subject};
use crate::graph::parse;
use crate::passes::{PIPELINE, REWRITE};
use crate::rewrite::{self, Report};

/// What the rewriter does to each wanted program of a subject, as it enters the rewriter.
///
/// # Errors
/// Faults in the specification.
pub fn rewrites(
    specification: &Specification,
    subject: &Subject,
    wanted: &dyn Fn(&str) -> bool,
    options: &Options,
) -> Result<Vec<(String, Report)>, Failure> {
    let before = PIPELINE.iter().take_while(|pass| pass.name != REWRITE).last().map_or("", |pass| pass.name);
    let mut entering = Vec::new();
    specification.graphs(subject, wanted, options, &mut |stage, text, _| {
        if let Some((program, last)) = stage.rsplit_once('.')
            && last == before
        {
            entering.push((program.to_owned(), text()));
        }
    })?;
    let report = |(program, text): (String, String)| {
        let graph = parse(&text).map_err(|fault| anyhow!("the graph of `{program}` does not read back: {fault}"))?;
        Ok((program, rewrite::report(&graph)))
    };
    entering.into_iter().map(report).collect()
}
