//! The parser on whole texts.

use super::*;

#[test]
fn an_item_with_a_fault_leaves_the_others() {
    let (file, faults) = parse(FileId(0), "axis a = 1\naxis b = \naxis c = 3\nfn f( = 1\naxis d = 4\n");
    assert_eq!(file.items.len(), 3);
    assert_eq!(faults.len(), 2, "{faults:?}");
}
