//! The plan: everything about a compiled specification that is not machine code, as plain data.
//!
//! The compiler makes it, an executable carries it, and [`crate::exec`] runs it. Sizes that are known only at run time are
//! polynomials over named variables; the runtime solves them once for each binding.

mod recipe;

use serde::{Deserialize, Serialize};

pub use recipe::{Data, Recipe, Tokenizer};

/// Version of this data; an executable and its runtime are built together, so it only guards files that hold a plan.
pub const FORMAT: u32 = 6;

/// The size that counts the places of a text that are kept.
pub const PAST: &str = "kept.past";
/// The size that says for how many places there is room.
pub const CAPACITY: &str = "kept.capacity";

/// The size that says how many places a ring has that holds the last `window` places: no more than there is room for.
pub fn room(window: i64) -> String {
    format!("kept.room.{window}")
}

/// The size that says where the next place goes in such a ring.
pub fn turn(window: i64) -> String {
    format!("kept.turn.{window}")
}

/// The value of a size that follows from [`PAST`] and [`CAPACITY`] by its name.
pub fn of_ring(name: &str, past: i64, capacity: i64) -> Option<i64> {
    let (what, window) = name.strip_prefix("kept.")?.split_once('.')?;
    let room = window.parse::<i64>().ok()?.min(capacity).max(1);
    match what {
        "room" => Some(room),
        "turn" => Some(past.rem_euclid(room)),
        _ => None,
    }
}

/// A compiled specification.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// The model's or recipe's name, as the user wrote it.
    pub name: String,
    /// Identifies parameters, programs and recipe; a checkpoint of another plan is refused.
    pub fingerprint: u64,
    /// What the machine code needs.
    pub target: Target,
    /// Storage that outlives a program's run: parameters, optimizer state, accumulators.
    pub slots: Vec<Slot>,
    /// Parameters, in declared order.
    pub params: Vec<Param>,
    /// Other people's names for the parameters.
    pub layouts: Vec<Layout>,
    /// Where the parameters lie where a run does not say: the layout, and a file or folder.
    pub weights: Option<(String, String)>,
    /// The programs: one for each `fn` of the model, and those of the recipe.
    pub programs: Vec<Program>,
    /// Symbol of each kernel; [`Launch::kernel`] indexes it.
    pub kernels: Vec<String>,
    /// How it is trained, where the specification says so.
    pub recipe: Option<Recipe>,
    /// Why the programs that keep places of a text could not be derived, where they could not.
    pub no_decode: Option<String>,
    /// How text becomes indices, where there is a recipe over text.
    pub tokenizer: Option<Tokenizer>,
}

/// The processor that the machine code was made for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Such as `x86_64-unknown-linux-gnu`.
    pub triple: String,
    /// Processor features that the code uses, such as `avx2`.
    pub features: Vec<String>,
}

/// A number of elements: a sum of products of size variables, `Σ coefficient · Π variable`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Coefficient and the variables (indices into [`Program::sizes`], repeated for powers).
    pub terms: Vec<(i64, Vec<u32>)>,
}

/// How an element is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 64-bit float: every scalar (a value without axes) is kept so.
    F64,
    /// 32-bit integer: integers and indices.
    I32,
    /// One byte, 0 or 1.
    Bool,
}

/// Storage that outlives a program's run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// A name unique in the plan: a parameter's path, `PATH/m`, …
    pub name: String,
    /// Its element.
    pub dtype: Dtype,
    /// Number of elements; 0 where a run decides it ([`Role::Kept`]).
    pub len: u64,
    /// What it holds.
    pub role: Role,
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Role {
    /// The parameter with this index.
    Param(u32),
    /// Optimizer state of a parameter; starts at the value; saved in checkpoints.
    State {
        /// The parameter.
        param: u32,
        /// Every element at the start.
        start: f64,
    },
    /// Sums over micro-batches; zeroed before the first; never saved.
    Accumulator,
    /// Another form of a slot, made by [`Step::Prepare`] when first needed; never saved.
    Prepared {
        /// The slot's number.
        of: u32,
        /// The form.
        packing: Packing,
    },
    /// What is kept of a text's places while it is written: as large as the programs that use it need; never saved.
    Kept,
}

/// How each of some matrices, one after another, lies packed: as streams of `lanes` columns; element `(column, k)` at
/// `(column / lanes · sum + k) · lanes + column mod lanes`. The last stream is filled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Packing {
    /// Columns of a matrix.
    pub columns: u64,
    /// Its places along the sum.
    pub sum: u64,
    /// Columns of a stream.
    pub lanes: u64,
    /// Whether the plain matrix lies `[sum, columns]`; otherwise `[columns, sum]`.
    pub along_columns: bool,
}

/// A parameter. One inside a repeated block stands for all repetitions: its storage is `[stack…, axes…]`, contiguous.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Its path; `{}` stands for the index in each repetition: `layers.{}.attention.query.weight`.
    pub path: String,
    /// How often each enclosing repetition repeats, outermost first.
    pub stack: Vec<u64>,
    /// Axes by name and size, in declared order: the order of files.
    pub axes: Vec<(String, u64)>,
    /// How it starts.
    pub init: Init,
    /// Whether the recipe trains it.
    pub trainable: bool,
}

/// How a parameter starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Init {
    /// Every element the same.
    Constant(f64),
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform on `[-bound, bound)`.
    Uniform {
        /// The bound.
        bound: f64,
    },
}

/// How somebody else stores the parameters (a `weights` item).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Its name: `huggingface`.
    pub name: String,
    /// One entry for each stored tensor that a parameter (or one piece of it) is read from.
    pub tensors: Vec<Stored>,
    /// Tensors that a file may hold besides, each with the one that it must be equal to; it stands for that where that is missing.
    pub copies: Vec<(String, String)>,
    /// Tensors that a file may hold and that are passed over; `*` stands for anything.
    pub ignored: Vec<String>,
}

/// Where one piece of a parameter lies in somebody else's file: one repetition of it, or one place of its first axes.
///
/// The stored tensor has shape `shape`. A piece has the last of the parameter's declared axes, as many as there are strides; its
/// element `(i₀ …)` is the stored element at `offset + Σ iₐ · strides[a]`, counted in elements of the row-major stored tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Index of the parameter.
    pub param: u32,
    /// Which piece, row-major over [`Param::stack`] and the axes before those of a piece; 0 where there is one.
    pub index: u64,
    /// The stored tensor's name.
    pub name: String,
    /// Its whole shape.
    pub shape: Vec<u64>,
    /// First element.
    pub offset: u64,
    /// One stride for each axis of a piece.
    pub strides: Vec<u64>,
}

/// Code that runs from inputs to outputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// `forward` or the name of a `fn` of the model; that of [`Program::with_options`]; `prefill`, `decode`, `prefill_rows`,
    /// `decode_rows`; `train_step`, `loss`, `score`, `weigh`,
    /// `accumulate`, `update`.
    pub name: String,
    /// Names of the size variables, such as `batch` and `time`; bound from the inputs' shapes, or by the run where it keeps places of
    /// a text ([`PAST`], [`CAPACITY`]).
    pub sizes: Vec<String>,
    /// Inputs.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// What the sizes must keep to, such as `time <= 64` because there are 64 positions.
    pub limits: Vec<Limit>,
    /// The slots that it writes, other than by [`Step::Prepare`].
    pub writes: Vec<u32>,
    /// Every buffer that the steps touch.
    pub buffers: Vec<Buffer>,
    /// What to run, in order.
    pub steps: Vec<Step>,
}

/// `size <= at_most`, or the program refuses to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// What is limited.
    pub size: Size,
    /// Its largest value.
    pub at_most: Size,
    /// In the user's names: ``axis `position` has 64 places``.
    pub why: String,
}

/// A named tensor at the border of a program, row-major in the written order of axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// The argument's or result's name.
    pub name: String,
    /// Axes by name with their sizes.
    pub axes: Vec<(String, Size)>,
    /// For indices: one more than the largest allowed; negative ones are refused too. Checked before the program runs.
    pub bound: Option<Size>,
    /// One number that is allowed besides.
    pub or: Option<i64>,
    /// The buffer.
    pub buffer: u32,
}

/// Memory that steps read and write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Buffer {
    /// Its element.
    pub dtype: Dtype,
    /// Number of elements.
    pub len: Size,
    /// Where it lies.
    pub place: Place,
}

/// Where a buffer lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Place {
    /// In the program's arena. Steps are numbered in pre-order, loops counting as one and then their bodies; the buffer holds
    /// a value from the start of the first to the end of the last (both within one numbering, so that two buffers whose ranges
    /// do not meet may share memory).
    Arena {
        /// First step that touches it.
        first: u32,
        /// Last step that touches it.
        last: u32,
    },
    /// In a slot of the plan.
    Slot(u32),
    /// An input's data.
    Input,
    /// An output's data.
    Output,
    /// Constant data, little endian.
    Constant(Vec<u8>),
}

/// A step of a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// Run a kernel.
    Launch(Launch),
    /// Run steps a number of times (a repeated block, a scan).
    Loop {
        /// How often.
        count: Size,
        /// Walk the logical index from the last to the first.
        reverse: bool,
        /// What to run.
        body: Vec<Step>,
    },
    /// Make the contents of a slot ([`Role::Prepared`]), unless they were made since what it is made of was last written.
    Prepare {
        /// The slot.
        slot: u32,
        /// What makes it.
        launch: Launch,
    },
}

/// One run of a kernel, which is `extern "C" fn(args: *const *mut u8, sizes: *const i64, begin: i64, end: i64, scratch: *mut u8)`
/// and does the tiles `begin..end`. Tiles are independent; which thread does which changes no bit of the result.
///
/// After the kernel's own `sizes` lie, one for each argument, the number of elements from where the argument starts to the end
/// of its buffer. The scratch memory is aligned to 64 bytes; its first 64 bytes are a status, zero before the launch, where code that
/// was compiled to check itself stores `argument + 1` and the index (two i64) of an access out of bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// Index into [`Plan::kernels`].
    pub kernel: u32,
    /// Buffers, in the kernel's order.
    pub args: Vec<Arg>,
    /// Values of the kernel's size parameters.
    pub sizes: Vec<Size>,
    /// The number of tiles is the product of `⌈size / block⌉`.
    pub tiles: Vec<(Size, u64)>,
    /// Bytes of scratch memory that each thread needs, the status included.
    pub scratch: u64,
    /// Rough cost of one tile in nanoseconds, to keep small work on one thread.
    pub cost: f64,
    /// What all tiles together do, for profiles.
    pub work: Work,
    /// Whether it may run beside the launch before it in its block and beside what that runs beside: it reads nothing that they
    /// write and writes nothing that they touch. At most [`MOST_BESIDE`] run so.
    pub beside: bool,
}

/// The most launches that run beside one another.
pub const MOST_BESIDE: usize = 8;

/// What a launch does, whatever its schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Additions, multiplications and other functions, `2 · m · n · k` for a product; each value counted once.
    pub operations: Size,
    /// Share of them that is done: an affine mask leaves others out.
    pub share: f64,
    /// Bytes of what it reads, each place once, and writes.
    pub bytes: Size,
}

/// A buffer as an argument of a kernel: where in it the kernel starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arg {
    /// Index into [`Program::buffers`].
    pub buffer: u32,
    /// First element.
    pub offset: Size,
    /// What each enclosing loop adds to it.
    pub strides: Vec<Stride>,
}

/// What a loop adds to an argument's offset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stride {
    /// Which enclosing loop, outermost 0.
    pub depth: u32,
    /// What is counted.
    pub by: Count,
    /// Elements for each count.
    pub step: Size,
}

/// What a loop counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Count {
    /// The logical index: falls in a reversed loop.
    Index,
    /// `(iterations done + add) mod modulus`: carried values take turns.
    Turn {
        /// 0 for the value that comes in, 1 for the one that goes out.
        add: u32,
        /// Number of places.
        modulus: u32,
    },
}
