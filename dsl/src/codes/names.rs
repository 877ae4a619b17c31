//! W0101 to W0129: faults of names and calls.

use super::Code;

pub(super) const CODES: &[Code] = &[
    Code {
        code: "W0101",
        title: "a name defined twice",
        explanation: "A file gives each name at its top once, those that `use` brings in included; a block each member and each axis; a \
                      function each axis and each `fn`. A model's nameless `fn` is its `forward`.",
        wrong: "fn double(x: [..r]) -> [..r] = 2 * x\nfn double(x: [..r]) -> [..r] = x + x",
        right: "fn double(x: [..r]) -> [..r] = 2 * x\nfn twice(x: [..r]) -> [..r] = x + x",
    },
    Code {
        code: "W0102",
        title: "no such file to use",
        explanation: "`use std.NAME` names a module of the standard library; any other path names a file beside this one, \
                      `use parts.layers` meaning `parts/layers.weft`.",
        wrong: "use std.layer: Linear",
        right: "use std.layers: Linear",
    },
    Code {
        code: "W0103",
        title: "no such name in that file",
        explanation: "`use` brings in what the other file defines itself, under the same name.",
        wrong: "use std.layers: Linaer",
        right: "use std.layers: Linear",
    },
    Code {
        code: "W0104",
        title: "unknown name",
        explanation: "A name is looked for in the body, then among the members of the block, then at the top of the file, then among the \
                      primitives.",
        wrong: "fn f(x: [..r]) -> [..r] = 2 * y",
        right: "fn f(x: [..r]) -> [..r] = 2 * x",
    },
    Code {
        code: "W0105",
        title: "too many arguments",
        explanation: "A call gives at most one value for each argument.",
        wrong: "fn f(x: [..r]) -> [..r] = exp(x, 2)",
        right: "fn f(x: [..r]) -> [..r] = exp(x) * 2",
    },
    Code {
        code: "W0106",
        title: "unknown argument",
        explanation: "An argument given by name is one that the definition has.",
        wrong: "use std.layers: Linear\nblock B(a: axis) { map = Linear(a, a, biases: false) }",
        right: "use std.layers: Linear\nblock B(a: axis) { map = Linear(a, a, bias: false) }",
    },
    Code {
        code: "W0107",
        title: "given twice",
        explanation: "Each argument of a call, and each entry of a recipe, is said once.",
        wrong: "use std.layers: Linear\nblock B(a: axis) { map = Linear(a, a, from: a) }",
        right: "use std.layers: Linear\nblock B(a: axis) { map = Linear(a, a) }",
    },
    Code {
        code: "W0108",
        title: "missing argument",
        explanation: "An argument without a default has to be given.",
        wrong: "use std.layers: Linear\nblock B(a: axis) { map = Linear(a) }",
        right: "use std.layers: Linear\nblock B(a: axis) { map = Linear(a, a) }",
    },
    Code {
        code: "W0109",
        title: "this cannot be called",
        explanation: "What stands before `(…)` is a function, a primitive, a block (to make it), or a member that is a block with a nameless \
                      `fn` (to call that). A repeated block is folded over with `for`.",
        wrong: "fn f(x: [..r]) -> [..r] = x(2)",
        right: "fn f(x: [..r]) -> [..r] = x * 2",
    },
    Code {
        code: "W0110",
        title: "a definition within itself",
        explanation: "A block that holds itself, or a function that calls itself, never ends: models have a fixed size. Repeat a block with \
                      `* depth`, a step with `scan`.",
        wrong: "block B(a: axis) { inner = B(a) }",
        right: "block C(a: axis) { param w: [a] ~ zeros }\nblock B(a: axis) { inner = C(a) * 3 }",
    },
    Code {
        code: "W0111",
        title: "nested too deeply",
        explanation: "Expressions and calls nest at most 400 deep.",
        wrong: "fn f() -> [] = exp(exp(exp(0.0)))  // and 400 more",
        right: "fn f() -> [] = 0.0",
    },
    Code {
        code: "W0112",
        title: "no such member",
        explanation: "`a.b` is a member of a block, a named result of a call, or a field of data.",
        wrong: "use std.layers: Linear\nblock B(a: axis) {\n  map = Linear(a, a)\n  fn (x: [..r, a]) -> [..r, a] = x * sum[map.inputs](map.weight)\n}",
        right: "use std.layers: Linear\nblock B(a: axis) {\n  map = Linear(a, a)\n  fn (x: [..r, a]) -> [..r] = sum[a](map(x))\n}",
    },
    Code {
        code: "W0113",
        title: "a block made outside a member",
        explanation: "A block holds parameters, so it is made once, as a member of the block around it, and called any number of times.",
        wrong: "use std.layers: Linear\nblock B(a: axis) { fn (x: [..r, a]) -> [..r, a] { map = Linear(a, a)\n map(x) } }",
        right: "use std.layers: Linear\nblock B(a: axis) {\n  map = Linear(a, a)\n  fn (x: [..r, a]) -> [..r, a] = map(x)\n}",
    },
    Code {
        code: "W0114",
        title: "unknown configuration",
        explanation: "Configuration that is set from outside, or mapped from a file's, is one that the model declares.",
        wrong: "model M(width = 2) {\n  axis a = width\n  param w: [a] ~ zeros\n  fn () -> [a] = w\n}\nweights w for M {\n  config { widht <- n }\n  w <- \"w\" as [a]\n}",
        right: "model M(width = 2) {\n  axis a = width\n  param w: [a] ~ zeros\n  fn () -> [a] = w\n}\nweights w for M {\n  config { width <- n }\n  w <- \"w\" as [a]\n}",
    },
];
