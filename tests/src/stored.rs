//! Parameters under the names and in the shapes of somebody else's file, and back.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use weft_dsl::elaborate::StoredTensor;
use weft_runtime::tensor::{Data, Tensor};

use crate::compare::floats;
use crate::reference::Tensors;

/// A parameter, or something of its shape: `[stack…, axes…]`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// Sizes of the axes, without repetitions.
    pub shape: Vec<usize>,
    /// The elements of all repetitions.
    pub data: Vec<f64>,
}

/// Calls `each` with every element's place in the parameter and in the stored tensor.
fn places(shape: &[usize], stored: &StoredTensor, mut each: impl FnMut(usize, usize)) {
    let shape = &shape[shape.len() - stored.strides.len()..];
    let size: usize = shape.iter().product();
    for element in 0..size {
        let (mut rest, mut at) = (element, stored.offset as usize);
        for (&n, &stride) in shape.iter().zip(&stored.strides).rev() {
            at += rest % n * stride as usize;
            rest /= n;
        }
        each(stored.index as usize * size + element, at);
    }
}

/// Fills a parameter from a file's tensors.
///
/// # Errors
/// A tensor is missing, too short, or of another shape than the layout says.
pub fn read(path: &str, whole: &mut Whole, layout: &[StoredTensor], file: &Tensors) -> Result<()> {
    for stored in layout.iter().filter(|s| s.path == path) {
        let (_, tensor) =
            file.iter().find(|(name, _)| *name == stored.name).with_context(|| format!("there is no `{}`", stored.name))?;
        let shape: Vec<u64> = tensor.shape.iter().map(|&n| n as u64).collect();
        ensure!(shape == stored.shape, "`{}` is {shape:?}, the layout says {:?}", stored.name, stored.shape);
        let from = floats(tensor);
        places(&whole.shape.clone(), stored, |ours, theirs| whole.data[ours] = from[theirs]);
    }
    Ok(())
}

/// The stored tensors, in 64-bit floats, that parameters make up.
///
/// # Errors
/// The layout names a parameter that is not given.
pub fn write(wholes: &BTreeMap<String, Whole>, layout: &[StoredTensor]) -> Result<Tensors> {
    let mut file: BTreeMap<String, Tensor> = BTreeMap::new();
    for stored in layout {
        let whole = wholes.get(&stored.path).with_context(|| format!("there is no `{}`", stored.path))?;
        let shape: Vec<usize> = stored.shape.iter().map(|&n| n as usize).collect();
        // Elements that nothing fills stay visible.
        let empty = Tensor { data: Data::F64(vec![f64::NAN; shape.iter().product()]), shape };
        if let Data::F64(to) = &mut file.entry(stored.name.clone()).or_insert(empty).data {
            places(&whole.shape, stored, |ours, theirs| to[theirs] = whole.data[ours]);
        }
    }
    Ok(file.into_iter().collect())
}
