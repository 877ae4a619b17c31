//! What is said of an assertion that does not hold: where, what was found and what was expected, and how far apart they are.

use anyhow::{Context, Result};
use weft_compiler::lower::Claim;
use weft_dsl::diagnostic::Diagnostic;
use weft_runtime::tensor::{Data, Tensor};

use super::evaluate::Tensors;

/// Elements that are shown of a tensor.
const SHOWN: usize = 6;

/// The assertions that do not hold. `found` is what the program of the test gave.
pub fn faults(claims: &[Claim], found: &Tensors) -> Result<Vec<Diagnostic>> {
    let get = |what: &str, number: usize| {
        let tensor = found.iter().find(|(name, _)| *name == format!("{what}.{number}")).map(|(_, tensor)| tensor);
        tensor.with_context(|| format!("the test has no output `{what}.{number}`"))
    };
    let mut faults = Vec::new();
    for (number, claim) in claims.iter().enumerate() {
        let holds = get("holds", number)?;
        let wrong: Vec<usize> = holds.to_f64().iter().enumerate().filter(|(_, x)| **x == 0.0).map(|(at, _)| at).collect();
        let Some(&first) = wrong.first() else { continue };
        let (message, label) = match holds.len() {
            1 => ("this does not hold".to_owned(), String::new()),
            all => (
                format!("this does not hold at {} of {all} elements", wrong.len()),
                format!("first at {}", place(claim, holds, first)),
            ),
        };
        let mut fault = Diagnostic::error("W0519", message, claim.span, label);
        if let Some(equal) = claim.compares {
            let (left, right) = (get("left", number)?, get("right", number)?);
            fault = match equal {
                true => fault.expected(summary(claim, right), summary(claim, left)).note(difference(claim, left, right)),
                false => fault.note(format!(" left {}\nright {}", summary(claim, left), summary(claim, right))),
            };
        }
        faults.push(fault);
    }
    Ok(faults)
}

/// `[batch 2, token 5] 0.1 0.2 …`
fn summary(claim: &Claim, tensor: &Tensor) -> String {
    let values = tensor.to_f64();
    let show = |value: &f64| match tensor.data {
        // As many digits as it has.
        Data::F32(_) => format!("{}", *value as f32),
        _ => format!("{value}"),
    };
    let shown: Vec<String> = values.iter().take(SHOWN).map(show).collect();
    let more = if values.len() > SHOWN { " …" } else { "" };
    let axes = if claim.axes.is_empty() { String::new() } else { format!("{} ", named(claim, &tensor.shape)) };
    format!("{axes}{}{more}", shown.join(" "))
}

/// Where two tensors differ most; a difference that is not a number is more than any.
fn difference(claim: &Claim, left: &Tensor, right: &Tensor) -> String {
    let (found, expected) = (left.to_f64(), right.to_f64());
    let apart = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { (a - b).abs() };
    let grade = |difference: f64| if difference.is_nan() { f64::INFINITY } else { difference };
    let differences = found.iter().zip(&expected).map(apart).enumerate();
    let most = differences.max_by(|a, b| grade(a.1).total_cmp(&grade(b.1)).then(b.0.cmp(&a.0)));
    let (at, most) = most.unwrap_or((0, 0.0));
    let shown = format!("the largest difference is {most}");
    if claim.axes.is_empty() {
        return shown;
    }
    format!("{shown}, at {}: {} where {} is expected", place(claim, left, at), found[at], expected[at])
}

/// An element's place: `[batch 1, token 0]`.
fn place(claim: &Claim, tensor: &Tensor, at: usize) -> String {
    let mut indices = vec![0; tensor.shape.len()];
    let mut rest = at;
    for (index, &size) in indices.iter_mut().zip(&tensor.shape).rev() {
        *index = rest % size.max(1);
        rest /= size.max(1);
    }
    named(claim, &indices)
}

/// Numbers with the axes that they belong to.
fn named(claim: &Claim, numbers: &[usize]) -> String {
    let parts: Vec<String> = claim.axes.iter().zip(numbers).map(|(name, number)| format!("{name} {number}")).collect();
    format!("[{}]", parts.join(", "))
}
