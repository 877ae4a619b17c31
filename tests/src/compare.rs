//! Comparing tensors with a tolerance.

use std::fmt;

use weft_runtime::tensor::{Data, Tensor};

/// `|got - expected| <= atol + rtol · |expected|` at every element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Relative to what is expected.
    pub rtol: f64,
    /// Absolute.
    pub atol: f64,
}

/// Where two tensors differ most.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// In their shapes.
    Shape(Vec<usize>, Vec<usize>),
    /// At this element: what was computed, what is expected, how many elements are beyond the tolerance.
    Value(usize, f64, f64, usize),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Shape(got, expected) => write!(f, "the shape is {got:?}, expected {expected:?}"),
            Difference::Value(at, got, expected, count) => {
                write!(f, "element {at} is {got}, expected {expected} ({count} elements differ too much)")
            }
        }
    }
}

/// The elements as 64-bit floats.
pub fn floats(tensor: &Tensor) -> Vec<f64> {
    match &tensor.data {
        Data::F32(x) => x.iter().map(|&x| f64::from(x)).collect(),
        Data::F64(x) => x.clone(),
        Data::I64(x) => x.iter().map(|&x| x as f64).collect(),
        Data::I32(x) => x.iter().map(|&x| f64::from(x)).collect(),
        Data::Bool(x) => x.iter().map(|&x| f64::from(x)).collect(),
    }
}

/// Whether a tensor is what is expected; values that are not finite must be the same.
///
/// # Errors
/// The worst element.
pub fn close(got: &Tensor, expected: &Tensor, tolerance: Tolerance) -> Result<(), Difference> {
    if got.shape != expected.shape {
        return Err(Difference::Shape(got.shape.clone(), expected.shape.clone()));
    }
    close_values(&floats(got), &floats(expected), tolerance)
}

/// As [`close`], of elements in the same order.
///
/// # Errors
/// The worst element.
pub fn close_values(got: &[f64], expected: &[f64], tolerance: Tolerance) -> Result<(), Difference> {
    if got.len() != expected.len() {
        return Err(Difference::Shape(vec![got.len()], vec![expected.len()]));
    }
    let mut worst: Option<(f64, usize)> = None;
    let mut count = 0;
    for (at, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        if got == expected || got.is_nan() && expected.is_nan() {
            continue;
        }
        let beyond = (got - expected).abs() / (tolerance.atol + tolerance.rtol * expected.abs());
        let beyond = if beyond.is_nan() { f64::INFINITY } else { beyond };
        if beyond > 1.0 {
            count += 1;
            if worst.is_none_or(|(most, _)| beyond > most) {
                worst = Some((beyond, at));
            }
        }
    }
    worst.map_or(Ok(()), |(_, at)| Err(Difference::Value(at, got[at], expected[at], count)))
}

/// The bits of a tensor's elements, to compare runs.
pub fn bits(tensor: &Tensor) -> Vec<u64> {
    match &tensor.data {
        Data::F32(x) => x.iter().map(|x| u64::from(x.to_bits())).collect(),
        Data::F64(x) => x.iter().map(|x| x.to_bits()).collect(),
        Data::I64(x) => x.iter().map(|&x| x as u64).collect(),
        Data::I32(x) => x.iter().map(|&x| x as u64).collect(),
        Data::Bool(x) => x.iter().map(|&x| u64::from(x)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_absolute_and_relative() {
        let tolerance = Tolerance { rtol: 0.1, atol: 0.5 };
        assert_eq!(close_values(&[10.0, 1.0], &[11.0, 1.5], tolerance), Ok(()));
        assert_eq!(close_values(&[10.0, 1.0], &[12.0, 1.5], tolerance), Err(Difference::Value(0, 10.0, 12.0, 1)));
    }

    #[test]
    fn special_values_are_the_same_or_not() {
        let tolerance = Tolerance { rtol: 1.0, atol: 1.0 };
        let inf = f64::INFINITY;
        assert_eq!(close_values(&[inf, f64::NAN], &[inf, f64::NAN], tolerance), Ok(()));
        assert!(close_values(&[f64::NAN], &[1.0], tolerance).is_err());
        assert!(close_values(&[inf], &[-inf], tolerance).is_err());
        assert!(close_values(&[1.0], &[inf], tolerance).is_err());
    }
}
