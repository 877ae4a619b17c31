//! The size parameters of a kernel.

use weft_dsl::size::Size;

use crate::kernel::{Reg, Writer};

/// Sizes that a kernel reads at run time, each once. A known size is an immediate and takes no parameter.
#[derive(Clone, Debug, Default)]
pub struct SizeTable {
    list: Vec<Size>,
}

impl SizeTable {
    /// No sizes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The size as an I64 scalar.
    pub fn reg(&mut self, w: &mut Writer, size: &Size) -> Reg {
        match size.known() {
            Some(n) => w.int(n),
            None => w.size(self.number(size)),
        }
    }

    /// The number of a size parameter.
    pub fn number(&mut self, size: &Size) -> u32 {
        let found = self.list.iter().position(|s| s == size);
        found.unwrap_or_else(|| {
            self.list.push(size.clone());
            self.list.len() - 1
        }) as u32
    }

    /// The parameters in order, for [`super::Scheduled::sizes`].
    pub fn into_sizes(self) -> Vec<Size> {
        self.list
    }
}
