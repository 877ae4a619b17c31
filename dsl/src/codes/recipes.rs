//! W0501 to W0529: faults of recipes and weights.

use super::Code;

macro_rules! model {
    ($rest:literal) => {
        concat!(
            "use std.optimizers: sgd\nmodel M(width = 2) {\n  axis a = width\n  param w: [a] ~ zeros\n  param b: [a] ~ zeros\n  \
             fn (x: [batch, a]) -> [batch] = dot[a](x + b, w)\n}\n\
             objective o(model) over (x: [batch, a]) {\n  y = model(x)\n  loss = mean[batch](y * y)\n}\n",
            $rest
        )
    };
}

macro_rules! recipe {
    ($rest:literal) => {
        concat!(model!("train t {\n  model = M()\n"), $rest, "\n}")
    };
}

const RIGHT: &str = recipe!("  objective = o\n  optimizer = sgd(rate: 0.1)\n  batch = 2; steps = 3");
const RIGHT_WEIGHTS: &str = model!("weights other for M {\n  w <- \"w\" as [a]\n  b <- \"b\" as [a]\n}");

pub(super) const CODES: &[Code] = &[
    Code {
        code: "W0501",
        title: "unknown entry of a recipe",
        explanation: "A recipe has `data`, `objective`, `optimizer`, `batch`, `time`, `steps`, `accumulate`, `clip`, `seed`, `checkpoint` and \
                      `evaluate every`; any other name is a model.",
        wrong: recipe!("  objective = o\n  optimizer = sgd(rate: 0.1)\n  batch = 2; steps = 3\n  sedd = 4"),
        right: RIGHT,
    },
    Code {
        code: "W0502",
        title: "an entry is missing",
        explanation: "A recipe says at least its model, objective, optimizer, batch and steps, and over text `time`, the tokens of a \
                      sequence: there are no silent defaults for them.",
        wrong: recipe!("  objective = o\n  optimizer = sgd(rate: 0.1)\n  batch = 2"),
        right: RIGHT,
    },
    Code {
        code: "W0503",
        title: "not an objective or optimizer",
        explanation: "`objective` names an `objective` item, `optimizer` an `optimizer` item, with their configuration in parentheses.",
        wrong: recipe!("  objective = sgd(rate: 0.1)\n  optimizer = sgd(rate: 0.1)\n  batch = 2; steps = 3"),
        right: RIGHT,
    },
    Code {
        code: "W0504",
        title: "a model that the objective needs",
        explanation: "The recipe's models go to the objective by name; where each has one model, the names may differ.",
        wrong: concat!(
            model!("objective two(first, second) over (x: [batch, a]) {\n  loss = mean[batch](first(x) - second(x))\n}\n"),
            "train t {\n  first = M()\n  objective = two\n  optimizer = sgd(rate: 0.1)\n  batch = 2; steps = 3\n}"
        ),
        right: RIGHT,
    },
    Code {
        code: "W0505",
        title: "not data",
        explanation: "`data` is `text(\"file\", tokenizer: …)`, or `batches()` for given tensors. Only text has a vocabulary.",
        wrong: recipe!("  data = 3\n  objective = o\n  optimizer = sgd(rate: 0.1)\n  batch = 2; steps = 3"),
        right: RIGHT,
    },
    Code {
        code: "W0506",
        title: "data that cannot be read",
        explanation: "The size of the vocabulary is part of the model, so text is read when a recipe over it is compiled.",
        wrong: recipe!(
            "  data = text(\"missing.txt\", tokenizer: characters)\n  objective = o\n  optimizer = sgd(rate: 0.1)\n  batch = 2; steps = 3"
        ),
        right: RIGHT,
    },
    Code {
        code: "W0507",
        title: "a selector that matches nothing",
        explanation: "A group of parameters is chosen by path (`layers.*.norm`) or by the number of axes; one that holds no parameter is a slip.",
        wrong: recipe!(
            "  objective = o\n  optimizer = sgd(rate: 0.1) {\n    decay = 0.1 on bias\n  }\n  batch = 2; steps = 3"
        ),
        right: RIGHT,
    },
    Code {
        code: "W0508",
        title: "a value out of its range",
        explanation: "Counts of a recipe are whole numbers of at least 1; `seed` and `checkpoint` at least 0; the held-out share lies below 1.",
        wrong: recipe!("  objective = o\n  optimizer = sgd(rate: 0.1)\n  batch = 0; steps = 3"),
        right: RIGHT,
    },
    Code {
        code: "W0509",
        title: "an objective without a loss",
        explanation: "An objective binds `loss`, the number that training makes small.",
        wrong: "objective o(model) over (x: [batch]) {\n  los = mean[batch](x)\n}",
        right: "objective o(model) over (x: [batch]) {\n  loss = mean[batch](x)\n}",
    },
    Code {
        code: "W0510",
        title: "an update with other inputs",
        explanation: "An update takes the parameter, its gradient and the step, in this order and under any names.",
        wrong: "optimizer o(rate = 0.1) {\n  update (p, g) { p - rate * g }\n}",
        right: "optimizer o(rate = 0.1) {\n  update (p, g, step) { p - rate * g }\n}",
    },
    Code {
        code: "W0511",
        title: "no such parameter",
        explanation: "The left side of a line of `weights` is the path of a parameter of the model, with `{i}` for repetitions.",
        wrong: model!("weights other for M {\n  w <- \"w\" as [a]\n  c <- \"b\" as [a]\n}"),
        right: RIGHT_WEIGHTS,
    },
    Code {
        code: "W0512",
        title: "a parameter read twice",
        explanation: "Every parameter is read from one place of the file.",
        wrong: model!("weights other for M {\n  {w, b} <- \"{w, b}\" as [a]\n  b <- \"b\" as [a]\n}"),
        right: RIGHT_WEIGHTS,
    },
    Code {
        code: "W0513",
        title: "parameters left out",
        explanation: "Every parameter of the model has a place in the file, or the model would start half random.",
        wrong: model!("weights other for M {\n  w <- \"w\" as [a]\n}"),
        right: RIGHT_WEIGHTS,
    },
    Code {
        code: "W0514",
        title: "not the axes of the parameter",
        explanation: "`as [output, input]` lists all axes of the parameter in the file's order, under the names they have in its block.",
        wrong: model!("weights other for M {\n  w <- \"w\" as [a]\n  b <- \"b\" as []\n}"),
        right: RIGHT_WEIGHTS,
    },
    Code {
        code: "W0515",
        title: "names that do not walk together",
        explanation: "Alternatives `{a, b}` on the left walk along with those on the right, or are joined along `part: …` of one tensor; an \
                      index `{i}` stands on both sides.",
        wrong: model!("weights other for M {\n  {w, b} <- \"both\" as [a]\n}"),
        right: RIGHT_WEIGHTS,
    },
    Code {
        code: "W0516",
        title: "a second model",
        explanation: "A recipe trains one model so far. Models that are trained together are members of one, whose functions the \
                      objective calls.",
        wrong: recipe!("  other = M()\n  objective = o\n  optimizer = sgd(rate: 0.1)\n  batch = 2; steps = 3"),
        right: RIGHT,
    },
    Code {
        code: "W0517",
        title: "`assert` outside a test",
        explanation: "`weft test` evaluates what a `test` asserts, in the test's own statements; in a function or a loop it would never be \
                      looked at.",
        wrong: "fn f(x: [..r]) -> [..r] {\n  assert x > 0\n  2 * x\n}",
        right: "fn f(x: [..r]) -> [..r] = 2 * x\ntest \"twice\" {\n  assert f(3) == 6\n}",
    },
    Code {
        code: "W0518",
        title: "a test that asserts nothing",
        explanation: "A test passes when all that it asserts holds; one without `assert` always would.",
        wrong: "test \"sums\" {\n  x = 1 + 1\n}",
        right: "test \"sums\" {\n  assert 1 + 1 == 2\n}",
    },
    Code {
        code: "W0519",
        title: "an assertion that does not hold",
        explanation: "`weft test` found it false at some element. `near(found, expected, 1e-6)` allows |found - expected| to be up to the last \
                      argument times max(1, |expected|); without it 1e-5 is allowed.",
        wrong: "test \"thirds\" {\n  assert 1.0 / 3 == 0.333\n}",
        right: "test \"thirds\" {\n  assert near(1.0 / 3, 0.333, 1e-3)\n}",
    },
    Code {
        code: "W0520",
        title: "a block whose names are said nowhere",
        explanation: "`encoder <- \"bert\"` in `weights other for …` takes the names from the block's own `weights other for Encoder`. \
                      Without one, say the tensors between braces, or the axes of the one tensor.",
        wrong: "block B {\n  param w: [] ~ zeros\n}\nmodel M {\n  b = B()\n  fn () -> [] = b.w\n}\n\
                weights other for M {\n  b <- \"b\"\n}",
        right: "block B {\n  param w: [] ~ zeros\n}\nmodel M {\n  b = B()\n  fn () -> [] = b.w\n}\n\
                weights other for B {\n  w <- \"w\" as []\n}\nweights other for M {\n  b <- \"b\"\n}",
    },
    Code {
        code: "W0521",
        title: "a text that a table does not have",
        explanation: "A `table` says what texts stand for, such as the names that files have for functions. It knows those alone that are \
                      written in it.",
        wrong: "table shapes { \"round\": tanh }\nfn f(x: [..r]) -> [..r] = shapes(\"flat\")(x)",
        right: "table shapes { \"round\": tanh }\nfn f(x: [..r]) -> [..r] = shapes(\"round\")(x)",
    },
];
