//! W0201 to W0229: faults of sizes.

use super::Code;

pub(super) const CODES: &[Code] = &[
    Code {
        code: "W0201",
        title: "a division that leaves a remainder",
        explanation: "`/` on whole numbers is exact, so that heads times the size of a head is the width. `div` rounds down.",
        wrong: "model M(width = 10, heads = 4) {\n  axis key = width / heads\n  fn (x: [batch, key]) -> [batch, key] = x\n}",
        right: "model M(width = 12, heads = 4) {\n  axis key = width / heads\n  fn (x: [batch, key]) -> [batch, key] = x\n}",
    },
    Code {
        code: "W0202",
        title: "division by zero",
        explanation: "A size or a whole number of the configuration is divided by zero.",
        wrong: "fn f() -> [] = float(4 / (2 - 2))",
        right: "fn f() -> [] = float(4 / 2)",
    },
    Code {
        code: "W0203",
        title: "axes that are not equally long",
        explanation: "`x[a as b]` calls an axis by another name, so both have one size. Sizes are compared as polynomials: `i + 1` is \
                      `1 + i`, but two names of the configuration are never the same size.",
        wrong: "block B(wide: axis, narrow: axis) { fn (x: [..r, wide]) -> [..r, narrow] = x[wide as narrow] }",
        right: "block B(wide: axis) {\n  axis other like wide\n  fn (x: [..r, wide]) -> [..r, other] = x[wide as other]\n}",
    },
    Code {
        code: "W0204",
        title: "parts that do not make up the whole",
        explanation: "Splitting an axis into several, or merging several into one, keeps the number of elements.",
        wrong: "block B(heads: int) {\n  axis head = heads\n  axis key = 8\n  axis feature = 8\n  fn (x: [..r, feature]) -> [..r, head, key] = x[feature as (head, key)]\n}",
        right: "block B(heads: int) {\n  axis head = heads\n  axis key = 8\n  axis feature = 8 * heads\n  fn (x: [..r, feature]) -> [..r, head, key] = x[feature as (head, key)]\n}",
    },
    Code {
        code: "W0205",
        title: "past the end of an axis",
        explanation: "Indices count from 0 and stay below the size; a slice ends within its axis. What depends on the size of a batch is \
                      checked when the program runs.",
        wrong: "fn f() -> [] {\n  axis gate = 4\n  x = float(index(gate))\n  x[gate: 4]\n}",
        right: "fn f() -> [] {\n  axis gate = 4\n  x = float(index(gate))\n  x[gate: 3]\n}",
    },
    Code {
        code: "W0206",
        title: "a size too small",
        explanation: "A size counts places: it is 0 or more, and 1 or more for an axis.",
        wrong: "axis a = 2 - 3",
        right: "axis a = 3 - 2",
    },
    Code {
        code: "W0207",
        title: "too few or too many values to stack",
        explanation: "`stack[a](x, y)` gives one value for each place of the axis.",
        wrong: "fn f(x: [..r]) -> [..r, pair] {\n  axis pair = 3\n  stack[pair](x, -x)\n}",
        right: "fn f(x: [..r]) -> [..r, pair] {\n  axis pair = 2\n  stack[pair](x, -x)\n}",
    },
    Code {
        code: "W0208",
        title: "a parameter too large",
        explanation: "The numbers of a parameter, repetitions of its block included, are counted in 64 bits.",
        wrong: "model M(width = 4_000_000_000) {\n  axis a = width\n  axis b = width\n  param w: [a, b] ~ zeros\n}",
        right: "model M(width = 4_000) {\n  axis a = width\n  axis b = width\n  param w: [a, b] ~ zeros\n}",
    },
];
