//! Elements between a stored tensor and a parameter's declared axes; see [`Stored`].

use crate::plan::{Dtype, Stored};
use crate::tensor_file::{bf16_to_f32, half_to_f32};
use safetensors::Dtype as FileDtype;

/// Floats of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// IEEE binary16.
    F16,
    /// The upper half of an f32.
    BF16,
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
}

impl Float {
    /// The float that a file's element is, if it is one that we read.
    pub fn of(dtype: FileDtype) -> Option<Self> {
        match dtype {
            FileDtype::F16 => Some(Self::F16),
            FileDtype::BF16 => Some(Self::BF16),
            FileDtype::F32 => Some(Self::F32),
            FileDtype::F64 => Some(Self::F64),
            _ => None,
        }
    }
}

/// Whether a parameter of that shape lies within the stored tensor.
pub fn fits(stored: &Stored, shape: &[u64]) -> bool {
    if stored.strides.len() != shape.len() {
        return false;
    }
    let len = stored.shape.iter().try_fold(1u64, |n, &size| n.checked_mul(size));
    if shape.contains(&0) {
        return len.is_some();
    }
    let last = shape
        .iter()
        .zip(&stored.strides)
        .try_fold(stored.offset, |last, (size, stride)| last.checked_add((size - 1).checked_mul(*stride)?));
    matches!((last, len), (Some(last), Some(len)) if last < len)
}

/// Whether the parameter is the whole stored tensor in its order.
pub fn is_contiguous(stored: &Stored, shape: &[u64]) -> bool {
    let mut expected = 1;
    let rows = shape.iter().zip(&stored.strides).rev().all(|(&size, &stride)| {
        let fine = stride == expected || size <= 1;
        expected *= size;
        fine
    });
    rows && stored.offset == 0 && stored.shape.iter().product::<u64>() == expected
}

/// Reads a parameter of that shape from a stored tensor that it fits into.
pub fn load(float: Float, bytes: &[u8], stored: &Stored, shape: &[u64], dtype: Dtype, out: &mut [u8]) {
    match float {
        Float::F16 => read(bytes, stored, shape, dtype, out, |b| f64::from(half_to_f32(u16::from_le_bytes(b)))),
        Float::BF16 => read(bytes, stored, shape, dtype, out, |b| f64::from(bf16_to_f32(u16::from_le_bytes(b)))),
        // Most files: the same bytes.
        Float::F32 if dtype == Dtype::F32 && is_contiguous(stored, shape) => out.copy_from_slice(bytes),
        Float::F32 => read(bytes, stored, shape, dtype, out, |b| f64::from(f32::from_le_bytes(b))),
        Float::F64 => read(bytes, stored, shape, dtype, out, f64::from_le_bytes),
    }
}

fn read<const N: usize>(
    bytes: &[u8],
    stored: &Stored,
    shape: &[u64],
    dtype: Dtype,
    out: &mut [u8],
    convert: impl Fn([u8; N]) -> f64,
) {
    let elements = bytes.as_chunks::<N>().0;
    if dtype == Dtype::F64 {
        let out = out.as_chunks_mut::<8>().0;
        walk(stored, shape, |from, to| out[to] = convert(elements[from]).to_le_bytes());
    } else {
        let out = out.as_chunks_mut::<4>().0;
        walk(stored, shape, |from, to| out[to] = (convert(elements[from]) as f32).to_le_bytes());
    }
}

/// Writes a parameter of that shape, of elements of `width` bytes, into its places of a stored tensor.
pub fn save(bytes: &[u8], stored: &Stored, shape: &[u64], width: usize, out: &mut [u8]) {
    walk(stored, shape, |to, from| {
        out[to * width..(to + 1) * width].copy_from_slice(&bytes[from * width..(from + 1) * width]);
    });
}

/// Calls with (index in the stored tensor, index in the parameter) for each element, in the parameter's order.
fn walk(stored: &Stored, shape: &[u64], mut each: impl FnMut(usize, usize)) {
    if shape.contains(&0) {
        return;
    }
    let Some((&inner, outer)) = shape.split_last() else {
        each(stored.offset as usize, 0);
        return;
    };
    let step = stored.strides[outer.len()] as usize;
    let mut at = vec![0; outer.len()];
    let mut to = 0;
    loop {
        let row: u64 = at.iter().zip(&stored.strides).map(|(i, stride)| i * stride).sum();
        let mut from = (stored.offset + row) as usize;
        for _ in 0..inner {
            each(from, to);
            from += step;
            to += 1;
        }
        let mut axis = outer.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            at[axis] += 1;
            if at[axis] < outer[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(shape: &[u64], offset: u64, strides: &[u64]) -> Stored {
        Stored { param: 0, index: 0, name: "x".into(), shape: shape.to_vec(), offset, strides: strides.to_vec() }
    }

    #[test]
    fn a_transposed_slice_there_and_back() {
        // Columns 1 and 2 of a stored [2, 4], as a parameter [2, 2] with the axes turned.
        let place = stored(&[2, 4], 1, &[1, 4]);
        assert!(fits(&place, &[2, 2]) && !fits(&place, &[4, 2]) && !fits(&place, &[2]));
        let file: Vec<u8> = (0..8).flat_map(|x| (x as f32).to_le_bytes()).collect();
        let mut out = [0; 16];
        load(Float::F32, &file, &place, &[2, 2], Dtype::F32, &mut out);
        let read: Vec<f32> = out.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        assert_eq!(read, [1.0, 5.0, 2.0, 6.0]);
        let mut back = vec![0; 32];
        save(&out, &place, &[2, 2], 4, &mut back);
        for (i, (new, old)) in back.chunks(4).zip(file.chunks(4)).enumerate() {
            assert_eq!(new == old, [0, 1, 2, 5, 6].contains(&i));
        }
    }

    #[test]
    fn contiguity() {
        assert!(is_contiguous(&stored(&[2, 3], 0, &[3, 1]), &[2, 3]));
        assert!(!is_contiguous(&stored(&[3, 2], 0, &[1, 2]), &[2, 3]));
        assert!(!is_contiguous(&stored(&[3, 3], 0, &[3, 1]), &[2, 3]));
        assert!(is_contiguous(&stored(&[], 0, &[]), &[]));
        assert!(!fits(&stored(&[2], u64::MAX, &[1]), &[2]));
        assert!(!fits(&stored(&[u64::MAX, 2], 0, &[1]), &[2]));
    }
}
