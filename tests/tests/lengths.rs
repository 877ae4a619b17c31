//! No family keeps anything of the size of a text's length squared: neither while it computes nor while it is trained.

use std::collections::BTreeSet;

use anyhow::Result;
use weft_compiler::compile::{self, Options, Specification, Subject};
use weft_compiler::import::{self, Training, Wanted};
use weft_compiler::target::cpu::Cpu;
use weft_runtime::plan::{Plan, Program, Size};
use weft_runtime::tensor::Tensor;
use weft_runtime::weights::write_tensors;
use weft_tests::engine::shown;
use weft_tests::models::{families, imported};
use weft_tests::reference::Case;

/// What is not the length of a text: how many texts there are, and how many letters a word has.
const COUNTS: &[&str] = &["batch", "choice", "chunk", "neighbour", "letter", "stroke"];
/// What does keep one. BiDAF's similarity is read in two ways, by row and by column, neither of which is a softmax alone; a recurrent
/// decoder keeps the weights of each of its steps for their gradients.
const KEPT: &[&str] =
    &["Bidaf: forward: time · word", "Bidaf: train_step: time · word", "Seq2SeqLstm: train_step: source · time"];

/// Lengths multiplied with each other, as `time · source`; none where there are not two.
fn squared(program: &Program, size: &Size) -> Option<String> {
    size.terms.iter().find_map(|(_, variables)| {
        let names = variables.iter().map(|&number| program.sizes[number as usize].as_str());
        let lengths: Vec<&str> = names.filter(|name| !COUNTS.contains(name)).collect();
        (lengths.len() > 1).then(|| lengths.join(" · "))
    })
}

/// Values of a plan's program whose size is lengths multiplied with each other, but for what is given to it and what it gives.
fn squares(plan: &Plan) -> Vec<String> {
    let of = |program: &Program| -> Vec<String> {
        let ports: Vec<u32> = program.inputs.iter().chain(&program.outputs).map(|port| port.buffer).collect();
        let own = program.buffers.iter().enumerate().filter(|(number, _)| !ports.contains(&(*number as u32)));
        own.filter_map(|(_, buffer)| squared(program, &buffer.len)).map(|size| format!("{}: {size}", program.name)).collect()
    };
    let found: BTreeSet<String> = plan.programs.iter().flat_map(of).collect();
    found.into_iter().collect()
}

fn compiled(specification: &Specification, subject: &Subject, program: &str) -> Result<Plan> {
    let options = Options { gradients: true, ..Options::of(Cpu::host()) };
    let only = |name: &str| name == program;
    Ok(specification.compile_only(subject, &only, &options, &mut |_, _, _| {}).map_err(shown)?.plan)
}

/// The recipe that `weft import --train` writes for the inputs of a case; none where the model has no loss.
fn recipe(case: &Case) -> Result<Option<Specification>> {
    let to = case.path("imported.weft");
    let (text, _) = import::import(&case.path("."), &to, Wanted::default()).map_err(shown)?;
    let folder = tempfile::tempdir()?;
    let batches = folder.path().join("batches.safetensors");
    let stacked = |(name, tensor): (String, Tensor)| {
        let shape = std::iter::once(1).chain(tensor.shape).collect();
        (name, Tensor { shape, data: tensor.data })
    };
    write_tensors(&batches, &case.tensors("inputs.safetensors")?.into_iter().map(stacked).collect::<Vec<_>>())?;
    let training = Training { batches: &batches, uses: "use std.optimizers: sgd", optimizer: "sgd(rate: 0.1)" };
    let text = match import::recipe(&to, &text, &training).map_err(shown) {
        Err(error) if format!("{error:#}").contains("no `loss`") => return Ok(None),
        text => text?,
    };
    compile::specification(&to, &text).map_err(shown).map(Some)
}

#[test]
fn no_family_keeps_a_square() {
    let (mut found, mut trained) = (Vec::new(), 0);
    for case in families() {
        let name = case.about["hf_class"].as_str().unwrap_or_default().to_owned();
        let mut plans = Vec::new();
        let (specification, subject) = imported(&case).unwrap_or_else(|e| panic!("{name}: {e:#}"));
        plans.push(compiled(&specification, &subject, "forward"));
        if let Some(specification) = recipe(&case).unwrap_or_else(|e| panic!("{name}: {e:#}")) {
            trained += 1;
            plans.push(compiled(&specification, &Subject::Recipe("tune_imported".into()), "train_step"));
        }
        for plan in plans {
            let plan = plan.unwrap_or_else(|e| panic!("{name}: {e:#}"));
            found.extend(squares(&plan).into_iter().map(|square| format!("{name}: {square}")));
        }
    }
    assert_eq!(found, KEPT);
    assert!(trained > 40, "{trained}");
}
