//! Values that are an argument's but for runs that are inserted: they may be written where the argument lies.

use weft_dsl::op::Op;

use super::{Kind, NodeId, Region};

/// The argument whose storage a result can be written into in place: nothing but the insertion reads it, and the part has all of its
/// axes. Within a repetition, each step's slice.
pub fn inserted(region: &Region, result: NodeId) -> Option<u32> {
    let node = &region[result];
    let whole = match &node.kind {
        Kind::Op(Op::Insert(..)) => {
            let [whole, part] = node.operands[..] else { return None };
            (region[whole].ty.axes.len() == region[part].ty.axes.len()).then_some(whole)?
        }
        Kind::Project(number) => {
            let several = &region[*node.operands.first()?];
            let Kind::Scan(scan) = &several.kind else { return None };
            let slice = yielded(scan, *number as usize)?;
            several.operands[slice]
        }
        _ => return None,
    };
    let Kind::Argument(number) = region[whole].kind else { return None };
    (region.uses()[whole.0 as usize] == 1).then_some(number)
}

/// The number of the operand whose slices a scan's result is, but for what each step inserts.
pub fn yielded(scan: &super::Scan, result: usize) -> Option<usize> {
    if result < scan.carried {
        return None;
    }
    let slice = inserted(&scan.body, scan.body.outputs[result])? as usize;
    (scan.carried..scan.carried + scan.sliced).contains(&slice).then_some(slice)
}
