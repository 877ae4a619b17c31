//! The structural operators and their types. `infer` is the one place that says what an operator gives; the checker, the graph's
//! builder and the rewriter all ask it.

use crate::elementwise::{Elementwise, Signature};
use crate::size::Size;
use crate::types::{Axes, Axis, Elem, Type};

/// What a reduction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Monoid {
    /// Sum; over nothing 0.
    Sum,
    /// Product; over nothing 1.
    Product,
    /// Largest; over nothing −∞.
    Max,
    /// Smallest; over nothing ∞.
    Min,
    /// Whether all hold.
    All,
    /// Whether one holds.
    Any,
}

impl Monoid {
    /// All of them.
    pub const EVERY: [Monoid; 6] = [Monoid::Sum, Monoid::Product, Monoid::Max, Monoid::Min, Monoid::All, Monoid::Any];

    /// Its name in the language.
    pub fn name(self) -> &'static str {
        match self {
            Monoid::Sum => "sum",
            Monoid::Product => "product",
            Monoid::Max => "max",
            Monoid::Min => "min",
            Monoid::All => "all",
            Monoid::Any => "any",
        }
    }

    /// What a reduction over nothing gives.
    pub fn identity(self) -> f64 {
        match self {
            Monoid::Sum | Monoid::Any => 0.0,
            Monoid::Product | Monoid::All => 1.0,
            Monoid::Max => f64::NEG_INFINITY,
            Monoid::Min => f64::INFINITY,
        }
    }

    /// The operator that joins two values.
    pub fn join(self) -> Elementwise {
        match self {
            Monoid::Sum => Elementwise::ADD,
            Monoid::Product => Elementwise::MUL,
            Monoid::Max => Elementwise::MAX,
            Monoid::Min => Elementwise::MIN,
            Monoid::All => Elementwise::AND,
            Monoid::Any => Elementwise::OR,
        }
    }
}

/// How a random number is distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Distribution {
    /// On `[0, 1)`: 24-bit integers times 2⁻²⁴.
    Uniform,
    /// Standard normal.
    Normal,
}

/// Which way places are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The largest first.
    Falling,
    /// The smallest first.
    Rising,
}

impl Direction {
    /// Its name in texts of graphs.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Falling => "falling",
            Direction::Rising => "rising",
        }
    }
}

/// A number that is written in the program; equal bits are equal.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub f64);

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}
impl Eq for Number {}
impl std::hash::Hash for Number {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}
impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Number {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// An operator. Operands align by axis; those of an elementwise operator may lack axes of the result.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// A number everywhere on some axes (often none). No operands.
    Constant(Number, Elem, Vec<Axis>),
    /// `[axis] of axis`: 0, 1, 2, … No operands.
    Index(Axis),
    /// A size as an integer scalar. No operands.
    Extent(Size),
    /// Random numbers on some axes, from a call site. Operands: the seed, step, micro-batch and any further key (such as the
    /// layer's index): integer or float scalars.
    Random(Distribution, Vec<Axis>, u32),
    /// An elementwise operator.
    Map(Elementwise),
    /// To another element type. Float to integer truncates; to an index the value must be in range.
    Cast(Elem),
    /// Identity that passes no gradient.
    StopGradient,
    /// Reduces over axes, all of which the operand has.
    Reduce(Monoid, Vec<Axis>),
    /// The index of the largest value along an axis; the first of equals.
    ArgMax(Axis),
    /// The places on an axis in the order of the values there, as many as another, no longer axis has; of equals the lowest place
    /// comes first, and a NaN counts as ∞. The axis, the new one.
    Order(Axis, Axis, Direction),
    /// `Σ_{axes} a · b`; each axis is in at least one operand.
    Contract(Vec<Axis>),
    /// The same values, an axis called otherwise: from, to.
    Rename(Axis, Axis),
    /// An axis as several, the first outermost.
    Split(Axis, Vec<Axis>),
    /// Several axes as one, the first outermost.
    Merge(Vec<Axis>, Axis),
    /// A run of an axis, from a start, as another axis, which has its length.
    Slice(Axis, Size, Axis),
    /// An axis with a number before and after it, as another, longer axis: from, start within it, to, the number.
    Pad(Axis, Size, Axis, Number),
    /// Operands whole and part: the whole with a run of an axis replaced by the part. The part's axis, the start of the run, the
    /// whole's axis; of the whole's other axes the part may lack some.
    Insert(Axis, Size, Axis),
    /// Operand `i` has axis `i` of the list; joined in order they are the last-named axis.
    Concat(Vec<Axis>, Axis),
    /// `table[axis: index]`: operands table and index; axes that both have are walked together.
    Lookup(Axis),
    /// The transpose of `Lookup`: operands values and index; `Σ` over the index's own axes named in the list of values whose
    /// index is the position on the axis, which the result has.
    ScatterAdd(Axis, Vec<Axis>),
    /// `exp(x) / Σ exp(x)` over axes; where every `x` is −∞, 0.
    Softmax(Vec<Axis>),
    /// `log Σ exp(x)` over axes; where every `x` is −∞, −∞.
    LogSumExp(Vec<Axis>),
}

/// Why operands do not fit an operator.
#[derive(Clone, Debug, PartialEq)]
pub enum Misfit {
    /// An operand's element is not what the operator takes: operand, what it takes.
    Elem(usize, &'static str),
    /// Two operands hold different kinds.
    Kinds(usize, usize),
    /// An operand lacks an axis.
    Lacks(usize, Axis),
    /// An operand has an axis already that would be made.
    Has(usize, Axis),
    /// Two axes ought to be equally long.
    Sizes(Axis, Axis),
    /// Sizes of parts do not multiply or add up to the whole: whole, parts.
    Parts(Axis, Vec<Axis>),
    /// Wrong number of operands.
    Arity(usize),
}

impl Op {
    /// The type of the result.
    pub fn infer(&self, operands: &[&Type], axes: &Axes) -> Result<Type, Misfit> {
        let arity = |n: usize| if operands.len() == n { Ok(()) } else { Err(Misfit::Arity(n)) };
        let union = || operands.iter().flat_map(|t| t.axes.iter().copied());
        let needs = |i: usize, axis: Axis| if operands[i].has(axis) { Ok(()) } else { Err(Misfit::Lacks(i, axis)) };
        let free = |i: usize, axis: Axis| if operands[i].has(axis) { Err(Misfit::Has(i, axis)) } else { Ok(()) };
        let float = |i: usize| if operands[i].elem == Elem::Float { Ok(()) } else { Err(Misfit::Elem(i, "float")) };
        match self {
            Op::Constant(_, elem, over) => arity(0).map(|()| Type::new(*elem, over.iter().copied())),
            Op::Index(axis) => arity(0).map(|()| Type::new(Elem::Index(*axis), [*axis])),
            Op::Extent(_) => arity(0).map(|()| Type::scalar(Elem::Int)),
            Op::Random(_, over, _) => Ok(Type::new(Elem::Float, over.iter().copied())),
            Op::Map(op) => {
                arity(op.row().arity)?;
                Ok(Type::new(elementwise(*op, operands)?, union()))
            }
            Op::Cast(elem) => arity(1).map(|()| operands[0].of(*elem)),
            Op::StopGradient => arity(1).map(|()| operands[0].clone()),
            Op::Reduce(monoid, over) => {
                arity(1)?;
                over.iter().try_for_each(|&a| needs(0, a))?;
                let logic = matches!(monoid, Monoid::All | Monoid::Any);
                match operands[0].elem {
                    Elem::Bool if !logic => return Err(Misfit::Elem(0, "a number")),
                    elem if logic && elem != Elem::Bool => return Err(Misfit::Elem(0, "bool")),
                    _ => {}
                }
                let elem = if operands[0].elem.is_integer() { Elem::Int } else { operands[0].elem };
                Ok(operands[0].without(over).of(elem))
            }
            Op::ArgMax(axis) => {
                arity(1)?;
                needs(0, *axis)?;
                Ok(operands[0].without(&[*axis]).of(Elem::Index(*axis)))
            }
            Op::Order(axis, to, _) => {
                arity(1)?;
                needs(0, *axis)?;
                free(0, *to)?;
                if operands[0].elem == Elem::Bool {
                    return Err(Misfit::Elem(0, "a number"));
                }
                Ok(operands[0].without(&[*axis]).with(&[*to]).of(Elem::Index(*axis)))
            }
            Op::Contract(over) => {
                arity(2)?;
                float(0)?;
                float(1)?;
                for &axis in over {
                    needs(0, axis).or_else(|_| needs(1, axis))?;
                }
                Ok(Type::new(Elem::Float, union().filter(|a| !over.contains(a))))
            }
            Op::Rename(from, to) => {
                arity(1)?;
                needs(0, *from)?;
                free(0, *to)?;
                same_size(axes, *from, *to)?;
                Ok(operands[0].without(&[*from]).with(&[*to]))
            }
            Op::Split(whole, parts) => {
                arity(1)?;
                needs(0, *whole)?;
                parts.iter().try_for_each(|&p| free(0, p))?;
                product_fits(axes, *whole, parts)?;
                Ok(operands[0].without(&[*whole]).with(parts))
            }
            Op::Merge(parts, whole) => {
                arity(1)?;
                parts.iter().try_for_each(|&p| needs(0, p))?;
                free(0, *whole)?;
                product_fits(axes, *whole, parts)?;
                Ok(operands[0].without(parts).with(&[*whole]))
            }
            Op::Slice(from, _, to) | Op::Pad(from, _, to, _) => {
                arity(1)?;
                needs(0, *from)?;
                free(0, *to)?;
                Ok(operands[0].without(&[*from]).with(&[*to]))
            }
            Op::Insert(part, _, whole) => {
                arity(2)?;
                needs(0, *whole)?;
                needs(1, *part)?;
                if let Some(&axis) = operands[1].axes.iter().find(|&&a| a != *part && (a == *whole || !operands[0].has(a))) {
                    return Err(if axis == *whole { Misfit::Has(1, axis) } else { Misfit::Lacks(0, axis) });
                }
                if operands[0].elem != operands[1].elem {
                    return Err(Misfit::Kinds(0, 1));
                }
                Ok(operands[0].clone())
            }
            Op::Concat(parts, whole) => {
                arity(parts.len())?;
                let mut result: Option<Type> = None;
                for (i, &part) in parts.iter().enumerate() {
                    needs(i, part)?;
                    free(i, *whole)?;
                    let rest = operands[i].without(&[part]);
                    match &result {
                        Some(first) if first.elem != rest.elem => return Err(Misfit::Kinds(0, i)),
                        Some(first) => result = Some(first.with(&rest.axes)),
                        None => result = Some(rest),
                    }
                }
                let total = parts.iter().fold(Size::of(0), |sum, &p| sum + axes.size(p).clone());
                if total != *axes.size(*whole) {
                    return Err(Misfit::Parts(*whole, parts.clone()));
                }
                Ok(result.ok_or(Misfit::Arity(1))?.with(&[*whole]))
            }
            Op::Lookup(axis) => {
                arity(2)?;
                needs(0, *axis)?;
                free(1, *axis)?;
                match operands[1].elem {
                    Elem::Index(of) => same_size(axes, of, *axis)?,
                    Elem::Float | Elem::Int | Elem::Bool => return Err(Misfit::Elem(1, "an index")),
                }
                Ok(operands[0].without(&[*axis]).with(&operands[1].axes))
            }
            Op::ScatterAdd(axis, over) => {
                arity(2)?;
                float(0)?;
                free(0, *axis)?;
                for &a in over {
                    needs(0, a).or_else(|_| needs(1, a))?;
                }
                Ok(Type::new(Elem::Float, union().filter(|a| !over.contains(a))).with(&[*axis]))
            }
            Op::Softmax(over) | Op::LogSumExp(over) => {
                arity(1)?;
                float(0)?;
                over.iter().try_for_each(|&a| needs(0, a))?;
                Ok(match self {
                    Op::Softmax(_) => operands[0].clone(),
                    _ => operands[0].without(over),
                })
            }
        }
    }
}

fn same_size(axes: &Axes, a: Axis, b: Axis) -> Result<(), Misfit> {
    if axes.size(a) == axes.size(b) { Ok(()) } else { Err(Misfit::Sizes(a, b)) }
}

fn product_fits(axes: &Axes, whole: Axis, parts: &[Axis]) -> Result<(), Misfit> {
    if axes.volume(parts) == *axes.size(whole) { Ok(()) } else { Err(Misfit::Parts(whole, parts.to_vec())) }
}

/// What an elementwise operator gives. Integers that meet floats are floats.
fn elementwise(op: Elementwise, operands: &[&Type]) -> Result<Elem, Misfit> {
    let number = |i: usize| match operands[i].elem {
        Elem::Bool => Err(Misfit::Elem(i, "a number")),
        elem => Ok(elem),
    };
    let truth = |i: usize| if operands[i].elem == Elem::Bool { Ok(()) } else { Err(Misfit::Elem(i, "bool")) };
    let both = |i: usize, j: usize| match (operands[i].elem, operands[j].elem) {
        (a, b) if a == b => Ok(a),
        (Elem::Bool, _) | (_, Elem::Bool) => Err(Misfit::Kinds(i, j)),
        (Elem::Float, _) | (_, Elem::Float) => Ok(Elem::Float),
        _ => Ok(Elem::Int),
    };
    match op.row().signature {
        Signature::Number => {
            let mut elem = Elem::Int;
            for i in 0..operands.len() {
                if number(i)? == Elem::Float {
                    elem = Elem::Float;
                }
            }
            Ok(elem)
        }
        Signature::Real => (0..operands.len()).try_for_each(|i| number(i).map(drop)).map(|()| Elem::Float),
        Signature::Integer => {
            for (i, t) in operands.iter().enumerate() {
                if !t.elem.is_integer() {
                    return Err(Misfit::Elem(i, "an integer"));
                }
            }
            Ok(Elem::Int)
        }
        Signature::Compare => both(0, 1).map(|_| Elem::Bool),
        Signature::Logic => (0..operands.len()).try_for_each(truth).map(|()| Elem::Bool),
        Signature::Select => truth(0).and_then(|()| both(1, 2)),
    }
}
