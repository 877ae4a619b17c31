//! Models of the library as reference cases configure them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

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

/// The first case of each family, by the names of their architectures.
///
/// # Panics
/// The cases are not there.
pub fn families() -> Vec<Case> {
    let mut first = BTreeMap::new();
    for kind in ["papers", "random"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("references").join(kind);
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let case = Case::open(&format!("{kind}/{}", name.to_str().unwrap())).unwrap();
            first.entry(case.about["hf_class"].to_string()).or_insert(case);
        }
    }
    first.into_values().collect()
}
