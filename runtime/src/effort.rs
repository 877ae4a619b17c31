//! How many operations a program takes, before it runs.

use anyhow::Result;

use crate::bind::signed;
use crate::plan::{Program, Recipe, Step};

/// The operations of a program for each token of `batch` texts of `time`: additions, multiplications and other functions, `2 · m · n · k`
/// for a product, without those that a mask leaves out. Every other length is that of a text. Nothing where it computes nothing of tokens.
///
/// # Errors
/// When the plan contradicts itself.
pub fn for_each_token(program: &Program, (batch, time): (i64, i64)) -> Result<Option<f64>> {
    let is_batch = |name: &String| name == Recipe::BATCH;
    let sizes: Vec<i64> = program.sizes.iter().map(|name| if is_batch(name) { batch } else { time }).collect();
    let all = of_steps(&program.steps, &sizes)?;
    let is_token = |(name, _): &(&String, &i64)| is_batch(name) || *name == Recipe::TIME;
    let tokens: i64 = program.sizes.iter().zip(&sizes).filter(is_token).map(|(_, size)| *size).product();
    let mut axes = program.inputs.iter().flat_map(|port| &port.axes);
    let reads_tokens = axes.any(|(name, _)| is_batch(name) || name == Recipe::TIME);
    Ok((all > 0.0 && tokens > 0 && reads_tokens).then(|| all / tokens as f64))
}

fn of_steps(steps: &[Step], sizes: &[i64]) -> Result<f64> {
    steps.iter().try_fold(0.0, |sum, step| {
        Ok(sum
            + match step {
                Step::Launch(launch) => signed(&launch.work.operations, sizes)? as f64 * launch.work.share,
                Step::Loop { count, body, .. } => signed(count, sizes)? as f64 * of_steps(body, sizes)?,
                // Done once for many runs.
                Step::Prepare { .. } => 0.0,
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Launch, Port, Size, Work};

    #[test]
    fn loops_count_as_often_as_they_turn() {
        let size = |factor, variables: &[u32]| Size { terms: vec![(factor, variables.to_vec())] };
        let work = Work { operations: size(3, &[0, 1]), share: 0.5, bytes: Size::default() };
        let launch = Step::Launch(Launch {
            kernel: 0,
            args: Vec::new(),
            sizes: Vec::new(),
            tiles: Vec::new(),
            scratch: 0,
            cost: 0.0,
            work,
            beside: false,
        });
        let layers = Step::Loop { count: size(4, &[]), reverse: false, body: vec![launch.clone()] };
        let sizes = vec!["batch".into(), "time".into()];
        let ids = Port { name: "ids".into(), axes: vec![("time".into(), size(1, &[1]))], bound: None, or: None, buffer: 0 };
        let mut program = Program { sizes, inputs: vec![ids], steps: vec![launch, layers], ..Program::default() };
        assert_eq!(for_each_token(&program, (2, 10)).unwrap(), Some(7.5));
        program.inputs.clear();
        assert_eq!(for_each_token(&program, (2, 10)).unwrap(), None);
        assert_eq!(for_each_token(&Program::default(), (2, 10)).unwrap(), None);
    }
}
