//! Powers of F32 vectors.

use super::math::Math;
use super::text::{Elem, Value};

/// `%a` to the `%b`: `2^(b log₂|a|)` in doubles, then the sign and the cases that C singles out.
pub(super) fn power(m: &mut Math) -> Value {
    let narrow = m.ty;
    m.ty = narrow.with(Elem::F64);
    let [a, b] = ["%a", "%b"].map(|v| m.code.cast("fpext", narrow, v, m.ty));
    let size = m.abs(&a);
    let log = log2(m, &size);
    let exponent = m.mul(&b, &log);
    let power = exp2(m, &exponent);
    let (zero, one) = (m.c(0.0), m.c(1.0));

    // A negative base wants an integer; an odd one gives its sign on.
    let floor = m.code.intrinsic("floor", m.ty, &[&b]);
    let whole = m.is(&floor, "oeq", &b);
    let half = m.mul(&b, &m.c(0.5));
    let floor = m.code.intrinsic("floor", m.ty, &[&half]);
    let uneven = m.is(&floor, "une", &half);
    let truth = m.ty.with(Elem::I1);
    let odd = m.code.binary("and", truth, &whole, &uneven);
    let signed = m.code.intrinsic("copysign", m.ty, &[&power, &a]);
    let power = m.choose(&odd, &signed, &power);
    let negative = m.is(&a, "olt", &zero);
    let bounded = m.is(&size, "olt", &m.c(f64::INFINITY));
    let broken = m.code.binary("xor", truth, &whole, &truth.int(1));
    let undefined = m.code.binary("and", truth, &negative, &bounded);
    let undefined = m.code.binary("and", truth, &undefined, &broken);
    let power = m.choose(&undefined, &m.c(f64::NAN), &power);

    // One to any power, and any number to none, is one, NaN included; so is minus one to an infinite one.
    let nothing = m.is(&b, "oeq", &zero);
    let unit = m.is(&a, "oeq", &one);
    let minus = m.is(&a, "oeq", &m.c(-1.0));
    let length = m.abs(&b);
    let endless = m.is(&length, "oeq", &m.c(f64::INFINITY));
    let minus = m.code.binary("and", truth, &minus, &endless);
    let is_one = m.code.binary("or", truth, &nothing, &unit);
    let is_one = m.code.binary("or", truth, &is_one, &minus);
    let power = m.choose(&is_one, &one, &power);
    let result = m.code.cast("fptrunc", m.ty, &power, narrow);
    m.ty = narrow;
    result
}

/// `log₂` of a double that a float became, to 2⁻³⁹ of its size: `2/ln 2 · artanh((m − 1) / (m + 1))` and the exponent.
fn log2(m: &mut Math, a: &str) -> Value {
    let bits = m.bits_of(a);
    let above = m.with_int("sub", &bits, std::f64::consts::FRAC_1_SQRT_2.to_bits() as i64);
    let exponent = m.with_int("ashr", &above, 52);
    let shifted = m.with_int("shl", &exponent, 52);
    let ty = m.bits();
    let mantissa = m.code.binary("sub", ty, &bits, &shifted);
    let mantissa = m.value_of(&mantissa);
    let e = m.code.cast("sitofp", ty, &exponent, m.ty);
    let (less, more) = (m.sub(&mantissa, &m.c(1.0)), m.add(&mantissa, &m.c(1.0)));
    let s = m.div(&less, &more);
    let square = m.mul(&s, &s);
    let series = [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0].map(|n| 2.0 * std::f64::consts::LOG2_E / n);
    let p = m.polynomial(&square, &series);
    let log = m.fma(&p, &s, &e);
    let infinity = m.c(f64::INFINITY);
    // ∞, or NaN.
    let same = m.is(a, "ueq", &infinity);
    let log = m.choose(&same, a, &log);
    let nothing = m.is(a, "oeq", &m.c(0.0));
    m.choose(&nothing, &m.c(f64::NEG_INFINITY), &log)
}

/// `2^a` to 2⁻³⁷ of its size, 0 or ∞ where a float would be.
fn exp2(m: &mut Math, a: &str) -> Value {
    let (low, high) = (m.c(-200.0), m.c(200.0));
    let below = m.is(a, "olt", &low);
    let a = m.choose(&below, &low, a);
    let above = m.is(&a, "ogt", &high);
    let a = m.choose(&above, &high, &a);
    let (n, bits) = m.nearest(&a);
    let f = m.sub(&a, &n);
    // (ln 2)ᵏ / k!
    let mut series = [1.0; 10];
    for k in 1..series.len() {
        series[k] = series[k - 1] * std::f64::consts::LN_2 / k as f64;
    }
    series.reverse();
    let p = m.polynomial(&f, &series);
    let exponent = m.with_int("shl", &bits, 52);
    let bits = m.bits_of(&p);
    let ty = m.bits();
    let bits = m.code.binary("add", ty, &bits, &exponent);
    let power = m.value_of(&bits);
    // NaN has no bits to add to.
    let number = m.is(&a, "ord", &a);
    m.choose(&number, &power, &a)
}
