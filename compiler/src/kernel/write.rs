//! Writing kernels: a small assembler that keeps track of shapes.

use super::{Carried, Dtype, Inst, Kernel, Place, Reg, STATUS_BYTES, Shape, Stmt};
use weft_dsl::elementwise::{Elementwise, Signature};
use weft_dsl::op::{Monoid, Number};

/// Writes a kernel statement by statement.
#[derive(Debug)]
pub struct Writer {
    kernel: Kernel,
    /// Blocks that are open, innermost last.
    open: Vec<(Block, Vec<Stmt>)>,
    /// Blocks opened so far.
    blocks: u32,
    /// Registers of the sizes that are read, in order of the first reading: all are assigned before anything else.
    sizes: Vec<(u32, Reg)>,
}

/// A block of statements. A register may be used in the block that assigns it, and in those within, while they are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block(u32);

impl Writer {
    /// A kernel with these arguments and this many sizes.
    pub fn new(args: Vec<Dtype>, sizes: u32) -> Self {
        let (registers, body, far) = (Vec::new(), Vec::new(), Vec::new());
        let kernel = Kernel { args, sizes, scratch: STATUS_BYTES, registers, body, far, product: None };
        Self { kernel, open: vec![(Block(0), Vec::new())], blocks: 1, sizes: Vec::new() }
    }

    /// The finished kernel.
    pub fn finish(mut self) -> Kernel {
        let sizes = self.sizes.iter().map(|&(number, reg)| Stmt::Let(reg, Inst::Size(number)));
        self.kernel.body = sizes.chain(self.open.pop().unwrap_or((Block(0), Vec::new())).1).collect();
        self.kernel.sizes = self.sizes.iter().map(|&(number, _)| number + 1).fold(self.kernel.sizes, u32::max);
        self.kernel
    }

    /// The innermost open block.
    pub fn block(&self) -> Block {
        self.open.last().map_or(Block(0), |(block, _)| *block)
    }

    /// Whether a block is still open, so that its registers may be used.
    pub fn is_open(&self, block: Block) -> bool {
        self.open.iter().any(|(open, _)| *open == block)
    }

    fn enter(&mut self) {
        self.open.push((Block(self.blocks), Vec::new()));
        self.blocks += 1;
    }

    fn leave(&mut self) -> Vec<Stmt> {
        self.open.pop().map(|(_, stmts)| stmts).unwrap_or_default()
    }

    /// Scratch memory of so many elements, aligned to 64 bytes.
    pub fn scratch(&mut self, dtype: Dtype, elements: u32) -> Place {
        let at = self.kernel.scratch;
        self.kernel.scratch += (elements * dtype.bytes()).next_multiple_of(64);
        Place::Scratch(at, dtype)
    }

    /// A register's shape.
    pub fn shape(&self, reg: Reg) -> Shape {
        self.kernel.registers[reg.0 as usize]
    }

    fn register(&mut self, dtype: Dtype, lanes: u16) -> Reg {
        self.kernel.registers.push(Shape { dtype, lanes });
        Reg(self.kernel.registers.len() as u32 - 1)
    }

    fn push(&mut self, stmt: Stmt) {
        if let Some((_, stmts)) = self.open.last_mut() {
            stmts.push(stmt);
        }
    }

    fn assign(&mut self, dtype: Dtype, lanes: u16, inst: Inst) -> Reg {
        let reg = self.register(dtype, lanes);
        self.push(Stmt::Let(reg, inst));
        reg
    }

    /// The tile's number.
    pub fn tile(&mut self) -> Reg {
        self.assign(Dtype::I64, 1, Inst::Tile)
    }

    /// A size parameter; read once, at the start, so that no loop reads it again.
    pub fn size(&mut self, number: u32) -> Reg {
        if let Some(&(_, reg)) = self.sizes.iter().find(|(n, _)| *n == number) {
            return reg;
        }
        let reg = self.register(Dtype::I64, 1);
        self.sizes.push((number, reg));
        reg
    }

    /// A number in every lane.
    pub fn constant(&mut self, dtype: Dtype, lanes: u16, value: f64) -> Reg {
        self.assign(dtype, lanes, Inst::Constant(Number(value)))
    }

    /// An I64 scalar.
    pub fn int(&mut self, value: i64) -> Reg {
        self.constant(Dtype::I64, 1, value as f64)
    }

    /// An elementwise operation; scalars are splat to the lanes of the other operands.
    pub fn map(&mut self, op: Elementwise, operands: &[Reg]) -> Reg {
        let lanes = operands.iter().map(|&r| self.shape(r).lanes).max().unwrap_or(1);
        let operands: Vec<Reg> = operands.iter().map(|&r| self.splat(r, lanes)).collect();
        let dtype = match op.row().signature {
            Signature::Compare | Signature::Logic => Dtype::Bool,
            Signature::Select => self.shape(operands[1]).dtype,
            Signature::Number | Signature::Real | Signature::Integer => self.shape(operands[0]).dtype,
        };
        self.assign(dtype, lanes, Inst::Map(op, operands))
    }

    /// `a + b`
    pub fn add(&mut self, a: Reg, b: Reg) -> Reg {
        self.map(Elementwise::ADD, &[a, b])
    }

    /// `a - b`
    pub fn sub(&mut self, a: Reg, b: Reg) -> Reg {
        self.map(Elementwise::SUB, &[a, b])
    }

    /// `a · b`
    pub fn mul(&mut self, a: Reg, b: Reg) -> Reg {
        self.map(Elementwise::MUL, &[a, b])
    }

    /// `a · b + c`, rounded once; scalars are splat.
    pub fn fma(&mut self, a: Reg, b: Reg, c: Reg) -> Reg {
        let shape = self.shape(c);
        let (a, b) = (self.splat(a, shape.lanes), self.splat(b, shape.lanes));
        self.assign(shape.dtype, shape.lanes, Inst::Fma(a, b, c))
    }

    /// To another dtype.
    pub fn convert(&mut self, value: Reg, dtype: Dtype) -> Reg {
        let shape = self.shape(value);
        if shape.dtype == dtype { value } else { self.assign(dtype, shape.lanes, Inst::Convert(value)) }
    }

    /// A scalar in every lane; a vector of these lanes is left as it is.
    pub fn splat(&mut self, value: Reg, lanes: u16) -> Reg {
        let shape = self.shape(value);
        if shape.lanes == lanes { value } else { self.assign(shape.dtype, lanes, Inst::Splat(value)) }
    }

    /// 0, 1, 2, …
    pub fn iota(&mut self, dtype: Dtype, lanes: u16) -> Reg {
        self.assign(dtype, lanes, Inst::Iota)
    }

    /// Lanes that follow one another.
    pub fn load(&mut self, place: Place, index: Reg, lanes: u16, mask: Option<Reg>) -> Reg {
        let dtype = self.dtype(place);
        self.assign(dtype, lanes, Inst::Load(place, index, mask))
    }

    /// Lanes from an index each.
    pub fn gather(&mut self, place: Place, index: Reg, mask: Option<Reg>) -> Reg {
        let (dtype, lanes) = (self.dtype(place), self.shape(index).lanes);
        self.assign(dtype, lanes, Inst::Gather(place, index, mask))
    }

    /// One lane.
    pub fn extract(&mut self, value: Reg, lane: u16) -> Reg {
        let dtype = self.shape(value).dtype;
        self.assign(dtype, 1, Inst::Extract(value, lane))
    }

    /// Lanes of two vectors by number.
    pub fn shuffle(&mut self, a: Reg, b: Reg, lanes: Vec<u16>) -> Reg {
        let dtype = self.shape(a).dtype;
        let count = lanes.len() as u16;
        self.assign(dtype, count, Inst::Shuffle(a, b, lanes))
    }

    /// All lanes joined.
    pub fn fold(&mut self, monoid: Monoid, value: Reg) -> Reg {
        let shape = self.shape(value);
        if shape.lanes == 1 { value } else { self.assign(shape.dtype, 1, Inst::Fold(monoid, value)) }
    }

    /// A word of Philox 4x32-10.
    pub fn philox(&mut self, key: [Reg; 2], counter: [Reg; 4], word: u8) -> Reg {
        let lanes = key.iter().chain(&counter).map(|&r| self.shape(r).lanes).max().unwrap_or(1);
        let key = key.map(|r| self.splat(r, lanes));
        let counter = counter.map(|r| self.splat(r, lanes));
        self.assign(Dtype::I32, lanes, Inst::Philox(key, counter, word))
    }

    /// Stores lanes one after another.
    pub fn store(&mut self, place: Place, index: Reg, value: Reg, mask: Option<Reg>) {
        self.push(Stmt::Store(place, index, value, mask));
    }

    /// Stores each lane at its own index.
    pub fn scatter(&mut self, place: Place, index: Reg, value: Reg, mask: Option<Reg>) {
        self.push(Stmt::Scatter(place, index, value, mask));
    }

    /// Brings what will be read soon nearer.
    pub fn fetch(&mut self, place: Place, index: Reg) {
        self.push(Stmt::Fetch(place, index));
    }

    /// The upper bits of F32, rounded, as F32.
    pub fn upper(&mut self, value: Reg) -> Reg {
        let lanes = self.shape(value).lanes;
        self.assign(Dtype::F32, lanes, Inst::Upper(value))
    }

    /// The upper bits of two F32, the first's below.
    pub fn uppers(&mut self, below: Reg, above: Reg) -> Reg {
        let lanes = self.shape(below).lanes;
        self.assign(Dtype::I32, lanes, Inst::Uppers(below, above))
    }

    /// Work for a matrix unit.
    pub fn tiles(&mut self, work: super::tiles::Work) {
        self.push(Stmt::Tiles(work));
    }

    /// A loop. The body gets the variable and the carried values, and gives those for the next step; the loop gives the last.
    pub fn repeat(
        &mut self,
        (from, to, step): (Reg, Reg, u32),
        init: &[Reg],
        body: impl FnOnce(&mut Self, Reg, &[Reg]) -> Vec<Reg>,
    ) -> Vec<Reg> {
        let var = self.register(Dtype::I64, 1);
        let fresh = |w: &mut Self| -> Vec<Reg> {
            init.iter().map(|&r| w.shape(r)).collect::<Vec<_>>().into_iter().map(|s| w.register(s.dtype, s.lanes)).collect()
        };
        let (inside, results) = (fresh(self), fresh(self));
        self.enter();
        let next = body(self, var, &inside);
        let body = self.leave();
        let carried = (0..init.len())
            .map(|i| Carried { init: init[i], inside: inside[i], next: next[i], result: results[i] })
            .collect();
        self.push(Stmt::For { var, from, to, step, carried, body });
        results
    }

    /// Statements that run where a condition holds.
    pub fn when(&mut self, cond: Reg, then: impl FnOnce(&mut Self)) {
        self.enter();
        then(self);
        let then = self.leave();
        self.push(Stmt::If { cond, then, otherwise: Vec::new() });
    }

    /// A place's element.
    pub fn dtype(&self, place: Place) -> Dtype {
        match place {
            Place::Arg(number) => self.kernel.args[number as usize],
            Place::Scratch(_, dtype) => dtype,
        }
    }
}
