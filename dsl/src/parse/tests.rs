//! The parser on whole texts: what it says of faults, and that no text makes it panic.

use super::*;
use crate::render::{Style, render};
use crate::sources::Sources;

/// A source with the faults found in it, as a user sees them.
fn shown(text: &str) -> String {
    let mut sources = Sources::new();
    let file = sources.add("spec.weft", text);
    let (_, faults) = parse(file, text);
    format!("{text}\n\n{}", render(&faults, &sources, Style::default()))
}

/// Many small faults, each with its message: one snapshot is read more easily than fifty.
const FAULTY: &[&str] = &[
    "axis width =",
    "axis width 12",
    "modle Gpt2(vocab = 12) { }",
    "width = 12\ndepth = 3",
    "def f(x) = x",
    "import torch",
    "param weight: [output] ~ zeros",
    "use std.layers LayerNorm",
    "use std.layers:",
    "fn f(x: [..r) -> [..r] = x",
    "fn f(x: [..r]) -> [..r] {\n  y = (x + 1\n  y\n}",
    "block A(feature: axis) {\n  norm = LayerNorm(feature)\n\nblock B(feature: axis) {\n  norm = LayerNorm(feature)\n}",
    "fn f() -> [] = 1 }",
    "fn f(x: [..r]) -> [..r] = 2 x",
    "fn f(x: [..r] y: [..r]) -> [..r] = x",
    "fn f(x: [..r]) = x && x",
    "fn f(x: [..r]) = x ** 2",
    "fn f(x: [..r]) = x % 2",
    "fn f(x: [..r]) = 0 < x < 1",
    "fn f(x: [..r]) = !x",
    "fn f(x: [..r]) {\n  let y = x\n  return y\n}",
    "fn f(x: [..r]) {\n  y := x\n  y\n}",
    "fn f(x: [..r]) {\n  for layer over layers { x = layer(x) }\n}",
    "fn f(x: [..r], mod: int) = x",
    "fn f(x: [..r]) = sum[2 * token](x)",
    "fn f(x: [..r]) = g(x,, x)",
    "fn f(x: [..r]) = if x { 1 }",
    "fn f(x: [..r]) = (a: x, x)",
    "fn f(x: [..r]) = ()",
    "fn f(x: [..r]) = 2x",
    "fn f(x: [..r]) = 123456789012345678901",
    "fn f(x: [..r]) = x.",
    "fn (x: [..r]) = x",
    "fn f(x: [..r]) = \"abc",
    "fn f(x: [..r]) = \"a\\q\"",
    "# a comment\nfn f(x: [..r]) = größe",
    "block A {\n  param w: [output, input]\n}",
    "block A {\n  for x in y { z }\n}",
    "block A {\n  weight: [output, input]\n}",
    "fn f(x: [batch time]) -> [batch] = x",
    "fn f(x: [batch]) -> = x",
    "fn f(x: [..r])\n",
    "objective o(model) { loss = 1 }",
    "optimizer sgd(rate: schedule) {\n  p - rate(step) * g\n}",
    "train t {\n  batch: 12\n  evaluate 250\n}",
    "train t {\n  optimizer = sgd(1e-3) {\n    decay = 0 parameters with axes < 2\n  }\n}",
    "train t {\n  mesh { data: 4 }\n}",
    "adapt a of B() {\n  freeze all\n}",
    "weights h for M {\n  tokens <- \"wte\"\n  norm = \"ln\" as [a]\n}",
    "test sums {\n  assert true\n}",
    "schedule s(peak: float) { peak }",
    "fn f(x: [..r]) = scan[time] carry h over g = x { yield g }",
    "fn f(x: [batch, time]) -> [batch] = x[0]",
    "fn f(x: [batch, time]) -> [batch] = x[:, 1]",
    "fn f(x: [batch, time]) -> [batch] = x[batch, -1]",
    "fn f(x: [3, 4]) -> [4] = x",
    "fn f(x: [a], y: [a]) -> [] = x @ y",
    "fn f(x: Tensor) -> Tensor = x",
    "fn f(x: [a]) -> [a] {\n  for i in range(3):\n    x = x + 1\n  x\n}",
    "fn f(x: [a]) -> [a]:\n  x",
    "fn f(x: [a]) -> [] = sum(x, dim=-1)",
    "fn f(x: [a]) -> [] = sum(x, axis=0)",
    "fn f(x: [a]) -> [a] = g(x, n=3)",
    "fn f(x: [a]) -> [a] {\n  x += 1\n  x\n}",
    "fn f(x: [a]) -> [a] = x if c else y",
    "fn f(x: [a]) -> [a] = map(lambda y: y, x)",
    "class Net(nn.Module):\n  pass",
];

#[test]
fn syntax_faults() {
    let all: Vec<String> = FAULTY.iter().map(|text| shown(text)).collect();
    insta::assert_snapshot!(all.join("\n-----------------------------------------------------------------\n\n"));
}

#[test]
fn each_faulty_text_has_a_fault_of_a_known_kind() {
    for text in FAULTY {
        let faults = parse(FileId(0), text).1;
        assert!(!faults.is_empty(), "{text}");
        for fault in faults {
            assert!(crate::codes::lookup(fault.code).is_some(), "{}", fault.code);
        }
    }
}

#[test]
fn an_item_with_a_fault_leaves_the_others() {
    let (file, faults) = parse(FileId(0), "axis a = 1\naxis b = \naxis c = 3\nfn f( = 1\naxis d = 4\n");
    assert_eq!(file.items.len(), 3);
    assert_eq!(faults.len(), 2, "{faults:?}");
}

/// A fixed stream of numbers (Marsaglia, 2003: xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % n.max(1)
    }
}

const CORPUS: [&str; 4] = [
    include_str!("../../corpus/constructs.weft"),
    include_str!("../../corpus/gpt2.weft"),
    include_str!("../../corpus/hard_cases.weft"),
    include_str!("../../corpus/recipes.weft"),
];

#[test]
fn mutated_files_never_panic_and_faults_lie_in_the_file() {
    let mut random = Random(0x5eed_cafe_f00d);
    let mut caught = 0;
    for round in 0..500 {
        let source = CORPUS[round % CORPUS.len()];
        let all = tokens::tokens(source);
        let mut text = source.to_owned();
        let token = all[random.below(all.len())];
        let other = all[random.below(all.len())].text(source);
        match random.below(4) {
            0 => text.replace_range(token.start..token.end, ""),
            1 => text.insert_str(token.start, other),
            2 => text.insert_str(token.start, token.text(source)),
            _ => text.replace_range(token.start..token.end, other),
        }
        let (file, faults) = parse(FileId(0), &text);
        caught += usize::from(!faults.is_empty());
        for span in faults.iter().flat_map(|fault| &fault.labels).map(|label| label.span) {
            let range = span.start as usize..span.end as usize;
            assert!(text.get(range).is_some(), "{span:?} is not in the file");
        }
        assert!(!file.items.is_empty(), "one fault took all items");
        if faults.is_empty() {
            let once = crate::format::format(&text).unwrap_or_default();
            assert_eq!(crate::format::format(&once).as_ref(), Ok(&once), "{once}");
        } else {
            let mut sources = Sources::new();
            sources.add("spec.weft", text);
            assert!(!render(&faults, &sources, Style::default()).is_empty());
        }
    }
    assert!(caught > 250, "only {caught} of 500 mutations are faults");
}

#[test]
fn deep_and_long_input_is_a_fault_or_fine_but_never_overflows() {
    let deep = |open: &str, close: &str, n: usize| format!("fn f() = {}x{}", open.repeat(n), close.repeat(n));
    let fine = |text: &str| parse(FileId(0), text).1.is_empty();
    for (open, close) in
        [("(", ")"), ("f(", ")"), ("x[a: ", "]"), ("if c { ", " } else { x }"), ("scan[t] over g = x { ", " }")]
    {
        assert!(fine(&deep(open, close, 60)), "{open}");
        assert!(!fine(&deep(open, close, 120)), "{open}");
        assert!(!fine(&deep(open, close, 20_000)), "{open}");
    }
    for (part, after) in [("- ", "x"), ("not ", "x"), ("x + ", "x"), ("x ^ ", "x"), ("if c { x } else ", "{ x }")] {
        assert!(!fine(&format!("fn f() = {}{after}", part.repeat(20_000))), "{part}");
    }
    for part in ["(x)", ".x", "[x]"] {
        assert!(!fine(&format!("fn f() = x{}", part.repeat(20_000))), "{part}");
    }
    assert!(!fine(&format!("fn f() {{ {}{{ x }} }}", "if c { a = x } else ".repeat(20_000))));
    assert!(!fine(&"(".repeat(100_000)));
    assert!(!fine(&")".repeat(10_000)));
    let wide = format!("fn f() = g({})", "x, ".repeat(20_000));
    assert!(fine(&wide) && crate::format::format(&wide).is_ok());
}
