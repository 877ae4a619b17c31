//! The size algebra: polynomials in normal form over free sizes.
//!
//! Equal sizes have one form, so `i + 1` and `1 + i` unify. An exact quotient that is not a polynomial is an atom of its own,
//! and a product of it with its divisor cancels: `heads · (width / heads) = width`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A size: a sum of integer multiples of products of atoms.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size {
    /// Monomials with their coefficients; none is 0.
    terms: BTreeMap<Monomial, i64>,
}

/// A product of atoms, sorted; a power repeats its atom. The empty product is 1.
type Monomial = Vec<Atom>;

/// What a polynomial is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// A free size by name: a configuration value, an axis' size, a run-time size such as `batch`.
    Var(Arc<str>),
    /// `numerator / divisor`, exact, where the quotient is not a polynomial.
    Quotient(Arc<(Size, Size)>),
}

/// Why an exact division is impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DivideError {
    /// By zero.
    ByZero,
    /// Both are known and there is a remainder.
    Inexact(i64, i64),
}

impl Size {
    /// A known size.
    pub fn of(n: i64) -> Self {
        let mut terms = BTreeMap::new();
        if n != 0 {
            terms.insert(Vec::new(), n);
        }
        Self { terms }
    }

    /// A free size.
    pub fn var(name: &str) -> Self {
        Self::atom(Atom::Var(name.into()))
    }

    fn atom(atom: Atom) -> Self {
        Self { terms: BTreeMap::from([(vec![atom], 1)]) }
    }

    /// The value, where it has no free part.
    pub fn known(&self) -> Option<i64> {
        match self.terms.len() {
            0 => Some(0),
            1 => self.terms.get(&Vec::new()).copied(),
            _ => None,
        }
    }

    /// Monomials with their coefficients.
    pub fn terms(&self) -> impl Iterator<Item = (&[Atom], i64)> {
        self.terms.iter().map(|(m, &c)| (m.as_slice(), c))
    }

    /// The names of the free sizes within.
    pub fn variables(&self) -> Vec<Arc<str>> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out.sort();
        out.dedup();
        out
    }

    fn collect(&self, out: &mut Vec<Arc<str>>) {
        for atom in self.terms.keys().flatten() {
            match atom {
                Atom::Var(name) => out.push(name.clone()),
                Atom::Quotient(q) => {
                    q.0.collect(out);
                    q.1.collect(out);
                }
            }
        }
    }

    fn put(&mut self, monomial: Monomial, coefficient: i64) {
        let sum = self.terms.remove(&monomial).unwrap_or(0).saturating_add(coefficient);
        if sum != 0 {
            self.terms.insert(monomial, sum);
        }
    }

    /// `self / divisor`, exact. A quotient that is not a polynomial becomes an atom; it is an error only where both are known.
    pub fn divide(&self, divisor: &Size) -> Result<Size, DivideError> {
        match (self.known(), divisor.known()) {
            (_, Some(0)) => return Err(DivideError::ByZero),
            (Some(a), Some(b)) if a.wrapping_rem(b) == 0 => return Ok(Size::of(a.wrapping_div(b))),
            (Some(a), Some(b)) => return Err(DivideError::Inexact(a, b)),
            _ => {}
        }
        if self == divisor {
            return Ok(Size::of(1));
        }
        Ok(self
            .by_monomial(divisor)
            .unwrap_or_else(|| Size::atom(Atom::Quotient(Arc::new((self.clone(), divisor.clone()))))))
    }

    /// Division by a single monomial that divides every term.
    fn by_monomial(&self, divisor: &Size) -> Option<Size> {
        let mut only = divisor.terms.iter();
        let (monomial, &coefficient) = only.next()?;
        if only.next().is_some() {
            return None;
        }
        let mut out = Size::default();
        for (m, &c) in &self.terms {
            let mut rest = m.clone();
            for atom in monomial {
                let at = rest.iter().position(|a| a == atom)?;
                rest.remove(at);
            }
            if c.wrapping_rem(coefficient) != 0 {
                return None;
            }
            out.put(rest, c.wrapping_div(coefficient));
        }
        Some(out)
    }

    /// Replaces free sizes; an exact division that fails once its parts are known is an error.
    pub fn substitute(&self, value: &dyn Fn(&str) -> Option<Size>) -> Result<Size, DivideError> {
        let mut out = Size::default();
        for (m, &c) in &self.terms {
            let mut product = Size::of(c);
            for atom in m {
                let factor = match atom {
                    Atom::Var(name) => value(name).unwrap_or_else(|| Size::atom(atom.clone())),
                    Atom::Quotient(q) => q.0.substitute(value)?.divide(&q.1.substitute(value)?)?,
                };
                product = product * factor;
            }
            out = out + product;
        }
        Ok(out)
    }
}

impl std::ops::Add for Size {
    type Output = Size;
    fn add(mut self, other: Size) -> Size {
        for (m, c) in other.terms {
            self.put(m, c);
        }
        self
    }
}

impl std::ops::Sub for Size {
    type Output = Size;
    fn sub(self, other: Size) -> Size {
        self + other * Size::of(-1)
    }
}

impl std::ops::Mul for Size {
    type Output = Size;
    #[allow(clippy::suspicious_arithmetic_impl)] // a product is a sum of products
    fn mul(self, other: Size) -> Size {
        let mut out = Size::default();
        for (a, &x) in &self.terms {
            for (b, &y) in &other.terms {
                let mut m: Monomial = a.iter().chain(b).cloned().collect();
                m.sort();
                out = out + cancelled(m, x.saturating_mul(y));
            }
        }
        out
    }
}

impl std::iter::Product for Size {
    fn product<I: Iterator<Item = Size>>(iter: I) -> Size {
        iter.fold(Size::of(1), |a, b| a * b)
    }
}

/// `coefficient · Π monomial`, with each quotient cancelled against its divisor where the product holds it.
fn cancelled(monomial: Monomial, coefficient: i64) -> Size {
    for (at, atom) in monomial.iter().enumerate() {
        let Atom::Quotient(q) = atom else { continue };
        let mut rest = monomial.clone();
        rest.remove(at);
        let rest = Size { terms: BTreeMap::from([(rest, coefficient)]) };
        if let Some(whole) = rest.by_monomial(&q.1) {
            return whole * q.0.clone();
        }
    }
    if coefficient == 0 { Size::default() } else { Size { terms: BTreeMap::from([(monomial, coefficient)]) } }
}

impl From<i64> for Size {
    fn from(n: i64) -> Self {
        Size::of(n)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return f.write_str("0");
        }
        // Constants last, as people write them.
        let ordered =
            self.terms.iter().filter(|(m, _)| !m.is_empty()).chain(self.terms.iter().filter(|(m, _)| m.is_empty()));
        for (i, (monomial, &c)) in ordered.enumerate() {
            match (i, c < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            let size = c.unsigned_abs();
            if monomial.is_empty() || size != 1 {
                write!(f, "{size}")?;
            }
            for (j, atom) in monomial.iter().enumerate() {
                if j > 0 || size != 1 {
                    f.write_str(" * ")?;
                }
                match atom {
                    Atom::Var(name) => f.write_str(name)?,
                    Atom::Quotient(q) => write!(f, "({} / {})", q.0, q.1)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_have_one_form() {
        let i = || Size::var("i");
        assert_eq!(i() + Size::of(1), Size::of(1) + i());
        assert_eq!((i() + Size::of(1)) * (i() - Size::of(1)), i() * i() - Size::of(1));
        assert_eq!((i() - i()).known(), Some(0));
        assert_eq!((i() * Size::of(4) - Size::of(2)).to_string(), "4 * i - 2");
    }

    #[test]
    fn quotients_cancel() {
        let (width, heads, members) = (Size::var("width"), Size::var("heads"), Size::var("members"));
        let group = heads.divide(&members).unwrap();
        let key = width.divide(&heads).unwrap();
        assert_eq!(group * members * key.clone(), width);
        let known = |name: &str| Some(Size::of(if name == "width" { 10 } else { 4 }));
        assert_eq!(key.substitute(&known), Err(DivideError::Inexact(10, 4)));
        assert_eq!((Size::of(4) * Size::var("w")).divide(&Size::of(2)).unwrap(), Size::of(2) * Size::var("w"));
    }
}
