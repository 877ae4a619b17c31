//! Where parameters lie in somebody else's files: said once for a parameter, told apart for each tensor when it is asked for.

/// A tensor of somebody else's file, for one piece of a parameter: element `(i₀ …)` of the piece is the stored row-major element at
/// `offset + Σ iₐ · strides[a]`. The axes of a piece are the last of the parameter's, as many as there are strides.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTensor {
    /// The parameter's path, with `{}` for repetitions.
    pub path: String,
    /// Which piece, row-major over the parameter's stack and the axes before those of a piece.
    pub index: u64,
    /// The stored tensor's name.
    pub name: String,
    /// Its whole shape.
    pub shape: Vec<u64>,
    /// First element.
    pub offset: u64,
    /// One for each axis of a piece.
    pub strides: Vec<u64>,
}

/// The tensors that hold a parameter, one for each of its pieces: as [`StoredTensor`] says, all alike but for their names.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredParameter {
    pub(super) path: String,
    /// The axes along which each place is a piece.
    pub(super) sizes: Vec<u64>,
    pub(super) name: Template,
    /// Names of copies.
    pub(super) also: Vec<Template>,
    pub(super) shape: Vec<u64>,
    pub(super) offset: u64,
    pub(super) strides: Vec<u64>,
}

/// A name in which numbers stand.
pub(super) type Template = Vec<Part>;

/// A part of a name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    /// `first + step · place`, the place on one of the pieces' axes.
    Number {
        axis: usize,
        first: u64,
        step: u64,
    },
}

/// A `weights` item for a model, elaborated.
#[derive(Clone, Debug, PartialEq)]
pub struct LayoutOut {
    /// Its name.
    pub name: String,
    /// Every parameter's place.
    pub parameters: Vec<StoredParameter>,
    /// Tensors that a file may hold and that are no parameters; `*` stands for anything.
    pub ignored: Vec<String>,
}

impl LayoutOut {
    /// Every tensor that holds a parameter or some of it.
    pub fn tensors(&self) -> impl Iterator<Item = StoredTensor> {
        self.parameters.iter().flat_map(StoredParameter::tensors)
    }

    /// Tensors that a file may hold besides, each with the one that it must be equal to.
    pub fn copies(&self) -> Vec<(String, String)> {
        let mut copies: Vec<_> = self.parameters.iter().flat_map(StoredParameter::copies).collect();
        copies.sort();
        copies.dedup();
        copies
    }
}

impl StoredParameter {
    /// The tensor of each piece.
    pub fn tensors(&self) -> impl Iterator<Item = StoredTensor> {
        (0..self.pieces()).map(|index| StoredTensor {
            path: self.path.clone(),
            index,
            name: self.named(&self.name, index),
            shape: self.shape.clone(),
            offset: self.offset,
            strides: self.strides.clone(),
        })
    }

    fn copies(&self) -> impl Iterator<Item = (String, String)> {
        let named = |also, index| (self.named(also, index), self.named(&self.name, index));
        self.also.iter().flat_map(move |also| (0..self.pieces()).map(move |index| named(also, index)))
    }

    /// How many tensors hold it.
    pub(super) fn pieces(&self) -> u64 {
        self.sizes.iter().fold(1, |product: u64, &size| product.saturating_mul(size))
    }

    /// A name of one piece, the last of the axes going fastest.
    fn named(&self, template: &[Part], index: u64) -> String {
        let place = |axis: usize| {
            let within: u64 = self.sizes[axis + 1..].iter().product();
            index / within.max(1) % self.sizes[axis].max(1)
        };
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Number { axis, first, step } => (first + step * place(*axis)).to_string(),
        };
        template.iter().map(part).collect()
    }
}
