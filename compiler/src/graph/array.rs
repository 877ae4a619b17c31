//! Arrays of the oracle: f64 data with named axes, aligned by name and never by position.

use std::fmt;

use weft_dsl::types::Axis;

/// The most elements an array may have (8 GiB): a size from outside must not exhaust memory.
const MOST: usize = 1 << 30;

/// A value: numbers over a set of axes. Truth values are 0 and 1; integers are exact to 2⁵³.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its axes, sorted, each once.
    pub axes: Vec<Axis>,
    /// How long each of them is.
    pub shape: Vec<usize>,
    /// The elements, row-major over `axes`: the last axis is the innermost.
    pub data: Vec<f64>,
}

/// Axes, sizes or a number of elements that do not fit each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshapen(pub String);

impl fmt::Display for Misshapen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misshapen {}

/// How many elements an array of these sizes has.
///
/// # Errors
/// Where that is more than an array may have.
pub(super) fn volume(dims: &[(Axis, usize)]) -> Result<usize, Misshapen> {
    // Zeros first: an empty array is small, however long its other axes are.
    if dims.iter().any(|&(_, n)| n == 0) {
        return Ok(0);
    }
    let product = dims.iter().try_fold(1usize, |product, &(_, n)| product.checked_mul(n));
    product.filter(|&n| n <= MOST).ok_or_else(|| {
        let sizes: Vec<_> = dims.iter().map(|d| d.1).collect();
        Misshapen(format!("an array of sizes {sizes:?} is too large"))
    })
}

impl Array {
    /// An array without axes.
    pub fn scalar(value: f64) -> Self {
        Self { axes: Vec::new(), shape: Vec::new(), data: vec![value] }
    }

    /// The same number everywhere.
    ///
    /// # Errors
    /// An axis twice, or too many elements.
    pub fn filled(dims: &[(Axis, usize)], value: f64) -> Result<Self, Misshapen> {
        Self::from_order(dims, vec![value; volume(dims)?])
    }

    /// From elements that are row-major over axes in a given order, the last innermost.
    ///
    /// # Errors
    /// An axis twice, or the wrong number of elements.
    pub fn from_order(dims: &[(Axis, usize)], data: Vec<f64>) -> Result<Self, Misshapen> {
        let count = volume(dims)?;
        if count != data.len() {
            return Err(Misshapen(format!("{} elements where {count} belong", data.len())));
        }
        let mut sorted = dims.to_vec();
        sorted.sort();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Misshapen(format!("axis {} is there twice", pair[0].0.0)));
        }
        let given = row_major(dims);
        let strides: Vec<usize> =
            sorted.iter().map(|s| dims.iter().position(|d| d.0 == s.0).map_or(0, |at| given[at])).collect();
        let (axes, shape): (Vec<_>, Vec<_>) = sorted.into_iter().unzip();
        let data = if axes.iter().eq(dims.iter().map(|d| &d.0)) { data } else { gathered(&shape, &strides, &data) };
        Ok(Self { axes, shape, data })
    }

    /// The elements row-major over axes in a given order; along axes that this array lacks, they repeat.
    ///
    /// # Errors
    /// An axis of the array that is not named, or a size that differs from the array's.
    pub fn in_order(&self, dims: &[(Axis, usize)]) -> Result<Vec<f64>, Misshapen> {
        volume(dims)?;
        let strides = self.strides_along(dims)?;
        if strides == row_major(dims) {
            return Ok(self.data.clone());
        }
        let shape: Vec<_> = dims.iter().map(|d| d.1).collect();
        Ok(gathered(&shape, &strides, &self.data))
    }

    /// The same array with repeated elements along axes that it lacks.
    ///
    /// # Errors
    /// As [`Array::in_order`].
    pub fn broadcast(&self, dims: &[(Axis, usize)]) -> Result<Self, Misshapen> {
        Self::from_order(dims, self.in_order(dims)?)
    }

    /// The same array with an axis called otherwise.
    ///
    /// # Errors
    /// Where it has the new axis already.
    pub fn renamed(&self, from: Axis, to: Axis) -> Result<Self, Misshapen> {
        let dims: Vec<_> = self.dims().into_iter().map(|(a, n)| (if a == from { to } else { a }, n)).collect();
        Self::from_order(&dims, self.data.clone())
    }

    /// The axes with their sizes.
    pub fn dims(&self) -> Vec<(Axis, usize)> {
        self.axes.iter().copied().zip(self.shape.iter().copied()).collect()
    }

    /// How long an axis is, where the array has it.
    pub fn size(&self, axis: Axis) -> Option<usize> {
        self.axes.binary_search(&axis).ok().map(|at| self.shape[at])
    }

    /// The distance between neighbours along each of the axes; 0 along those that the array lacks.
    pub(super) fn strides_along(&self, dims: &[(Axis, usize)]) -> Result<Vec<usize>, Misshapen> {
        for (axis, size) in self.dims() {
            match dims.iter().find(|d| d.0 == axis) {
                None => {
                    return Err(Misshapen(format!("axis {} has no place in the result", axis.0)));
                }
                Some(&(_, n)) if n != size => {
                    return Err(Misshapen(format!("axis {} is {size} long in one place and {n} in another", axis.0)));
                }
                Some(_) => {}
            }
        }
        let own = row_major(&self.dims());
        Ok(dims.iter().map(|d| self.axes.binary_search(&d.0).map_or(0, |at| own[at])).collect())
    }
}

/// Strides of row-major order.
fn row_major(dims: &[(Axis, usize)]) -> Vec<usize> {
    let mut strides = vec![1usize; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i].saturating_mul(dims[i].1);
    }
    strides
}

/// Copies elements so that they are row-major over `shape`.
fn gathered(shape: &[usize], strides: &[usize], from: &[f64]) -> Vec<f64> {
    let (run, step) = (shape.last().copied().unwrap_or(1), strides.last().copied().unwrap_or(0));
    let mut out = Vec::with_capacity(shape.iter().product());
    rows(shape, [strides], |[at]| match step {
        0 => out.extend(std::iter::repeat_n(from[at], run)),
        1 => out.extend_from_slice(&from[at..at + run]),
        _ => out.extend(from[at..].iter().step_by(step).take(run)),
    });
    out
}

/// Calls `row` for each run along the last dimension, in row-major order, with each operand's offset at the run's start.
/// Without dimensions there is one run of one element; where a dimension is 0, none.
pub(super) fn rows<const N: usize>(shape: &[usize], strides: [&[usize]; N], mut row: impl FnMut([usize; N])) {
    if shape.contains(&0) {
        return;
    }
    let outer = shape.len().saturating_sub(1);
    let (mut place, mut at) = (vec![0; outer], [0; N]);
    loop {
        row(at);
        // The next place, as an odometer counts.
        let mut dimension = outer;
        loop {
            if dimension == 0 {
                return;
            }
            dimension -= 1;
            place[dimension] += 1;
            for (at, strides) in at.iter_mut().zip(strides) {
                *at += strides[dimension];
            }
            if place[dimension] < shape[dimension] {
                break;
            }
            place[dimension] = 0;
            for (at, strides) in at.iter_mut().zip(strides) {
                *at -= strides[dimension] * shape[dimension];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Axis = Axis(0);
    const B: Axis = Axis(1);
    const C: Axis = Axis(2);

    #[test]
    fn order_is_only_at_the_border() {
        let rows = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let x = Array::from_order(&[(B, 2), (A, 3)], rows.clone()).unwrap();
        assert_eq!((x.axes.as_slice(), x.shape.as_slice()), (&[A, B][..], &[3, 2][..]));
        assert_eq!(x.data, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(x.in_order(&[(B, 2), (A, 3)]).unwrap(), rows);
        assert_eq!(x.renamed(A, C).unwrap().in_order(&[(B, 2), (C, 3)]).unwrap(), rows);
    }

    #[test]
    fn missing_axes_repeat() {
        let x = Array::from_order(&[(A, 2)], vec![1.0, 2.0]).unwrap();
        assert_eq!(x.in_order(&[(A, 2), (C, 2)]).unwrap(), [1.0, 1.0, 2.0, 2.0]);
        assert_eq!(x.in_order(&[(C, 2), (A, 2)]).unwrap(), [1.0, 2.0, 1.0, 2.0]);
        assert_eq!(x.in_order(&[(C, 0), (A, 2)]).unwrap(), [0.0; 0]);
        assert_eq!(Array::scalar(3.0).broadcast(&[(B, 3)]).unwrap().data, [3.0; 3]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        assert!(Array::from_order(&[(A, 2), (A, 1)], vec![0.0; 2]).is_err());
        assert!(Array::from_order(&[(A, 2)], vec![0.0; 3]).is_err());
        assert!(Array::filled(&[(A, usize::MAX), (B, 2)], 0.0).is_err());
        assert_eq!(Array::filled(&[(A, usize::MAX), (B, 0)], 0.0).unwrap().data, [0.0; 0]);
        let x = Array::filled(&[(A, 2)], 0.0).unwrap();
        assert!(x.in_order(&[(B, 2)]).is_err());
        assert!(x.in_order(&[(A, 3)]).is_err());
    }
}
