//! Whether a file of weights fits a plan, and by which names: everything is checked before a parameter is touched.

use crate::gather::{self, Float};
use crate::nearest::hint;
use crate::params;
use crate::plan::{Layout, Plan};
use crate::tensor_file::Entry;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// How many problems of a file one message lists.
const LISTED: usize = 12;

/// The layout to read a file by, the file checked against it; its tensors of the names `states` are passed over.
///
/// # Errors
/// When no layout fits: a message of all problems.
pub fn fitting(
    plan: &Plan,
    entries: &HashMap<&str, Entry<'_>>,
    layout: Option<&str>,
    ignored: &[String],
    states: &[String],
) -> Result<Layout> {
    let mut layout = match layout {
        Some(name) => layout_named(plan, name)?,
        None => best_layout(plan, entries)?,
    };
    check_layout(plan, &layout)?;
    with_prefix_of(entries, &mut layout);
    let copies = std::mem::take(&mut layout.copies);
    let mut passed: HashSet<&str> = states.iter().map(String::as_str).collect();
    // A copy stands for an original that is missing.
    let mut stand_in: HashMap<&str, &str> = HashMap::new();
    for (copy, original) in &copies {
        let missing = !entries.contains_key(original.as_str()) && !stand_in.contains_key(original.as_str());
        if entries.contains_key(copy.as_str()) && missing {
            stand_in.insert(original, copy);
            let named = layout.tensors.iter_mut().filter(|stored| stored.name == *original);
            named.for_each(|stored| stored.name.clone_from(copy));
        }
        passed.insert(copy);
    }
    let known: HashSet<&str> = layout.tensors.iter().map(|stored| stored.name.as_str()).collect();
    let is_ignored = |name: &str| layout.ignored.iter().any(|pattern| matches(pattern, name));
    passed.extend(entries.keys().copied().filter(|name| !known.contains(name) && is_ignored(name)));
    for name in ignored {
        let hint = || hint(name, entries.keys().copied());
        ensure!(entries.contains_key(name.as_str()), "it has no tensor `{name}` to ignore{}", hint());
        passed.insert(name);
    }
    if let Some(list) = show(problems(plan, &layout, entries, &passed)) {
        bail!("with the names of layout `{}`:\n  {list}", layout.name);
    }
    for (copy, original) in &copies {
        let original = stand_in.get(original.as_str()).copied().unwrap_or(original.as_str());
        if let (Some(copy), Some(original)) = (entries.get(copy.as_str()), entries.get(original)) {
            let equal = copy.dtype == original.dtype && copy.shape == original.shape && copy.bytes == original.bytes;
            ensure!(equal, "`{}` and `{}` are one parameter and not equal", original.name, copy.name);
        }
    }
    Ok(layout)
}

/// A model and the part of it that has no head publish the same tensors, as transformers reads them (`base_model_prefix`): the names of
/// one begin with a word that those of the other lack. The layout's names become those of the file; what of the file is no part is
/// passed over.
fn with_prefix_of(entries: &HashMap<&str, Entry<'_>>, layout: &mut Layout) {
    let Layout { tensors, ignored, copies, .. } = layout;
    let beginning = |name: &str| name.find('.').map(|at| name[..=at].to_owned());
    let begins = |prefix: &String| entries.keys().any(|name| name.starts_with(prefix.as_str()));
    let beginnings: BTreeSet<String> = tensors.iter().filter_map(|stored| beginning(&stored.name)).collect();
    for prefix in beginnings.iter().filter(|prefix| !begins(prefix)) {
        let without = |name: &str| name.strip_prefix(prefix.as_str()).map(str::to_owned);
        if tensors.iter().filter_map(|stored| without(&stored.name)).any(|name| entries.contains_key(name.as_str())) {
            let all = tensors.iter_mut().map(|stored| &mut stored.name).chain(ignored.iter_mut());
            let all = all.chain(copies.iter_mut().flat_map(|(copy, original)| [copy, original]));
            all.for_each(|name| *name = without(name).unwrap_or(std::mem::take(name)));
        }
    }
    let Some(first) = tensors.first().map(|stored| stored.name.clone()) else { return };
    let mut prefixes = entries.keys().filter_map(|name| beginning(name).filter(|p| name[p.len()..] == first));
    let Some(prefix) = prefixes.next() else { return };
    let with = |name: &str| format!("{prefix}{name}");
    if tensors.iter().all(|stored| entries.contains_key(with(&stored.name).as_str())) {
        tensors.iter_mut().for_each(|stored| stored.name = with(&stored.name));
        *ignored = ignored.iter().map(|name| with(name)).collect();
        *copies = copies.iter().map(|(copy, original)| (with(copy), with(original))).collect();
        ignored.extend(entries.keys().filter(|name| !name.starts_with(&prefix)).map(|name| (*name).to_owned()));
    }
}

/// Whether a name is that of a pattern, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, inner)) = parts.split_last() else { return rest.is_empty() };
    for part in inner {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The layout of that name, `native` being ours.
///
/// # Errors
/// When there is none, with the nearest name.
pub fn layout_named(plan: &Plan, name: &str) -> Result<Layout> {
    if name == "native" {
        return params::native_layout(plan);
    }
    let found = plan.layouts.iter().find(|layout| layout.name == name);
    found.cloned().with_context(|| {
        let names = plan.layouts.iter().map(|layout| layout.name.as_str()).chain(["native"]);
        let all: Vec<String> = names.clone().map(|n| format!("`{n}`")).collect();
        format!("`{}` has no layout `{name}`{} (it has {})", plan.name, hint(name, names), all.join(", "))
    })
}

/// The layout of whose names the file has most; ours where several have as many.
fn best_layout(plan: &Plan, entries: &HashMap<&str, Entry<'_>>) -> Result<Layout> {
    let native = params::native_layout(plan)?;
    let matches = |layout: &Layout| {
        let names: HashSet<&str> = layout.tensors.iter().map(|stored| stored.name.as_str()).collect();
        names.into_iter().filter(|name| entries.contains_key(name)).count()
    };
    let (mut best, mut most) = (&native, matches(&native));
    for layout in &plan.layouts {
        let count = matches(layout);
        if count > most {
            (best, most) = (layout, count);
        }
    }
    if most == 0 && !native.tensors.is_empty() {
        let mut found: Vec<&str> = entries.keys().copied().collect();
        found.sort_unstable();
        let first = |names: Vec<&str>| names.into_iter().take(3).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        let expected = std::iter::once(&native).chain(&plan.layouts).map(|layout| {
            let mut names: Vec<&str> = layout.tensors.iter().map(|s| s.name.as_str()).collect();
            names.dedup();
            format!("{} … in layout `{}`", first(names), layout.name)
        });
        let found = if found.is_empty() { "none".to_string() } else { format!("{} …", first(found)) };
        bail!(
            "none of its tensors has a known name (found {found}; expected {})",
            expected.collect::<Vec<_>>().join(" or ")
        );
    }
    Ok(best.clone())
}

/// Checks that a layout gives each repetition of each parameter once, and from inside its tensors.
///
/// # Errors
/// When it does not.
pub fn check_layout(plan: &Plan, layout: &Layout) -> Result<()> {
    let (mut given, mut covered, mut shapes) = (HashSet::new(), HashMap::new(), HashMap::new());
    for stored in &layout.tensors {
        let wrong = || format!("layout `{}` is wrong about `{}`", layout.name, stored.name);
        let param = plan.params.get(stored.param as usize).with_context(wrong)?;
        let (shape, pieces) = params::piece(param, stored)?;
        let same = *shapes.entry(stored.name.as_str()).or_insert(&stored.shape) == &stored.shape;
        ensure!(same, "layout `{}` contradicts itself about `{}`", layout.name, stored.name);
        ensure!((stored.index as usize) < pieces, wrong());
        ensure!(given.insert((stored.param, stored.index, shape.len())), wrong());
        ensure!(gather::fits(stored, &shape), wrong());
        *covered.entry(stored.param).or_insert(0) += shape.iter().product::<u64>();
    }
    for (number, param) in plan.params.iter().enumerate() {
        let all = (params::elements(param)? as u64).saturating_mul(params::repetitions(param)? as u64);
        let whole = covered.get(&(number as u32)).is_some_and(|&found| found == all);
        ensure!(whole, "layout `{}` does not say where all of `{}` is stored", layout.name, param.path);
    }
    Ok(())
}

/// Something that does not fit; its text is made when it is listed, because nearest names take a search.
type Problem<'a> = Box<dyn Fn() -> String + 'a>;

/// The first problems, a line each; `None` where there are none.
fn show(problems: Vec<Problem<'_>>) -> Option<String> {
    let mut lines: Vec<String> = problems.iter().take(LISTED).map(|problem| problem()).collect();
    if problems.len() > LISTED {
        lines.push(format!("and {} more", problems.len() - LISTED));
    }
    (!lines.is_empty()).then(|| lines.join("\n  "))
}

fn problems<'a>(
    plan: &'a Plan,
    layout: &'a Layout,
    entries: &'a HashMap<&str, Entry<'_>>,
    passed: &HashSet<&str>,
) -> Vec<Problem<'a>> {
    let expected: HashSet<&str> = layout.tensors.iter().map(|stored| stored.name.as_str()).collect();
    let mut extra: Vec<&str> = entries.keys().copied().filter(|n| !expected.contains(n) && !passed.contains(n)).collect();
    extra.sort_unstable();
    let mut missing: Vec<&str> = Vec::new();
    let mut seen = HashSet::new();
    let mut out: Vec<Problem<'a>> = Vec::new();
    for stored in &layout.tensors {
        if !seen.insert(stored.name.as_str()) {
            continue;
        }
        let Some(entry) = entries.get(stored.name.as_str()) else {
            missing.push(&stored.name);
            continue;
        };
        if !entry.shape.iter().map(|&size| size as u64).eq(stored.shape.iter().copied()) {
            out.push(Box::new(move || {
                let param = &plan.params[stored.param as usize];
                let path = params::name_at(&param.path, &param.stack, stored.index as usize);
                format!(
                    "`{}` has the shape {:?}, expected {:?} (`{path}` {})",
                    stored.name,
                    entry.shape,
                    stored.shape,
                    params::show_axes(&param.axes)
                )
            }));
        }
        if Float::of(entry.dtype).is_none() {
            let dtype = entry.dtype;
            out.push(Box::new(move || {
                format!("`{}` has elements of type {dtype}, expected F16, BF16, F32 or F64", stored.name)
            }));
        }
    }
    let (extra, missing) = (Rc::new(extra), Rc::new(missing));
    for &name in missing.iter() {
        let extra = Rc::clone(&extra);
        out.push(Box::new(move || format!("`{name}` is missing{}", hint(name, extra.iter().copied()))));
    }
    for &name in extra.iter() {
        let missing = Rc::clone(&missing);
        out.push(Box::new(move || format!("`{name}` is not a parameter{}", hint(name, missing.iter().copied()))));
    }
    out
}
