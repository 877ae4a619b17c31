//! Reads a graph back from its text.

use weft_dsl::emit::{Parameter, Start};
use weft_dsl::op::{Direction, Distribution, Monoid, Number, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::super::{Fused, Graph, Input, Kind, Node, NodeId, Output, Region, Scan, Sink, Source, validate};
use super::tokens::{Token, tokens};
use super::{FORMS, elementwise};

/// How deep regions, and sizes, may be within each other: text from outside must not exhaust the stack.
const DEEPEST: usize = 32;

/// The graph that a text describes.
///
/// # Errors
/// The line of the first fault and what was expected there, or what makes the graph not well formed.
pub fn parse(text: &str) -> Result<Graph, String> {
    let mut reader = Reader { tokens: tokens(text)?, at: 0, axes: Axes::default() };
    let graph = reader.graph()?;
    validate(&graph)?;
    Ok(graph)
}

struct Reader {
    tokens: Vec<(Token, usize)>,
    at: usize,
    axes: Axes,
}

impl Reader {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        // The end stays.
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// A fault at the token before.
    fn fault<T>(&self, why: impl std::fmt::Display) -> Result<T, String> {
        Err(format!("line {}: {why}", self.tokens[self.at.saturating_sub(1)].1))
    }

    fn takes(&mut self, token: &Token) -> bool {
        let there = self.peek() == token;
        if there {
            self.next();
        }
        there
    }

    fn mark(&mut self, mark: char) -> bool {
        self.takes(&Token::Mark(mark))
    }

    fn says(&mut self, word: &str) -> bool {
        self.takes(&Token::Word(word.into()))
    }

    fn must(&mut self, mark: char) -> Result<(), String> {
        if self.mark(mark) { Ok(()) } else { self.missing(format_args!("`{mark}`")) }
    }

    fn must_say(&mut self, word: &str) -> Result<(), String> {
        if self.says(word) { Ok(()) } else { self.missing(format_args!("`{word}`")) }
    }

    fn missing<T>(&mut self, what: impl std::fmt::Display) -> Result<T, String> {
        let found = self.next();
        self.fault(format_args!("expected {what}, found {found:?}"))
    }

    fn word(&mut self) -> Result<String, String> {
        match self.peek().clone() {
            Token::Word(word) => {
                self.next();
                Ok(word)
            }
            _ => self.missing("a word"),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        match self.peek().clone() {
            Token::Text(text) => {
                self.next();
                Ok(text)
            }
            _ => self.missing("a text in quotes"),
        }
    }

    fn count<N: std::str::FromStr>(&mut self) -> Result<N, String> {
        match self.next() {
            Token::Number(digits) => digits.parse().or_else(|_| self.fault(format_args!("`{digits}` is no count"))),
            other => self.fault(format_args!("expected a count, found {other:?}")),
        }
    }

    fn number(&mut self) -> Result<Number, String> {
        if self.says("bits") {
            let bits = match self.next() {
                Token::Number(digits) => digits.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok()),
                _ => None,
            };
            return bits
                .map_or_else(|| self.fault("expected bits such as `0x7ff8`"), |bits| Ok(Number(f64::from_bits(bits))));
        }
        let negative = self.mark('-');
        let size = match self.next() {
            Token::Word(word) if word == "inf" => f64::INFINITY,
            Token::Number(digits) => digits.parse().or_else(|_| self.fault(format_args!("`{digits}` is no number")))?,
            other => return self.fault(format_args!("expected a number, found {other:?}")),
        };
        Ok(Number(if negative { -size } else { size }))
    }

    /// Items between brackets, with commas between them.
    fn items<T>(
        &mut self,
        open: char,
        close: char,
        item: impl Fn(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        self.must(open)?;
        let mut out = Vec::new();
        while !self.mark(close) {
            if !out.is_empty() {
                self.must(',')?;
            }
            out.push(item(self)?);
        }
        Ok(out)
    }

    /// An axis' name as written, with its number where that is written too.
    fn label(&mut self) -> Result<(String, Option<u32>), String> {
        let name = if let Token::Text(_) = self.peek() { self.text()? } else { self.word()? };
        Ok((name, if self.mark('#') { Some(self.count()?) } else { None }))
    }

    fn axis(&mut self) -> Result<Axis, String> {
        let (name, number) = self.label()?;
        let fits = |(axis, info): &(Axis, &weft_dsl::types::AxisInfo)| {
            info.name == name && number.is_none_or(|number| number == axis.0)
        };
        let found: Vec<Axis> = self.axes.iter().filter(fits).map(|(axis, _)| axis).collect();
        match found[..] {
            [axis] => Ok(axis),
            [] => self.fault(format_args!("there is no axis `{name}`")),
            _ => self.fault(format_args!("there are several axes `{name}`: write its number")),
        }
    }

    fn list(&mut self) -> Result<Vec<Axis>, String> {
        self.items('[', ']', Self::axis)
    }

    fn elem(&mut self) -> Result<Elem, String> {
        for (word, elem) in [("float", Elem::Float), ("int", Elem::Int), ("bool", Elem::Bool)] {
            if self.says(word) {
                return Ok(elem);
            }
        }
        self.axis().map(Elem::Index)
    }

    /// Axes in written order, and what is held.
    fn holds(&mut self) -> Result<(Vec<Axis>, Elem), String> {
        let axes = self.list()?;
        Ok((axes, if self.says("of") { self.elem()? } else { Elem::Float }))
    }

    fn ty(&mut self) -> Result<Type, String> {
        self.holds().map(|(axes, elem)| Type { elem, axes })
    }

    /// `4 * heads - (a / b)`
    fn size(&mut self, depth: usize) -> Result<Size, String> {
        let mut sum = Size::of(0);
        let mut negative = self.mark('-');
        loop {
            let mut product = self.factor(depth)?;
            while self.mark('*') {
                product = product * self.factor(depth)?;
            }
            sum = if negative { sum - product } else { sum + product };
            negative = self.mark('-');
            if !negative && !self.mark('+') {
                return Ok(sum);
            }
        }
    }

    fn factor(&mut self, depth: usize) -> Result<Size, String> {
        if depth > DEEPEST {
            return self.fault("sizes are too deep within each other");
        }
        match self.peek().clone() {
            Token::Number(_) => self.count::<i64>().map(Size::of),
            Token::Word(name) => {
                self.next();
                Ok(Size::var(&name))
            }
            Token::Mark('(') => {
                self.next();
                let mut size = self.size(depth + 1)?;
                if self.mark('/') {
                    let divisor = self.size(depth + 1)?;
                    size = size.divide(&divisor).or_else(|why| self.fault(format_args!("an inexact division: {why:?}")))?;
                }
                self.must(')')?;
                Ok(size)
            }
            _ => self.missing("a size"),
        }
    }

    fn graph(&mut self) -> Result<Graph, String> {
        self.must_say("graph")?;
        self.must_say("axes")?;
        self.must('{')?;
        while !self.mark('}') {
            let (name, number) = self.label()?;
            self.must('=')?;
            let size = self.size(0)?;
            let outer = self.says("outer");
            let axis = self.axes.fresh(&name, size, outer);
            if number.is_some_and(|number| number != axis.0) {
                return self.fault(format_args!("axis `{name}` is number {}", axis.0));
            }
        }
        self.must_say("inputs")?;
        self.must('{')?;
        let mut inputs = Vec::new();
        while !self.mark('}') {
            let name = self.text()?;
            let (axes, elem) = self.holds()?;
            let source = self.source()?;
            let within = if self.says("within") { Some((self.axis()?, self.number()?.0 as i64)) } else { None };
            inputs.push(Input { within, ..Input::new(name, elem, axes, source) });
        }
        self.must_say("body")?;
        let body = self.region(0)?;
        self.must_say("outputs")?;
        self.must('{')?;
        let mut outputs = Vec::new();
        while !self.mark('}') {
            let (name, axes) = (self.text()?, self.list()?);
            let sink = if self.says("update") {
                Sink::Update(self.count()?)
            } else {
                self.must_say("port").map(|()| Sink::Port)?
            };
            outputs.push(Output { name, axes, sink });
        }
        if *self.peek() != Token::End {
            return self.missing("the end");
        }
        Ok(Graph { axes: std::mem::take(&mut self.axes), inputs, body, outputs })
    }

    fn source(&mut self) -> Result<Source, String> {
        match self.word()?.as_str() {
            "port" => Ok(Source::Port),
            "supplied" => Ok(Source::Supplied),
            "accumulator" => Ok(Source::Accumulator),
            "kept" => Ok(Source::Kept),
            "state" => Ok(Source::State(self.text()?, self.number()?)),
            "parameter" => {
                let (path, stack, axes) = (self.text()?, self.list()?, self.list()?);
                let start = match self.word()?.as_str() {
                    "constant" => Start::Constant(self.number()?.0),
                    "normal" => Start::Normal { std: self.number()?.0 },
                    "uniform" => Start::Uniform { bound: self.number()?.0 },
                    other => return self.fault(format_args!("a parameter does not start as `{other}`")),
                };
                Ok(Source::Parameter(Parameter { path, stack, axes, start }))
            }
            other => self.fault(format_args!("`{other}` is no source")),
        }
    }

    fn region(&mut self, depth: usize) -> Result<Region, String> {
        if depth > DEEPEST {
            return self.fault("regions are too deep within each other");
        }
        let mut region = Region { arguments: self.items('(', ')', Self::ty)?, ..Region::default() };
        self.must('{')?;
        while !self.says("give") {
            let id = self.node()?;
            if id.0 as usize != region.nodes.len() {
                return self.fault(format_args!("node %{} is number {}", id.0, region.nodes.len()));
            }
            self.must('=')?;
            let mut kind = self.kind()?;
            let operands = self.nodes()?;
            self.must(':')?;
            let ty = self.ty()?;
            match &mut kind {
                Kind::Scan(scan) => scan.body = self.region(depth + 1)?,
                Kind::Fused(fused) => fused.body = self.region(depth + 1)?,
                Kind::Op(_) | Kind::Argument(_) | Kind::Project(_) => {}
            }
            region.nodes.push(Node { kind, operands, ty });
        }
        region.outputs = self.nodes()?;
        self.must('}')?;
        Ok(region)
    }

    fn node(&mut self) -> Result<NodeId, String> {
        self.must('%')?;
        self.count().map(NodeId)
    }

    fn nodes(&mut self) -> Result<Vec<NodeId>, String> {
        let mut out = Vec::new();
        while *self.peek() == Token::Mark('%') {
            out.push(self.node()?);
        }
        Ok(out)
    }

    fn arrow(&mut self) -> Result<(), String> {
        if self.takes(&Token::Arrow) { Ok(()) } else { self.missing("`->`") }
    }

    /// What a node is; the body of a loop or a kernel follows later.
    fn kind(&mut self) -> Result<Kind, String> {
        let word = self.word()?;
        match word.as_str() {
            "argument" => Ok(Kind::Argument(self.count()?)),
            "project" => Ok(Kind::Project(self.count()?)),
            "scan" => {
                let (axis, reverse) = (self.axis()?, self.says("reverse"));
                self.must_say("carried")?;
                let carried = self.count()?;
                self.must_say("sliced")?;
                Ok(Kind::Scan(Box::new(Scan { axis, reverse, carried, sliced: self.count()?, body: Region::default() })))
            }
            "fused" => {
                let name = self.word()?;
                match FORMS.iter().find(|(_, form)| *form == name) {
                    Some(&(form, _)) => Ok(Kind::Fused(Box::new(Fused { form, body: Region::default() }))),
                    None => self.fault(format_args!("`{name}` is no form of kernel")),
                }
            }
            _ => self.op(&word).map(Kind::Op),
        }
    }

    fn op(&mut self, word: &str) -> Result<Op, String> {
        Ok(match word {
            "constant" => Op::Constant(self.number()?, self.elem()?, self.list()?),
            "index" => Op::Index(self.axis()?),
            "extent" => Op::Extent(self.factor(0)?),
            "random" => {
                let distribution = match self.word()?.as_str() {
                    "uniform" => Distribution::Uniform,
                    "normal" => Distribution::Normal,
                    other => return self.fault(format_args!("`{other}` is no distribution")),
                };
                let axes = self.list()?;
                self.must_say("site")?;
                Op::Random(distribution, axes, self.count()?)
            }
            "cast" => Op::Cast(self.elem()?),
            "stop_gradient" => Op::StopGradient,
            "reduce" => {
                let name = self.word()?;
                match Monoid::EVERY.into_iter().find(|monoid| monoid.name() == name) {
                    Some(monoid) => Op::Reduce(monoid, self.list()?),
                    None => return self.fault(format_args!("`{name}` is no reduction")),
                }
            }
            "argmax" => Op::ArgMax(self.axis()?),
            "order" => {
                let name = self.word()?;
                let ways = [Direction::Falling, Direction::Rising];
                let Some(way) = ways.into_iter().find(|way| way.name() == name) else {
                    return self.fault(format_args!("`{name}` is no order"));
                };
                let axis = self.axis()?;
                self.arrow()?;
                Op::Order(axis, self.axis()?, way)
            }
            "contract" => Op::Contract(self.list()?),
            "rename" => {
                let from = self.axis()?;
                self.arrow()?;
                Op::Rename(from, self.axis()?)
            }
            "split" => {
                let whole = self.axis()?;
                self.arrow()?;
                Op::Split(whole, self.list()?)
            }
            "merge" | "concat" => {
                let parts = self.list()?;
                self.arrow()?;
                let whole = self.axis()?;
                if word == "merge" { Op::Merge(parts, whole) } else { Op::Concat(parts, whole) }
            }
            "slice" | "pad" | "insert" => {
                let from = self.axis()?;
                self.must_say("from")?;
                let start = self.factor(0)?;
                self.arrow()?;
                let to = self.axis()?;
                match word {
                    "slice" => return Ok(Op::Slice(from, start, to)),
                    "insert" => return Ok(Op::Insert(from, start, to)),
                    _ => {}
                }
                self.must_say("with")?;
                Op::Pad(from, start, to, self.number()?)
            }
            "lookup" => Op::Lookup(self.axis()?),
            "scatter_add" => {
                let axis = self.axis()?;
                self.must_say("over")?;
                Op::ScatterAdd(axis, self.list()?)
            }
            "softmax" => Op::Softmax(self.list()?),
            "logsumexp" => Op::LogSumExp(self.list()?),
            _ => match elementwise(word) {
                Some(op) => op,
                None => return self.fault(format_args!("`{word}` is no operator")),
            },
        })
    }
}
