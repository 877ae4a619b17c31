//! What each operator computes. Most bring their operands into the order that makes the work a loop over rows, and back.

use std::rc::Rc;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Direction, Distribution, Op};
use weft_dsl::types::{Axis, Elem};

use super::super::array::{rows, volume};
use super::super::{Array, philox};
use super::{EvalError, Sizes, malformed};

type Dims = Vec<(Axis, usize)>;

/// The value of an operator.
pub(super) fn apply(op: &Op, operands: &[Rc<Array>], sizes: &Sizes) -> Result<Array, EvalError> {
    let one = || match operands {
        [x] => Ok(&**x),
        _ => malformed(format!("{op:?} takes one operand")),
    };
    let two = || match operands {
        [x, y] => Ok((&**x, &**y)),
        _ => malformed(format!("{op:?} takes two operands")),
    };
    match op {
        Op::Constant(number, _, over) => Ok(Array::filled(&sizes.dims(over)?, number.0)?),
        Op::Index(axis) => {
            let dims = sizes.dims(&[*axis])?;
            Ok(Array::from_order(&dims, (0..dims[0].1).map(|i| i as f64).collect())?)
        }
        Op::Extent(size) => Ok(Array::scalar(sizes.value(size)? as f64)),
        Op::Random(distribution, over, site) => random(*distribution, sizes.dims(over)?, *site, operands),
        Op::Map(op) => map(*op, operands),
        Op::Cast(elem) => cast(one()?, *elem, sizes),
        Op::StopGradient => Ok(one()?.clone()),
        Op::Reduce(monoid, over) => {
            let step = monoid.join().row().eval;
            along(one()?, over, |row| Ok(row.iter().fold(monoid.identity(), |a, &b| step(&[a, b]))))
        }
        Op::ArgMax(axis) => along(one()?, &[*axis], largest),
        Op::Order(axis, to, way) => order(one()?, *axis, (*to, sizes.axis(*to)?), *way),
        Op::Contract(over) => two().and_then(|(a, b)| contract(a, b, over)),
        Op::Rename(from, to) => Ok(one()?.renamed(*from, *to)?),
        Op::Split(whole, parts) => {
            let (mut dims, data) = inwards(one()?, &[*whole])?;
            dims.pop();
            dims.extend(sizes.dims(parts)?);
            Ok(Array::from_order(&dims, data)?)
        }
        Op::Merge(parts, whole) => {
            let (mut dims, data) = inwards(one()?, parts)?;
            dims.truncate(dims.len() - parts.len());
            dims.extend(sizes.dims(&[*whole])?);
            Ok(Array::from_order(&dims, data)?)
        }
        Op::Slice(from, start, to) => slice(one()?, *from, sizes.value(start)?, (*to, sizes.axis(*to)?)),
        Op::Pad(from, start, to, number) => pad(one()?, *from, sizes.value(start)?, (*to, sizes.axis(*to)?), number.0),
        Op::Insert(part, start, whole) => two().and_then(|(x, y)| insert(x, y, *part, sizes.value(start)?, *whole)),
        Op::Concat(parts, whole) => concat(operands, parts, (*whole, sizes.axis(*whole)?)),
        Op::Lookup(axis) => two().and_then(|(table, index)| lookup(table, index, *axis)),
        Op::ScatterAdd(axis, over) => {
            two().and_then(|(values, index)| scatter_add(values, index, (*axis, sizes.axis(*axis)?), over))
        }
        Op::Softmax(over) => softmax(one()?, over),
        Op::LogSumExp(over) => along(one()?, over, |row| {
            let top = row.iter().copied().fold(f64::NEG_INFINITY, maximum);
            Ok(if top.is_infinite() { top } else { top + row.iter().map(|x| (x - top).exp()).sum::<f64>().ln() })
        }),
    }
}

/// An index as a place on an axis.
pub(super) fn position(index: f64, size: usize) -> Result<usize, EvalError> {
    if index >= 0.0 && index < size as f64 && index.fract() == 0.0 {
        Ok(index as usize)
    } else {
        Err(EvalError::OutOfRange(index, size))
    }
}

fn maximum(a: f64, b: f64) -> f64 {
    (Elementwise::MAX.row().eval)(&[a, b])
}

/// An array's elements with some axes innermost, in their order, and the axes as they then are.
fn inwards(x: &Array, inner: &[Axis]) -> Result<(Dims, Vec<f64>), EvalError> {
    let mut dims: Dims = x.dims().into_iter().filter(|d| !inner.contains(&d.0)).collect();
    for (i, &axis) in inner.iter().enumerate() {
        match x.size(axis) {
            Some(size) if !inner[..i].contains(&axis) => dims.push((axis, size)),
            Some(_) => return malformed(format!("axis {} is named twice", axis.0)),
            None => return malformed(format!("an operand lacks axis {}", axis.0)),
        }
    }
    let data = x.in_order(&dims)?;
    Ok((dims, data))
}

/// Makes one number of each row over some axes.
fn along(x: &Array, over: &[Axis], mut number: impl FnMut(&[f64]) -> Result<f64, EvalError>) -> Result<Array, EvalError> {
    let (dims, data) = inwards(x, over)?;
    let (outer, inner) = dims.split_at(dims.len() - over.len());
    let size = volume(inner)?;
    let row = |i: usize| number(&data[i * size..(i + 1) * size]);
    Ok(Array::from_order(outer, (0..volume(outer)?).map(row).collect::<Result<_, _>>()?)?)
}

/// The place of the largest number, the first of equals; a NaN counts as the largest, as in the maximum.
fn largest(row: &[f64]) -> Result<f64, EvalError> {
    let mut best = 0;
    for (i, &x) in row.iter().enumerate() {
        if x > row[best] || (x.is_nan() && !row[best].is_nan()) {
            best = i;
        }
    }
    if row.is_empty() { Err(EvalError::OutOfRange(0.0, 0)) } else { Ok(best as f64) }
}

/// The first places along an axis in the order of their values. A stable sort, so that of equals the lowest place comes first.
fn order(x: &Array, axis: Axis, to: (Axis, usize), way: Direction) -> Result<Array, EvalError> {
    let (mut dims, data) = inwards(x, &[axis])?;
    let (_, size) = dims.pop().unwrap_or((axis, 0));
    if to.1 > size {
        return Err(EvalError::Size(format!("the first {} of {size} places", to.1)));
    }
    let key = |x: f64| if x.is_nan() { f64::INFINITY } else { x };
    let mut out = Vec::with_capacity(volume(&dims)? * to.1);
    for row in (0..volume(&dims)?).map(|i| &data[i * size..(i + 1) * size]) {
        let mut places: Vec<usize> = (0..size).collect();
        places.sort_by(|&a, &b| {
            let rising = key(row[a]).partial_cmp(&key(row[b])).unwrap_or(std::cmp::Ordering::Equal);
            if way == Direction::Rising { rising } else { rising.reverse() }
        });
        out.extend(places[..to.1].iter().map(|&place| place as f64));
    }
    dims.push(to);
    Ok(Array::from_order(&dims, out)?)
}

fn random(distribution: Distribution, dims: Dims, site: u32, operands: &[Rc<Array>]) -> Result<Array, EvalError> {
    let word = |x: &Rc<Array>| match (x.axes.as_slice(), x.data.as_slice()) {
        ([], &[number]) => Ok(number as i64 as u32),
        _ => malformed("the operands of a random number are scalars"),
    };
    let words = operands.iter().map(word).collect::<Result<Vec<_>, _>>()?;
    let (seed, step, micro, key) = match *words {
        [seed, step, micro] => (seed, step, micro, 0),
        [seed, step, micro, key] => (seed, step, micro, key),
        _ => {
            return malformed("a random number takes a seed, a step, a micro-batch and perhaps a key");
        }
    };
    let draw = |i: usize| philox::draw(distribution, [i as u32, step, micro, key], [seed, site]);
    Ok(Array::from_order(&dims, (0..volume(&dims)?).map(draw).collect())?)
}

fn map(op: Elementwise, operands: &[Rc<Array>]) -> Result<Array, EvalError> {
    match operands {
        [a] if op.row().arity == 1 => elementwise(op, [a]),
        [a, b] if op.row().arity == 2 => elementwise(op, [a, b]),
        [a, b, c] if op.row().arity == 3 => elementwise(op, [a, b, c]),
        _ => malformed(format!("{op:?} takes {} operands", op.row().arity)),
    }
}

fn elementwise<const N: usize>(op: Elementwise, operands: [&Array; N]) -> Result<Array, EvalError> {
    let mut dims: Dims = operands.iter().flat_map(|x| x.dims()).collect();
    dims.sort();
    dims.dedup();
    let (axes, shape): (Vec<_>, Vec<_>) = dims.iter().copied().unzip();
    let mut data = Vec::with_capacity(volume(&dims)?);
    let mut strides: [Vec<usize>; N] = std::array::from_fn(|_| Vec::new());
    for (strides, x) in strides.iter_mut().zip(operands) {
        *strides = x.strides_along(&dims)?;
    }
    let run = shape.last().copied().unwrap_or(1);
    let steps: [usize; N] = std::array::from_fn(|k| strides[k].last().copied().unwrap_or(0));
    let number = op.row().eval;
    rows(&shape, std::array::from_fn(|k| strides[k].as_slice()), |at: [usize; N]| {
        data.extend((0..run).map(|i| number(&std::array::from_fn::<f64, N, _>(|k| operands[k].data[at[k] + i * steps[k]]))));
    });
    Ok(Array { axes, shape, data })
}

/// To an integer: towards zero, what is no number to 0 and what is too large to the nearest, as LLVM's saturating conversion.
fn cast(x: &Array, elem: Elem, sizes: &Sizes) -> Result<Array, EvalError> {
    let mut out = x.clone();
    match elem {
        Elem::Float => {}
        Elem::Int => out.data.iter_mut().for_each(|x| *x = *x as i64 as f64),
        Elem::Bool => out.data.iter_mut().for_each(|x| *x = f64::from(u8::from(*x != 0.0))),
        Elem::Index(axis) => {
            let size = sizes.axis(axis)?;
            for x in &mut out.data {
                *x = position(x.trunc(), size)? as f64;
            }
        }
    }
    Ok(out)
}

/// As a batch of matrix products: axes of both that stay, of the left alone, of the right alone, and those summed over.
fn contract(a: &Array, b: &Array, over: &[Axis]) -> Result<Array, EvalError> {
    let (mut both, mut left, mut right, mut summed) = (Dims::new(), Dims::new(), Dims::new(), Dims::new());
    for &axis in over {
        match a.size(axis).or(b.size(axis)) {
            Some(size) if !summed.contains(&(axis, size)) => summed.push((axis, size)),
            Some(_) => return malformed(format!("axis {} is summed over twice", axis.0)),
            None => return malformed(format!("neither operand has axis {}", axis.0)),
        }
    }
    for dim in a.dims().into_iter().filter(|d| !over.contains(&d.0)) {
        if b.size(dim.0).is_some() { both.push(dim) } else { left.push(dim) }
    }
    right.extend(b.dims().into_iter().filter(|d| !over.contains(&d.0) && a.size(d.0).is_none()));
    let x = a.in_order(&[both.as_slice(), &left, &summed].concat())?;
    let y = b.in_order(&[both.as_slice(), &summed, &right].concat())?;
    let (m, n, k) = (volume(&left)?, volume(&right)?, volume(&summed)?);
    let dims = [both.as_slice(), &left, &right].concat();
    let mut out = vec![0.0; volume(&dims)?];
    for batch in 0..volume(&both)? {
        let (x, y) = (&x[batch * m * k..(batch + 1) * m * k], &y[batch * k * n..(batch + 1) * k * n]);
        product(x, y, &mut out[batch * m * n..(batch + 1) * m * n], k, n);
    }
    Ok(Array::from_order(&dims, out)?)
}

/// `out[m, n] += x[m, k] · y[k, n]`, in blocks of `k` whose rows of `y` stay in the cache.
fn product(x: &[f64], y: &[f64], out: &mut [f64], k: usize, n: usize) {
    const BLOCK: usize = 32;
    if k == 0 || n == 0 {
        return;
    }
    if n == 1 {
        for (row, out) in x.chunks_exact(k).zip(out) {
            *out = row.iter().zip(y).map(|(a, b)| a * b).sum();
        }
        return;
    }
    for (block, panel) in y.chunks(BLOCK * n).enumerate() {
        for (row, out) in x.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
            for (a, y) in row[block * BLOCK..].iter().zip(panel.chunks_exact(n)) {
                for (out, b) in out.iter_mut().zip(y) {
                    *out += a * b;
                }
            }
        }
    }
}

/// An array's elements with one axis outermost; the other axes, and how many elements they have.
fn outwards(x: &Array, axis: Axis) -> Result<(usize, Dims, Vec<f64>, usize), EvalError> {
    let Some(size) = x.size(axis) else {
        return malformed(format!("an operand lacks axis {}", axis.0));
    };
    let rest: Dims = x.dims().into_iter().filter(|d| d.0 != axis).collect();
    let data = x.in_order(&[vec![(axis, size)], rest.clone()].concat())?;
    let width = volume(&rest)?;
    Ok((size, rest, data, width))
}

/// `start .. start + length`, where that lies within an axis.
fn run_within(start: i64, length: usize, size: usize) -> Result<std::ops::Range<usize>, EvalError> {
    let start_at = usize::try_from(start).ok();
    let range = start_at.and_then(|s| Some(s..s.checked_add(length)?)).filter(|range| range.end <= size);
    range.ok_or_else(|| EvalError::Size(format!("{length} places from {start} are not within an axis of size {size}")))
}

fn slice(x: &Array, from: Axis, start: i64, to: (Axis, usize)) -> Result<Array, EvalError> {
    let (size, rest, data, width) = outwards(x, from)?;
    let run = run_within(start, to.1, size)?;
    Ok(Array::from_order(&[vec![to], rest].concat(), data[run.start * width..run.end * width].to_vec())?)
}

fn pad(x: &Array, from: Axis, start: i64, to: (Axis, usize), number: f64) -> Result<Array, EvalError> {
    let (size, rest, data, width) = outwards(x, from)?;
    let run = run_within(start, size, to.1)?;
    let dims = [vec![to], rest].concat();
    let mut out = vec![number; volume(&dims)?];
    out[run.start * width..run.end * width].copy_from_slice(&data);
    Ok(Array::from_order(&dims, out)?)
}

fn insert(whole: &Array, part: &Array, from: Axis, start: i64, to: Axis) -> Result<Array, EvalError> {
    let (size, rest, mut data, width) = outwards(whole, to)?;
    let Some(length) = part.size(from) else {
        return malformed(format!("an operand lacks axis {}", from.0));
    };
    let run = run_within(start, length, size)?;
    let new = part.broadcast(&[vec![(from, length)], rest.clone()].concat())?;
    let new = new.in_order(&[vec![(from, length)], rest.clone()].concat())?;
    data[run.start * width..run.end * width].copy_from_slice(&new);
    Ok(Array::from_order(&[vec![(to, size)], rest].concat(), data)?)
}

fn concat(operands: &[Rc<Array>], parts: &[Axis], whole: (Axis, usize)) -> Result<Array, EvalError> {
    if operands.len() != parts.len() {
        return malformed("as many operands are joined as axes are named");
    }
    // One operand's part may be another operand's further axis: each part is the whole axis from here on.
    let operands = operands.iter().zip(parts).map(|(x, &part)| x.renamed(part, whole.0)).collect::<Result<Vec<_>, _>>()?;
    let mut rest: Dims = operands.iter().flat_map(Array::dims).filter(|d| d.0 != whole.0).collect();
    rest.sort();
    rest.dedup();
    let mut data = Vec::new();
    for x in &operands {
        let Some(size) = x.size(whole.0) else {
            return malformed("an operand lacks the axis that is joined");
        };
        data.extend(x.in_order(&[vec![(whole.0, size)], rest.clone()].concat())?);
    }
    Ok(Array::from_order(&[vec![whole], rest].concat(), data)?)
}

fn lookup(table: &Array, index: &Array, axis: Axis) -> Result<Array, EvalError> {
    let Some(size) = table.size(axis) else {
        return malformed("a table lacks the axis that is looked up");
    };
    let (both, own): (Dims, Dims) = index.dims().into_iter().partition(|d| table.size(d.0).is_some());
    let rest: Dims = table.dims().into_iter().filter(|d| d.0 != axis && index.size(d.0).is_none()).collect();
    let entries = table.in_order(&[both.as_slice(), &[(axis, size)], &rest].concat())?;
    let places = index.in_order(&[both.as_slice(), &own].concat())?;
    let (each, width) = (volume(&own)?, volume(&rest)?);
    let dims = [both, own, rest].concat();
    let mut out = Vec::with_capacity(volume(&dims)?);
    for (i, &place) in places.iter().enumerate() {
        let at = (i / each * size + position(place, size)?) * width;
        out.extend_from_slice(&entries[at..at + width]);
    }
    Ok(Array::from_order(&dims, out)?)
}

fn scatter_add(values: &Array, index: &Array, axis: (Axis, usize), over: &[Axis]) -> Result<Array, EvalError> {
    let summed: Dims = over.iter().filter_map(|&a| values.size(a).or(index.size(a)).map(|size| (a, size))).collect();
    let kept: Dims = index.dims().into_iter().filter(|d| !over.contains(&d.0)).collect();
    let rest: Dims = values.dims().into_iter().filter(|d| !over.contains(&d.0) && index.size(d.0).is_none()).collect();
    let numbers = values.in_order(&[kept.as_slice(), &summed, &rest].concat())?;
    // An axis that is summed over and the index lacks: the same place, again and again.
    let places = index.in_order(&[kept.as_slice(), &summed].concat())?;
    let (each, width) = (volume(&summed)?, volume(&rest)?);
    let dims = [kept, vec![axis], rest].concat();
    let mut out = vec![0.0; volume(&dims)?];
    for (i, &place) in places.iter().enumerate() {
        let at = (i / each * axis.1 + position(place, axis.1)?) * width;
        for (out, number) in out[at..at + width].iter_mut().zip(&numbers[i * width..(i + 1) * width]) {
            *out += number;
        }
    }
    Ok(Array::from_order(&dims, out)?)
}

/// Stable: the largest is taken away first. Where all are −∞ (everything is masked), 0.
fn softmax(x: &Array, over: &[Axis]) -> Result<Array, EvalError> {
    let (dims, mut data) = inwards(x, over)?;
    let size = volume(&dims[dims.len() - over.len()..])?;
    for row in data.chunks_exact_mut(size.max(1)) {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, maximum);
        if top == f64::NEG_INFINITY {
            row.fill(0.0);
            continue;
        }
        row.iter_mut().for_each(|x| *x = (*x - top).exp());
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|x| *x /= sum);
    }
    Ok(Array::from_order(&dims, data)?)
}
