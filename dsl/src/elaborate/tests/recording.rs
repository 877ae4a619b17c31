//! An emitter that writes down what it is asked, as text.

use crate::emit::{Emit, Parameter};
use crate::op::Op;
use crate::types::{Axes, Axis, Elem, Type};

/// A numbered value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(usize);

/// Writes operations down.
#[derive(Default)]
pub(super) struct Recording {
    axes: Axes,
    types: Vec<Type>,
    loops: Vec<Axis>,
    /// One line for each operation.
    pub(super) lines: Vec<String>,
}

impl Recording {
    fn value(&mut self, text: String, ty: Type) -> Id {
        let id = self.types.len();
        let indent = "  ".repeat(self.loops.len());
        self.lines.push(format!("{indent}%{id} = {text} : {}", self.axes.show(&ty)));
        self.types.push(ty);
        Id(id)
    }

    fn names(&self, axes: &[Axis]) -> String {
        axes.iter().map(|&a| self.axes[a].name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn shown(&self, op: &Op) -> String {
        let name = |axis: &Axis| self.axes[*axis].name.clone();
        match op {
            Op::Constant(n, _, over) => format!("constant {}[{}]", n.0, self.names(over)),
            Op::Index(a) => format!("index {}", name(a)),
            Op::Extent(size) => format!("extent {size}"),
            Op::Random(kind, over, site) => format!("random {kind:?}[{}] #{site}", self.names(over)),
            Op::Map(op) => op.name().to_owned(),
            Op::Cast(elem) => format!("cast{}", self.axes.show(&Type::scalar(*elem))),
            Op::Reduce(monoid, over) => format!("{}[{}]", monoid.name(), self.names(over)),
            Op::ArgMax(a) => format!("argmax[{}]", name(a)),
            Op::Order(a, b, way) => format!("order[{} as {}] {}", name(a), name(b), way.name()),
            Op::Contract(over) => format!("contract[{}]", self.names(over)),
            Op::Rename(a, b) => format!("rename[{} as {}]", name(a), name(b)),
            Op::Split(a, parts) => format!("split[{} as ({})]", name(a), self.names(parts)),
            Op::Merge(parts, a) => format!("merge[({}) as {}]", self.names(parts), name(a)),
            Op::Slice(a, start, b) => format!("slice[{}: {start}.. as {}]", name(a), name(b)),
            Op::Lookup(a) => format!("lookup[{}]", name(a)),
            other => format!("{other:?}"),
        }
    }
}

impl Emit for Recording {
    type Value = Id;

    fn axes(&mut self) -> &mut Axes {
        &mut self.axes
    }

    fn type_of(&self, value: &Id) -> Type {
        self.types[value.0].clone()
    }

    fn op(&mut self, op: Op, operands: &[Id]) -> Id {
        let types: Vec<_> = operands.iter().map(|v| &self.types[v.0]).collect();
        let ty = op.infer(&types, &self.axes).unwrap_or_else(|misfit| panic!("{op:?} on {types:?}: {misfit:?}"));
        if let Op::Map(_) = op {
            let float = types.iter().filter(|t| t.elem == Elem::Float).count();
            let integer = types.iter().filter(|t| t.elem.is_integer()).count();
            assert!(float == 0 || integer == 0, "{op:?} mixes kinds: {types:?}");
        }
        let operands: Vec<_> = operands.iter().map(|v| format!(" %{}", v.0)).collect();
        let text = format!("{}{}", self.shown(&op), operands.concat());
        self.value(text, ty)
    }

    fn input(&mut self, name: &str, elem: Elem, axes: &[Axis]) -> Id {
        self.value(format!("input {name}"), Type::new(elem, axes.iter().copied()))
    }

    fn parameter(&mut self, parameter: &Parameter) -> Id {
        let ty = Type::new(Elem::Float, parameter.stack.iter().chain(&parameter.axes).copied());
        self.value(format!("parameter {}", parameter.path), ty)
    }

    fn begin_loop(&mut self, axis: Axis, carried: &[Id]) -> Vec<Id> {
        let shown: Vec<_> = carried.iter().map(|v| format!(" %{}", v.0)).collect();
        let line = format!("{}loop {}{}", "  ".repeat(self.loops.len()), self.axes[axis].name, shown.concat());
        self.lines.push(line);
        self.loops.push(axis);
        carried
            .iter()
            .map(|v| self.types[v.0].clone())
            .collect::<Vec<_>>()
            .into_iter()
            .map(|ty| self.value("carried".into(), ty))
            .collect()
    }

    fn slice(&mut self, value: &Id, axis: Axis) -> Id {
        assert!(self.loops.contains(&axis), "a slice outside its loop");
        let ty = self.types[value.0].without(&[axis]);
        self.value(format!("step[{}] %{}", self.axes[axis].name, value.0), ty)
    }

    fn end_loop(&mut self, next: &[Id], yields: &[Id]) -> Vec<Id> {
        let axis = self.loops.pop().expect("a loop is open");
        let next: Vec<_> = next.iter().map(|v| (format!("end %{}", v.0), self.types[v.0].clone())).collect();
        let yields: Vec<_> = yields.iter().map(|v| (format!("joined %{}", v.0), self.types[v.0].with(&[axis]))).collect();
        next.into_iter().chain(yields).map(|(text, ty)| self.value(text, ty)).collect()
    }

    fn mean(&mut self, sum: &Id, weight: &Id) -> Id {
        let ty = self.types[sum.0].with(&self.types[weight.0].axes);
        self.value(format!("mean %{} %{}", sum.0, weight.0), ty)
    }

    fn supplied(&mut self, name: &str, elem: Elem) -> Id {
        self.value(format!("supplied {name}"), Type::scalar(elem))
    }
}
