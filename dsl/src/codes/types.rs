//! W0401 to W0429: faults of the kinds of value.

use super::Code;

pub(super) const CODES: &[Code] = &[
    Code {
        code: "W0401",
        title: "not a tensor",
        explanation: "Arithmetic and reductions take tensors and numbers; an axis is turned into one by `index(a)` or `size(a)`, a function \
                      by calling it.",
        wrong: "fn f(x: [..r, time]) -> [..r, time] = x * time",
        right: "fn f(x: [..r, time]) -> [..r, time] = x * index(time)",
    },
    Code {
        code: "W0402",
        title: "the wrong kind of element",
        explanation: "Tensors hold floats, integers, indices into an axis, or truth values. Integers become floats by themselves where floats \
                      are needed; truth values do not: `select(b, 1, 0)`.",
        wrong: "fn f(x: [time]) -> [] = sum[time](x > 0)",
        right: "fn f(x: [time]) -> [] = sum[time](select(x > 0, 1, 0))",
    },
    Code {
        code: "W0403",
        title: "two kinds of element",
        explanation: "Both sides of a comparison, and both choices of a `select`, are numbers or both truth values.",
        wrong: "fn f(x: [time]) -> [time] of bool = x == (x > 0)",
        right: "fn f(x: [time]) -> [time] of bool = x > 0",
    },
    Code {
        code: "W0404",
        title: "a masked value that is not reduced",
        explanation: "`x where m` leaves elements out, which only a reduction knows how to do. `otherwise` says what the others are.",
        wrong: "fn f(x: [time]) -> [time] = x where x > 0",
        right: "fn f(x: [time]) -> [time] = x where x > 0 otherwise 0",
    },
    Code {
        code: "W0405",
        title: "the wrong kind of configuration",
        explanation: "Configuration is what is known when a model is built: whole numbers, numbers, truth values, texts, axes, functions.",
        wrong: "use std.layers: Linear\nblock B(a: axis) { map = Linear(a, a, bias: 3) }",
        right: "use std.layers: Linear\nblock B(a: axis) { map = Linear(a, a, bias: true) }",
    },
    Code {
        code: "W0406",
        title: "not an index",
        explanation: "A look-up takes indices into that very axis, so that no index is out of range: the type `of token` is checked once, \
                      where values come in.",
        wrong: "block B(token: axis) {\n  param table: [token] ~ zeros\n  fn (ids: [time] of int) -> [time] = table[token: ids]\n}",
        right: "block B(token: axis) {\n  param table: [token] ~ zeros\n  fn (ids: [time] of token) -> [time] = table[token: ids]\n}",
    },
    Code {
        code: "W0407",
        title: "other results than declared",
        explanation: "A `fn` that declares several results by name gives a record with those names.",
        wrong: "fn f(x: [..r]) -> (a: [..r], b: [..r]) = (a: x, c: x)",
        right: "fn f(x: [..r]) -> (a: [..r], b: [..r]) = (a: x, b: x)",
    },
    Code {
        code: "W0408",
        title: "`if` on a tensor",
        explanation: "`if` chooses what a model is, before it runs, and so goes by configuration. To choose by values, `select`.",
        wrong: "fn f(x: [time]) -> [time] = if x > 0 { x } else { -x }",
        right: "fn f(x: [time]) -> [time] = select(x > 0, x, -x)",
    },
    Code {
        code: "W0409",
        title: "a carried value that changes its type",
        explanation: "What a loop carries has one type in every step: the same axes and the same kind of element.",
        wrong: "fn f(x: [time, a]) -> [time, a] {\n  scan[time] carry h = 0 over g = x {\n    next h = g > h\n    yield g\n  }\n}",
        right: "fn f(x: [time, a]) -> [time, a] {\n  scan[time] carry h = 0 over g = x {\n    next h = g + h\n    yield g\n  }\n}",
    },
    Code {
        code: "W0410",
        title: "no value",
        explanation: "The value of a body is its last statement, which is an expression.",
        wrong: "fn f(x: [..r]) -> [..r] { y = 2 * x }",
        right: "fn f(x: [..r]) -> [..r] {\n  y = 2 * x\n  y\n}",
    },
    Code {
        code: "W0411",
        title: "names that do not match values",
        explanation: "`(a, b) = e` binds the values of a tuple or record in order, one name each. A member of a block has one name.",
        wrong: "fn f(x: [..r]) -> [..r] {\n  (a, b) = x\n  a\n}",
        right: "fn f(x: [..r]) -> [..r] {\n  (a, b) = (x, -x)\n  a + b\n}",
    },
    Code {
        code: "W0412",
        title: "a name that changes its kind",
        explanation: "Binding a name again is for a value of the same kind, such as the next state of `x`. Another kind deserves another name.",
        wrong: "fn f(x: [..r]) -> [..r] {\n  x = x > 0\n  select(x, 1.0, 0.0)\n}",
        right: "fn f(x: [..r]) -> [..r] {\n  positive = x > 0\n  select(positive, 1.0, 0.0)\n}",
    },
    Code {
        code: "W0413",
        title: "a fold over something else",
        explanation: "`for` folds over the repetitions of a block, `layers = Layer(…) * depth`. Along an axis of a tensor, `scan`.",
        wrong: "fn f(x: [..r]) -> [..r] {\n  for step in 3 { x = 2 * x }\n  x\n}",
        right: "fn f(x: [..r]) -> [..r] = 2 ^ 3 * x",
    },
    Code {
        code: "W0414",
        title: "no next value",
        explanation: "Each carried value of a `scan`, and each state of an optimizer, is given its next value: `next h = …`.",
        wrong: "fn f(x: [time]) -> [time] {\n  scan[time] carry h = 0.0 over g = x { yield g + h }\n}",
        right: "fn f(x: [time]) -> [time] {\n  scan[time] carry h = 0.0 over g = x {\n    next h = g + h\n    yield g + h\n  }\n}",
    },
    Code {
        code: "W0415",
        title: "not a start of a parameter",
        explanation: "After `~` stands how a parameter starts: `zeros`, `ones`, `constant(x)`, `normal(std: x)`, `uniform(bound: x)`, or a `fn` \
                      that gives one of them.",
        wrong: "block B(a: axis) { param w: [a] ~ a }",
        right: "block B(a: axis) { param w: [a] ~ zeros }",
    },
];
