//! Text from a model, token by token: the program `forward` on the last tokens, again for each new one.

use anyhow::{Context, Result, bail, ensure};

use crate::bind::fixed;
use crate::exec::Machine;
use crate::plan::{Dtype, Port, Program, Size};
use crate::sample::Sampling;
use crate::step::{self, Specials};
use crate::tensor::{Data, Tensor};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Indices of the prompt, at least one.
    pub prompt: &'a [i32],
    /// How many tokens to add.
    pub tokens: usize,
    /// How each is chosen.
    pub sampling: Sampling,
    /// Seed of the draws.
    pub seed: u64,
    /// Only tokens below are chosen: the tokenizer has no text for others.
    pub vocabulary: usize,
}

/// How `forward` takes indices and gives logits.
#[derive(Clone, Debug, PartialEq)]
struct Forward {
    input: String,
    /// Whether the input has an axis before time: a batch of one.
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

/// Adds tokens to a prompt and gives each to `emit`, which ends it early by answering `false`.
///
/// # Errors
/// A model that does not turn indices into logits, a prompt without tokens, numbers that are none.
pub fn generate(machine: &mut Machine, request: &Request, emit: &mut dyn FnMut(i32) -> Result<bool>) -> Result<()> {
    request.sampling.check()?;
    ensure!(!request.prompt.is_empty(), "the prompt has no token: the first token needs one to follow");
    let forward = Forward::of(machine.program("forward")?)?;
    let mut tokens = request.prompt.to_vec();
    for _ in 0..request.tokens {
        let from = forward.context.map_or(0, |context| tokens.len().saturating_sub(context));
        let logits = forward.last_logits(machine, &tokens[from..])?;
        let logits = &logits[..logits.len().min(request.vocabulary)];
        let token = request.sampling.choose(logits, request.seed, tokens.len() as u64)?;
        let token = i32::try_from(token).context("a token's index is too large")?;
        tokens.push(token);
        if !emit(token)? {
            break;
        }
    }
    Ok(())
}

impl Forward {
    fn of(program: &Program) -> Result<Self> {
        let ports = program.inputs.iter().filter(|port| !port.name.starts_with('$'));
        let (flags, indices): (Vec<&Port>, Vec<&Port>) = ports.partition(|port| dtype(program, port) == Some(Dtype::Bool));
        let [input] = indices[..] else {
            let names: Vec<_> = program.inputs.iter().map(|port| format!("`{}`", port.name)).collect();
            bail!("text can be generated where `forward` takes indices alone; here it takes {}", names.join(", "));
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

    /// The logits behind the last token.
    fn last_logits(&self, machine: &mut Machine, tokens: &[i32]) -> Result<Vec<f32>> {
        let shape = if self.batched { vec![1, tokens.len()] } else { vec![tokens.len()] };
        let mut inputs = vec![(self.input.clone(), Tensor::new(shape, Data::I32(tokens.to_vec()))?)];
        for (name, axes) in &self.flags {
            let shape: Vec<usize> = axes.iter().map(|&is_time| if is_time { tokens.len() } else { 1 }).collect();
            let count = shape.iter().product();
            inputs.push((name.clone(), Tensor::new(shape, Data::Bool(vec![1; count]))?));
        }
        let outputs = step::run(machine, "forward", &inputs, &Specials::default())?;
        let found = outputs.iter().find(|(name, _)| *name == self.output);
        let (_, logits) = found.with_context(|| format!("`forward` gave no `{}`", self.output))?;
        let stride = |axis: usize| logits.shape[axis + 1..].iter().product::<usize>();
        let first = (tokens.len() - 1) * stride(self.time);
        let step = stride(self.vocabulary);
        let at = |token: usize| first + token * step;
        let count = logits.shape[self.vocabulary];
        Ok(match &logits.data {
            Data::F32(all) => (0..count).map(|token| all[at(token)]).collect(),
            Data::F64(all) => (0..count).map(|token| all[at(token)] as f32).collect(),
            other => bail!("`forward` gives {}, which are no logits", other.kind()),
        })
    }
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
        let port =
            |name: &str, list: &[(&str, u32)], buffer| Port { name: name.into(), axes: axes(list), bound: None, buffer };
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
        let forward = Forward::of(&program(&[("batch", 0), ("time", 1)], &["hidden", "logits"])).unwrap();
        assert_eq!(forward.output, "logits");
        assert_eq!(forward.flags, [("present".to_owned(), vec![false, true])]);
        let fault = |program: &Program| Forward::of(program).unwrap_err().to_string();
        assert!(fault(&program(&[], &["hidden", "pooled"])).contains("`hidden`, `pooled`"));
        assert!(fault(&program(&[("token", 2)], &["logits"])).contains("an axis `token` that `ids` lacks"));
    }
}
