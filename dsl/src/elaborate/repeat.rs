//! Blocks that are repeated: one after another of one kind, or of kinds that configuration chooses.
//!
//! Where several kinds follow one another again and again, each is made once and stands for all its repetitions, as a block that
//! is repeated alone: what is compiled does not grow with the depth.

use std::rc::Rc;

use crate::ast::{Expr, ExprKind, Name};
use crate::emit::Emit;
use crate::size::Size;
use crate::span::Span;

use super::session::{Done, Names, Reported, Session, Val};
use super::value::{Instance, Repeated, Run, Scope, Value};

/// How many blocks may follow one another before they begin again.
const LONGEST: usize = 16;

/// How many values and blocks the lists of a specification may make.
const MOST: usize = 100_000;

impl<'p, E: Emit> Session<'p, E> {
    /// Whether the expression makes a block, so that `* n` repeats it.
    pub(crate) fn makes_block(&mut self, expr: &'p Expr, scope: &Names<'p, E>) -> bool {
        let ExprKind::Call(callee, _) = &*expr.node else { return false };
        let ExprKind::Name(name) = &*callee.node else { return false };
        let value = scope.get(name).or_else(|| self.top(scope.file, name));
        matches!(value, Some(Value::Maker(_)))
    }

    /// Whether the expression makes a block in the end.
    fn makes_blocks(&mut self, expr: &'p Expr, scope: &Names<'p, E>) -> bool {
        match &*expr.node {
            ExprKind::If(_, yes, _) => self.makes_blocks(yes, scope),
            _ => self.makes_block(expr, scope),
        }
    }

    /// `Layer(feature) * depth`
    pub(crate) fn repeat(&mut self, block: &'p Expr, times: &'p Expr, scope: &Names<'p, E>) -> Done<Val<'p, E>> {
        let size = self.size_value(times, scope)?;
        let run = self.run(&[(scope.clone(), "{}".into())], Some(size), block)?;
        Ok(Value::Repeated(Rc::new(Repeated { runs: vec![run] })))
    }

    /// `for i in depth { Layer(feature, wide: i mod 2 == 0) }`
    pub(crate) fn series(
        &mut self,
        name: &'p Name,
        over: &'p Expr,
        body: &'p Expr,
        scope: &Names<'p, E>,
    ) -> Done<Val<'p, E>> {
        let with = |value: Val<'p, E>| {
            let inner = Scope::within(scope);
            inner.set(&name.node, value);
            inner
        };
        let items: Vec<Val<'p, E>> = match self.eval(over, scope)? {
            Value::List(items) => items,
            Value::Int(size) => match size.known() {
                Some(n) => (0..n.max(0)).take(MOST + 1).map(|i| Value::Int(Size::of(i))).collect(),
                None => {
                    let inner = with(Value::Int(Size::var(&name.node)));
                    if !self.makes_blocks(body, scope) {
                        // One stands for all.
                        return Ok(Value::List(vec![self.eval(body, &inner)?]));
                    }
                    let run = self.run(&[(inner, "{}".into())], Some(size), body)?;
                    return Ok(Value::Repeated(Rc::new(Repeated { runs: vec![run] })));
                }
            },
            Value::Unknown => return Err(Reported),
            other => {
                let message = format!("blocks are made for a whole number or a list, not for {}", other.kind());
                return Err(self.error("W0413", message, over.span, other.kind()));
            }
        };
        self.listed += items.len();
        if self.listed > MOST {
            return Err(self.error("W0508", format!("lists make more than {MOST} values"), over.span, ""));
        }
        if !self.makes_blocks(body, scope) {
            return Ok(Value::List(items.into_iter().map(|item| self.eval_or_unknown(body, &with(item))).collect()));
        }
        let mut kinds = Vec::new();
        for item in &items {
            kinds.push(self.kind(with(item.clone()), body)?);
        }
        let mut runs = Vec::new();
        for Stretch { from, period, times } in stretches(&kinds) {
            let place = |at: usize| match (times, at, period) {
                (1, ..) => at.to_string(),
                (_, 0, 1) => "{}".to_owned(),
                _ => format!("{{{at}+{period}}}"),
            };
            let blocks: Vec<_> = (from..from + period).map(|at| (with(items[at].clone()), place(at))).collect();
            runs.push(self.run(&blocks, (times > 1).then(|| Size::of(times as i64)), body)?);
        }
        Ok(Value::Repeated(Rc::new(Repeated { runs })))
    }

    /// Blocks that follow one another, each with the scope and the place that it has, as often as `times` says.
    fn run(&mut self, blocks: &[(Names<'p, E>, String)], times: Option<Size>, body: &'p Expr) -> Done<Run<'p, E::Value>> {
        let path = self.member.clone();
        let name = path.as_deref().and_then(|path| path.rsplit('.').next()).unwrap_or_default().to_owned();
        let axis = times.map(|size| self.emit.axes().fresh(&name, size, false));
        self.stack.extend(axis);
        let mut made = Vec::new();
        for (scope, place) in blocks {
            self.member = path.as_ref().map(|path| format!("{path}.{place}"));
            made.push((self.eval(body, scope), body.span));
        }
        self.stack.truncate(self.stack.len() - usize::from(axis.is_some()));
        self.member = path;
        let blocks = made.into_iter().map(|(value, span)| self.block(value?, span)).collect::<Done<_>>()?;
        Ok(Run { blocks, axis })
    }

    fn block(&mut self, value: Val<'p, E>, span: Span) -> Done<Rc<Instance<'p, E::Value>>> {
        match value {
            Value::Instance(instance) => Ok(instance),
            Value::Unknown => Err(Reported),
            other => Err(self.error("W0413", format!("{} is not repeated", other.kind()), span, "a block is")),
        }
    }

    /// What kind of block an expression makes: equal for blocks that differ in nothing but their parameters' values.
    fn kind(&mut self, scope: Names<'p, E>, body: &'p Expr) -> Done<String> {
        let (before, axes) = (self.parameters.len(), self.emit.axes().len());
        let made = self.run(&[(scope, "{}".into())], None, body);
        self.parameters.truncate(before);
        let made = Value::Instance(made?.blocks[0].clone());
        let Value::Instance(block) = &made else { return Err(Reported) };
        let mut among = Among { root: block.path.clone(), axes, scopes: Vec::new() };
        among.gather(&made);
        let mut out = String::new();
        self.describe(&made, &among, &mut out);
        Ok(out)
    }

    /// Writes down all that tells a value from others.
    pub(crate) fn describe(&mut self, value: &Val<'p, E>, among: &Among<'p, E::Value>, out: &mut String) {
        use std::fmt::Write;
        // Writing to a text does not fail.
        let _ = match value {
            Value::Int(size) => write!(out, "{size}"),
            Value::Float(x) => write!(out, "{x:?}"),
            Value::Bool(b) => write!(out, "{b:?}"),
            Value::Text(text) => write!(out, "{text:?}"),
            // Axes that the block makes differ by their sizes alone; others by what they are.
            Value::Axis(axes) => {
                for &axis in axes {
                    match axis.0 < among.axes as u32 {
                        true => out.push_str(&format!("#{}", axis.0)),
                        false => out.push_str(&format!("{},", self.size_of(&[axis]))),
                    }
                }
                Ok(())
            }
            Value::Start(start) => write!(out, "{start:?}"),
            Value::Primitive(name) => write!(out, "{name}"),
            Value::Maker(block) => write!(out, "{:p}", block.def),
            Value::Param(parameter, _) => write!(out, "{}", parameter.path),
            Value::Fn(function) => {
                let _ = match among.scopes.iter().position(|scope| Rc::ptr_eq(scope, &function.scope)) {
                    Some(number) => write!(out, "{:p}@{number}(", function.def),
                    None => write!(out, "{:p}@{:p}(", function.def, Rc::as_ptr(&function.scope)),
                };
                for (name, axes) in &function.axes {
                    let _ = write!(out, "{name}[");
                    self.describe(&Value::Axis(axes.clone()), among, out);
                }
                for (name, value) in &function.given {
                    let _ = write!(out, "{name}:");
                    self.describe(value, among, out);
                }
                write!(out, ")")
            }
            Value::Tuple(items) | Value::List(items) => {
                for item in items {
                    self.describe(item, among, out);
                    out.push(',');
                }
                Ok(())
            }
            // What was made elsewhere is the same for all.
            Value::Instance(instance) if !among.holds(&instance.path) => write!(out, "{}", instance.path),
            Value::Instance(instance) => {
                let _ = write!(out, "{:p}{{", instance.block.def);
                let mut members: Vec<(String, Val<'p, E>)> =
                    instance.scope.vars.borrow().iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                let axes = instance.scope.axes.borrow();
                members.extend(axes.iter().map(|(name, (axes, _))| (name.clone(), Value::Axis(axes.clone()))));
                drop(axes);
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                for (name, value) in members.iter().filter(|(name, _)| name != "this") {
                    let _ = write!(out, "{name}=");
                    self.describe(value, among, out);
                    out.push(';');
                }
                write!(out, "}}")
            }
            Value::Repeated(repeated) => {
                for run in &repeated.runs {
                    let times = run.axis.map(|axis| self.size_of(&[axis]).to_string()).unwrap_or_default();
                    let _ = write!(out, "{times}*(");
                    for block in &run.blocks {
                        self.describe(&Value::Instance(block.clone()), among, out);
                    }
                    out.push(')');
                }
                Ok(())
            }
            Value::Table(table, _) => write!(out, "{:p}", *table),
            Value::Item(item, _) => write!(out, "{:p}", *item),
            Value::Empty | Value::Unknown | Value::Absent(_) => write!(out, "{}", value.kind()),
            // What cannot be compared is like nothing else.
            _ => {
                self.unlike += 1;
                write!(out, "?{}", self.unlike)
            }
        };
    }
}

/// What blocks are compared by: what they make themselves has no identity, all else does.
pub(crate) struct Among<'p, V> {
    /// Where the block lies.
    root: String,
    /// How many axes there were before it was made.
    axes: usize,
    /// The scopes that it makes, in order.
    scopes: Vec<Rc<Scope<'p, V>>>,
}

impl<'p, V: Clone> Among<'p, V> {
    /// For values that no block makes.
    pub fn nothing() -> Self {
        Self { root: "\0".into(), axes: 0, scopes: Vec::new() }
    }

    /// Whether a block at a path is made within.
    fn holds(&self, path: &str) -> bool {
        path.strip_prefix(&self.root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Finds the scopes of all blocks that are made within a value.
    fn gather(&mut self, value: &Value<'p, V>) {
        match value {
            Value::Instance(instance) if self.holds(&instance.path) => {
                if self.scopes.iter().any(|scope| Rc::ptr_eq(scope, &instance.scope)) {
                    return;
                }
                self.scopes.push(instance.scope.clone());
                let mut members: Vec<_> = instance.scope.vars.borrow().iter().map(|(n, v)| (n.clone(), v.clone())).collect();
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                members.iter().for_each(|(_, value)| self.gather(value));
            }
            Value::Repeated(repeated) => {
                repeated.blocks().for_each(|block| self.gather(&Value::Instance(block.clone())));
            }
            _ => {}
        }
    }
}

/// Kinds that follow one another `times` over, beginning at a place.
#[derive(Debug, PartialEq)]
struct Stretch {
    from: usize,
    period: usize,
    times: usize,
}

/// Cuts a list into stretches: each the longest repetition that begins where the one before ends, of the shortest period.
fn stretches(kinds: &[String]) -> Vec<Stretch> {
    let mut out = Vec::new();
    let mut from = 0;
    while from < kinds.len() {
        let mut best = Stretch { from, period: 1, times: 1 };
        for period in 1..=LONGEST.min(kinds.len() - from) {
            let mut repetitions = kinds[from..].chunks_exact(period);
            let first = repetitions.next();
            let times = 1 + repetitions.take_while(|next| Some(*next) == first).count();
            if times > 1 && times * period > best.times * best.period {
                best = Stretch { from, period, times };
            }
        }
        from += best.period * best.times;
        out.push(best);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_found() {
        let cut = |kinds: &str| {
            let kinds: Vec<String> = kinds.chars().map(String::from).collect();
            stretches(&kinds).iter().map(|s| (s.from, s.period, s.times)).collect::<Vec<_>>()
        };
        assert_eq!(cut(""), []);
        assert_eq!(cut("a"), [(0, 1, 1)]);
        assert_eq!(cut("aaaa"), [(0, 1, 4)]);
        assert_eq!(cut("abababa"), [(0, 2, 3), (6, 1, 1)]);
        assert_eq!(cut("abbbbb"), [(0, 1, 1), (1, 1, 5)]);
        assert_eq!(cut("aabaab"), [(0, 3, 2)]);
        assert_eq!(cut("abc"), [(0, 1, 1), (1, 1, 1), (2, 1, 1)]);
    }
}
