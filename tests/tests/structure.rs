//! What programs compile to, by structure: the same kernel for the same thing however it is written, nothing of positions by
//! positions in memory, one kernel where one is enough, no more kernels for a deeper model.

use std::path::{Path, PathBuf};

use weft_compiler::compile::{Options, Specification, Subject};
use weft_compiler::kernel::Kernel;
use weft_compiler::plan::Kernels;
use weft_compiler::target::cpu::Cpu;
use weft_dsl::elaborate::Setting;
use weft_runtime::plan::{CAPACITY, Launch, PAST, Place, Plan, Program, Size, Step};
use weft_tests::engine::{shown, specification};

/// What a specification compiles to, without machine code. For one processor, so that every machine plans the same.
struct Planned {
    plan: Plan,
    kernels: Kernels,
}

impl Planned {
    fn of(specification: &Specification, subject: &Subject, settings: &[(&str, i64)], optimise: bool) -> Self {
        let settings = settings.iter().map(|&(name, value)| (name.to_string(), Setting::Int(value))).collect();
        let cpu = Cpu::named("x86-64-v3").unwrap();
        let options = Options { settings, optimise, validate: true, ..Options::of(cpu) };
        let (plan, kernels) = specification
            .plan(subject, &|_| true, &options, &mut |_, _, _| {})
            .unwrap_or_else(|failure| panic!("{:#}", shown(failure)));
        Self { plan, kernels }
    }

    /// The only model of a case.
    fn case(name: &str) -> Self {
        let specification = read(&case_path(name));
        Self::of(&specification, &specification.subject(None).unwrap(), &[], true)
    }

    /// A recipe of a case.
    fn recipe(case: &str, name: &str) -> Self {
        Self::of(&read(&case_path(case)), &Subject::Recipe(name.into()), &[], true)
    }

    /// A model of the library.
    fn library(file: &str, model: &str, settings: &[(&str, i64)]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../stdlib/{file}.weft"));
        Self::of(&read(&path), &Subject::Model(model.into(), None), settings, true)
    }

    fn program(&self, name: &str) -> &Program {
        self.plan.programs.iter().find(|p| p.name == name).unwrap_or_else(|| panic!("there is no program `{name}`"))
    }

    /// The form of each kernel that a program launches, in order; those of a loop once.
    fn forms(&self, program: &str) -> Vec<&str> {
        self.launched(program).into_iter().map(|kernel| form(&self.plan.kernels[kernel])).collect()
    }

    /// The numbers of the kernels that a program launches.
    fn launched(&self, program: &str) -> Vec<usize> {
        let mut found = Vec::new();
        launches(&self.program(program).steps, &mut found);
        found
    }

    /// The only attention of a program.
    fn attention(&self, program: &str) -> &Kernel {
        self.only(program, "attention")
    }

    /// The only kernel of a form.
    fn only(&self, program: &str, of: &str) -> &Kernel {
        let launched = self.launched(program);
        let mut found = launched.iter().filter(|&&kernel| form(&self.plan.kernels[kernel]) == of);
        let kernel = *found.next().unwrap_or_else(|| panic!("there is an {of}: {:?}", self.forms(program)));
        assert!(found.next().is_none(), "there is more than one {of}: {:?}", self.forms(program));
        &self.kernels.list[kernel].1
    }
}

fn case_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("cases/structure/{name}.weft"))
}

fn read(path: &Path) -> Specification {
    specification(path).unwrap_or_else(|e| panic!("{e:#}"))
}

/// Of the symbol `weft_FORM_NUMBER`.
fn form(symbol: &str) -> &str {
    symbol.strip_prefix("weft_").and_then(|s| s.rsplit_once('_')).expect("symbols are made so").0
}

fn launches(steps: &[Step], found: &mut Vec<usize>) {
    for step in steps {
        match step {
            Step::Launch(launch) => found.push(launch.kernel as usize),
            // Once for all runs.
            Step::Prepare { .. } => {}
            Step::Loop { body, .. } => launches(body, found),
        }
    }
}

/// How often a size variable is multiplied with itself, at most.
fn power(size: &Size, variable: u32) -> usize {
    size.terms.iter().map(|(_, variables)| variables.iter().filter(|&&v| v == variable).count()).max().unwrap_or(0)
}

/// That two cases launch the same forms of kernels, and the same kernel of attention.
fn same_attention(one: &str, other: &str) {
    let (first, second) = (Planned::case(one), Planned::case(other));
    assert_eq!(first.forms("forward"), second.forms("forward"), "`{one}` and `{other}`");
    let same = first.attention("forward") == second.attention("forward");
    assert!(same, "`{one}` and `{other}` have different kernels of attention");
}

#[test]
fn attention_is_one_kernel_with_other_names() {
    same_attention("attention_library", "attention_own_names");
}

#[test]
fn attention_is_one_kernel_with_the_scale_on_the_queries() {
    same_attention("attention_library", "attention_scaled_query");
}

#[test]
fn attention_is_one_kernel_with_a_mask_that_is_added() {
    same_attention("attention_library", "attention_additive_mask");
}

#[test]
fn attention_is_one_kernel_with_an_axis_of_one_head() {
    same_attention("attention_library", "attention_members");
}

#[test]
fn attention_is_trained_by_one_kernel_with_an_axis_of_one_head() {
    let [block, function] = ["block", "function"].map(|name| Planned::recipe("attention_training", name));
    let [first, second] = [&block, &function].map(|planned| {
        let mut forms = planned.forms("train_step");
        forms.sort_unstable();
        forms
    });
    assert_eq!(first, second);
    for form in ["attention", "attention_backward"] {
        assert!(block.only("train_step", form) == function.only("train_step", form), "other kernels of {form}");
    }
}

#[test]
fn attention_of_several_masks_is_one_kernel_however_they_are_joined() {
    let planned = Planned::case("attention_masks");
    let first = planned.launched("library_block");
    assert!(planned.plan.programs.len() > 1);
    for program in &planned.plan.programs {
        // Kernels of one plan that are equal are one.
        assert_eq!(planned.launched(&program.name), first, "`{}`: {:?}", program.name, planned.forms(&program.name));
        planned.attention(&program.name);
    }
}

#[test]
fn attention_of_shared_keys_is_one_kernel_with_other_names() {
    same_attention("grouped_library", "grouped_own_names");
}

#[test]
fn another_attention_is_another_kernel() {
    // The comparison above can fail.
    let causal = Planned::case("attention_library");
    let grouped = Planned::case("grouped_library");
    assert!(causal.attention("forward") != grouped.attention("forward"));
}

#[test]
fn nothing_of_positions_by_positions_is_stored() {
    let mut seen = 0;
    let cases = ["attention_library", "attention_additive_mask", "attention_members", "attention_masks"].map(Planned::case);
    let grouped = ["grouped_library", "grouped_own_names"].map(Planned::case);
    let models = [Planned::library("gpt2", "Gpt2", &[]), Planned::library("bert", "Bert", &[])];
    for planned in cases.iter().chain(&grouped).chain(&models) {
        for program in &planned.plan.programs {
            for variable in 0..program.sizes.len() as u32 {
                for buffer in &program.buffers {
                    let name = &program.sizes[variable as usize];
                    let most = power(&buffer.len, variable);
                    assert!(most < 2, "`{}`: `{}` stores {name}^{most}", planned.plan.name, program.name);
                    seen += most;
                }
            }
        }
    }
    assert!(seen > 0, "some buffers have run-time sizes");
}

#[test]
fn compiled_as_written_the_scores_are_stored() {
    // What the tests around this one look for can be seen.
    let specification = read(&case_path("attention_library"));
    let planned = Planned::of(&specification, &specification.subject(None).unwrap(), &[], false);
    let program = planned.program("forward");
    let squares = |variable| program.buffers.iter().any(|buffer| power(&buffer.len, variable) == 2);
    assert!((0..program.sizes.len() as u32).any(squares));
}

#[test]
fn training_stores_nothing_of_positions_by_positions() {
    let planned = Planned::recipe("recipe", "shallow");
    let (mut positions, square) = (0, 97 * 97);
    for program in &planned.plan.programs {
        for buffer in &program.buffers {
            for (coefficient, variables) in &buffer.len.terms {
                let known = |factor: i64| variables.is_empty() && coefficient % factor == 0;
                assert!(!known(square), "`{}` stores {coefficient} elements", program.name);
                positions += usize::from(known(97));
            }
            let most = (0..program.sizes.len() as u32).map(|v| power(&buffer.len, v)).max().unwrap_or(0);
            assert!(most < 2, "`{}` stores the square of a size", program.name);
        }
    }
    assert!(positions > 0, "sizes of this recipe are known");
    assert!(planned.forms("train_step").contains(&"attention_backward"), "{:?}", planned.forms("train_step"));
}

#[test]
fn what_is_kept_is_written_and_read_where_it_lies() {
    let planned = Planned::library("gpt2", "Gpt2", &[]);
    let mut kept = 0;
    for name in ["prefill", "decode", "prefill_rows", "decode_rows"] {
        let program = planned.program(name);
        let number = |name: &str| program.sizes.iter().position(|n| n == name).map(|n| n as u32);
        let capacity = number(CAPACITY).expect("there is room for places");
        for buffer in &program.buffers {
            let is_kept = power(&buffer.len, capacity) > 0;
            assert_eq!(is_kept, matches!(buffer.place, Place::Slot(slot) if planned.plan.slots[slot as usize].len == 0));
            kept += usize::from(is_kept);
            // Of the past no more is stored than a score for each head.
            let scores = |past: u32| buffer.len.terms.iter().all(|(n, v)| !v.contains(&past) || *n <= 12);
            assert!(is_kept || number(PAST).is_none_or(scores), "`{name}` stores {:?} elements", buffer.len);
        }
    }
    assert_eq!(kept, 8, "keys and values, in each program");
}

#[test]
fn decoding_is_few_kernels() {
    let planned = Planned::library("gpt2", "Gpt2", &[]);
    insta::assert_snapshot!(format!(
        "prefill: {}\ndecode: {}\n",
        planned.forms("prefill").join(" "),
        planned.forms("decode").join(" ")
    ));
}

#[test]
fn a_linear_map_with_bias_and_gelu_is_one_product() {
    assert_eq!(Planned::case("linear_gelu").forms("forward"), ["product"]);
}

#[test]
fn a_layer_norm_is_one_pass() {
    assert_eq!(Planned::case("layer_norm").forms("forward"), ["loops"]);
}

#[test]
fn kernels_do_not_grow_with_depth() {
    let of = |depth: i64, recipe: &str| {
        let settings = [("depth", depth)];
        let model = |file: &str, name: &str| Planned::library(file, name, &settings);
        [model("gpt2", "Gpt2"), model("bert", "Bert"), Planned::recipe("recipe", recipe)]
    };
    for (shallow, deep) in of(12, "shallow").iter().zip(&of(48, "deep")) {
        let name = &shallow.plan.name;
        assert_eq!(shallow.kernels.list.len(), deep.kernels.list.len(), "{name}: number of kernels");
        for (one, other) in shallow.plan.programs.iter().zip(&deep.plan.programs) {
            assert_eq!(shallow.forms(&one.name), deep.forms(&other.name), "{name}: steps of `{}`", one.name);
        }
        // Not that they were left out.
        let repeats = |planned: &Planned| planned.plan.params.iter().filter_map(|p| p.stack.first().copied()).max();
        assert_eq!((repeats(shallow), repeats(deep)), (Some(12), Some(48)), "{name}");
    }
}

/// What is set to compile a way of writing attention, and whether keys are shared.
const ATTENTIONS: &[(&str, i64, i64)] = &[
    ("plain", 0, 1),
    ("scale on the query", 1, 1),
    ("added mask", 2, 1),
    ("soft cap", 3, 1),
    ("ALiBi", 4, 1),
    ("a slope that learns", 5, 1),
    ("window", 6, 1),
    ("prefix", 7, 1),
    ("documents", 8, 1),
    ("a table of distances that learns", 9, 1),
    ("grouped", 0, 2),
];

#[test]
fn attention_is_one_kernel_and_its_derivative_another_however_it_is_written() {
    let specification = read(&case_path("attentions"));
    for &(name, kind, members) in ATTENTIONS {
        let settings = [("kind", kind), ("members", members)];
        let planned = Planned::of(&specification, &Subject::Recipe("reading".into()), &settings, true);
        let forms = planned.forms("train_step");
        let count = |form: &str| forms.iter().filter(|&&f| f == form).count();
        assert_eq!((count("attention"), count("attention_backward")), (1, 1), "{name}: {forms:?}");
        for program in &planned.plan.programs {
            for buffer in &program.buffers {
                let square = |(n, variables): &(i64, Vec<u32>)| variables.is_empty() && *n != 0 && n % (97 * 97) == 0;
                assert!(!buffer.len.terms.iter().any(square), "{name}: `{}` stores {:?}", program.name, buffer.len);
                let most = (0..program.sizes.len() as u32).map(|v| power(&buffer.len, v)).max().unwrap_or(0);
                assert!(most < 2, "{name}: `{}` stores the square of a size", program.name);
            }
        }
    }
}

/// How many results of each product of a recipe's training step lie far.
fn far(file: &str, recipe: &str) -> Vec<usize> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let planned = Planned::of(&read(&path), &Subject::Recipe(recipe.into()), &[], true);
    let launched = planned.launched("train_step");
    let products = launched.into_iter().filter(|&kernel| form(&planned.plan.kernels[kernel]) == "product");
    products.map(|kernel| planned.kernels.list[kernel].1.far.len()).collect()
}

#[test]
fn what_much_is_stored_before_it_is_read_again_lies_far() {
    // One product of a layer makes the activation and its derivative.
    let large = far("../benches/specs/nanogpt_big.weft", "big");
    assert_eq!(large.iter().filter(|&&results| results == 2).count(), 1, "{large:?}");
    let small = far("../examples/shakespeare.weft", "shakespeare");
    assert!(small.iter().all(|&results| results == 0), "{small:?}");
}

/// Queries, keys and values are products of one operand: no thread waits between them, in training, before a text and within it.
#[test]
fn products_of_one_operand_run_side_by_side() {
    fn groups(planned: &Planned, steps: &[Step], found: &mut Vec<usize>) {
        let mut count = 0;
        for step in steps {
            let product = |launch: &Launch| planned.kernels.list[launch.kernel as usize].0.contains("product");
            match step {
                Step::Launch(launch) if product(launch) => count = if launch.beside { count + 1 } else { 1 },
                Step::Launch(_) | Step::Prepare { .. } => count = 0,
                Step::Loop { body, .. } => groups(planned, body, found),
            }
            found.push(count);
        }
    }
    for (planned, program) in [
        (Planned::library("gpt2", "Gpt2", &[]), "prefill"),
        (Planned::library("gpt2", "Gpt2", &[]), "decode"),
        (Planned::recipe("recipe", "deep"), "train_step"),
    ] {
        let program = planned.plan.programs.iter().find(|p| p.name == program).unwrap();
        let mut found = Vec::new();
        groups(&planned, &program.steps, &mut found);
        assert!(found.iter().any(|&count| count >= 3), "{}: {found:?}", program.name);
    }
}
