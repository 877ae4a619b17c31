//! What rewriting did, for people.

use std::fmt;

use super::rules::Sort;

/// What rewriting did to a program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The program's regions, those within before the one that they are in.
    pub regions: Vec<RegionReport>,
}

/// What rewriting did to a region.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegionReport {
    /// Where it is: `body`, or `body > layer 12` for the scan that is node 12 and walks along `layer`.
    pub place: String,
    /// How many operators the region has, and how many classes and nodes its e-graph came to.
    pub size: (usize, usize, usize),
    /// Predicted seconds of running it once, before and after; what lies within its scans is not counted.
    pub seconds: (f64, f64),
    /// Whether the region was replaced: only where the prediction is better.
    pub taken: bool,
    /// Which rules made something new, of which sort, how often.
    pub fired: Vec<(&'static str, Sort, usize)>,
    /// A rewrite that was ill-typed: a fault of the compiler; the region stays as it was.
    pub fault: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for region in &self.regions {
            write!(f, "{region}")?;
        }
        Ok(())
    }
}

impl fmt::Display for RegionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operators, classes, nodes) = self.size;
        let (before, after) = (self.seconds.0 * 1e6, self.seconds.1 * 1e6);
        writeln!(f, "{}: {operators} operators; {classes} classes, {nodes} nodes", self.place)?;
        let kept = if self.taken { "" } else { "; left as it was" };
        writeln!(f, "  predicted {before:.2} µs before, {after:.2} µs after{kept}")?;
        for (name, sort, times) in &self.fired {
            writeln!(f, "  {times:>5} × {name} ({sort})")?;
        }
        match &self.fault {
            Some(fault) => writeln!(f, "  fault of the compiler: {fault}"),
            None => Ok(()),
        }
    }
}
