//! Slots: how they are filled, and what does not fit them.

use super::{checked, load};
use crate::elaborate::{NoData, Session, TypesOnly};
use crate::emit::Emit;

const BLOCKS: &str = "use std.functions: relu
block Scale(feature: axis, by = 2.0) {
  param weight: [feature] ~ constant(by)
  fn (x: [..r, feature]) -> [..r, feature] = x * weight
}
block Memory(group: axis, length = 3) {
  axis virtual = length
  param keys: [virtual, group] ~ ones
}
block Layer(feature: axis, with_more = false) {
  axis group = size(feature)
  slot adapter: Scale(feature)
  slot memory: Memory(group)
  if with_more {
    slot more: Scale(feature)
  }
  fn (x: [..r, feature]) -> [..r, feature] {
    y = adapter(x)
    if memory { y = y + sum[memory.virtual](memory.keys)[group as feature] }
    y
  }
}
";

/// A model with these members, and whose function uses `layer`.
fn model(members: &str) -> String {
    format!(
        "{BLOCKS}model M(width = 4) {{\n  axis feature = width\n{members}\n  \
         fn (x: [batch, feature]) -> [batch, feature] = layer(x)\n}}\n"
    )
}

/// The paths of the model's parameters and their sizes.
fn parameters(members: &str) -> Vec<String> {
    let text = model(members);
    assert_eq!(checked(&text), "");
    let program = load(&text);
    let mut session = Session::new(&program, TypesOnly::default(), false, &NoData);
    let made = session.model("M", &[]).unwrap_or_else(|faults| panic!("{faults:?}"));
    assert!(session.call(&made, None).is_ok());
    made.parameters.iter().map(|p| format!("{} {}", p.path, session.emit().axes().volume(&p.axes))).collect()
}

#[test]
fn a_filled_slot_has_parameters_under_its_name() {
    assert_eq!(parameters("  layer = Layer(feature)"), Vec::<String>::new());
    assert_eq!(parameters("  layer = Layer(feature, adapter: Scale)"), ["layer.adapter.weight 4"]);
    assert_eq!(
        parameters("  layer = Layer(feature, memory: Memory(length: 5), adapter: Scale(by: 3))"),
        ["layer.adapter.weight 4", "layer.memory.keys 20"]
    );
    assert_eq!(
        parameters(
            "  shared = Scale(feature)\n  layer = Layer(feature, adapter: shared)\n  other = Layer(feature, adapter: shared)"
        ),
        ["shared.weight 4"]
    );
}

#[test]
fn what_does_not_fit_a_slot() {
    let members = [
        "adapter: Memory",
        "adapter: relu",
        "adapter: 3",
        "adapter: Scale(feature: feature)",
        "adapter: Scale(bye: 3)",
        "adapter: Scale, adapter: Scale",
        "adaptor: Scale",
        "more: Scale",
    ];
    let members: Vec<String> =
        members.iter().enumerate().map(|(i, filling)| format!("  layer{i} = Layer(feature, {filling})")).collect();
    insta::assert_snapshot!(checked(&model(&format!("{}\n  layer = Layer(feature)", members.join("\n")))));
}

/// While a block is checked by itself both ways count; in use, what an empty slot lacks is told.
#[test]
fn an_empty_slot_lacks_members() {
    let text = "block Shift(feature: axis) {\n  param weight: [feature] ~ ones\n}\nmodel M(width = 2) {\n  axis feature = width\n  \
                slot shift: Shift(feature)\n  fn (x: [batch, feature]) -> [batch, feature] = x + shift.weight\n}";
    insta::assert_snapshot!(checked(text));
    assert!(checked(&text.replace("shift.weight", "shift.weigt")).contains("did you mean `weight`"));
    assert!(checked(&text.replace("slot shift: Shift(", "slot shift: Shiff(")).contains("did you mean `Shift`"));
}
