//! Files of named tensors (safetensors): read through a map of memory, written whole.
//!
//! The format: the header's length in 8 bytes, the header in JSON, the tensors' bytes without gaps, all little endian.

use crate::tensor::{Data, Tensor};
use crate::whole_file;
use anyhow::{Context, Result, bail, ensure};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

/// A tensor of a file.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its element.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its elements, row-major, little endian: as many as the shape says.
    pub bytes: &'a [u8],
}

/// An open file, its header checked.
pub struct TensorFile {
    map: Mmap,
    /// In the order of the data.
    entries: Vec<(String, safetensors::tensor::TensorInfo)>,
    metadata: HashMap<String, String>,
    data: usize,
}

impl TensorFile {
    /// Opens a file and checks its header against its length.
    ///
    /// # Errors
    /// When it cannot be read or is no whole safetensors file.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(failed)?;
        ensure!(file.metadata().with_context(failed)?.is_file(), "{} is not a file", path.display());
        // SAFETY: the map is only read. Somebody who shortens the file meanwhile ends us by a signal, which a copy of the
        // whole file in memory would avoid at the price of that memory; files that we write are replaced, never changed.
        let map = unsafe { Mmap::map(&file) }.with_context(failed)?;
        Self::parse(map).with_context(|| format!("{} is no whole safetensors file", path.display()))
    }

    fn parse(map: Mmap) -> Result<Self> {
        let data = check_ends(&map)?;
        let (_, header) = SafeTensors::read_metadata(&map).map_err(anyhow::Error::msg)?;
        let mut entries: Vec<_> = header.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        entries.sort_by(|(a, x), (b, y)| (x.data_offsets, a).cmp(&(y.data_offsets, b)));
        for (name, info) in &entries {
            ensure!(info.data_offsets.1 <= map.len() - data, "tensor `{name}` is named twice");
        }
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self { map, entries, metadata, data })
    }

    /// The tensors, in the order of the data.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().map(|(name, info)| {
            let (start, end) = info.data_offsets;
            let bytes = &self.map[self.data + start..self.data + end];
            Entry { name, dtype: info.dtype, shape: &info.shape, bytes }
        })
    }

    /// What the header says about the file as a whole.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }
}

#[derive(Deserialize)]
struct Ends {
    data_offsets: (u64, u64),
}

/// Checks that the header and every tensor end within the file, and gives the start of the data. The library checks the rest,
/// but adds offsets up without a check for overflow, and cannot say that a file is cut short.
fn check_ends(bytes: &[u8]) -> Result<usize> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        bail!("it has {} bytes; the header's length alone takes 8", bytes.len());
    };
    let length = u64::from_le_bytes(*length);
    let header = usize::try_from(length).ok().and_then(|length| rest.get(..length));
    let header = header.with_context(|| format!("its header should have {length} bytes, the file has {}", bytes.len()))?;
    let header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header).context("its header is not JSON")?;
    let data = rest.len() - length as usize;
    for (name, info) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let ends: Ends = serde_json::from_value(info).with_context(|| format!("tensor `{name}` has no place in it"))?;
        let (_, end) = ends.data_offsets;
        ensure!(
            end <= data as u64,
            "tensor `{name}` should end at byte {end} of the data, which has {data}: it is cut short"
        );
    }
    Ok(8 + length as usize)
}

/// A tensor to be written.
pub struct Written<'a> {
    /// Its name.
    pub name: String,
    /// Its element.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its elements, asked for when they are written, so that a copy of one tensor at a time is in memory.
    pub bytes: Box<dyn Fn() -> Cow<'a, [u8]> + 'a>,
}

/// Writes a file of tensors, whole. Wider elements come first, so that all are aligned.
///
/// # Errors
/// When the file cannot be written (an older one stays as it was) or two tensors have one name.
pub fn write(path: &Path, metadata: &BTreeMap<String, String>, mut tensors: Vec<Written<'_>>) -> Result<()> {
    tensors.sort_by_key(|tensor| std::cmp::Reverse(tensor.dtype.bitsize()));
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".to_string(), serde_json::to_value(metadata)?);
    }
    let mut lengths = Vec::with_capacity(tensors.len());
    let mut start = 0u64;
    for tensor in &tensors {
        let bits = tensor.shape.iter().try_fold(tensor.dtype.bitsize() as u64, |n, &size| n.checked_mul(size));
        let end = bits.and_then(|bits| start.checked_add(bits / 8));
        let end = end.with_context(|| format!("tensor `{}` is too large for a file", tensor.name))?;
        let info = serde_json::json!({ "dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end] });
        ensure!(header.insert(tensor.name.clone(), info).is_none(), "two tensors have the name `{}`", tensor.name);
        lengths.push(end - start);
        start = end;
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    whole_file::write(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for (tensor, &length) in tensors.iter().zip(&lengths) {
            let bytes = (tensor.bytes)();
            if bytes.len() as u64 != length {
                return Err(std::io::Error::other(format!("tensor `{}` has another size than its shape", tensor.name)));
            }
            out.write_all(&bytes)?;
        }
        Ok(())
    })
}

/// Every tensor of a safetensors file, in the order of its data. Half floats come as `f32`, short integers as `i64`.
///
/// # Errors
/// When it cannot be read, is no whole safetensors file or has elements of another type.
pub fn read_tensors(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let file = TensorFile::open(path)?;
    let tensors = file.entries().map(|entry| {
        let tensor = tensor(&entry).with_context(|| format!("tensor `{}` of {}", entry.name, path.display()))?;
        Ok((entry.name.to_string(), tensor))
    });
    tensors.collect()
}

/// Writes tensors as a safetensors file, whole.
///
/// # Errors
/// As for [`write`].
pub fn write_tensors<'t>(path: &Path, tensors: &'t [(String, Tensor)]) -> Result<()> {
    let written = tensors.iter().map(|(name, tensor)| {
        let (dtype, bytes): (_, Box<dyn Fn() -> Cow<'t, [u8]> + 't>) = match &tensor.data {
            Data::F32(v) => (Dtype::F32, Box::new(|| v.iter().flat_map(|x| x.to_le_bytes()).collect())),
            Data::F64(v) => (Dtype::F64, Box::new(|| v.iter().flat_map(|x| x.to_le_bytes()).collect())),
            Data::I64(v) => (Dtype::I64, Box::new(|| v.iter().flat_map(|x| x.to_le_bytes()).collect())),
            Data::I32(v) => (Dtype::I32, Box::new(|| v.iter().flat_map(|x| x.to_le_bytes()).collect())),
            Data::Bool(v) => (Dtype::BOOL, Box::new(|| v.iter().map(|&x| u8::from(x != 0)).collect())),
        };
        let shape = tensor.shape.iter().map(|&size| size as u64).collect();
        Written { name: name.clone(), dtype, shape, bytes }
    });
    write(path, &BTreeMap::new(), written.collect())
}

fn tensor(entry: &Entry<'_>) -> Result<Tensor> {
    fn get<T, const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)).collect()
    }
    let bytes = entry.bytes;
    let data = match entry.dtype {
        Dtype::F32 => Data::F32(get(bytes, f32::from_le_bytes)),
        Dtype::F64 => Data::F64(get(bytes, f64::from_le_bytes)),
        Dtype::F16 => Data::F32(get(bytes, |b| half_to_f32(u16::from_le_bytes(b)))),
        Dtype::BF16 => Data::F32(get(bytes, |b| bf16_to_f32(u16::from_le_bytes(b)))),
        Dtype::I64 => Data::I64(get(bytes, i64::from_le_bytes)),
        Dtype::I32 => Data::I32(get(bytes, i32::from_le_bytes)),
        Dtype::I16 => Data::I64(get(bytes, |b| i64::from(i16::from_le_bytes(b)))),
        Dtype::U16 => Data::I64(get(bytes, |b| i64::from(u16::from_le_bytes(b)))),
        Dtype::U32 => Data::I64(get(bytes, |b| i64::from(u32::from_le_bytes(b)))),
        Dtype::I8 => Data::I64(get(bytes, |b| i64::from(i8::from_le_bytes(b)))),
        Dtype::U8 | Dtype::BOOL => Data::Bool(bytes.to_vec()),
        other => bail!("elements of type {other} are not read"),
    };
    Tensor::new(entry.shape.to_vec(), data)
}

/// IEEE 754 binary16 to binary32, exactly.
pub fn half_to_f32(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let exponent = u32::from(half >> 10) & 31;
    let fraction = u32::from(half) & 0x3ff;
    let magnitude = match exponent {
        // Zero or subnormal: units of 2⁻²⁴.
        0 => (fraction as f32 / 16_777_216.0).to_bits(),
        31 => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// bfloat16 to binary32: its upper half.
pub fn bf16_to_f32(upper: u16) -> f32 {
    f32::from_bits(u32::from(upper) << 16)
}

#[cfg(test)]
#[path = "tensor_file_tests.rs"]
mod tests;
