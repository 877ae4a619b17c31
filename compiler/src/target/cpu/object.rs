//! From text to machine code: parsing, optimising, object files.

use std::borrow::Borrow;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, anyhow, ensure};
use inkwell::OptimizationLevel;
use inkwell::context::Context;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{
    FileType, InitializationConfig, RelocMode, Target, TargetMachine, TargetMachineOptions, TargetTriple,
};

use super::emit::function;
use super::processor::Cpu;
use super::text::Shared;
use crate::kernel::Kernel;

/// Kernels in a module: few enough to share the work between threads, and a fixed number, so that the objects do not depend on
/// how many threads there are.
const TOGETHER: usize = 4;

/// What LLVM is to do with the text. Kernels are vector code in few registers with no calls but to helpers, so this is half of
/// `default<O2>` at half its time: equal values are merged, addresses leave loops, short loops are unrolled whole.
const PASSES: &str = "always-inline,function(early-cse,instcombine<no-verify-fixpoint>,simplifycfg,\
    loop-mssa(loop-rotate,licm),gvn,instcombine<no-verify-fixpoint>,loop(indvars,loop-deletion,loop-unroll-full),\
    early-cse<memssa>,dse,adce,instcombine<no-verify-fixpoint>,simplifycfg),globaldce";

/// Object files (ELF) with the kernels as functions of their names.
///
/// `checked` code compares each index with the bounds of its buffer: a lane beyond them is left out (a load gives 0) and the
/// first is reported in the status, see [`crate::kernel`]; for scratch memory, as the argument after the last.
///
/// # Errors
/// A kernel that is not well formed; a name that is no symbol.
pub fn compile<K: Borrow<Kernel> + Sync>(kernels: &[(String, K)], cpu: &Cpu, checked: bool) -> Result<Vec<Vec<u8>>> {
    let parts: Vec<&[(String, K)]> = kernels.chunks(TOGETHER).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(parts.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
            let at = part.as_ptr().addr();
            done.push((at, text(part, cpu, checked).and_then(|text| object(&text, cpu))));
        }
        done
    };
    let mut objects = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut objects = work();
        for other in others {
            objects.extend(other.join().map_err(|_| anyhow!("a thread that made machine code panicked"))?);
        }
        anyhow::Ok(objects)
    })?;
    objects.sort_by_key(|(at, _)| *at);
    objects.into_iter().map(|(_, object)| object).collect()
}

/// The assembly text of kernels, before optimisation.
///
/// # Errors
/// As [`compile`].
pub fn text<K: Borrow<Kernel>>(kernels: &[(String, K)], cpu: &Cpu, checked: bool) -> Result<String> {
    let mut shared = Shared::default();
    let mut text = String::new();
    for (name, kernel) in kernels {
        let function = function(name, kernel.borrow(), cpu, checked, &mut shared);
        text += &function.with_context(|| format!("the kernel `{name}` is not well formed"))?;
    }
    text += &shared.finish();
    text += &format!(
        "attributes #0 = {{ nounwind \"target-cpu\"=\"{}\" \"target-features\"=\"{}\" \"prefer-vector-width\"=\"{}\" }}\n",
        cpu.llvm_name(),
        cpu.feature_string(),
        cpu.vector_bits()
    );
    Ok(text)
}

/// An object file with `main`, which hands a plan and the table of kernels to the runtime.
///
/// # Errors
/// A name that is no symbol.
pub fn executable_object(plan: &[u8], kernels: &[String], cpu: &Cpu) -> Result<Vec<u8>> {
    use std::fmt::Write;
    let bytes = plan.iter().fold(String::with_capacity(plan.len() * 3), |mut text, byte| {
        let _ = write!(text, "\\{byte:02X}");
        text
    });
    let table: Vec<String> = kernels.iter().map(|name| format!("ptr @{name}")).collect();
    let mut text = format!(
        "@weft.plan = private constant [{} x i8] c\"{bytes}\", align 16\n\
         @weft.kernels = private constant [{count} x ptr] [{}]\n\
         @weft.descriptor = private constant {{ ptr, i64, ptr, i64 }} {{ ptr @weft.plan, i64 {}, ptr @weft.kernels, i64 {count} }}\n\
         declare i32 @weft_main(i32, ptr, ptr)\n\
         define i32 @main(i32 %argc, ptr %argv) {{\n\
         \x20 %code = call i32 @weft_main(i32 %argc, ptr %argv, ptr @weft.descriptor)\n\
         \x20 ret i32 %code\n}}\n",
        plan.len(),
        table.join(", "),
        plan.len(),
        count = kernels.len(),
    );
    for name in kernels {
        let symbol = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.$".contains(c));
        ensure!(symbol, "`{name}` is not a symbol");
        text += &format!("declare void @{name}(ptr, ptr, i64, i64, ptr)\n");
    }
    object(&text, cpu)
}

fn machine(cpu: &Cpu) -> Result<TargetMachine> {
    static READY: Once = Once::new();
    READY.call_once(|| {
        Target::initialize_x86(&InitializationConfig::default());
        Target::initialize_aarch64(&InitializationConfig::default());
    });
    let triple = TargetTriple::create(cpu.triple);
    let target = Target::from_triple(&triple).map_err(|e| anyhow!("LLVM: {e}"))?;
    let options = TargetMachineOptions::new()
        .set_cpu(cpu.llvm_name())
        .set_features(&cpu.feature_string())
        .set_level(OptimizationLevel::Default)
        .set_reloc_mode(RelocMode::PIC);
    target
        .create_target_machine_from_options(&triple, options)
        .with_context(|| format!("LLVM cannot make code for {} ({})", cpu.name, cpu.triple))
}

fn object(text: &str, cpu: &Cpu) -> Result<Vec<u8>> {
    machine_code(text, cpu, FileType::Object)
}

/// The assembly text of kernels as they are in an object.
///
/// # Errors
/// As [`compile`].
#[cfg(test)]
pub fn assembly<K: Borrow<Kernel>>(kernels: &[(String, K)], cpu: &Cpu) -> Result<String> {
    Ok(String::from_utf8(machine_code(&text(kernels, cpu, false)?, cpu, FileType::Assembly)?)?)
}

fn machine_code(text: &str, cpu: &Cpu, form: FileType) -> Result<Vec<u8>> {
    let machine = machine(cpu)?;
    let context = Context::create();
    let buffer = MemoryBuffer::create_from_memory_range_copy(text.as_bytes(), "kernels");
    let module = context.create_module_from_ir(buffer).map_err(|e| anyhow!("LLVM does not take its text: {e}"))?;
    module.set_triple(&TargetTriple::create(cpu.triple));
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    module.run_passes(PASSES, &machine, PassBuilderOptions::create()).map_err(|e| anyhow!("LLVM: {e}"))?;
    let buffer = machine.write_to_memory_buffer(&module, form).map_err(|e| anyhow!("LLVM: {e}"))?;
    Ok(buffer.as_slice().to_vec())
}
