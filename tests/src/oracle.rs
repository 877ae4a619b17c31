//! Programs by the interpreter, in 64-bit floats.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use weft_compiler::compile::{Failure, Specification, Subject};
use weft_compiler::graph::{Array, Bindings, Graph, Input, Sink, Sizes, Source, eval};
use weft_compiler::lower::{self, Lowered};
use weft_compiler::passes::{Options, PIPELINE, run_passes};
use weft_dsl::elaborate::{LayoutOut, StoredTensor};
use weft_dsl::types::{Axes, Elem};
use weft_runtime::plan::Program;
use weft_runtime::step::Specials;
use weft_runtime::tensor::{Data, Tensor};
use weft_runtime::weights::read_tensors;

use crate::compare::floats;
use crate::engine::{Engine, Task, shown};
use crate::reference::Tensors;
use crate::stored::{self, Whole};

/// Graphs with their storage.
pub struct Oracle {
    programs: Vec<Lowered>,
    layouts: Vec<LayoutOut>,
    /// Parameters in declared order: path, sizes of the repetitions and of the axes.
    parameters: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Everything that outlives a run, row-major in the order of files.
    slots: BTreeMap<String, Vec<f64>>,
}

impl Oracle {
    /// Lowers a subject. `rewritten`: after all passes.
    ///
    /// # Errors
    /// Its faults.
    pub fn new(specification: &Specification, task: &Task<'_>, rewritten: bool) -> Result<Self> {
        let program = &specification.program;
        let faults = |faults| shown(Failure::Faults(faults, program.sources().clone()));
        let options = Options { optimise: rewritten, validate: true, ..Options::default() };
        let (mut programs, layouts, parameters) = match &task.subject {
            Subject::Recipe(name) => {
                let made = lower::training(program, name, task.settings, specification, &options, true).map_err(faults)?;
                (made.programs, made.layouts, made.parameters)
            }
            Subject::Model(name, only) => {
                let only = only.as_ref().map(Option::as_deref);
                let made = lower::model(program, name, task.settings, specification, only).map_err(faults)?;
                (made.functions, made.layouts, made.parameters)
            }
        };
        if rewritten {
            for program in &mut programs {
                run_passes(&mut program.graph, PIPELINE, &options, &mut |_, _, _| {}).map_err(anyhow::Error::from)?;
            }
        }
        let known = HashMap::new();
        let sizes = Sizes::new(&parameters.axes, &known);
        let lengths = |axes: &[_]| -> Result<Vec<usize>> { Ok(sizes.dims(axes)?.into_iter().map(|d| d.1).collect()) };
        let parameters = parameters.inputs.iter().map(|input| match &input.source {
            Source::Parameter(p) => Ok((p.path.clone(), lengths(&p.stack)?, lengths(&p.axes)?)),
            _ => bail!("`{}` is no parameter", input.name),
        });
        Ok(Self { programs, layouts, parameters: parameters.collect::<Result<_>>()?, slots: BTreeMap::new() })
    }

    fn program(&self, name: &str) -> Result<&Graph> {
        let found = self.programs.iter().find(|p| p.name == name);
        Ok(&found.with_context(|| format!("there is no program `{name}`"))?.graph)
    }

    fn whole(&self, path: &str) -> Result<Whole> {
        let (_, stack, axes) =
            self.parameters.iter().find(|p| p.0 == path).with_context(|| format!("no parameter `{path}`"))?;
        let data = self.slots.get(path).cloned();
        Ok(Whole { shape: axes.clone(), data: data.unwrap_or_else(|| vec![0.0; stack.iter().chain(axes).product()]) })
    }

    /// What an input of a program holds.
    fn input(&self, input: &Input, sizes: &Sizes, given: &Tensors, specials: &Specials) -> Result<Array> {
        let dims = sizes.dims(&input.axes)?;
        let data = match &input.source {
            Source::Port => port(given, input)?.clone(),
            Source::Supplied if input.name == "start" => specials.start.iter().map(|&n| f64::from(n)).collect(),
            Source::Supplied => vec![special(&input.name, specials)?],
            Source::Parameter(_) => {
                self.slots.get(&input.name).with_context(|| format!("`{}` has no value", input.name))?.clone()
            }
            Source::State(_, start) => self.slots.get(&input.name).cloned().unwrap_or_else(|| vec![start.0; length(&dims)]),
            Source::Accumulator | Source::Kept => {
                self.slots.get(&input.name).cloned().unwrap_or_else(|| vec![0.0; length(&dims)])
            }
        };
        Array::from_order(&dims, data).map_err(|why| anyhow::anyhow!("`{}`: {}", input.name, why.0))
    }
}

fn length(dims: &[(weft_dsl::types::Axis, usize)]) -> usize {
    dims.iter().map(|d| d.1).product()
}

fn port(given: &Tensors, input: &Input) -> Result<Vec<f64>> {
    let (_, tensor) =
        given.iter().find(|(name, _)| *name == input.name).with_context(|| format!("`{}` is not given", input.name))?;
    let mut data = floats(tensor);
    if input.elem == Elem::Bool {
        data.iter_mut().for_each(|x| *x = f64::from(*x != 0.0));
    }
    Ok(data)
}

fn special(name: &str, specials: &Specials) -> Result<f64> {
    Ok(match name {
        "step" => specials.step as f64,
        "seed" => (specials.seed as u32 as i32).into(),
        "micro" => specials.micro as f64,
        name if name.starts_with("given.") => {
            f64::from(u8::from(specials.given.iter().any(|given| name.strip_prefix("given.") == Some(given))))
        }
        total => specials.totals.get(total).with_context(|| format!("nothing supplies `{total}`"))?,
    })
}

/// The free sizes, from the shapes of what is given.
pub fn free_sizes(axes: &Axes, inputs: &[Input], given: &Tensors) -> Result<HashMap<String, i64>> {
    let mut bound = HashMap::new();
    for input in inputs.iter().filter(|i| i.source == Source::Port) {
        let Some((_, tensor)) = given.iter().find(|(name, _)| *name == input.name) else { continue };
        ensure!(tensor.shape.len() == input.axes.len(), "`{}` has {} axes", input.name, tensor.shape.len());
        for (&axis, &n) in input.axes.iter().zip(&tensor.shape) {
            let size = &axes[axis].size;
            if let [variable] = size.variables().as_slice()
                && *size == weft_dsl::size::Size::var(variable)
            {
                bound.insert(variable.to_string(), n as i64);
            }
        }
    }
    Ok(bound)
}

impl Engine for Oracle {
    fn load(&mut self, path: &Path, layout: &str) -> Result<()> {
        let (layout, file) = (self.layout(layout)?, read_tensors(path)?);
        for (path, _, _) in self.parameters.clone() {
            let mut whole = self.whole(&path)?;
            whole.data.fill(f64::NAN);
            stored::read(&path, &mut whole, &layout, &file)?;
            ensure!(whole.data.iter().all(|x| !x.is_nan()), "the file does not fill `{path}`");
            self.slots.insert(path, whole.data);
        }
        Ok(())
    }

    fn run(&mut self, program: &str, inputs: &Tensors, specials: &Specials) -> Result<Tensors> {
        let graph = self.program(program)?;
        let mut bound = free_sizes(&graph.axes, &graph.inputs, inputs)?;
        bound.extend(specials.sizes.iter().cloned());
        let sizes = Sizes::new(&graph.axes, &bound);
        let mut bindings = Bindings { sizes: bound, inputs: HashMap::new() };
        for input in &graph.inputs {
            bindings.inputs.insert(input.name.clone(), self.input(input, &sizes, inputs, specials)?);
        }
        let values = eval(graph, &bindings)?;
        let (mut results, mut updates) = (Vec::new(), Vec::new());
        for (value, output) in values.iter().zip(&graph.outputs) {
            let order = match output.sink {
                Sink::Port => &output.axes,
                Sink::Update(number) => &graph.inputs[number as usize].axes,
            };
            let dims = sizes.dims(order)?;
            let data = value.in_order(&dims).map_err(|why| anyhow::anyhow!("`{}`: {}", output.name, why.0))?;
            match output.sink {
                Sink::Port => {
                    let shape = dims.into_iter().map(|d| d.1).collect();
                    results.push((output.name.clone(), Tensor { shape, data: Data::F64(data) }));
                }
                Sink::Update(number) => updates.push((graph.inputs[number as usize].name.clone(), data)),
            }
        }
        self.slots.extend(updates);
        Ok(results)
    }

    fn call(&mut self, inputs: &Tensors) -> Result<Tensors> {
        let given: Vec<String> = inputs.iter().map(|(name, _)| name.clone()).collect();
        let open = Program::with_options("forward");
        let program = if self.program(&open).is_ok() { open } else { "forward".to_owned() };
        let graph = self.program(&program)?;
        let sizes = Sizes::new(&graph.axes, &free_sizes(&graph.axes, &graph.inputs, inputs)?);
        let mut all = inputs.clone();
        let is_absent = |input: &&Input| input.source == Source::Port && !given.contains(&input.name);
        for input in graph.inputs.iter().filter(is_absent) {
            let shape: Vec<usize> = sizes.dims(&input.axes)?.into_iter().map(|dim| dim.1).collect();
            let none = vec![0; shape.iter().product()];
            all.push((input.name.clone(), Tensor::i64(&shape, none)?));
        }
        self.run(&program, &all, &Specials { given, ..Specials::default() })
    }

    fn save(&self, layout: &str) -> Result<Tensors> {
        let wholes =
            self.parameters.iter().map(|(path, _, _)| Ok((path.clone(), self.whole(path)?))).collect::<Result<_>>()?;
        stored::write(&wholes, &self.layout(layout)?)
    }

    fn layout(&self, name: &str) -> Result<Vec<StoredTensor>> {
        let found = self.layouts.iter().find(|l| l.name == name).with_context(|| format!("there is no layout `{name}`"))?;
        Ok(found.tensors().collect())
    }
}
