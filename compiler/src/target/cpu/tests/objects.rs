//! Objects: what they name, that they are the same each time, and other processors.

use super::super::{Cpu, assembly, compile, executable_object, text};
use crate::kernel::{Dtype, Kernel, Place, Writer};
use weft_dsl::elementwise::Elementwise;

/// `b = exp(a)` by tiles of 8.
fn kernel() -> Kernel {
    let mut w = Writer::new(vec![Dtype::F32; 2], 0);
    let (tile, eight) = (w.tile(), w.int(8));
    let at = w.mul(tile, eight);
    let value = w.load(Place::Arg(0), at, 8, None);
    let value = w.map(Elementwise::EXP, &[value]);
    w.store(Place::Arg(1), at, value, None);
    w.finish()
}

/// Whether the table of names has one; names that end alike share their end.
fn holds(object: &[u8], symbol: &str) -> bool {
    let symbol = [symbol.as_bytes(), b"\0"].concat();
    object.windows(symbol.len()).any(|bytes| bytes == symbol)
}

#[test]
fn objects_do_not_depend_on_threads() {
    let kernel = kernel();
    let kernels: Vec<(String, &Kernel)> = (0..10).map(|i| (format!("weft_k{i}"), &kernel)).collect();
    let first = compile(&kernels, &Cpu::host(), false).unwrap();
    assert_eq!(first.len(), 3);
    for (i, (name, _)) in kernels.iter().enumerate() {
        assert!(holds(&first[i / 4], name), "{name}");
    }
    assert_eq!(first, compile(&kernels, &Cpu::host(), false).unwrap());
}

#[test]
fn every_processor_has_an_object() {
    let kernel = kernel();
    for (name, machine) in [
        ("x86-64", 62u8),
        ("x86-64-v2", 62),
        ("x86-64-v3", 62),
        ("x86-64-v4", 62),
        ("x86-64-v4-amx", 62),
        ("aarch64", 183),
        ("native", 0),
    ] {
        let cpu = Cpu::named(name).unwrap();
        let objects = compile(&[("k".to_string(), &kernel)], &cpu, false).unwrap();
        assert!(objects[0].starts_with(b"\x7fELF"), "{name}");
        assert!(machine == 0 || objects[0][18] == machine, "{name}");
    }
    assert!(Cpu::named("x86-64-v5").unwrap_err().to_string().contains("x86-64-v4"));
    let wide = Cpu::named("x86-64-v4").unwrap();
    assert_eq!(wide.machine().lanes, 16);
    assert!(wide.features().contains(&"avx512f".to_string()) && wide.features().contains(&"fma".to_string()));
    assert!(Cpu::named("x86-64").unwrap().features().is_empty());
}

#[test]
fn main_hands_the_plan_to_the_runtime() {
    let names = ["weft_k0".to_string(), "weft_k1".to_string()];
    let object = executable_object(b"plan \xff\"\\ bytes", &names, &Cpu::host()).unwrap();
    for symbol in ["main", "weft_main", "weft_k0", "weft_k1"] {
        assert!(holds(&object, symbol), "{symbol}");
    }
    assert!(object.windows(14).any(|bytes| bytes == b"plan \xff\"\\ bytes"));
    assert!(executable_object(b"", &["no symbol".to_string()], &Cpu::host()).is_err());
}

#[test]
fn names_and_registers_are_looked_at() {
    let kernel = kernel();
    assert!(compile(&[("a b".to_string(), &kernel)], &Cpu::host(), false).is_err());
    let mut broken = kernel;
    broken.body.remove(2);
    let error = compile(&[("k".to_string(), &broken)], &Cpu::host(), false).unwrap_err();
    assert!(format!("{error:#}").contains("before it is assigned"), "{error:#}");
}

#[test]
fn the_text_of_a_kernel_is_its_instructions() {
    let mut w = Writer::new(vec![Dtype::F32; 2], 1);
    let (zero, size) = (w.int(0), w.size(0));
    let start = w.constant(Dtype::F32, 8, 0.0);
    let sum = w.repeat((zero, size, 8), &[start], |w, at, inside| {
        let value = w.load(Place::Arg(0), at, 8, None);
        vec![w.fma(value, value, inside[0])]
    });
    let tile = w.tile();
    w.store(Place::Arg(1), tile, sum[0], None);
    let text = text(&[("squares".to_string(), &w.finish())], &Cpu::named("x86-64-v3").unwrap(), false).unwrap();
    let (function, _) = text.split_once("declare").unwrap();
    insta::assert_snapshot!(function, @r"
    define void @squares(ptr noalias readonly %args, ptr noalias readonly %sizes, i64 %begin, i64 %end, ptr noalias align 64 %scratch) #0 {
    entry:
      %arg0.at = getelementptr inbounds ptr, ptr %args, i64 0
      %arg0 = load ptr, ptr %arg0.at, align 8
      %arg1.at = getelementptr inbounds ptr, ptr %args, i64 1
      %arg1 = load ptr, ptr %arg1.at, align 8
      %size0.at = getelementptr inbounds i64, ptr %sizes, i64 0
      %size0 = load i64, ptr %size0.at, align 8
      br label %tiles
    tiles:
      %tile.index = phi i64 [ %begin, %entry ], [ %tile.next, %exit3 ]
      %tile.more = icmp slt i64 %tile.index, %end
      br i1 %tile.more, label %tile, label %done
    tile:
      br label %head1
    head1:
      %r3 = phi i64 [ 0, %tile ], [ %r3.next, %body2 ]
      %r4 = phi <8 x float> [ splat (float 0x0000000000000000), %tile ], [ %t6, %body2 ]
      %t7 = icmp slt i64 %r3, %size0
      br i1 %t7, label %body2, label %exit3
    body2:
      %t4 = getelementptr inbounds float, ptr %arg0, i64 %r3
      %t5 = load <8 x float>, ptr %t4, align 4
      %t6 = call <8 x float> @llvm.fma.v8f32(<8 x float> %t5, <8 x float> %t5, <8 x float> %r4)
      %r3.next = add nsw i64 %r3, 8
      br label %head1
    exit3:
      %t8 = getelementptr inbounds float, ptr %arg1, i64 %tile.index
      store <8 x float> %r4, ptr %t8, align 4
      %tile.next = add nsw i64 %tile.index, 1
      br label %tiles
    done:
      ret void
    }
    ");
}

/// With `cc`, as executables are made; the runtime's part is played by a few lines of C.
#[test]
fn objects_link_to_an_executable() {
    let folder = std::env::temp_dir().join(format!("weft-link-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let name = "weft_k0".to_string();
    let kernel = kernel();
    let mut objects = compile(&[(name.clone(), &kernel)], &Cpu::host(), false).unwrap();
    objects.push(executable_object(b"plan", &[name], &Cpu::host()).unwrap());
    std::fs::write(
        folder.join("runtime.c"),
        "#include <stdio.h>
        typedef void kernel(void **, const long *, long, long, char *);
        struct descriptor { const char *plan; unsigned long length; kernel **kernels; unsigned long count; };
        int weft_main(int argc, char **argv, const struct descriptor *d) {
            float a[8] = {0, 1}, b[8];
            void *args[] = {a, b};
            d->kernels[0](args, 0, 0, 1, 0);
            printf(\"%.*s %lu %d %.5f %.5f\", (int)d->length, d->plan, d->count, argc, b[0], b[1]);
            return 7;
        }",
    )
    .unwrap();
    for (i, object) in objects.iter().enumerate() {
        std::fs::write(folder.join(format!("{i}.o")), object).unwrap();
    }
    let program = folder.join("program");
    let linked = std::process::Command::new("cc")
        .args(["runtime.c", "0.o", "1.o", "-o", "program", "-lm"])
        .current_dir(&folder)
        .status()
        .unwrap();
    assert!(linked.success());
    let output = std::process::Command::new(&program).arg("x").output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "plan 1 2 1.00000 2.71828");
    assert_eq!(output.status.code(), Some(7));
}

/// Stores rows of so many elements, to somewhere that is read long after.
fn rows(length: i64) -> Kernel {
    let mut w = Writer::new(vec![Dtype::F32], 0);
    let (row, length, zero) = (w.tile(), w.int(length), w.int(0));
    let start = w.mul(row, length);
    w.repeat((zero, length, 16), &[], |w, column, _| {
        let at = w.add(start, column);
        let value = w.constant(Dtype::F32, 16, 1.0);
        w.store(Place::Arg(0), at, value, None);
        Vec::new()
    });
    Kernel { far: vec![0], ..w.finish() }
}

#[test]
fn what_is_far_goes_past_the_caches_where_it_is_aligned() {
    let cpu = Cpu::named("x86-64-v4").unwrap();
    // Rows of 40 elements begin between the lines of a cache.
    for (length, past) in [(48, true), (40, false)] {
        let text = assembly(&[("rows".to_string(), &rows(length))], &cpu).unwrap();
        assert_eq!(text.contains("vmovntp"), past, "{length}: {text}");
        assert!(text.contains("mfence") || text.contains("lock"), "others see what was stored: {text}");
    }
}
