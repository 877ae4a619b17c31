//! Object code in this process: the bytes that an executable would be linked from.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ptr::null_mut;

use anyhow::{Result, bail};
use inkwell::llvm_sys::core::LLVMCreateMemoryBufferWithMemoryRangeCopy;
use inkwell::llvm_sys::error::{LLVMDisposeErrorMessage, LLVMErrorRef, LLVMGetErrorMessage};
use inkwell::llvm_sys::orc2::lljit::{
    LLVMOrcCreateLLJIT, LLVMOrcDisposeLLJIT, LLVMOrcLLJITAddObjectFile, LLVMOrcLLJITGetGlobalPrefix,
    LLVMOrcLLJITGetMainJITDylib, LLVMOrcLLJITLookup, LLVMOrcLLJITRef,
};
use inkwell::llvm_sys::orc2::{LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess, LLVMOrcJITDylibAddGenerator};
use inkwell::targets::{InitializationConfig, Target};
use weft_runtime::launch::Kernel;

/// Kernels in this process's memory, which is freed with this.
#[derive(Debug)]
pub struct Loaded {
    jit: LLVMOrcLLJITRef,
    entries: HashMap<String, Kernel>,
}

// SAFETY: the code is not changed once it is loaded; `jit` is only used to free it.
unsafe impl Send for Loaded {}
// SAFETY: as above; what is shared is the table of addresses.
unsafe impl Sync for Loaded {}

fn outcome(error: LLVMErrorRef) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: LLVM hands out the message for an error that is not null, and both are taken once.
    unsafe {
        let message = LLVMGetErrorMessage(error);
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        LLVMDisposeErrorMessage(message);
        bail!("LLVM: {text}")
    }
}

impl Loaded {
    /// Loads objects for the processor at hand and looks up kernels by name.
    ///
    /// # Errors
    /// Bytes that are no object of this architecture; a name that is not among the functions.
    pub fn new(objects: &[Vec<u8>], names: &[String]) -> Result<Self> {
        Target::initialize_native(&InitializationConfig::default()).map_err(|e| anyhow::anyhow!("LLVM: {e}"))?;
        let mut loaded = Self { jit: null_mut(), entries: HashMap::new() };
        // SAFETY: each call gets what LLVM's C interface asks for. The library of loaded code takes the generator and the
        // buffers; `loaded` disposes of the rest when it is dropped, also where this returns early.
        unsafe {
            outcome(LLVMOrcCreateLLJIT(&raw mut loaded.jit, null_mut()))?;
            let library = LLVMOrcLLJITGetMainJITDylib(loaded.jit);
            // Functions of the C library, such as `exp` of doubles, are those of this process.
            let mut process = null_mut();
            let prefix = LLVMOrcLLJITGetGlobalPrefix(loaded.jit);
            outcome(LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&raw mut process, prefix, None, null_mut()))?;
            LLVMOrcJITDylibAddGenerator(library, process);
            for object in objects {
                let bytes = object.as_ptr().cast();
                let buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, object.len(), c"kernels".as_ptr());
                outcome(LLVMOrcLLJITAddObjectFile(loaded.jit, library, buffer))?;
            }
            for name in names {
                let symbol = CString::new(name.as_str())?;
                let mut address = 0;
                outcome(LLVMOrcLLJITLookup(loaded.jit, &raw mut address, symbol.as_ptr()))?;
                let entry = std::mem::transmute::<usize, Kernel>(usize::try_from(address)?);
                loaded.entries.insert(name.clone(), entry);
            }
        }
        Ok(loaded)
    }

    /// A kernel's code; valid while this lives.
    pub fn kernel(&self, name: &str) -> Option<Kernel> {
        self.entries.get(name).copied()
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if !self.jit.is_null() {
            // SAFETY: created in `new`, disposed of once. An error leaves nothing to be done.
            let _ = outcome(unsafe { LLVMOrcDisposeLLJIT(self.jit) });
        }
    }
}
