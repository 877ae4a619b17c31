//! The programs that write texts, derived from the one over whole texts.

use super::Lowered;
use crate::passes::decode::{Derived, derive_all};

/// The derived programs, where there is a program over whole texts; why they cannot be derived, where they cannot.
pub fn decoding(programs: &[Lowered]) -> (Vec<Lowered>, Option<String>) {
    let Some(forward) = programs.iter().find(|p| p.name == "forward") else { return (Vec::new(), None) };
    match derive_all(&forward.graph) {
        Ok(derived) => (derived.into_iter().map(|(name, derived)| lowered(name, derived, forward)).collect(), None),
        Err(why) => (Vec::new(), Some(why)),
    }
}

fn lowered(name: &str, derived: Derived, forward: &Lowered) -> Lowered {
    let limits = forward.limits.iter().map(|(size, at_most, why)| (derived.size(size), derived.size(at_most), why.clone()));
    let limits = limits.filter(|(size, ..)| size.known().is_none()).collect();
    Lowered { name: name.into(), graph: derived.graph, limits }
}
