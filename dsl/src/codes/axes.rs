//! W0301 to W0329: faults of axes.

use super::Code;

pub(super) const CODES: &[Code] = &[
    Code {
        code: "W0301",
        title: "unknown axis",
        explanation: "An axis is declared (`axis a = 4`), named in the signature of the `fn`, an argument of the block, or comes in by \
                      `x[a as b]`.",
        wrong: "fn f(x: [..r, time]) -> [..r] = sum[tiem](x)",
        right: "fn f(x: [..r, time]) -> [..r] = sum[time](x)",
    },
    Code {
        code: "W0302",
        title: "an argument with an axis too many",
        explanation: "The type of an argument names its axes. A row such as `..r` stands for any further ones; `..<r` for axes that the row \
                      `r` has, bound by the arguments of type `..r`.",
        wrong: "fn g(x: [time]) -> [time] = x\nfn f(x: [batch, time]) -> [batch, time] = g(x)",
        right: "fn g(x: [..r, time]) -> [..r, time] = x\nfn f(x: [batch, time]) -> [batch, time] = g(x)",
    },
    Code {
        code: "W0303",
        title: "a tensor lacks an axis",
        explanation: "What is reduced, renamed, sliced or looked up along an axis has that axis. Axes of one name may be different axes: \
                      a block sees an axis under the name of its own argument.",
        wrong: "fn f(x: [batch, time], y: [batch]) -> [batch, source] = y[time as source]",
        right: "fn f(x: [batch, time], y: [batch]) -> [batch, source] = x[time as source]",
    },
    Code {
        code: "W0304",
        title: "an axis twice",
        explanation: "No tensor has an axis twice. To relate positions of an axis with each other, rename it on one side.",
        wrong: "block B(a: axis) { param weight: [a, a] ~ zeros }",
        right: "block B(a: axis) {\n  axis other like a\n  param weight: [a, other] ~ zeros\n}",
    },
    Code {
        code: "W0305",
        title: "an axis left over in the result",
        explanation: "A `fn` states the axes of its result. Elementwise operations give the axes of all operands, and so an axis that was \
                      not meant ends up in the result; the label shows the step that brought it in.",
        wrong: "fn f(x: [batch, time], y: [batch, source]) -> [batch, time] = x + y",
        right: "fn f(x: [batch, time], y: [batch, source]) -> [batch, time] = x + sum[source](y)",
    },
    Code {
        code: "W0306",
        title: "unknown row",
        explanation: "A row `..r` stands for axes that a signature leaves open. Its body may use it: `mean[..r](x)`.",
        wrong: "fn f(x: [..r]) -> [] = sum[..s](x)",
        right: "fn f(x: [..r]) -> [] = sum[..r](x)",
    },
    Code {
        code: "W0307",
        title: "a product where one axis is needed",
        explanation: "An argument `a: axis` of a block may be bound to a product `(b, c)`. Positions, look-ups and slices go along one axis.",
        wrong: "block B(a: axis, b: axis) { fn () -> [a, b] of int = index((a, b)) }",
        right: "block B(a: axis, b: axis) { fn () -> [a, b] of int = index(a) * size(b) + index(b) }",
    },
    Code {
        code: "W0308",
        title: "brackets that say nothing",
        explanation: "After a tensor, brackets rename, split or merge (`x[a as b]`), look up (`x[a: i]`) or slice (`x[a: 1.. as b]`).",
        wrong: "fn f(x: [..r, time]) -> [..r, time] = x[time]",
        right: "fn f(x: [..r, time]) -> [..r] = x[time: 0]",
    },
    Code {
        code: "W0309",
        title: "axes that a function does not take",
        explanation: "After a function, brackets bind its axes: by position those that it lists (`fn softmax[over]`), by name any that its \
                      signature mentions (`attend[value: key]`).",
        wrong: "use std.functions: softmax\nfn f(x: [a, b]) -> [a, b] = softmax[a, b](x)",
        right: "use std.functions: softmax\nfn f(x: [a, b]) -> [a, b] = softmax[a](x)",
    },
    Code {
        code: "W0310",
        title: "a reduction without axes",
        explanation: "Everything that reduces names its axes, so that a new axis (a batch) never changes what is computed.",
        wrong: "fn f(x: [batch, time]) -> [batch] = sum(x)",
        right: "fn f(x: [batch, time]) -> [batch] = sum[time](x)",
    },
    Code {
        code: "W0311",
        title: "an axis reduced twice",
        explanation: "Once it is reduced, an axis is gone.",
        wrong: "fn f(x: [batch, time]) -> [batch] = sum[time, time](x)",
        right: "fn f(x: [batch, time]) -> [] = sum[batch, time](x)",
    },
    Code {
        code: "W0312",
        title: "more than one number",
        explanation: "A loss, a metric and a rate are one number each, without axes.",
        wrong: "objective o(model) over (x: [batch]) {\n  loss = x * x\n}",
        right: "objective o(model) over (x: [batch]) {\n  loss = mean[batch](x * x)\n}",
    },
    Code {
        code: "W0313",
        title: "a shared parameter with other axes",
        explanation: "A parameter passed to a block (`tokens: param[token, feature]`) has as many axes as the block says, each equally long.",
        wrong: "block C(a: axis, w: param[a]) { fn () -> [a] = w }\nblock B(a: axis) {\n  axis b like a\n  param w: [a, b] ~ zeros\n  c = C(a, w)\n}",
        right: "block C(a: axis, w: param[a]) { fn () -> [a] = w }\nblock B(a: axis) {\n  param w: [a] ~ zeros\n  c = C(a, w)\n}",
    },
    Code {
        code: "W0314",
        title: "two axes bound to one",
        explanation: "The axes of a function are different axes, and its body may rely on that. A call that would bind two of them to one axis \
                      renames it in one of the arguments.",
        wrong: "fn outer(x: [a], y: [b]) -> [a, b] = x * y\nfn f(x: [time]) -> [time] = outer[a: time, b: time](x, x)",
        right: "fn outer(x: [a], y: [b]) -> [a, b] = x * y\nfn f(x: [time]) -> [time, other] = outer[a: time, b: other](x, x[time as other])",
    },
];
