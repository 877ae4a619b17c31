//! W0001 to W0029: faults of the text itself, found before any name is looked up.

use super::Code;

pub(super) const CODES: &[Code] = &[
    Code {
        code: "W0001",
        title: "syntax error",
        explanation: "The text does not follow the grammar. The message says what could stand at the marked place. A statement ends \
                      with its line, unless a bracket is open, the line ends with an operator, or the next one starts with one.",
        wrong: "fn double(x: [..r]) -> [..r] = 2 x",
        right: "fn double(x: [..r]) -> [..r] = 2 * x",
    },
    Code {
        code: "W0002",
        title: "unmatched bracket",
        explanation: "A bracket is opened and never closed, or closed and never opened. The label stands at the bracket itself; the \
                      rest of its item is not read, other items are.",
        wrong: "fn double(x: [..r]) -> [..r] {\n  2 * (x\n}",
        right: "fn double(x: [..r]) -> [..r] {\n  2 * (x)\n}",
    },
    Code {
        code: "W0003",
        title: "not supported yet",
        explanation: "The word is part of the language's plan, but this compiler does not have it.",
        wrong: "train small {\n  batch = 12\n  mesh { data: 4 }\n}",
        right: "train small {\n  batch = 12\n}",
    },
    Code {
        code: "W0004",
        title: "nested too deeply",
        explanation: "Brackets nest at most 100 deep, and an expression has at most 400 operators one inside the other. Bind parts \
                      to names.",
        wrong: "fn f() -> [] = \
                (((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((\
                0\
                )))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))",
        right: "fn f() -> [] {\n  part = 0\n  part + 1\n}",
    },
    Code {
        code: "W0005",
        title: "text without an end",
        explanation: "A text starts and ends with `\"` on the same line. A line feed within it is written `\\n`.",
        wrong: "test \"sums {\n  assert true\n}",
        right: "test \"sums\" {\n  assert true\n}",
    },
    Code {
        code: "W0006",
        title: "character without a meaning",
        explanation: "Outside texts and comments, Weft is written with ASCII letters, digits and a few signs.",
        wrong: "axis width = 7 % 4",
        right: "axis width = 7 mod 4",
    },
    Code {
        code: "W0007",
        title: "chained comparison",
        explanation: "`a < b` is a truth value, which is not compared with `c`. Join two comparisons with `and`.",
        wrong: "fn inside(a: [], x: [..r], b: []) -> [..r] of bool = a < x < b",
        right: "fn inside(a: [], x: [..r], b: []) -> [..r] of bool = a < x and x < b",
    },
    Code {
        code: "W0008",
        title: "number too large",
        explanation: "An integer has 64 bits with a sign; a float is at most about 1.8e308.",
        wrong: "axis width = 99999999999999999999",
        right: "axis width = 1024",
    },
    Code {
        code: "W0010",
        title: "unknown escape",
        explanation: "A text knows `\\n`, `\\t`, `\\\"` and `\\\\`.",
        wrong: "train small {\n  data = text(\"books\\*.txt\")\n}",
        right: "train small {\n  data = text(\"books/*.txt\")\n}",
    },
    Code {
        code: "W0011",
        title: "empty parentheses",
        explanation: "Parentheses hold a value, several, or a record; there is no empty tuple.",
        wrong: "fn f() -> [] = ()",
        right: "fn f() -> [] = 0",
    },
    Code {
        code: "W0012",
        title: "record with a nameless value",
        explanation: "A record names each of its values, a tuple none.",
        wrong: "fn f(x: [..r]) = (twice: 2 * x, x)",
        right: "fn f(x: [..r]) = (twice: 2 * x, once: x)",
    },
    Code {
        code: "W0013",
        title: "function without a name",
        explanation: "Only the call of a block is nameless: `fn (x: […]) -> […]` inside `block … { … }`.",
        wrong: "fn (x: [..r]) -> [..r] = 2 * x",
        right: "fn double(x: [..r]) -> [..r] = 2 * x",
    },
];
