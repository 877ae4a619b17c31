//! Texts on their way: what comes next behind each of some rows, with what is kept of earlier places.
//!
//! Where `prefill` and `decode` were derived, each place is computed once. Where they could not be, the whole text is computed again
//! for every token. A text longer than the model's context goes on behind its last part, whose places are other ones than before,
//! so that part is computed anew.

use anyhow::{Context, Result, bail, ensure};

use crate::bind::{fixed, solved};
use crate::data::Batch;
use crate::exec::Machine;
use crate::plan::{CAPACITY, Dtype, PAST, Port, Program, Size};
use crate::step::{self, Specials};
use crate::tensor::{Data, Tensor};

/// How a program takes indices and gives logits.
#[derive(Clone, Debug, PartialEq)]
struct Ports {
    input: String,
    /// Whether the input has an axis before time.
    batched: bool,
    /// Longest input, where there is one.
    context: Option<usize>,
    /// Truth values it takes besides (which tokens are present), each with whether an axis of it is time: all true.
    flags: Vec<(String, Vec<bool>)>,
    output: String,
    /// Which axis of the output is time, and which the vocabulary.
    time: usize,
    vocabulary: usize,
}

/// Rows of text that grow by a token each.
pub struct Writing {
    ports: Ports,
    texts: Vec<Vec<i32>>,
    /// What is given with the prompts.
    given: Batch,
    /// The programs that keep places, where there are any.
    kept: Option<Kept>,
}

/// What is kept.
struct Kept {
    prefill: &'static str,
    decode: &'static str,
    /// Where each row's text begins.
    start: Vec<i32>,
    /// How many places.
    past: usize,
    /// Room for so many.
    capacity: usize,
    /// The sizes that what is given has.
    sizes: Vec<(String, i64)>,
}

/// Logits of what comes next, one list for each row.
pub type Logits = Vec<Vec<f32>>;

impl Writing {
    /// Begins behind prompts, each of at least one token; at most `room` tokens will follow. `given` is what the model takes besides,
    /// such as what its encoder reads, a row for each prompt.
    ///
    /// # Errors
    /// A model that does not turn indices into logits; a prompt without tokens or with one that the model does not know.
    pub fn begin(machine: &mut Machine, prompts: &[Vec<i32>], given: Batch, room: usize) -> Result<(Self, Logits)> {
        ensure!(!prompts.is_empty(), "there is no prompt");
        ensure!(prompts.iter().all(|p| !p.is_empty()), "the prompt has no token: the first token needs one to follow");
        let has = |name: &str| machine.plan().programs.iter().any(|p| p.name == name);
        let names = if prompts.len() == 1 { ("prefill", "decode") } else { ("prefill_rows", "decode_rows") };
        let keeps = has(names.0) && has(names.1);
        let program = machine.program(if keeps { names.0 } else { "forward" })?;
        let taken = program.inputs.iter().map(|port| port.name.as_str());
        let taken: Vec<&str> = taken.filter(|name| !name.starts_with('$')).collect();
        let unknown = given.iter().find(|(name, _)| !taken.contains(&name.as_str()));
        ensure!(
            unknown.is_none(),
            "`{}` is given, which writing does not take: it takes {} (what `forward` can do without is not among them yet)",
            unknown.map_or("", |(name, _)| name),
            taken.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        );
        let ports = Ports::of(program, &given)?;
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let capacity = longest.saturating_add(room).min(ports.context.unwrap_or(usize::MAX));
        let sizes = if keeps { told(machine.program(names.0)?, &given) } else { Vec::new() };
        let (start, capacity) = (Vec::new(), capacity.max(1));
        let kept = keeps.then_some(Kept { prefill: names.0, decode: names.1, start, past: 0, capacity, sizes });
        let mut writing = Self { ports, texts: prompts.to_vec(), given, kept };
        let logits = writing.logits_of_texts(machine)?;
        Ok((writing, logits))
    }

    /// The rows so far.
    pub fn texts(&self) -> &[Vec<i32>] {
        &self.texts
    }

    /// Adds a token to each row.
    ///
    /// # Errors
    /// Another number of tokens than rows, or one that the model does not know.
    pub fn add(&mut self, machine: &mut Machine, tokens: &[i32]) -> Result<Logits> {
        ensure!(tokens.len() == self.texts.len(), "{} tokens for {} rows", tokens.len(), self.texts.len());
        self.texts.iter_mut().zip(tokens).for_each(|(text, &token)| text.push(token));
        let Some(kept) = self.kept.as_mut().filter(|kept| kept.past < kept.capacity) else {
            return self.logits_of_texts(machine);
        };
        let specials = kept.specials();
        kept.past += 1;
        let rows: Vec<&[i32]> = tokens.iter().map(std::slice::from_ref).collect();
        self.ports.run(machine, kept.decode, &rows, &Batch::new(), &specials)
    }

    /// The logits behind the rows as they are, nothing kept of them.
    fn logits_of_texts(&mut self, machine: &mut Machine) -> Result<Logits> {
        let last = |text: &Vec<i32>, count: usize| text[text.len().saturating_sub(count)..].to_vec();
        let most = self.ports.context.unwrap_or(usize::MAX);
        let texts: Vec<Vec<i32>> = self.texts.iter().map(|text| last(text, most)).collect();
        let Some(kept) = &mut self.kept else {
            let given = &self.given;
            ensure!(
                given.is_empty() || texts.len() == 1,
                "several prompts are written on alone where nothing else is given"
            );
            let mut one = |text: &Vec<i32>| self.ports.run(machine, "forward", &[text], given, &Specials::default());
            return texts.iter().map(|text| Ok(one(text)?.swap_remove(0))).collect();
        };
        let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
        kept.start = texts.iter().map(|text| (longest - text.len()) as i32).collect();
        (kept.past, kept.capacity) = (0, kept.capacity.max(longest));
        let padded: Vec<Vec<i32>> =
            texts.iter().map(|text| [vec![0; longest - text.len()], text.clone()].concat()).collect();
        let rows: Vec<&[i32]> = padded.iter().map(Vec::as_slice).collect();
        let specials = kept.specials();
        kept.past = longest;
        self.ports.run(machine, kept.prefill, &rows, &self.given, &specials)
    }
}

impl Kept {
    fn specials(&self) -> Specials {
        let mut sizes = self.sizes.clone();
        sizes.extend([(PAST.to_string(), self.past as i64), (CAPACITY.to_string(), self.capacity as i64)]);
        Specials { start: self.start.clone(), sizes, ..Specials::default() }
    }
}

impl Ports {
    fn of(program: &Program, given: &Batch) -> Result<Self> {
        let is_given = |port: &&Port| given.iter().any(|(name, _)| *name == port.name);
        let ports = program.inputs.iter().filter(|port| !port.name.starts_with('$') && !is_given(port));
        let (flags, indices): (Vec<&Port>, Vec<&Port>) = ports.partition(|port| dtype(program, port) == Some(Dtype::Bool));
        let [input] = indices[..] else {
            let names: Vec<_> = program.inputs.iter().map(|port| format!("`{}`", port.name)).collect();
            bail!(
                "text is written behind indices, and what `forward` takes besides must be given: it takes {}",
                names.join(", ")
            );
        };
        let (batched, (time_name, time_size)) = match input.axes.as_slice() {
            [time] => (false, time),
            [_, time] => (true, time),
            axes => bail!(
                "`forward` takes `{}` with {} axes; to generate it needs [time] or [batch, time]",
                input.name,
                axes.len()
            ),
        };
        let flags = flags.into_iter().map(|flag| Ok((flag.name.clone(), along(flag, input)?))).collect::<Result<_>>()?;
        let output = match program.outputs.as_slice() {
            [output] => output,
            several => several.iter().find(|port| port.name == "logits").with_context(|| {
                let names: Vec<_> = several.iter().map(|port| format!("`{}`", port.name)).collect();
                format!("`forward` gives {}; to generate one must be named `logits`", names.join(", "))
            })?,
        };
        let position = |name: &str| output.axes.iter().position(|(found, _)| found == name);
        let time = position(time_name).with_context(|| format!("`forward` gives no logits for each `{time_name}`"))?;
        let vocabulary: Vec<usize> =
            (0..output.axes.len()).filter(|&axis| input.axes.iter().all(|(name, _)| *name != output.axes[axis].0)).collect();
        let [vocabulary] = vocabulary[..] else {
            let names: Vec<_> = output.axes.iter().map(|(name, _)| name.as_str()).collect();
            bail!(
                "`forward` gives axes [{}]; to generate it needs those of `{}` and one of logits",
                names.join(", "),
                input.name
            );
        };
        Ok(Self {
            input: input.name.clone(),
            batched,
            context: context(program, time_size),
            flags,
            output: output.name.clone(),
            time,
            vocabulary,
        })
    }

    /// The logits behind the last token of each row; rows are equally long.
    fn run(
        &self,
        machine: &mut Machine,
        program: &str,
        rows: &[&[i32]],
        given: &Batch,
        specials: &Specials,
    ) -> Result<Logits> {
        let length = rows[0].len();
        let shape = if self.batched { vec![rows.len(), length] } else { vec![length] };
        let mut inputs = vec![(self.input.clone(), Tensor::new(shape, Data::I32(rows.concat()))?)];
        for (name, axes) in &self.flags {
            let shape: Vec<usize> = axes.iter().map(|&is_time| if is_time { length } else { rows.len() }).collect();
            let count = shape.iter().product();
            inputs.push((name.clone(), Tensor::new(shape, Data::Bool(vec![1; count]))?));
        }
        inputs.extend(given.iter().cloned());
        let mut outputs = step::run(machine, program, &inputs, specials)?.into_iter();
        let found = outputs.find(|(name, _)| *name == self.output);
        let (_, mut logits) = found.with_context(|| format!("`{program}` gave no `{}`", self.output))?;
        let stride = |axis: usize| logits.shape[axis + 1..].iter().product::<usize>();
        let batch = (0..logits.shape.len()).find(|&axis| axis != self.time && axis != self.vocabulary);
        let last = (logits.shape[self.time] - 1) * stride(self.time);
        let (step, count) = (stride(self.vocabulary), logits.shape[self.vocabulary]);
        if let (Data::F32(all), 1) = (&mut logits.data, rows.len())
            && all.len() == count
        {
            return Ok(vec![std::mem::take(all)]);
        }
        let row = |row: usize| {
            let first = last + batch.map_or(0, |axis| row * stride(axis));
            Ok(match &logits.data {
                Data::F32(all) if step == 1 => all[first..first + count].to_vec(),
                Data::F32(all) => (0..count).map(|token| all[first + token * step]).collect(),
                Data::F64(all) => (0..count).map(|token| all[first + token * step] as f32).collect(),
                other => bail!("`{program}` gives {}, which are no logits", other.kind()),
            })
        };
        (0..rows.len()).map(row).collect()
    }
}

/// The sizes that tensors tell of those that a program has.
fn told(program: &Program, given: &Batch) -> Vec<(String, i64)> {
    let tensor = |port: &Port| given.iter().find(|(name, _)| *name == port.name).map(|(_, tensor)| tensor);
    let pairs: Vec<(&Port, &Tensor)> = program.inputs.iter().filter_map(|port| Some((port, tensor(port)?))).collect();
    let fits = pairs.iter().all(|(port, tensor)| port.axes.len() == tensor.shape.len());
    let (values, _) = solved(if fits { &pairs } else { &[] }, vec![None; program.sizes.len()]);
    program.sizes.iter().cloned().zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
}

/// How a port is stored.
fn dtype(program: &Program, port: &Port) -> Option<Dtype> {
    program.buffers.get(port.buffer as usize).map(|buffer| buffer.dtype)
}

/// For each axis of a port whether it is time, the last axis of the input; the others must be the input's too.
fn along(flag: &Port, input: &Port) -> Result<Vec<bool>> {
    let is_time = |(name, size): &(String, Size)| {
        let at = input.axes.iter().position(|axis| axis == &(name.clone(), size.clone()));
        let at = at
            .with_context(|| format!("`forward` takes `{}` with an axis `{name}` that `{}` lacks", flag.name, input.name))?;
        Ok(at + 1 == input.axes.len())
    };
    flag.axes.iter().map(is_time).collect()
}

/// The longest input: the smallest limit on the size of time.
fn context(program: &Program, time: &Size) -> Option<usize> {
    let limits = program.limits.iter().filter(|limit| limit.size == *time).filter_map(|limit| fixed(&limit.at_most));
    // A fixed size is its own limit.
    limits.chain(fixed(time)).min().and_then(|n| usize::try_from(n).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Buffer, Place};

    fn size(variable: u32) -> Size {
        Size { terms: vec![(1, vec![variable])] }
    }

    /// `forward(ids [batch, time], flag [flag_axes]: bool) -> outputs`, each [batch, time, token].
    fn program(flag_axes: &[(&str, u32)], outputs: &[&str]) -> Program {
        let axes = |list: &[(&str, u32)]| list.iter().map(|&(name, at)| (name.to_owned(), size(at))).collect();
        let port = |name: &str, list: &[(&str, u32)], buffer| Port {
            name: name.into(),
            axes: axes(list),
            bound: None,
            or: None,
            buffer,
        };
        let buffer = |dtype| Buffer { dtype, len: Size::default(), place: Place::Input };
        let all = [("batch", 0), ("time", 1), ("token", 2)];
        Program {
            sizes: vec!["batch".into(), "time".into(), "token".into()],
            inputs: vec![port("ids", &all[..2], 0), port("present", flag_axes, 1)],
            outputs: outputs.iter().map(|name| port(name, &all, 2)).collect(),
            buffers: vec![buffer(Dtype::I32), buffer(Dtype::Bool), buffer(Dtype::F32)],
            ..Program::default()
        }
    }

    #[test]
    fn flags_are_filled_and_logits_found_by_name() {
        let ports = Ports::of(&program(&[("batch", 0), ("time", 1)], &["hidden", "logits"]), &Batch::new()).unwrap();
        assert_eq!(ports.output, "logits");
        assert_eq!(ports.flags, [("present".to_owned(), vec![false, true])]);
        let fault = |program: &Program| Ports::of(program, &Batch::new()).unwrap_err().to_string();
        assert!(fault(&program(&[], &["hidden", "pooled"])).contains("`hidden`, `pooled`"));
        assert!(fault(&program(&[("token", 2)], &["logits"])).contains("an axis `token` that `ids` lacks"));
    }
}
