//! Sine and cosine of F32 vectors.

use super::math::Math;
use super::text::{Elem, Value};

/// `sin(%a)`
pub(super) fn sine(m: &mut Math) -> Value {
    turned(m, 0)
}

/// `cos(%a)`: a quarter turn further.
pub(super) fn cosine(m: &mut Math) -> Value {
    turned(m, 1)
}

/// `sin(%a + turn · π/2)`. The argument is reduced in doubles, by π/2 in two of them: what is lost is far below a float's last
/// place.
fn turned(m: &mut Math, turn: i64) -> Value {
    let narrow = m.ty;
    m.ty = narrow.with(Elem::F64);
    let wide = m.code.cast("fpext", narrow, "%a", m.ty);
    let size = m.abs(&wide);
    // Beyond, the number of quarter turns is not known to within a small part of one.
    let known = m.is(&size, "olt", &m.c(40f64.exp2()));
    // 0, or NaN for ∞ and NaN.
    let lost = m.mul(&wide, &m.c(0.0));
    let wide = m.choose(&known, &wide, &lost);
    let turns = m.mul(&wide, &m.c(std::f64::consts::FRAC_2_PI));
    let (n, bits) = m.nearest(&turns);
    let r = m.fma(&n, &m.c(-std::f64::consts::FRAC_PI_2), &wide);
    let r = m.fma(&n, &m.c(-6.123_233_995_736_766e-17), &r);
    let quadrant = m.code.cast("trunc", m.bits(), &bits, narrow.with(Elem::I32));
    let r = m.code.cast("fptrunc", m.ty, &r, narrow);
    m.ty = narrow;
    let quadrant = m.with_int("add", &quadrant, turn);
    // Minimax polynomials on |r| ≤ π/4 (Moshier's Cephes library).
    let square = m.mul(&r, &r);
    let p = m.polynomial(&square, &[-1.951_529_6e-4, 8.332_161e-3, -1.666_665_46e-1]);
    let cube = m.mul(&square, &r);
    let sine = m.fma(&p, &cube, &r);
    let p = m.polynomial(&square, &[2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_57e-2, -0.5]);
    let cosine = m.fma(&p, &square, &m.c(1.0));
    let odd = m.with_int("and", &quadrant, 1);
    let odd = m.with_int("icmp ne", &odd, 0);
    let value = m.choose(&odd, &cosine, &sine);
    // Quadrants 2 and 3 are below the axis: the quadrant's second bit is the sign.
    let sign = m.with_int("shl", &quadrant, 30);
    let sign = m.with_int("and", &sign, i64::from(i32::MIN));
    let bits = m.bits_of(&value);
    let ty = m.bits();
    let bits = m.code.binary("xor", ty, &bits, &sign);
    let value = m.value_of(&bits);
    if turn > 0 {
        return value;
    }
    // The reduction adds +0 to a zero; its sign is the argument's.
    let zero = m.is("%a", "oeq", &m.c(0.0));
    m.choose(&zero, "%a", &value)
}
