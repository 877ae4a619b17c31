//! tbd

/// How far a float is from the true value, in units of its last place.
pub fn ulps(got: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if got == rounded {
        return if got.is_finite() { (f64::from(got) - want).abs() / unit(want) } else { 0.0 };
    }
    if !got.is_finite() || !rounded.is_finite() {
        return f64::INFINITY;
    }
    (f64::from(got) - want).abs() / unit(want)
}

/// The distance of floats next to a value.
fn unit(value: f64) -> f64 {
    let exponent = value.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
    (exponent - 23.0).exp2()
}
