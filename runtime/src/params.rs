//! Parameters by repetition: one inside a repeated block is stored once for all, and named and drawn once for each.

use crate::plan::{Layout, Param, Plan, Role, Stored};
use anyhow::{Context, Result, ensure};

/// How often a parameter is repeated: 1 without an enclosing repetition.
///
/// # Errors
/// When the count exceeds `usize`.
pub fn repetitions(param: &Param) -> Result<usize> {
    count(param.stack.iter().copied(), param)
}

/// Elements of one repetition.
///
/// # Errors
/// When the count exceeds `usize`.
pub fn elements(param: &Param) -> Result<usize> {
    count(param.axes.iter().map(|&(_, size)| size), param)
}

fn count(sizes: impl Iterator<Item = u64>, param: &Param) -> Result<usize> {
    let mut product = Some(1u64);
    for size in sizes {
        product = product.and_then(|p| p.checked_mul(size));
    }
    let count = product.and_then(|p| usize::try_from(p).ok());
    count.with_context(|| format!("parameter `{}` has more elements than can be addressed", param.path))
}

/// A name with the indices of one repetition in place of its `{}`: `layers.{}.weight` becomes `layers.3.weight`. Where blocks of
/// several kinds follow one another, `{1+2}` is every second from 1 on.
pub fn name_at(name: &str, stack: &[u64], index: usize) -> String {
    let mut indices = vec![0; stack.len()];
    let mut rest = index as u64;
    for (slot, &size) in indices.iter_mut().zip(stack).rev() {
        *slot = rest % size.max(1);
        rest /= size.max(1);
    }
    let mut indices = indices.iter();
    let mut place = |part: &str| -> Option<u64> {
        let (first, step) = match part.strip_prefix('{')?.strip_suffix('}')? {
            "" => (0, 1),
            place => {
                let (first, step) = place.split_once('+')?;
                (first.parse().ok()?, step.parse().ok()?)
            }
        };
        indices.next()?.checked_mul(step)?.checked_add(first)
    };
    let parts = name.split('.').map(|part| place(part).map_or(part.to_string(), |number| number.to_string()));
    parts.collect::<Vec<_>>().join(".")
}

/// Axes with sizes, as messages show them: `[out 4, in 8]`.
pub fn show_axes(axes: &[(String, u64)]) -> String {
    let axes: Vec<String> = axes.iter().map(|(name, size)| format!("{name} {size}")).collect();
    format!("[{}]", axes.join(", "))
}

/// The shape of the piece of a parameter that a stored tensor holds, and how many pieces there are.
///
/// # Errors
/// When there are more strides than axes, or a count exceeds `usize`.
pub fn piece(param: &Param, stored: &Stored) -> Result<(Vec<u64>, usize)> {
    let before = param.axes.len().checked_sub(stored.strides.len());
    let before = before.with_context(|| format!("`{}` has more axes than `{}`", stored.name, param.path))?;
    let (spread, own) = param.axes.split_at(before);
    let pieces = count(param.stack.iter().copied().chain(spread.iter().map(|&(_, size)| size)), param)?;
    Ok((own.iter().map(|&(_, size)| size).collect(), pieces))
}

/// Our own layout: each repetition is a tensor of its path, in its declared axes.
///
/// # Errors
/// When a count exceeds `usize`.
pub fn native_layout(plan: &Plan) -> Result<Layout> {
    let mut tensors = Vec::new();
    for (number, param) in plan.params.iter().enumerate() {
        elements(param)?;
        let shape: Vec<u64> = param.axes.iter().map(|&(_, size)| size).collect();
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis].max(1);
        }
        for index in 0..repetitions(param)? {
            tensors.push(Stored {
                param: number as u32,
                index: index as u64,
                name: name_at(&param.path, &param.stack, index),
                shape: shape.clone(),
                offset: 0,
                strides: strides.clone(),
            });
        }
    }
    Ok(Layout { name: "native".to_string(), tensors, ..Layout::default() })
}

/// The slot of each parameter.
///
/// # Errors
/// When a parameter has none.
pub fn slots(plan: &Plan) -> Result<Vec<usize>> {
    (0..plan.params.len())
        .map(|p| {
            let slot = plan.slots.iter().position(|s| s.role == Role::Param(p as u32));
            slot.with_context(|| format!("parameter `{}` has no slot", plan.params[p].path))
        })
        .collect()
}

/// Checks that each slot is of a parameter that there is, and each parameter has a slot of its size.
///
/// # Errors
/// When one is not.
pub fn check_slots(plan: &Plan) -> Result<()> {
    for slot in &plan.slots {
        let number = match slot.role {
            Role::Param(number) | Role::State { param: number, .. } => number,
            Role::Accumulator | Role::Kept => continue,
            Role::Prepared { of, packing } => {
                let of = plan.slots.get(of as usize);
                packing.check(slot, of.with_context(|| format!("slot `{}` is made of a slot that is none", slot.name))?)?;
                continue;
            }
        };
        let param = plan.params.get(number as usize);
        let param = param.with_context(|| format!("slot `{}` is of a parameter that is none", slot.name))?;
        if matches!(slot.role, Role::Param(_)) {
            let len = elements(param)?.checked_mul(repetitions(param)?);
            ensure!(
                len.is_some_and(|len| len as u64 == slot.len),
                "slot `{}` has {} elements, its parameter {len:?}",
                slot.name,
                slot.len
            );
        }
    }
    slots(plan)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_repetitions() {
        assert_eq!(name_at("layers.{}.query.weight", &[4], 3), "layers.3.query.weight");
        assert_eq!(name_at("a.{}.b.{}.c", &[2, 3], 5), "a.1.b.2.c");
        assert_eq!(name_at("head.weight", &[], 0), "head.weight");
        assert_eq!(name_at("layers.{1+2}.weight", &[3], 2), "layers.5.weight");
        assert_eq!(show_axes(&[("out".into(), 4), ("in".into(), 8)]), "[out 4, in 8]");
    }
}
