//! The elementwise operators: one row each, and nothing about them anywhere else.
//!
//! A row's texts are prefix expressions over the operands `a b c`, the result `y` and the cotangent `g`, with the names of rows
//! as operators: the derivative of `log` is `(div g a)`.

/// An elementwise operator: its row in [`TABLE`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Elementwise(u8);

/// What an operator takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Integers give integers; otherwise floats.
    Number,
    /// Operands are made floats; a float.
    Real,
    /// Integers; an integer. Rounds towards minus infinity.
    Integer,
    /// Two values of a kind; a truth value.
    Compare,
    /// Truth values.
    Logic,
    /// A truth value and two values of a kind; a value of that kind.
    Select,
}

/// A row.
pub struct Row {
    /// Its name in the language, the graph's text and the rules.
    pub name: &'static str,
    /// Number of operands.
    pub arity: usize,
    /// What it takes and gives.
    pub signature: Signature,
    /// Its value, in f64; truth values are 0 and 1.
    pub eval: fn(&[f64]) -> f64,
    /// What each operand's cotangent is; empty where it has none.
    pub derivative: &'static [&'static str],
    /// LLVM: `fadd|add` is the instruction for floats and integers; `@sqrt` an intrinsic; `%exp` a vector function of our own;
    /// `fcmp olt|icmp slt` a comparison; `select`.
    pub llvm: &'static str,
    /// CUDA C over `a b c`; where integers differ from floats, the second is theirs.
    pub cuda: &'static str,
}

macro_rules! table {
    ($($constant:ident $name:literal $arity:literal $signature:ident $eval:expr, [$($derivative:literal),*] $llvm:literal $cuda:literal;)*) => {
        /// All elementwise operators.
        pub const TABLE: &[Row] = &[$(Row {
            name: $name, arity: $arity, signature: Signature::$signature, eval: $eval,
            derivative: &[$($derivative),*], llvm: $llvm, cuda: $cuda,
        }),*];
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u8)]
        enum Position { $($constant),* }
        impl Elementwise {
            $(#[doc = concat!("`", $name, "`")] pub const $constant: Elementwise = Elementwise(Position::$constant as u8);)*
        }
    };
}

fn truth(b: bool) -> f64 {
    if b { 1.0 } else { 0.0 }
}

/// The larger; a NaN wins, as in PyTorch.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

fn smaller(a: f64, b: f64) -> f64 {
    if a.is_nan() || a < b { a } else { b }
}

#[rustfmt::skip]
table! {
    NEG    "neg"    1 Number  |v| -v[0],                  ["(neg g)"]                                   "fneg|neg"            "-a";
    ABS    "abs"    1 Number  |v| v[0].abs(),             ["(mul g (sign a))"]                          "@fabs|@abs"          "fabsf(a)|abs(a)";
    SIGN   "sign"   1 Number  |v| if v[0] > 0.0 { 1.0 } else if v[0] < 0.0 { -1.0 } else { v[0] }, [""] "%sign"               "((a > 0) - (a < 0))";
    FLOOR  "floor"  1 Real    |v| v[0].floor(),           [""]                                          "@floor"              "floorf(a)";
    EXP    "exp"    1 Real    |v| v[0].exp(),             ["(mul g y)"]                                 "%exp"                "expf(a)";
    LOG    "log"    1 Real    |v| v[0].ln(),              ["(div g a)"]                                 "%log"                "logf(a)";
    LOG1P  "log1p"  1 Real    |v| v[0].ln_1p(),           ["(div g (add 1 a))"]                         "%log1p"              "log1pf(a)";
    SQRT   "sqrt"   1 Real    |v| v[0].sqrt(),            ["(div g (mul 2 y))"]                         "@sqrt"               "sqrtf(a)";
    SIN    "sin"    1 Real    |v| v[0].sin(),             ["(mul g (cos a))"]                           "%sin"                "sinf(a)";
    COS    "cos"    1 Real    |v| v[0].cos(),             ["(neg (mul g (sin a)))"]                     "%cos"                "cosf(a)";
    TANH   "tanh"   1 Real    |v| v[0].tanh(),            ["(mul g (sub 1 (mul y y)))"]                 "%tanh"               "tanhf(a)";
    ERF    "erf"    1 Real    |v| crate::special::erf(v[0]), ["(mul g (mul 1.1283791670955126 (exp (neg (mul a a)))))"] "%erf" "erff(a)";
    NOT    "not"    1 Logic   |v| 1.0 - v[0],             [""]                                          "not"                 "!a";
    ADD    "add"    2 Number  |v| v[0] + v[1],            ["g", "g"]                                    "fadd|add"            "a + b";
    SUB    "sub"    2 Number  |v| v[0] - v[1],            ["g", "(neg g)"]                              "fsub|sub"            "a - b";
    MUL    "mul"    2 Number  |v| v[0] * v[1],            ["(mul g b)", "(mul g a)"]                    "fmul|mul"            "a * b";
    DIV    "div"    2 Real    |v| v[0] / v[1],            ["(div g b)", "(neg (div (mul g y) b))"]      "fdiv"                "a / b";
    POW    "pow"    2 Real    |v| v[0].powf(v[1]),        ["(mul g (mul b (pow a (sub b 1))))", "(mul g (mul y (log a)))"] "%pow" "powf(a, b)";
    MAX    "max"    2 Number  |v| larger(v[0], v[1]),     ["(select (eq a b) (mul 0.5 g) (select (gt a b) g 0))", "(select (eq a b) (mul 0.5 g) (select (gt b a) g 0))"] "%max" "fmaxf(a, b)|max(a, b)";
    MIN    "min"    2 Number  |v| smaller(v[0], v[1]),    ["(select (eq a b) (mul 0.5 g) (select (lt a b) g 0))", "(select (eq a b) (mul 0.5 g) (select (lt b a) g 0))"] "%min" "fminf(a, b)|min(a, b)";
    IDIV   "idiv"   2 Integer |v| (v[0] / v[1]).floor(),  ["", ""]                                      "%idiv"               "floordiv(a, b)";
    MOD    "mod"    2 Integer |v| v[0] - v[1] * (v[0] / v[1]).floor(), ["", ""]                         "%mod"                "floormod(a, b)";
    EQ     "eq"     2 Compare |v| truth(v[0] == v[1]),    ["", ""]                                      "fcmp oeq|icmp eq"    "a == b";
    NE     "ne"     2 Compare |v| truth(v[0] != v[1]),    ["", ""]                                      "fcmp une|icmp ne"    "a != b";
    LT     "lt"     2 Compare |v| truth(v[0] < v[1]),     ["", ""]                                      "fcmp olt|icmp slt"   "a < b";
    LE     "le"     2 Compare |v| truth(v[0] <= v[1]),    ["", ""]                                      "fcmp ole|icmp sle"   "a <= b";
    GT     "gt"     2 Compare |v| truth(v[0] > v[1]),     ["", ""]                                      "fcmp ogt|icmp sgt"   "a > b";
    GE     "ge"     2 Compare |v| truth(v[0] >= v[1]),    ["", ""]                                      "fcmp oge|icmp sge"   "a >= b";
    AND    "and"    2 Logic   |v| v[0] * v[1],            ["", ""]                                      "and"                 "a && b";
    OR     "or"     2 Logic   |v| larger(v[0], v[1]),     ["", ""]                                      "or"                  "a || b";
    SELECT "select" 3 Select  |v| if v[0] != 0.0 { v[1] } else { v[2] }, ["", "(select a g 0)", "(select a 0 g)"] "select"    "a ? b : c";
}

impl Elementwise {
    /// Its row.
    pub fn row(self) -> &'static Row {
        &TABLE[self.0 as usize]
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether its operands may change places.
    pub fn commutes(self) -> bool {
        [Self::ADD, Self::MUL, Self::MAX, Self::MIN, Self::EQ, Self::NE, Self::AND, Self::OR].contains(&self)
    }

    /// By name.
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().position(|row| row.name == name).map(|i| Self(i as u8))
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TABLE.len() as u8).map(Self)
    }
}

impl std::fmt::Debug for Elementwise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole() {
        for op in Elementwise::all() {
            let row = op.row();
            assert_eq!(row.derivative.len(), row.arity, "{op:?}");
            assert_eq!(Elementwise::named(row.name), Some(op));
        }
        assert_eq!(Elementwise::SELECT.name(), "select");
    }
}
