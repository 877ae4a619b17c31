//! Entering the runtime as an executable does.

mod bigram;

use std::ffi::{CString, c_char, c_int};
use std::path::Path;

use weft_runtime::entry::{Descriptor, weft_main};
use weft_runtime::exec::Kernel;

fn enter(plan: &[u8], kernels: &[Kernel], args: &[&str]) -> c_int {
    let args: Vec<CString> = args.iter().map(|arg| CString::new(*arg).unwrap()).collect();
    let argv: Vec<*const c_char> = args.iter().map(|arg| arg.as_ptr()).collect();
    let descriptor =
        Descriptor { plan: plan.as_ptr(), plan_len: plan.len(), kernels: kernels.as_ptr(), kernel_count: kernels.len() };
    // SAFETY: all of it lives until the call is over.
    unsafe { weft_main(argv.len() as c_int, argv.as_ptr(), &descriptor) }
}

#[test]
fn an_executable_enters_with_its_plan() {
    let compiled = bigram::compiled(Path::new("none.txt"), 10, 1);
    let plan = postcard::to_stdvec(&compiled.plan).unwrap();
    let kernels = &compiled.kernels;
    assert_eq!(enter(&plan, kernels, &["bigram", "info"]), 0);
    assert_eq!(enter(&plan, kernels, &["bigram", "train", "-q", "--out", "/dev/null/x"]), 1);
    assert_eq!(enter(&plan, kernels, &["bigram", "inform"]), 2);
    // What does not belong together is refused.
    assert_eq!(enter(&plan, &kernels[1..], &["bigram", "info"]), 1);
    assert_eq!(enter(&plan[..plan.len() / 2], kernels, &["bigram", "info"]), 1);
    let mut later = compiled.plan.clone();
    later.format += 1;
    assert_eq!(enter(&postcard::to_stdvec(&later).unwrap(), kernels, &["bigram", "info"]), 1);
}

#[test]
fn a_processor_that_lacks_a_feature_is_told() {
    let mut compiled = bigram::compiled(Path::new("none.txt"), 10, 1);
    compiled.plan.target.features = vec!["a-feature-of-tomorrow".into()];
    let plan = postcard::to_stdvec(&compiled.plan).unwrap();
    assert_eq!(enter(&plan, &compiled.kernels, &["bigram", "info"]), 1);
}
