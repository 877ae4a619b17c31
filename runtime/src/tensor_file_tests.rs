//! Tests of tensor files: what comes back, and what malformed files are told.

use super::*;
use std::fs;

fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// The whole message of what is wrong with a file of those bytes.
fn complaint(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, bytes).unwrap();
    let error = format!("{:#}", read_tensors(&path).unwrap_err());
    error.split_once("safetensors file: ").map_or(error.clone(), |(_, rest)| rest.to_string())
}

const GOOD: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

#[test]
fn round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.safetensors");
    let tensors = vec![
        ("mask".to_string(), Tensor::new(vec![3], Data::Bool(vec![1, 0, 1])).unwrap()),
        ("x".to_string(), Tensor::f32(&[2, 1], vec![1.5, f32::NEG_INFINITY]).unwrap()),
        ("loss".to_string(), Tensor::scalar(0.1)),
        ("ids".to_string(), Tensor::i64(&[0, 4], vec![]).unwrap()),
        ("n".to_string(), Tensor::scalar_i32(-7)),
    ];
    write_tensors(&path, &tensors).unwrap();
    let mut back = read_tensors(&path).unwrap();
    // Wider elements first, so that each lies aligned in the file.
    assert_eq!(back.last().unwrap().0, "mask");
    back.sort_by_key(|(name, _)| tensors.iter().position(|(n, _)| n == name));
    assert_eq!(back, tensors);
    let twice = [tensors[0].clone(), tensors[0].clone()];
    assert!(write_tensors(&path, &twice).unwrap_err().to_string().contains("two tensors"));
}

#[test]
fn a_cut_file_says_so() {
    let whole = raw(GOOD, &[0; 8]);
    assert_eq!(
        complaint(&whole[..whole.len() - 1]),
        "tensor `a` should end at byte 8 of the data, which has 7: it is cut short"
    );
    assert_eq!(complaint(&whole[..20]), "its header should have 54 bytes, the file has 20");
    assert_eq!(complaint(&[1, 2]), "it has 2 bytes; the header's length alone takes 8");
    assert_eq!(complaint(&[]), "it has 0 bytes; the header's length alone takes 8");
    // At no length does anything but the whole file pass.
    for len in 0..whole.len() {
        complaint(&whole[..len]);
    }
}

#[test]
fn lying_headers_are_refused() {
    let mut lying = raw(GOOD, &[0; 8]);
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(complaint(&lying).starts_with("its header should have 18446744073709551615 bytes"));
    assert_eq!(complaint(&raw("{\"a\":", &[])), "its header is not JSON: EOF while parsing a value at line 1 column 5");
    assert!(complaint(&raw("[]", &[])).starts_with("its header is not JSON"));
    assert!(complaint(&raw(r#"{"a":3}"#, &[])).starts_with("tensor `a` has no place in it"));
    // More data than the header accounts for.
    assert!(!complaint(&raw(GOOD, &[0; 9])).is_empty());
    // Overlapping, with a gap, backwards, of another size than the shape, with an unknown element.
    for (second, len) in [("[4,12]", 12), ("[12,20]", 20), ("[16,8]", 16), ("[8,20]", 20), ("[-8,8]", 8)] {
        let b = format!(r#","b":{{"dtype":"F32","shape":[2],"data_offsets":{second}}}}}"#);
        complaint(&raw(&GOOD.replace("}}", &format!("}}{b}")), &vec![0; len]));
    }
    complaint(&raw(&GOOD.replace("F32", "F31"), &[0; 8]));
    complaint(&raw(&GOOD.replace("F32", "I32").replace("[2]", "[3]"), &[0; 8]));
}

#[test]
fn products_that_overflow_are_refused() {
    for shape in ["[4294967296,4294967296]", "[4611686018427387904,4]", "[18446744073709551615]", "[1e30]", "[-1]"] {
        complaint(&raw(&GOOD.replace("[2]", shape), &[0; 8]));
    }
    // Ends whose sum with the header's length wraps around to the length of the file.
    let end = u64::MAX - 61;
    complaint(&raw(&GOOD.replace("[0,8]", &format!("[0,{end}]")), &[]));
}

#[test]
fn elements_that_are_not_read() {
    let message = complaint(&raw(&GOOD.replace("F32", "C64").replace("[0,8]", "[0,16]"), &[0; 16]));
    assert!(message.ends_with("elements of type C64 are not read"), "{message}");
}

#[test]
fn half_floats() {
    for (bits, value) in [
        (0x3c00, 1.0),
        (0xc000, -2.0),
        (0x7bff, 65504.0),
        (0x0001, 5.960_464_5e-8),
        (0x03ff, 6.097_555e-5),
        (0x0400, 6.103_515_6e-5),
        (0x7c00, f32::INFINITY),
        (0x8000, -0.0),
    ] {
        assert_eq!(half_to_f32(bits).to_bits(), f32::to_bits(value), "{bits:04x}");
    }
    assert!(half_to_f32(0x7e00).is_nan());
    assert_eq!(bf16_to_f32(0x3fc0), 1.5);
}
