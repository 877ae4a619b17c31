//! Processors: what code may use, and what schedules may know.

use anyhow::{Result, bail};

use weft_runtime::capability::has;

use crate::schedule::{Machine, Unit};

/// A processor to make code for.
///
/// Code for a level of an architecture is the same wherever it is made: the processor at hand is only asked which levels it
/// has. (LLVM's guess at its name may be wrong on virtual machines.)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cpu {
    /// Such as `x86_64-unknown-linux-gnu`.
    pub triple: &'static str,
    /// The level, such as `x86-64-v4`: LLVM's name, or that and the set of instructions that come on top.
    pub name: &'static str,
    /// What the level adds to the architecture's baseline, by LLVM's names.
    features: Vec<&'static str>,
    /// 32-bit lanes of a vector register.
    lanes: u16,
    /// Vector registers.
    registers: u16,
}

const X86: &str = "x86_64-unknown-linux-gnu";
const ARM: &str = "aarch64-unknown-linux-gnu";

/// Levels of x86-64, highest first; AMX, which LLVM counts with no level, is one more: name, what it adds to the next, lanes, registers.
const LEVELS: &[(&str, &[&str], u16, u16)] = &[
    ("x86-64-v4-amx", &["amx-tile", "amx-bf16"], 16, 32),
    ("x86-64-v4", &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"], 16, 32),
    ("x86-64-v3", &["avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"], 8, 16),
    ("x86-64-v2", &["cx16", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"], 4, 16),
    ("x86-64", &[], 4, 16),
];

impl Cpu {
    /// The highest level of this processor.
    pub fn host() -> Self {
        if cfg!(target_arch = "aarch64") {
            return Self::arm();
        }
        let level = LEVELS.iter().position(|(_, adds, ..)| adds.iter().all(|f| has(f)));
        // A level stands on the lower ones; a processor that lacks part of one is taken at the level below.
        let sound = |&from: &usize| LEVELS[from..].iter().all(|(_, adds, ..)| adds.iter().all(|f| has(f)));
        Self::level((level.unwrap_or(LEVELS.len() - 1)..LEVELS.len()).find(sound).unwrap_or(LEVELS.len() - 1))
    }

    /// By name: `native`, `x86-64`, `x86-64-v2`, `x86-64-v3`, `x86-64-v4`, `x86-64-v4-amx`, `aarch64`.
    ///
    /// # Errors
    /// Another name.
    pub fn named(name: &str) -> Result<Self> {
        match LEVELS.iter().position(|(level, ..)| *level == name) {
            Some(at) => Ok(Self::level(at)),
            None if name == "native" => Ok(Self::host()),
            None if name == "aarch64" => Ok(Self::arm()),
            None => {
                let names: Vec<&str> = LEVELS.iter().map(|(name, ..)| *name).collect();
                bail!("there is no processor `{name}`; there are native, aarch64, {}", names.join(", "))
            }
        }
    }

    fn level(at: usize) -> Self {
        let (name, _, lanes, registers) = LEVELS[at];
        let features = LEVELS[at..].iter().flat_map(|(_, adds, ..)| adds.iter().copied()).collect();
        Self { triple: X86, name, features, lanes, registers }
    }

    fn arm() -> Self {
        Self { triple: ARM, name: "generic", features: vec!["neon"], lanes: 4, registers: 32 }
    }

    /// What schedules may know. Cache sizes are usual ones, not this machine's: tiles decide in which order sums are made, and
    /// the same bits are to come out everywhere.
    pub fn machine(&self) -> Machine {
        let unit = if self.features.contains(&"amx-bf16") { Unit::Chosen } else { Unit::Absent };
        Machine { lanes: self.lanes, registers: self.registers, unit, l1: 32 << 10, l2: 1 << 20, tuning: Default::default() }
    }

    /// What the code needs beyond the architecture's baseline, by LLVM's names; executables look for it when they start.
    pub fn features(&self) -> Vec<String> {
        if self.triple == ARM { Vec::new() } else { self.features.iter().map(|f| (*f).to_string()).collect() }
    }

    /// What LLVM calls the level.
    pub(super) fn llvm_name(&self) -> &'static str {
        self.name.trim_end_matches("-amx")
    }

    /// LLVM's string of features.
    pub(super) fn feature_string(&self) -> String {
        self.features.iter().map(|f| format!("+{f}")).collect::<Vec<_>>().join(",")
    }

    /// Bits of a vector register.
    pub(super) fn vector_bits(&self) -> u32 {
        u32::from(self.lanes) * 32
    }
}
