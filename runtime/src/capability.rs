//! Whether this processor runs the machine code, asked before any of it runs: a missing instruction is a signal without a word.

use crate::plan::Target;
use anyhow::{Result, ensure};

/// Checks that the processor has every feature that the code uses; those that the system must be asked for are asked for.
///
/// # Errors
/// When some are missing, all of them named.
pub fn check(target: &Target) -> Result<()> {
    let arch = target.triple.split('-').next().unwrap_or_default();
    ensure!(
        arch.is_empty() || arch == std::env::consts::ARCH,
        "this was compiled for {arch} processors, this one is {}",
        std::env::consts::ARCH
    );
    let lacking: Vec<String> =
        target.features.iter().map(|f| f.trim_start_matches('+')).filter(|f| !has(f)).map(|f| format!("`{f}`")).collect();
    ensure!(
        lacking.is_empty(),
        "this was compiled for a processor with features that this one lacks: {}; compile it here, or for a lesser processor",
        lacking.join(", ")
    );
    Ok(())
}

/// Whether code for a target computes products on a matrix unit, which this processor has.
pub fn uses_tiles(target: &Target) -> bool {
    target.features.iter().any(|feature| feature == "amx-bf16") && has("amx-bf16")
}

/// Whether the processor has a feature that this process may use, by LLVM's name.
#[cfg(target_arch = "x86_64")]
pub fn has(feature: &str) -> bool {
    macro_rules! detected {
        ($($llvm:literal = $rust:tt),* $(,)?) => {
            match feature {
                // Every processor of this architecture has these.
                "64bit" | "cmov" | "cx8" | "fxsr" | "mmx" | "sse" | "sse2" | "x87" => true,
                $($llvm => std::arch::is_x86_feature_detected!($rust),)*
                _ if feature.starts_with("amx") => listed(feature) && enable_tiles().is_ok(),
                _ => listed(feature),
            }
        };
    }
    detected! {
        "adx" = "adx", "aes" = "aes", "avx" = "avx", "avx2" = "avx2", "avx512f" = "avx512f", "avx512bw" = "avx512bw",
        "avx512cd" = "avx512cd", "avx512dq" = "avx512dq", "avx512vl" = "avx512vl", "avx512bf16" = "avx512bf16",
        "avx512bitalg" = "avx512bitalg", "avx512fp16" = "avx512fp16", "avx512ifma" = "avx512ifma",
        "avx512vbmi" = "avx512vbmi", "avx512vbmi2" = "avx512vbmi2", "avx512vnni" = "avx512vnni",
        "avx512vp2intersect" = "avx512vp2intersect", "avx512vpopcntdq" = "avx512vpopcntdq", "avxifma" = "avxifma",
        "avxvnni" = "avxvnni", "bmi" = "bmi1", "bmi2" = "bmi2", "cx16" = "cmpxchg16b", "f16c" = "f16c", "fma" = "fma",
        "gfni" = "gfni", "lzcnt" = "lzcnt", "movbe" = "movbe", "pclmul" = "pclmulqdq", "popcnt" = "popcnt",
        "rdrnd" = "rdrand", "rdseed" = "rdseed", "sha" = "sha", "sse3" = "sse3", "sse4.1" = "sse4.1", "sse4.2" = "sse4.2",
        "ssse3" = "ssse3", "vaes" = "vaes", "vpclmulqdq" = "vpclmulqdq", "xsave" = "xsave", "xsavec" = "xsavec",
        "xsaveopt" = "xsaveopt", "xsaves" = "xsaves",
    }
}

/// Whether the processor has a feature, by LLVM's name.
#[cfg(not(target_arch = "x86_64"))]
pub fn has(feature: &str) -> bool {
    listed(feature)
}

/// Whether the system lists a feature that the standard library does not know, such as `amx-bf16`.
fn listed(feature: &str) -> bool {
    let name = match feature {
        "sahf" => "lahf_lm".to_string(),
        "crc32" => "sse4_2".to_string(),
        "prfchw" => "3dnowprefetch".to_string(),
        other => other.replace(['-', '.'], "_"),
    };
    let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") else {
        return false;
    };
    let flags = text.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    flags.is_some_and(|line| line.split_whitespace().any(|flag| flag == name))
}

/// Linux keeps the tile registers from a process until it asks.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn enable_tiles() -> Result<()> {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: this call only changes which registers this process may use.
    let refused = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
    ensure!(refused == 0, "the system does not allow the tile registers (AMX): {}", std::io::Error::last_os_error());
    Ok(())
}

/// Only Linux has to be asked.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn enable_tiles() -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(arch: &str, features: &[&str]) -> Target {
        Target { triple: format!("{arch}-unknown-linux-gnu"), features: features.iter().map(|f| f.to_string()).collect() }
    }

    #[test]
    fn missing_features_are_named() {
        check(&Target::default()).unwrap();
        let here = std::env::consts::ARCH;
        check(&target(here, &[])).unwrap();
        let error = check(&target(here, &["no-such", "+nor-this"])).unwrap_err().to_string();
        assert!(error.contains("lacks: `no-such`, `nor-this`;"), "{error}");
        let error = check(&target("sparc", &[])).unwrap_err().to_string();
        assert!(error.starts_with("this was compiled for sparc processors, this one is"), "{error}");
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn present_features_pass() {
        check(&target("x86_64", &["sse2", "+cx8"])).unwrap();
        assert_eq!(has("avx2"), std::arch::is_x86_feature_detected!("avx2"));
        assert_eq!(listed("sse4.2"), has("sse4.2"));
    }
}
