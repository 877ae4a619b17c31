//! Functions of F32 vectors, and of scalars with the same bits: each is a function of its own in the module, written once for
//! each number of lanes, of instructions that give the same bits on every processor.
//!
//! Largest errors, in units of the last place (ulp) of the exact result, from tests over some million arguments each:
//!
//! | function | error | |
//! |---|---|---|
//! | `exp` | 0.9 | results below the smallest normal number are 0 |
//! | `log` | 0.9 | |
//! | `log1p` | 0.9 | |
//! | `tanh` | 2.6 | |
//! | `erf` | 1.4 | |
//! | `sin`, `cos` | 1.6 | where `abs(x) < 2⁴⁰`; beyond, finite `x` are taken for 0 |
//! | `pow` | 0.6 | computed in doubles |
//!
//! Special values are C's (Annex F), signs of zeros included; which NaN comes out is not said.

use super::power::power;
use super::text::{Code, Elem, Ty, Value};
use super::trigonometry::{cosine, sine};

/// Calls a function by its name in the operator table; `None` if there is none.
pub(super) fn call(code: &mut Code, name: &str, ty: Ty, operands: &[&str]) -> Option<Value> {
    let write: fn(&mut Math) -> Value = match name {
        "exp" => |m| m.exp("%a"),
        "log" => |m| m.log("%a"),
        "log1p" => log1p,
        "tanh" => tanh,
        "erf" => erf,
        "sin" => sine,
        "cos" => cosine,
        "pow" => power,
        _ => return None,
    };
    let function = format!("weft.{name}.{}", ty.suffix());
    if !code.shared.has_helper(&function) {
        let mut math = Math { code: Code::new(code.shared), ty };
        let result = write(&mut math);
        math.code.line(format_args!("ret {ty} {result}"));
        let params: Vec<String> = ["%a", "%b"].iter().take(operands.len()).map(|p| format!("{ty} {p}")).collect();
        let text = format!(
            "define internal {ty} @{function}({}) alwaysinline #0 {{\n{}}}\n",
            params.join(", "),
            math.code.finish()
        );
        code.shared.set_helper(&function, text);
    }
    let args: Vec<(String, &str)> = operands.iter().map(|&operand| (ty.to_string(), operand)).collect();
    Some(code.call_known(&ty.to_string(), &function, &args))
}

/// A function over floats (of either size), being written.
pub(super) struct Math<'m> {
    /// Its code.
    pub code: Code<'m>,
    /// The type of its values.
    pub ty: Ty,
}

/// `ln 2` in two parts, the first short enough for its product with an exponent to be exact.
const LN2_HIGH: f64 = 0.693_359_375;
const LN2_LOW: f64 = -2.121_944_4e-4;

impl Math<'_> {
    /// A constant.
    pub fn c(&self, value: f64) -> Value {
        self.ty.float(value)
    }

    /// `a + b`
    pub fn add(&mut self, a: &str, b: &str) -> Value {
        self.code.binary("fadd", self.ty, a, b)
    }

    /// `a - b`
    pub fn sub(&mut self, a: &str, b: &str) -> Value {
        self.code.binary("fsub", self.ty, a, b)
    }

    /// `a · b`
    pub fn mul(&mut self, a: &str, b: &str) -> Value {
        self.code.binary("fmul", self.ty, a, b)
    }

    /// `a / b`
    pub fn div(&mut self, a: &str, b: &str) -> Value {
        self.code.binary("fdiv", self.ty, a, b)
    }

    /// `a · b + c`, rounded once.
    pub fn fma(&mut self, a: &str, b: &str, c: &str) -> Value {
        self.code.intrinsic("fma", self.ty, &[a, b, c])
    }

    /// `|a|`
    pub fn abs(&mut self, a: &str) -> Value {
        self.code.intrinsic("fabs", self.ty, &[a])
    }

    /// A comparison by LLVM's predicate.
    pub fn is(&mut self, a: &str, predicate: &str, b: &str) -> Value {
        self.code.binary(&format!("fcmp {predicate}"), self.ty, a, b)
    }

    /// `condition ? a : b`
    pub fn choose(&mut self, condition: &str, a: &str, b: &str) -> Value {
        self.code.select(self.ty, condition, a, b)
    }

    /// `Σ coefficients[i] · x^(n−i)`, by Horner's rule.
    pub fn polynomial(&mut self, x: &str, coefficients: &[f64]) -> Value {
        let first = self.c(coefficients[0]);
        coefficients[1..].iter().fold(first, |sum, &coefficient| self.fma(&sum, x, &self.c(coefficient)))
    }

    /// An integer operation on the bits of values: gives the type of the bits.
    pub fn bits(&self) -> Ty {
        self.ty.with(if self.ty.elem == Elem::F64 { Elem::I64 } else { Elem::I32 })
    }

    /// The bits.
    pub fn bits_of(&mut self, a: &str) -> Value {
        self.code.cast("bitcast", self.ty, a, self.bits())
    }

    /// The value of bits.
    pub fn value_of(&mut self, a: &str) -> Value {
        self.code.cast("bitcast", self.bits(), a, self.ty)
    }

    /// An integer operation with a constant.
    pub fn with_int(&mut self, operation: &str, a: &str, b: i64) -> Value {
        let bits = self.bits();
        self.code.binary(operation, bits, a, &bits.int(b))
    }

    /// The nearest integer, ties to even, as a value and as bits whose low part is the integer: adding 1.5 times the number
    /// whose last place is 1. Of arguments that are small against that.
    pub fn nearest(&mut self, a: &str) -> (Value, Value) {
        let big = self.c(if self.ty.elem == Elem::F64 { 1.5 * 52f64.exp2() } else { 1.5 * 23f64.exp2() });
        let shifted = self.add(a, &big);
        (self.sub(&shifted, &big), self.bits_of(&shifted))
    }

    /// `exp(a)` by Cody and Waite's reduction: `exp(n ln 2 + r) = 2ⁿ exp(r)`, `|r| ≤ ln 2 / 2`; the polynomial is that of
    /// Moshier's Cephes library.
    pub fn exp(&mut self, a: &str) -> Value {
        let (p, n) = self.exp_parts(a);
        // The bits of the power are added to those of a number between ½ and 2.
        let (shifted, ty) = (self.with_int("shl", &n, 23), self.bits());
        let p = self.bits_of(&p);
        let result = self.code.binary("add", ty, &p, &shifted);
        let result = self.value_of(&result);
        // The 0 is chosen, not computed, where the result is no normal number: arithmetic on others takes a processor a hundred
        // times as long, and the scores of a softmax are often far below the largest.
        let below = self.is(a, "olt", &self.c(-87.336_54));
        let result = self.choose(&below, &self.c(0.0), &result);
        // Too large, or NaN.
        let beyond = self.is(a, "ugt", &self.c(88.722_83));
        let endless = self.add(a, &self.c(f64::INFINITY));
        self.choose(&beyond, &endless, &result)
    }

    /// `2ⁿ`, of bits whose low part is n, above it those of 1.5: as an exponent, n is all that is not shifted out.
    fn power_of_two(&mut self, n: &str) -> Value {
        let power = self.with_int("shl", n, 23);
        let power = self.with_int("add", &power, 127 << 23);
        self.value_of(&power)
    }

    /// `exp(a) = p · 2ⁿ`: p, and bits whose low part is n.
    fn exp_parts(&mut self, a: &str) -> (Value, Value) {
        let big = self.c(1.5 * 23f64.exp2());
        let shifted = self.fma(a, &self.c(std::f64::consts::LOG2_E), &big);
        let n = self.sub(&shifted, &big);
        let r = self.fma(&n, &self.c(-LN2_HIGH), a);
        let r = self.fma(&n, &self.c(-LN2_LOW), &r);
        let p = self.polynomial(
            &r,
            &[1.987_569_15e-4, 1.398_199_95e-3, 8.333_451_9e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.000_000_1e-1, 1.0, 1.0],
        );
        (p, self.bits_of(&shifted))
    }

    /// `log(a)`
    pub fn log(&mut self, a: &str) -> Value {
        let none = self.c(0.0);
        self.log_and(a, &none)
    }

    /// `log(a) + more`, where `more` is small against it: `log(2ᵉ (1 + f)) = e ln 2 + f − f²/2 + f³ P(f)`, with
    /// `√½ ≤ 1 + f < √2`; P is that of Moshier's Cephes library.
    fn log_and(&mut self, a: &str, more: &str) -> Value {
        let tiny = self.is(a, "olt", &self.c(f64::from(f32::MIN_POSITIVE)));
        let raised = self.mul(a, &self.c(23f64.exp2()));
        let normal = self.choose(&tiny, &raised, a);
        let bits = self.bits_of(&normal);
        let above = self.with_int("sub", &bits, i64::from(std::f32::consts::FRAC_1_SQRT_2.to_bits()));
        let exponent = self.with_int("ashr", &above, 23);
        let shifted = self.with_int("shl", &exponent, 23);
        let ty = self.bits();
        let mantissa = self.code.binary("sub", ty, &bits, &shifted);
        let mantissa = self.value_of(&mantissa);
        let e = self.code.cast("sitofp", ty, &exponent, self.ty);
        let lowered = self.sub(&e, &self.c(23.0));
        let e = self.choose(&tiny, &lowered, &e);
        let f = self.sub(&mantissa, &self.c(1.0));
        let p = self.polynomial(
            &f,
            &[
                7.037_683_6e-2,
                -1.151_461_03e-1,
                1.167_699_87e-1,
                -1.242_014_08e-1,
                1.424_932_28e-1,
                -1.666_805_77e-1,
                2.000_071_48e-1,
                -2.499_999_4e-1,
                3.333_333_1e-1,
            ],
        );
        let square = self.mul(&f, &f);
        let cube = self.mul(&square, &f);
        let low = self.fma(&e, &self.c(LN2_LOW), more);
        let low = self.fma(&p, &cube, &low);
        let low = self.fma(&square, &self.c(-0.5), &low);
        let sum = self.add(&f, &low);
        let result = self.fma(&e, &self.c(LN2_HIGH), &sum);
        let (zero, infinity) = (self.c(0.0), self.c(f64::INFINITY));
        let endless = self.is(a, "oeq", &infinity);
        let result = self.choose(&endless, &infinity, &result);
        // Negative, or NaN.
        let undefined = self.is(a, "ult", &zero);
        let result = self.choose(&undefined, &self.c(f64::NAN), &result);
        let nothing = self.is(a, "oeq", &zero);
        self.choose(&nothing, &self.c(f64::NEG_INFINITY), &result)
    }
}

/// `log(u)` for `u` next to `1 + a`, and what was rounded off: `log(1 + a) = log(u) + (1 + a − u) / u + …`
fn log1p(m: &mut Math) -> Value {
    let one = m.c(1.0);
    let u = m.add("%a", &one);
    // The sum's error, exactly (Møller and Knuth).
    let back = m.sub(&u, &one);
    let lost = m.sub(&u, &back);
    let of_one = m.sub(&one, &lost);
    let of_a = m.sub("%a", &back);
    let error = m.add(&of_a, &of_one);
    let correction = m.div(&error, &u);
    // Where `u` is 0 or infinite there is nothing to correct.
    let size = m.abs(&correction);
    let small = m.is(&size, "olt", &one);
    let correction = m.choose(&small, &correction, &m.c(0.0));
    let result = m.log_and(&u, &correction);
    let size = m.abs("%a");
    let same = m.is(&size, "olt", &m.c((-25f64).exp2()));
    m.choose(&same, "%a", &result)
}

/// `h / (h + 1)` with `h = (exp(2a) − 1) / 2`, which near 0 is as exact as elsewhere: for `a = n ln 2 / 2 + r` it is `2ⁿ s + (2ⁿ − 1) / 2`,
/// where `s = (exp(2r) − 1) / 2 = r + r² P(r)`; P is a minimax fit over `|r| ≤ ln 2 / 4`, to 2⁻²⁶ of s.
fn tanh(m: &mut Math) -> Value {
    let size = m.abs("%a");
    // Beyond 10 the result is 1 when rounded.
    let limit = m.c(10.0);
    let beyond = m.is(&size, "ogt", &limit);
    let size = m.choose(&beyond, &limit, &size);
    let big = m.c(1.5 * 23f64.exp2());
    let shifted = m.fma(&size, &m.c(2.0 * std::f64::consts::LOG2_E), &big);
    let n = m.sub(&shifted, &big);
    let r = m.fma(&n, &m.c(-std::f64::consts::LN_2 / 2.0), &size);
    let p = m.polynomial(&r, &[4.462_927_2e-2, 1.338_671_6e-1, 3.333_302_4e-1, 6.666_616_8e-1, 1.0]);
    let square = m.mul(&r, &r);
    let s = m.fma(&p, &square, &r);
    let n = m.bits_of(&shifted);
    let power = m.power_of_two(&n);
    let less = m.fma(&power, &m.c(0.5), &m.c(-0.5));
    let h = m.fma(&power, &s, &less);
    let more = m.add(&h, &m.c(1.0));
    let result = m.div(&h, &more);
    m.code.intrinsic("copysign", m.ty, &[&result, "%a"])
}

/// Near 0 a polynomial, elsewhere `1 − exp(p(|a|))`; the coefficients are N. Juffa's minimax fits for this form.
fn erf(m: &mut Math) -> Value {
    let size = m.abs("%a");
    // Beyond, the result is 1 when rounded; a NaN stays.
    let limit = m.c(4.0);
    let large = m.is(&size, "ogt", &limit);
    let t = m.choose(&large, &limit, &size);
    let square = m.mul(&t, &t);
    let p = m.polynomial(
        &t,
        &[
            -1.728_534_7e-5,
            3.831_971_26e-4,
            -3.883_964_38e-3,
            2.425_462_19e-2,
            -1.067_778_77e-1,
            -6.348_468_7e-1,
            -1.287_175_12e-1,
        ],
    );
    let less = m.code.let_(format_args!("fneg {} {t}", m.ty));
    let p = m.fma(&p, &t, &less);
    let e = m.exp(&p);
    let far = m.sub(&m.c(1.0), &e);
    let far = m.code.intrinsic("copysign", m.ty, &[&far, "%a"]);
    let p = m.polynomial(
        &square,
        &[-5.967_617_03e-4, 4.991_194_23e-3, -2.676_813_49e-2, 1.128_199_25e-1, -3.761_253_36e-1, 1.283_791_66e-1],
    );
    let near = m.fma(&p, "%a", "%a");
    let small = m.is(&size, "ole", &m.c(0.927_734_375));
    m.choose(&small, &near, &far)
}
