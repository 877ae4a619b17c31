//! Walks along the text: what they carry behind the last place is kept, and the next place goes on from there.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::types::{Elem, Type};

use super::cut::Cache;
use super::number;
use super::value::{Beyond, Value};
use super::walk::{Frame, node};
use crate::graph::{Kind, NodeId, Scan, results};

impl Frame<'_> {
    /// The values of the results of a scan over the new places.
    pub fn recurrent(&mut self, id: NodeId, scan: &Scan) -> Result<Vec<Value>, String> {
        if scan.reverse {
            return Err(self.refused(id, "it begins at the end of the text"));
        }
        let is_end = |at: NodeId| matches!(self.region[at].kind, Kind::Project(n) if (n as usize) < scan.carried);
        if self.region.iter().any(|(at, n)| n.operands.first() == Some(&id) && self.live[at.0 as usize] && is_end(at)) {
            return Err(self.refused(id, "what it carries behind the whole text is used"));
        }
        let mut inner = Frame::empty(&scan.body, self.axes, self.time);
        let mut operands = Vec::new();
        for (at, &operand) in self.region[id].operands.iter().enumerate() {
            let value = self.held(id, self.value(operand))?;
            let ty = match (&value, (scan.carried..scan.carried + scan.sliced).contains(&at)) {
                (Value::New(new), true) => self.out.ty(*new).without(&[scan.axis]),
                (Value::Fixed(fixed), false) => self.out.ty(*fixed).clone(),
                _ => return Err(self.refused(id, "it reads more at a place than that place's own values")),
            };
            operands.push((node(&value), ty));
        }
        // Places before the text change nothing.
        let text = self.is_text(scan)?;
        let moving = scan.carried + scan.sliced;
        if let Some(text) = text {
            operands.insert(moving, (text, self.out.ty(text).without(&[scan.axis])));
        }
        let arguments: Vec<NodeId> = operands.iter().map(|(_, ty)| inner.out.argument(ty.clone())).collect();
        let mut operands: Vec<NodeId> = operands.into_iter().map(|(operand, _)| operand).collect();
        let text = text.map(|_| arguments[moving]);
        inner.arguments = arguments.iter().filter(|&&a| Some(a) != text).map(|&a| Value::Fixed(a)).collect();
        inner.walk().map_err(|why| format!("{why}, at each place of `{}`", self.axes[scan.axis].name))?;
        let mut outputs: Vec<NodeId> = scan.body.outputs.iter().map(|&output| node(&inner.value(output))).collect();
        if let Some(text) = text {
            for (output, &before) in outputs.iter_mut().zip(&arguments[..scan.carried]) {
                *output = inner.emit(Op::Map(Elementwise::SELECT), &[text, *output, before])?;
            }
        }
        let body = inner.out.finish(outputs);
        if body.results()[..scan.carried] != body.arguments[..scan.carried] {
            return Err(self.refused(id, "what it carries becomes another kind of value"));
        }
        let (of, reader) =
            (operands.get(scan.carried).map_or_else(|| "the text".into(), |&of| self.made_with(of)), self.describe(id));
        let mut kept = Vec::new();
        for start in &mut operands[..scan.carried] {
            let ty = self.out.ty(*start).clone();
            let (outer, inner): (Vec<_>, Vec<_>) = ty.axes.iter().partition(|&&a| self.axes[a].outer);
            let axes = [outer, inner].concat();
            let argument = self.out.argument(Type::new(ty.elem, axes.iter().copied()));
            kept.push(Cache { axes, elem: ty.elem, of: of.clone(), reader: reader.clone(), argument, updated: None });
            if self.time.which.goes_on {
                *start = argument;
            }
        }
        let kind = Kind::Scan(Box::new(Scan { sliced: scan.sliced + usize::from(text.is_some()), body, ..scan.clone() }));
        let types = results(&kind).unwrap_or_default();
        let nodes = self.out.several(kind, operands, &types);
        self.caches.extend(kept.into_iter().zip(&nodes).map(|(cache, &updated)| Cache { updated: Some(updated), ..cache }));
        Ok(nodes.iter().map(|&result| self.by_type(result, Beyond::default())).collect())
    }

    /// For each new place of each row, whether it is text; none where all are.
    fn is_text(&mut self, scan: &Scan) -> Result<Option<NodeId>, String> {
        if self.start.is_none() {
            return Ok(None);
        }
        let at = self.position(scan.axis)?;
        let at = self.since_start(at)?;
        let zero = self.emit(Op::Constant(number(0.0), Elem::Int, Vec::new()), &[])?;
        self.emit(Op::Map(Elementwise::GE), &[at, zero]).map(Some)
    }
}
