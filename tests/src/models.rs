//! Models of the library as reference cases configure them.

use anyhow::Result;
use weft_compiler::compile::{self, Specification, Subject};
use weft_compiler::import;

use weft_runtime::plan::Program;
use weft_runtime::step::Specials;
use weft_runtime::tensor::Tensor;

use crate::engine::{Engine, shown};
use crate::reference::{Case, Tensors};

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

/// Computes the function on a case's inputs. Those that it could do without and that the case does not give are as large as the first.
///
/// # Errors
/// The inputs do not fit.
pub fn compute(engine: &mut dyn Engine, inputs: &Tensors) -> Result<Tensors> {
    let program = Program::with_options("forward");
    let given: Vec<String> = inputs.iter().map(|(name, _)| name.clone()).collect();
    let mut all = inputs.clone();
    for name in engine.takes(&program)?.into_iter().filter(|name| !given.contains(name)) {
        let shape =
            inputs.iter().find(|(name, _)| name == "input_ids").map(|(_, ids)| ids.shape.clone()).unwrap_or_default();
        let none = vec![0; shape.iter().product()];
        all.push((name, Tensor::i64(&shape, none)?));
    }
    engine.run(&program, &all, &Specials { given, ..Specials::default() })
}
