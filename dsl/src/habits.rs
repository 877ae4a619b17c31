//! Words that people bring along from Python, and what Weft has in their place.

/// Words, and what to write instead. None of them may be a name of the language or of the standard library.
const HABITS: &[(&[&str], &str)] = &[
    (
        &["None", "null", "nil"],
        "there is no such value: an argument that may be left out has a default, a part that may be missing stands under `if`",
    ),
    (
        &["Tensor", "tensor", "ndarray", "Array", "array", "Variable"],
        "the type of a tensor names its axes, `[batch, time]`; what it holds comes after `of`, `[batch, time] of int`",
    ),
    (
        &["range", "arange", "enumerate"],
        "blocks repeated by `layers = Layer(a) * depth` are walked with `for layer in layers { … }`, an axis with \
         `scan[time] … { … }`; `index(time)` is 0, 1, 2, … along an axis",
    ),
    (&["len", "shape", "dim", "ndim", "numel"], "`size(time)` is the length of an axis"),
    (&["matmul", "mm", "bmm", "einsum", "tensordot", "inner"], "`dot[feature](x, w)` is the sum over `feature` of x · w"),
    (
        &["T", "mT", "transpose", "permute", "swapaxes", "unsqueeze", "squeeze", "expand", "expand_as", "broadcast_to"],
        "axes have names and no order, so none is moved or added: operands align by axis, and `x[time as source]` renames one",
    ),
    (
        &["reshape", "view", "flatten", "rearrange"],
        "`x[feature as (head, key)]` splits an axis, `x[(head, key) as feature]` merges several",
    ),
    (
        &["cat", "hstack", "vstack", "concatenate"],
        "values are put one after another with `concat`, along a new axis with `stack`",
    ),
    (&["detach"], "`stop_gradient(x)` is x, through which no gradient flows"),
    (
        &["torch", "nn", "np", "numpy", "jnp", "jax", "tf"],
        "functions stand alone: `exp(x)`, or `relu(x)` after `use std.functions: relu`",
    ),
    (&["self"], "a block's axes, parameters and members go by their names; `this(…)` calls its nameless `fn`"),
    (&["lambda"], "a function has a name, `fn double(x: [..r]) -> [..r] = 2 * x`, and is passed by it"),
    (&["elif"], "write `else if`"),
];

/// What Weft has in place of a word, if the word is such a habit.
pub(crate) fn advice(word: &str) -> Option<&'static str> {
    HABITS.iter().find(|(words, _)| words.contains(&word)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elaborate::defined_names;

    #[test]
    fn no_habit_is_a_name_of_the_library() {
        for module in crate::library::names() {
            let names = defined_names(crate::library::library(module).unwrap_or_default());
            assert!(!names.is_empty(), "std.{module}");
            for name in names {
                assert_eq!(advice(&name), None, "std.{module} has `{name}`");
            }
        }
    }
}
