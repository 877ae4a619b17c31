//! Walks a region of kernels and writes its steps.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Type};
use weft_runtime::plan::{Arg, Buffer, Count, Launch, Place, Step, Stride, Work};

use super::beside::Beside;
use super::layout::Layouts;
use super::sizes::SizeNames;
use super::updates::carried_in_place;
use super::{Kernels, Slots, work};
use crate::graph::{Form, Fused, Kind, NodeId, Region, RegionBuilder, Scan, results, yielded};
use crate::schedule::{Layout, Machine, Scheduled, schedule};

/// A value in memory: where it starts and how it lies.
#[derive(Clone, Debug)]
pub struct Ref {
    pub(super) buffer: u32,
    pub(super) offset: Size,
    pub(super) strides: Vec<(u32, Count, Size)>,
    pub(super) layout: Layout,
    /// Whether what is written there is read again only when caches have long held something else.
    pub(super) far: bool,
}

impl Ref {
    /// A value that fills a buffer.
    pub fn whole(buffer: u32, layout: Layout) -> Self {
        Self { buffer, offset: Size::of(0), strides: Vec::new(), layout, far: false }
    }

    /// Whether it lies far and begins at a multiple of 16 elements wherever loops are.
    fn goes_far(&self) -> bool {
        let whole = |size: &Size| size.terms().all(|(_, n)| n % 16 == 0);
        self.far && whole(&self.offset) && self.strides.iter().all(|(_, _, step)| whole(step))
    }

    /// The part of it that a loop at some depth is at; the loop's axis is the outermost.
    fn sliced(&self, axes: &Axes, axis: Axis, depth: u32) -> Result<Ref> {
        let Some((first, rest)) = self.layout.0.split_first() else { bail!("a sliced value has no axes") };
        if *first != axis {
            bail!("a value is walked along an axis that does not lie outermost, which is not supported yet");
        }
        let mut out = Ref { layout: Layout(rest.to_vec()), ..self.clone() };
        out.strides.push((depth, Count::Index, axes.volume(rest)));
        Ok(out)
    }
}

/// Writes steps.
pub struct Planner<'a> {
    pub(super) axes: &'a Axes,
    layouts: Layouts,
    pub(super) machine: &'a Machine,
    pub(super) kernels: &'a mut Kernels,
    pub(super) slots: &'a mut Slots,
    /// The slots that the program writes.
    pub(super) writes: Vec<u32>,
    /// The slots that it reads otherwise than in products.
    pub(super) plain: Vec<u32>,
    /// What it prepares before all other steps.
    pub(super) prepares: Vec<Step>,
    pub(super) sizes: SizeNames,
    pub(super) buffers: Vec<Buffer>,
    /// For each buffer, the loops it was made in.
    pub(super) homes: Vec<Vec<u32>>,
    /// Loops that are open, by number of opening.
    pub(super) open: Vec<u32>,
    opened: u32,
    /// The last launches, which may run beside one another.
    beside: Beside,
    /// Blocks of steps that are open, innermost last.
    blocks: Vec<Vec<Step>>,
}

impl<'a> Planner<'a> {
    /// For a program.
    pub fn new(
        axes: &'a Axes,
        layouts: Layouts,
        machine: &'a Machine,
        kernels: &'a mut Kernels,
        slots: &'a mut Slots,
    ) -> Self {
        Self {
            axes,
            layouts,
            machine,
            kernels,
            slots,
            writes: Vec::new(),
            plain: Vec::new(),
            prepares: Vec::new(),
            sizes: SizeNames::default(),
            buffers: Vec::new(),
            homes: Vec::new(),
            open: Vec::new(),
            opened: 0,
            beside: Beside::default(),
            blocks: vec![Vec::new()],
        }
    }

    /// Buffers with the loops they were made in, steps, names of run-time sizes.
    pub fn finish(mut self) -> (Vec<Buffer>, Vec<Vec<u32>>, Vec<Step>, Vec<String>) {
        let mut steps = self.prepares;
        steps.extend(self.blocks.pop().unwrap_or_default());
        (self.buffers, self.homes, steps, self.sizes.finish())
    }

    /// Writes the steps of a region, given where its arguments are and where its outputs go.
    pub fn region(&mut self, region: &Region, order: &[NodeId], arguments: &[Ref], targets: &[Ref]) -> Result<()> {
        let mut at: HashMap<NodeId, Ref> = HashMap::new();
        let mut wanted: HashMap<NodeId, Ref> = HashMap::new();
        for (&output, target) in region.outputs.iter().zip(targets) {
            let (origin, target) = through_renames(region, output, target.clone());
            wanted.insert(origin, target);
        }
        let placed = self.insertions(region, arguments, &mut wanted)?;
        let starts = self.starts_of_carried(region)?;
        wanted.extend(starts.iter().map(|(id, place)| (*id, place.clone())));
        for &id in order {
            let node = &region[id];
            match &node.kind {
                Kind::Argument(number) => {
                    at.insert(id, arguments[*number as usize].clone());
                }
                Kind::Op(Op::Rename(from, to)) => {
                    let operand = &at[&node.operands[0]];
                    let renamed = Ref { layout: operand.layout.renamed(*from, *to), ..operand.clone() };
                    at.insert(id, renamed);
                }
                Kind::Op(Op::Insert(..)) => {
                    let (whole, part) = (node.operands[0], node.operands[1]);
                    if let Some(place) = placed.get(&id) {
                        self.copy(&region[part].ty, &at[&part], place)?;
                    }
                    at.insert(id, at[&whole].clone());
                }
                Kind::Fused(fused) => {
                    let operands: Vec<Ref> = node.operands.iter().map(|o| at[o].clone()).collect();
                    let places = self.result_places(region, id, &fused.body.results(), &wanted)?;
                    self.launch(fused, &operands, &places)?;
                    settle(region, id, &places, &mut at);
                }
                Kind::Scan(scan) => {
                    let operands: Vec<Ref> = node.operands.iter().map(|o| at[o].clone()).collect();
                    let in_place: Vec<Option<Ref>> =
                        node.operands[..scan.carried].iter().map(|o| starts.get(o).cloned()).collect();
                    let places = self.scan(scan, &operands, &in_place)?;
                    settle(region, id, &places, &mut at);
                }
                Kind::Project(_) => {}
                Kind::Op(op) => bail!("the operator {op:?} was left outside of any kernel"),
            }
        }
        Ok(())
    }

    /// What is inserted is written to its place in the whole by the kernel that makes it; gives the places of what must be copied
    /// there instead.
    fn insertions(
        &mut self,
        region: &Region,
        arguments: &[Ref],
        wanted: &mut HashMap<NodeId, Ref>,
    ) -> Result<HashMap<NodeId, Ref>> {
        let mut copied = HashMap::new();
        for (id, node) in region.iter() {
            let Kind::Op(Op::Insert(part, start, whole)) = &node.kind else { continue };
            let Kind::Argument(number) = region[node.operands[0]].kind else {
                bail!("a value is inserted into no argument")
            };
            let mut place = arguments[number as usize].clone();
            let Some((first, rest)) = place.layout.0.split_first().filter(|(first, _)| *first == whole) else {
                bail!("a value is inserted along an axis that does not lie outermost, which is not supported yet");
            };
            place.offset = place.offset.clone() + start.clone() * self.axes.volume(rest);
            place.layout = place.layout.renamed(*first, *part);
            let (origin, own) = through_renames(region, node.operands[1], place.clone());
            let made = matches!(region[origin].kind, Kind::Project(_))
                && matches!(region[region[origin].operands[0]].kind, Kind::Fused(_));
            if made && !wanted.contains_key(&origin) {
                wanted.insert(origin, own);
            } else {
                copied.insert(id, place);
            }
        }
        Ok(copied)
    }

    /// A kernel's result that only starts a scan is written to where the scan carries it.
    fn starts_of_carried(&mut self, region: &Region) -> Result<HashMap<NodeId, Ref>> {
        let uses = region.uses();
        let mut starts = HashMap::new();
        for (_, node) in region.iter() {
            let Kind::Scan(scan) = &node.kind else { continue };
            for (&operand, in_place) in node.operands.iter().zip(carried_in_place(scan)) {
                let fresh = matches!(&region[operand].kind, Kind::Project(_))
                    && matches!(region[region[operand].operands[0]].kind, Kind::Fused(_))
                    && uses[operand.0 as usize] == 1;
                if fresh {
                    starts.insert(operand, self.carried_buffer(&region[operand].ty, in_place)?);
                }
            }
        }
        Ok(starts)
    }

    /// A new place in the arena.
    pub(super) fn new_place(&mut self, ty: &Type) -> Result<Ref> {
        let layout = self.layouts.choose(self.axes, ty);
        Ok(Ref::whole(self.buffer(ty, ARENA, &[])?, layout))
    }

    /// Room for two turns of a carried value, or for one that is changed in place; gives the first.
    fn carried_buffer(&mut self, ty: &Type, in_place: bool) -> Result<Ref> {
        let layout = self.layouts.choose(self.axes, ty);
        let buffer = self.buffer(ty, ARENA, &[Size::of(if in_place { 1 } else { 2 })])?;
        Ok(Ref::whole(buffer, layout))
    }

    /// Where the results of a node go: where somebody wants them, else to new buffers.
    fn result_places(
        &mut self,
        region: &Region,
        id: NodeId,
        types: &[Type],
        wanted: &HashMap<NodeId, Ref>,
    ) -> Result<Vec<Ref>> {
        let mut places = Vec::with_capacity(types.len());
        for (i, ty) in types.iter().enumerate() {
            let project = projection(region, id, i as u32);
            places.push(match project.and_then(|p| wanted.get(&p)) {
                Some(place) => place.clone(),
                None => Ref::whole(self.buffer(ty, ARENA, &[])?, self.layouts.choose(self.axes, ty)),
            });
        }
        Ok(places)
    }

    fn launch(&mut self, fused: &Fused, operands: &[Ref], places: &[Ref]) -> Result<()> {
        let layouts = |refs: &[Ref]| refs.iter().map(|r| r.layout.clone()).collect::<Vec<_>>();
        let (inputs, outputs) = (layouts(operands), layouts(places));
        let mut refs = [operands, places].concat();
        let mut scheduled = match self.packed(fused, operands, (&inputs, &outputs))? {
            Some((number, packed, scheduled)) => {
                refs[number] = packed;
                scheduled
            }
            None => schedule(fused, self.axes, &inputs, &outputs, self.machine)?,
        };
        scheduled.kernel.far = (operands.len() as u32..).zip(places).filter(|(_, r)| r.goes_far()).map(|(n, _)| n).collect();
        let work = (work::operations(fused, self.axes), work::bytes(fused, self.axes));
        let mut launch = self.launched(scheduled, &refs, hint(fused.form), work)?;
        launch.beside = self.beside.take(&refs[..operands.len()], places);
        self.blocks.last_mut().expect("a block is open").push(Step::Launch(launch));
        Ok(())
    }

    /// A launch of a kernel on these arguments; so many operations and bytes.
    pub(super) fn launched(
        &mut self,
        scheduled: Scheduled,
        refs: &[Ref],
        hint: &str,
        (operations, bytes): (Size, Size),
    ) -> Result<Launch> {
        let (operations, bytes) = (self.sizes.convert(&operations)?, self.sizes.convert(&bytes)?);
        let work = Work { operations, share: scheduled.share, bytes };
        let args = refs.iter().map(|r| self.arg(r)).collect::<Result<_>>()?;
        let sizes = scheduled.sizes.iter().map(|s| self.sizes.convert(s)).collect::<Result<_>>()?;
        let tiles = scheduled.tiles.iter().map(|(s, block)| Ok((self.sizes.convert(s)?, *block))).collect::<Result<_>>()?;
        let scratch = u64::from(scheduled.kernel.scratch);
        let kernel = self.kernels.number(scheduled.kernel, hint);
        // Sixteen simple operations in a nanosecond.
        let cost = scheduled.cost / 16.0;
        Ok(Launch { kernel, args, sizes, tiles, scratch, cost, work, beside: false })
    }

    fn scan(&mut self, scan: &Scan, operands: &[Ref], starts: &[Option<Ref>]) -> Result<Vec<Ref>> {
        let steps = self.axes.size(scan.axis).clone();
        let depth = self.open.len() as u32;
        let carried_types = &scan.body.arguments[..scan.carried];
        let in_place = carried_in_place(scan);
        let mut carried = Vec::new();
        for (((ty, operand), start), &in_place) in carried_types.iter().zip(operands).zip(starts).zip(&in_place) {
            carried.push(match start {
                Some(place) => place.clone(),
                None => {
                    let place = self.carried_buffer(ty, in_place)?;
                    self.copy(ty, operand, &place)?;
                    place
                }
            });
        }
        let outputs = results(&Kind::Scan(Box::new(scan.clone()))).context("a scan has results")?;
        let mut yields = Vec::new();
        let made = (scan.carried..outputs.len()).filter(|&number| yielded(scan, number).is_none());
        let far = self.is_far(made.map(|number| &outputs[number]));
        for (number, ty) in outputs.iter().enumerate().skip(scan.carried) {
            if let Some(slice) = yielded(scan, number) {
                // A line that was just read is in a cache, so it is written there.
                yields.push(Ref { far: false, ..operands[slice].clone() });
                continue;
            }
            let inner = self.layouts.choose(self.axes, &ty.without(&[scan.axis]));
            let layout = Layout(std::iter::once(scan.axis).chain(inner.0).collect());
            yields.push(Ref { far, ..Ref::whole(self.buffer(ty, ARENA, &[])?, layout) });
        }
        // An odd number of turns ends in the other place than an even one; where the number is not known, each iteration copies
        // its result back instead.
        let turns = carried.is_empty() || steps.known().is_some();
        let turn = |(place, in_place): (&Ref, &bool), add: u32| {
            let mut place = place.clone();
            if *in_place {
                return place;
            }
            let volume = self.axes.volume(&place.layout.0);
            if turns {
                place.strides.push((depth, Count::Turn { add, modulus: 2 }, volume));
            } else {
                place.offset = place.offset + volume * Size::of(i64::from(add));
            }
            place
        };
        let mut arguments: Vec<Ref> = carried.iter().zip(&in_place).map(|p| turn(p, 0)).collect();
        let mut targets: Vec<Ref> = carried.iter().zip(&in_place).map(|p| turn(p, 1)).collect();
        for (ty, operand) in
            scan.body.arguments[scan.carried..].iter().zip(&operands[scan.carried..scan.carried + scan.sliced])
        {
            let operand = self.walkable(&ty.with(&[scan.axis]), operand, scan.axis)?;
            arguments.push(operand.sliced(self.axes, scan.axis, depth)?);
        }
        arguments.extend_from_slice(&operands[scan.carried + scan.sliced..]);
        for place in &yields {
            targets.push(place.sliced(self.axes, scan.axis, depth)?);
        }
        self.blocks.push(Vec::new());
        self.beside = Beside::default();
        self.open.push(self.opened);
        self.opened += 1;
        let order: Vec<NodeId> = scan.body.iter().map(|(id, _)| id).collect();
        self.region(&scan.body, &order, &arguments, &targets)?;
        if !turns {
            for (((ty, from), to), _) in carried_types.iter().zip(&targets).zip(&arguments).zip(&in_place).filter(|c| !c.1) {
                self.copy(ty, from, to)?;
            }
        }
        self.open.pop();
        let body = self.blocks.pop().unwrap_or_default();
        let count = self.sizes.convert(&steps)?;
        self.beside = Beside::default();
        self.blocks.last_mut().expect("a block is open").push(Step::Loop { count, reverse: scan.reverse, body });
        let last = steps.known().map_or(0, |n| n % 2);
        let mut places: Vec<Ref> = carried;
        for (place, _) in places.iter_mut().zip(&in_place).filter(|(_, in_place)| !**in_place) {
            place.offset = place.offset.clone() + self.axes.volume(&place.layout.0) * Size::of(last);
        }
        places.extend(yields);
        Ok(places)
    }

    /// Whether values that are made together are so large that the first is in no cache any more when the last is made.
    fn is_far<'t>(&self, types: impl Iterator<Item = &'t Type>) -> bool {
        let elements = types.map(|ty| self.axes.volume(&ty.axes)).fold(Size::of(0), |sum, volume| sum + volume);
        self.axes.typically(&elements).is_some_and(|n| n >= FAR)
    }

    /// A value that lies with an axis outermost: the same, or a copy.
    fn walkable(&mut self, ty: &Type, value: &Ref, axis: Axis) -> Result<Ref> {
        if value.layout.0.first() == Some(&axis) {
            return Ok(value.clone());
        }
        let rest = value.layout.0.iter().copied().filter(|&a| a != axis);
        let layout = Layout(std::iter::once(axis).chain(rest).collect());
        let place = Ref::whole(self.buffer(ty, ARENA, &[])?, layout);
        self.copy(ty, value, &place)?;
        Ok(place)
    }

    /// Copies a value.
    pub(super) fn copy(&mut self, ty: &Type, from: &Ref, to: &Ref) -> Result<()> {
        let mut body = RegionBuilder::new();
        let value = body.argument(ty.clone());
        let fused = Fused { form: Form::Loops, body: body.finish(vec![value]) };
        self.launch(&fused, std::slice::from_ref(from), std::slice::from_ref(to))
    }

    fn arg(&mut self, place: &Ref) -> Result<Arg> {
        let strides = place
            .strides
            .iter()
            .map(|(depth, by, step)| Ok(Stride { depth: *depth, by: *by, step: self.sizes.convert(step)? }))
            .collect::<Result<_>>()?;
        Ok(Arg { buffer: place.buffer, offset: self.sizes.convert(&place.offset)?, strides })
    }
}

/// Elements (64 MiB of floats) that are more than the part of a last-level cache that a program may hope for.
const FAR: i64 = 1 << 24;

/// An arena buffer whose lifetime is not known yet.
const ARENA: Place = Place::Arena { first: u32::MAX, last: 0 };

fn hint(form: Form) -> &'static str {
    match form {
        Form::Loops => "loops",
        Form::Product => "product",
        Form::Attention => "attention",
        Form::AttentionBackward => "attention_backward",
        Form::Scatter => "scatter",
        Form::Order => "order",
    }
}

/// The value that a chain of renames shows, and where it must lie for the renamed one to lie at a place.
fn through_renames(region: &Region, mut id: NodeId, mut place: Ref) -> (NodeId, Ref) {
    while let Kind::Op(Op::Rename(from, to)) = region[id].kind {
        place.layout = place.layout.renamed(to, from);
        id = region[id].operands[0];
    }
    (id, place)
}

/// The node that projects a result.
fn projection(region: &Region, id: NodeId, number: u32) -> Option<NodeId> {
    region.iter().find(|(_, n)| n.kind == Kind::Project(number) && n.operands == [id]).map(|(p, _)| p)
}

/// Records where the results of a node are.
fn settle(region: &Region, id: NodeId, places: &[Ref], at: &mut HashMap<NodeId, Ref>) {
    for (i, place) in places.iter().enumerate() {
        if let Some(project) = projection(region, id, i as u32) {
            at.insert(project, place.clone());
        }
    }
}
