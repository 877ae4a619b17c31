//! A test of a specification as a program, whose outputs are what its assertions found.

use weft_dsl::ast;
use weft_dsl::elaborate::{Host, Program, Session};
use weft_dsl::emit::Emit;
use weft_dsl::span::Span;
use weft_dsl::types::{Axes, Axis};

use super::{Lowered, Result, parameters};
use crate::graph::{Builder, Graph};

/// A test as a program. Of its assertion `n` the outputs are `holds.n` and, where it compares two values, `left.n` and `right.n`, all
/// with the axes of the truth value.
pub struct Test {
    /// A graph whose inputs are the parameters of the blocks that the test makes.
    pub parameters: Graph,
    /// The program, named `test`.
    pub program: Lowered,
    /// Its assertions, in order.
    pub claims: Vec<Claim>,
}

/// An assertion of a test.
pub struct Claim {
    /// Its place.
    pub span: Span,
    /// The names of its axes, in the order of the outputs.
    pub axes: Vec<String>,
    /// Whether it compares two values, and if so whether they ought to be equal.
    pub compares: Option<bool>,
}

/// Lowers a test; `training` is false in it.
pub fn test<'p>(program: &'p Program, test: &'p ast::Test, host: &'p dyn Host) -> Result<Test> {
    let mut session = Session::new(program, Builder::new(Axes::default()), false, host);
    let examined = session.test(test)?;
    let parameters = parameters(&examined.parameters, session.emit());
    let mut builder = session.into_emit();
    let mut claims = Vec::new();
    for (number, claim) in examined.claims.into_iter().enumerate() {
        builder.output(&format!("holds.{number}"), &claim.axes, &claim.holds);
        for (side, value) in ["left", "right"].iter().zip(claim.compares.iter().flat_map(|compared| &compared.sides)) {
            builder.output(&format!("{side}.{number}"), &claim.axes, value);
        }
        let name = |&axis: &Axis| builder.axes()[axis].name.clone();
        claims.push(Claim {
            span: claim.span,
            axes: claim.axes.iter().map(name).collect(),
            compares: claim.compares.map(|compared| compared.equal),
        });
    }
    let graph = builder.finish(Vec::new());
    Ok(Test { parameters, program: Lowered { name: "test".into(), graph, limits: Vec::new() }, claims })
}
