//! Every rewrite rule is of use: it makes something new in the library's models, the examples, or the specifications of the tests
//! and benchmarks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use weft_compiler::compile::{Options, Subject, load};
use weft_compiler::target::cpu::Cpu;
use weft_compiler::{rewrite, survey};
use weft_dsl::elaborate::Setting;
use weft_tests::engine::shown;

/// The specifications of a folder.
fn specifications(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let files = folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path());
    files.filter(|file| file.extension().is_some_and(|ending| ending == "weft")).collect()
}

#[test]
fn no_rule_is_idle() {
    // Sizes without a default.
    let settings = [("vocab", 65), ("classes", 2)].map(|(name, size)| (name.to_string(), Setting::Int(size)));
    let mut fired = BTreeSet::new();
    for file in ["stdlib", "examples", "tests/specs", "benches/specs"].into_iter().flat_map(specifications) {
        let specification = load(&file).unwrap_or_else(|failure| panic!("{}", shown(failure)));
        let program = &specification.program;
        let recipes = program.recipes().into_iter().map(|name| Subject::Recipe(name.into()));
        let models = program.models().into_iter().map(|name| Subject::Model(name.into(), None));
        for subject in recipes.chain(models) {
            let report = |settings: &[_]| {
                let options = Options { settings: settings.to_vec(), gradients: true, ..Options::of(Cpu::host()) };
                survey::rewrites(&specification, &subject, &|_| true, &options)
            };
            // A setting that a subject does not have is a fault.
            let all = (0..=settings.len()).map(|count| &settings[count..]);
            let reports = all.chain([&settings[..1]]).map(report).find_map(Result::ok);
            let reports = reports.unwrap_or_else(|| panic!("{} {subject:?}", file.display()));
            let regions = reports.into_iter().flat_map(|(_, report)| report.regions);
            fired.extend(regions.flat_map(|region| region.fired).map(|(rule, _, _)| rule));
        }
    }
    let idle: Vec<_> =
        (0..rewrite::sets().count()).flat_map(rewrite::rules_of).filter(|rule| !fired.contains(rule)).collect();
    assert!(idle.is_empty(), "rules that nothing needs: {}", idle.join(", "));
}
