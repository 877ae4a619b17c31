//! A tensor at the border of a program: a shape and its elements in row-major order.

use anyhow::{Result, bail, ensure};

/// Elements by type.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 64-bit integers.
    I64(Vec<i64>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// One byte each; nonzero is true.
    Bool(Vec<u8>),
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(v) => v.len(),
            Data::F64(v) => v.len(),
            Data::I64(v) => v.len(),
            Data::I32(v) => v.len(),
            Data::Bool(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type in words, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Data::F32(_) => "f32",
            Data::F64(_) => "f64",
            Data::I64(_) => "i64",
            Data::I32(_) => "i32",
            Data::Bool(_) => "bool",
        }
    }
}

/// A dense tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Size of each axis, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// `Π shape` elements.
    pub data: Data,
}

impl Tensor {
    /// A tensor of that shape.
    ///
    /// # Errors
    /// When the number of elements is not the product of the shape.
    pub fn new(shape: Vec<usize>, data: Data) -> Result<Self> {
        let Some(len) = product(&shape) else { bail!("the shape {shape:?} has more elements than memory can hold") };
        ensure!(len == data.len(), "the shape {shape:?} needs {len} elements, found {}", data.len());
        Ok(Self { shape, data })
    }

    /// `f32` elements of that shape; see [`Tensor::new`].
    ///
    /// # Errors
    /// As for [`Tensor::new`].
    pub fn f32(shape: &[usize], data: Vec<f32>) -> Result<Self> {
        Self::new(shape.to_vec(), Data::F32(data))
    }

    /// `i64` elements of that shape; see [`Tensor::new`].
    ///
    /// # Errors
    /// As for [`Tensor::new`].
    pub fn i64(shape: &[usize], data: Vec<i64>) -> Result<Self> {
        Self::new(shape.to_vec(), Data::I64(data))
    }

    /// `i32` elements of that shape; see [`Tensor::new`].
    ///
    /// # Errors
    /// As for [`Tensor::new`].
    pub fn i32(shape: &[usize], data: Vec<i32>) -> Result<Self> {
        Self::new(shape.to_vec(), Data::I32(data))
    }

    /// A scalar float, as scalars are kept: in 64 bits.
    pub fn scalar(value: f64) -> Self {
        Self { shape: Vec::new(), data: Data::F64(vec![value]) }
    }

    /// A scalar integer.
    pub fn scalar_i32(value: i32) -> Self {
        Self { shape: Vec::new(), data: Data::I32(vec![value]) }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The only element, as a float.
    ///
    /// # Errors
    /// When there is not exactly one element.
    pub fn to_scalar(&self) -> Result<f64> {
        ensure!(self.len() == 1, "expected one element, found the shape {:?}", self.shape);
        Ok(match &self.data {
            Data::F32(v) => f64::from(v[0]),
            Data::F64(v) => v[0],
            Data::I64(v) => v[0] as f64,
            Data::I32(v) => f64::from(v[0]),
            Data::Bool(v) => f64::from(u8::from(v[0] != 0)),
        })
    }

    /// The elements as 32-bit floats, converted where they are stored otherwise.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.data {
            Data::F32(v) => v.clone(),
            Data::F64(v) => v.iter().map(|&x| x as f32).collect(),
            Data::I64(v) => v.iter().map(|&x| x as f32).collect(),
            Data::I32(v) => v.iter().map(|&x| x as f32).collect(),
            Data::Bool(v) => v.iter().map(|&x| f32::from(u8::from(x != 0))).collect(),
        }
    }

    /// The elements as 64-bit floats, converted where they are stored otherwise.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            Data::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::F64(v) => v.clone(),
            Data::I64(v) => v.iter().map(|&x| x as f64).collect(),
            Data::I32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x != 0))).collect(),
        }
    }

    /// The elements as integers.
    ///
    /// # Errors
    /// When they are floats.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        Ok(match &self.data {
            Data::I64(v) => v.clone(),
            Data::I32(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Data::Bool(v) => v.iter().map(|&x| i64::from(x != 0)).collect(),
            Data::F32(_) | Data::F64(_) => bail!("expected integers, found {}", self.data.kind()),
        })
    }
}

/// The product of a shape, unless it exceeds `usize`. A zero anywhere makes it zero whatever the rest.
pub fn product(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |n, &s| n.checked_mul(s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_must_agree_with_the_elements() {
        assert!(Tensor::f32(&[2, 2], vec![0.0; 4]).is_ok());
        let error = Tensor::f32(&[2, 2], vec![0.0; 3]).unwrap_err();
        assert_eq!(error.to_string(), "the shape [2, 2] needs 4 elements, found 3");
        assert!(Tensor::f32(&[usize::MAX, 2], vec![]).is_err());
        assert!(Tensor::f32(&[usize::MAX, 2, 0], vec![]).is_ok());
    }

    #[test]
    fn conversions() {
        let t = Tensor::i32(&[2], vec![3, -1]).unwrap();
        assert_eq!(t.to_f32(), [3.0, -1.0]);
        assert_eq!(t.to_i64().unwrap(), [3, -1]);
        assert!(t.to_scalar().is_err());
        assert!(Tensor::scalar(1.5).to_i64().is_err());
        assert_eq!(Tensor::new(vec![], Data::Bool(vec![7])).unwrap().to_scalar().unwrap(), 1.0);
    }
}
