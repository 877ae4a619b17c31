//! Elementwise operators: how the spellings of the table become instructions.

use anyhow::{Context, Result, bail, ensure};
use weft_dsl::elementwise::{Elementwise, Signature};

use super::math;
use super::text::{Code, Elem, Ty, Value};
use crate::kernel::{Dtype, Shape};

/// The value of an operator over operands of one shape (a `select`'s first is Bool).
///
/// # Errors
/// When the operator does not take such operands.
pub(super) fn map(code: &mut Code, op: Elementwise, operands: &[(Value, Shape)]) -> Result<Value> {
    let row = op.row();
    ensure!(operands.len() == row.arity, "{op:?} takes {} operands", row.arity);
    let shape = operands[row.arity - 1].1;
    let (float, ty) = (shape.dtype.is_float(), Ty::of(shape));
    let fits = match row.signature {
        Signature::Number => shape.dtype != Dtype::Bool,
        Signature::Real => float,
        Signature::Integer => !float && shape.dtype != Dtype::Bool,
        Signature::Logic => shape.dtype == Dtype::Bool,
        Signature::Compare | Signature::Select => true,
    };
    ensure!(fits, "{op:?} is not of {:?}", shape.dtype);
    let same = operands.iter().skip(usize::from(row.signature == Signature::Select)).all(|(_, other)| *other == shape);
    ensure!(same, "{op:?} has operands of several shapes");
    let v: Vec<&str> = operands.iter().map(|(value, _)| value.as_str()).collect();
    let (of_floats, of_integers) = row.llvm.split_once('|').unwrap_or((row.llvm, row.llvm));
    let spelling = if float { of_floats } else { of_integers };
    if let Some(name) = spelling.strip_prefix('%') {
        return own(code, name, ty, &v);
    }
    if let Some(name) = spelling.strip_prefix('@') {
        return Ok(if name == "abs" { absolute(code, ty, v[0]) } else { code.intrinsic(name, ty, &v) });
    }
    Ok(match (spelling, v.as_slice()) {
        ("select", [condition, a, b]) => code.select(ty, condition, a, b),
        ("not", [a]) => code.binary("xor", ty, a, &ty.int(1)),
        ("neg", [a]) => code.binary("sub", ty, &ty.int(0), a),
        (unary, [a]) => code.let_(format_args!("{unary} {ty} {a}")),
        // As numbers with a sign, a true bit would be −1.
        (compare, [a, b]) if ty.elem == Elem::I1 => code.binary(&compare.replace("icmp s", "icmp u"), ty, a, b),
        (binary, [a, b]) => code.binary(binary, ty, a, b),
        _ => bail!("the table's spelling `{spelling}` of {op:?} is not understood"),
    })
}

/// The smallest integer is its own absolute value.
fn absolute(code: &mut Code, ty: Ty, a: &str) -> Value {
    let name = format!("llvm.abs.{}", ty.suffix());
    code.call(&ty.to_string(), &name, &[(ty.to_string(), a), ("i1".to_string(), "false")])
}

/// The rows that no one instruction is.
fn own(code: &mut Code, name: &str, ty: Ty, v: &[&str]) -> Result<Value> {
    let float = matches!(ty.elem, Elem::F32 | Elem::F64);
    Ok(match (name, v) {
        ("sign", &[a]) => {
            let (more, less, zero) =
                if float { ("fcmp ogt", "fcmp olt", ty.float(0.0)) } else { ("icmp sgt", "icmp slt", ty.int(0)) };
            let (more, less) = (code.binary(more, ty, a, &zero), code.binary(less, ty, a, &zero));
            let negative = code.select(ty, &less, &ty.number(-1.0), a);
            code.select(ty, &more, &ty.number(1.0), &negative)
        }
        ("max" | "min", &[a, b]) if float => {
            // The first two are one instruction on x86, which gives `b` if one of them is NaN.
            let compare = if name == "max" { "fcmp ogt" } else { "fcmp olt" };
            let wins = code.binary(compare, ty, a, b);
            let winner = code.select(ty, &wins, a, b);
            let nan = code.binary("fcmp uno", ty, a, a);
            code.select(ty, &nan, a, &winner)
        }
        ("max", &[a, b]) => code.intrinsic("smax", ty, &[a, b]),
        ("min", &[a, b]) => code.intrinsic("smin", ty, &[a, b]),
        ("idiv", &[a, b]) => divide(code, ty, a, b).0,
        ("mod", &[a, b]) => divide(code, ty, a, b).1,
        (name, v) if ty.elem == Elem::F32 => {
            math::call(code, name, ty, v).with_context(|| format!("there is no function `{name}`"))?
        }
        ("erf" | "log1p", &[a]) => each(code, name, ty, a),
        ("exp" | "log" | "sin" | "cos" | "tanh" | "pow", v) => code.intrinsic(name, ty, v),
        _ => bail!("there is no function `{name}`"),
    })
}

/// Quotient and remainder, rounded down. No operands trap: division by 0 gives 0 and leaves `a`; the one quotient that is too
/// large wraps.
fn divide(code: &mut Code, ty: Ty, a: &str, b: &str) -> (Value, Value) {
    let zero = ty.int(0);
    let by_zero = code.binary("icmp eq", ty, b, &zero);
    let by_minus = code.binary("icmp eq", ty, b, &ty.int(-1));
    let either = code.binary("or", ty.with(Elem::I1), &by_zero, &by_minus);
    let divisor = code.select(ty, &either, &ty.int(1), b);
    let (quotient, rest) = (code.binary("sdiv", ty, a, &divisor), code.binary("srem", ty, a, &divisor));
    // Towards zero so far: one less where a rest has not the divisor's sign.
    let signs = code.binary("xor", ty, &rest, &divisor);
    let differ = code.binary("icmp slt", ty, &signs, &zero);
    let some = code.binary("icmp ne", ty, &rest, &zero);
    let below = code.binary("and", ty.with(Elem::I1), &differ, &some);
    let less = code.binary("sub", ty, &quotient, &ty.int(1));
    let quotient = code.select(ty, &below, &less, &quotient);
    let more = code.binary("add", ty, &rest, &divisor);
    let rest = code.select(ty, &below, &more, &rest);
    let negative = code.binary("sub", ty, &zero, a);
    let quotient = code.select(ty, &by_minus, &negative, &quotient);
    (code.select(ty, &by_zero, &zero, &quotient), code.select(ty, &by_zero, a, &rest))
}

/// A function of the C library, lane by lane.
fn each(code: &mut Code, name: &str, ty: Ty, a: &str) -> Value {
    let one = |code: &mut Code, a: &str| code.call("double", name, &[("double".to_string(), a)]);
    if ty.lanes == 1 {
        return one(code, a);
    }
    (0..ty.lanes).fold("poison".to_string(), |whole, lane| {
        let element = code.let_(format_args!("extractelement {ty} {a}, i64 {lane}"));
        let result = one(code, &element);
        code.let_(format_args!("insertelement {ty} {whole}, double {result}, i64 {lane}"))
    })
}
