//! Where an executable enters the runtime: its `main` calls [`weft_main`] with what the compiler put beside the code.

use std::ffi::{CStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStringExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result, ensure};

use crate::capability;
use crate::cli;
use crate::console;
use crate::exec::{Compiled, Kernel};
use crate::plan::{self, Plan};

/// What an executable carries.
#[repr(C)]
pub struct Descriptor {
    /// The plan, as postcard bytes.
    pub plan: *const u8,
    /// How many bytes.
    pub plan_len: usize,
    /// The kernels, in the order of [`Plan::kernels`].
    pub kernels: *const Kernel,
    /// How many kernels.
    pub kernel_count: usize,
}

/// Runs an executable's command line; gives what the process returns.
///
/// # Safety
/// `argv` holds `argc` C strings, and the descriptor is as the compiler made it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_main(argc: c_int, argv: *const *const c_char, descriptor: *const Descriptor) -> c_int {
    console::end_with_reader();
    let fault = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match console::excused(panic) {
        Some(why) => {
            console::error(&anyhow::anyhow!(why));
            std::process::exit(1);
        }
        None => fault(panic),
    }));
    // A panic must not cross into C; its message is printed by the hook.
    let result = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as this function's own contract.
        let (args, compiled) = unsafe { (arguments(argc, argv), compiled(&*descriptor)) };
        match compiled {
            Ok(compiled) => cli::main(compiled, args.into_iter()),
            Err(error) => {
                console::error(&error);
                1
            }
        }
    }));
    result.unwrap_or_else(|_| {
        eprintln!("error: this is a fault of Weft, not of yours; what was saved before is whole");
        1
    })
}

/// A plan as the bytes of a [`Descriptor`].
///
/// # Errors
/// None in practice: a plan is plain data.
pub fn encode(plan: &Plan) -> Result<Vec<u8>> {
    postcard::to_stdvec(plan).context("the plan has no bytes")
}

/// # Safety
/// `argv` holds `argc` C strings.
unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    let count = usize::try_from(argc).unwrap_or(0);
    // SAFETY: the caller's contract; each string ends with a zero byte.
    (0..count).map(|i| OsString::from_vec(unsafe { CStr::from_ptr(*argv.add(i)) }.to_bytes().to_vec())).collect()
}

/// # Safety
/// The descriptor's pointers hold as many bytes and kernels as it says.
unsafe fn compiled(descriptor: &Descriptor) -> Result<Compiled> {
    // SAFETY: the caller's contract.
    let bytes = unsafe { std::slice::from_raw_parts(descriptor.plan, descriptor.plan_len) };
    // A plan without kernels may come with no address at all.
    let kernels = match descriptor.kernel_count {
        0 => &[],
        // SAFETY: the caller's contract.
        count => unsafe { std::slice::from_raw_parts(descriptor.kernels, count) },
    };
    let (format, _): (u32, _) = postcard::take_from_bytes(bytes).context("the plan in this executable is broken")?;
    ensure!(
        format == plan::FORMAT,
        "the plan in this executable has format {format}, and its runtime reads {}",
        plan::FORMAT
    );
    let plan: Plan = postcard::from_bytes(bytes).context("the plan in this executable is broken")?;
    // Before anything runs that the processor may not know.
    capability::check(&plan.target)?;
    ensure!(
        kernels.len() == plan.kernels.len(),
        "the executable holds {} kernels, and its plan {}",
        kernels.len(),
        plan.kernels.len()
    );
    Ok(Compiled { plan, kernels: kernels.to_vec() })
}
