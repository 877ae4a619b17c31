//! Every family against transformers' numbers at random sizes: odd widths, one head of keys, one token, padding on either side,
//! optional parts there and not; and those that transformers does not have against their papers' equations. `tests/make_references.py`
//! and `tests/make_paper_references.py` made the cases.

use std::fs;
use std::path::Path;

use weft_tests::engine::{Task, Way, engine};
use weft_tests::models::imported;
use weft_tests::reference::Case;

/// The cases, by folder.
fn cases() -> Vec<String> {
    let of = |kind: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("references").join(kind);
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.map(|name| format!("{kind}/{name}")).collect::<Vec<_>>()
    };
    let mut names = [of("random"), of("papers")].concat();
    names.sort();
    names
}

fn reproduced(way: Way) {
    let mut wrong = Vec::new();
    for name in cases() {
        let case = Case::open(&name).unwrap();
        let reproduced = || -> anyhow::Result<()> {
            let (specification, subject) = imported(&case)?;
            let mut engine = engine(way, &specification, &Task { subject, settings: &[], threads: 2 })?;
            engine.load(&case.path("model.safetensors"), "huggingface")?;
            case.check(&engine.call(&case.tensors("inputs.safetensors")?)?)
        };
        wrong.extend(reproduced().err().map(|error| format!("{name}: {error:#}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn by_the_interpreter() {
    reproduced(Way::Interpreter);
}

#[test]
fn optimised() {
    reproduced(Way::Optimised { checked: false });
}
