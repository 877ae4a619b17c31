//! Models of the library as reference cases configure them.

use anyhow::Result;
use weft_compiler::compile::{self, Specification, Subject};
use weft_compiler::import;

use crate::engine::shown;
use crate::reference::Case;

/// A case's folder as a specification, and what of it is computed: its function under transformers' names.
///
/// # Errors
/// No model of the library is for the case, or the files do not fit it.
pub fn imported(case: &Case) -> Result<(Specification, Subject)> {
    let to = case.path("imported.weft");
    let (text, _) = import::import(&case.path("."), &to, import::Wanted::default()).map_err(shown)?;
    let specification = compile::specification(&to, &text).map_err(shown)?;
    import::check(&specification).map_err(shown)?;
    Ok((specification, Subject::Model("Imported".into(), Some(None))))
}
