//! A model's configuration as somebody else's: what [`Session::imported`] reads, the other way about.

use std::rc::Rc;

use crate::ast::{BinaryOp, ConfigEntry, Expr, ExprKind, ParamType};
use crate::elaborate::outcome::ModelRef;
use crate::elaborate::repeat::Among;
use crate::elaborate::session::{Done, Names, Session, Val};
use crate::elaborate::value::{Instance, Value};
use crate::emit::Emit;

use super::config::{Reading, dotted, field_of, literals};
use super::{Field, Unfit};

impl<'p, E: Emit> Session<'p, E> {
    /// The configuration file of a model in somebody else's words; what no number depends on is taken over from the file that the model
    /// comes from, where there is one.
    ///
    /// # Errors
    /// They cannot say what the model is, or it is not said how.
    pub fn exported(
        &mut self,
        model: &ModelRef<'p, E::Value>,
        layout: &str,
        before: Option<&Field>,
    ) -> Result<Field, Unfit> {
        let mut file = Field::Record(Vec::new());
        let written = self.write_block(&model.instance, &[], layout, &mut file);
        let read = written.and_then(|()| {
            let program = self.program;
            let def = model.instance.block.def;
            let mut reading = Reading::default();
            let (_, said) = self.read_block((model.instance.block.file, def), &[], layout, &file, &mut reading)?;
            let mut wrong = Vec::new();
            self.differences(&said, &model.instance, "", &mut wrong);
            Ok((program.weights_named(def, layout).is_some(), wrong, reading))
        });
        match self.outcome(read) {
            Err(faults) => Err(Unfit::Faults(faults)),
            Ok((false, ..)) => Err(Unfit::File(vec![format!("`{}` has no `weights {layout}`", model.name)])),
            Ok((true, mut wrong, reading)) => {
                wrong.extend(reading.wrong);
                if let Some(before) = before {
                    let agrees = |path: &String| file.at(path).counts_as_many(before.at(path));
                    let groups: Vec<_> = reading.kept.into_iter().filter(|group| group.iter().all(agrees)).collect();
                    for path in groups.into_iter().flatten().filter(|path| *before.at(path) != Field::Null) {
                        if matches!(file.at(&path), Field::Null | Field::Record(_)) {
                            file.set(&path, before.at(&path).clone());
                        }
                    }
                }
                if wrong.is_empty() { Ok(file) } else { Err(Unfit::File(wrong)) }
            }
        }
    }

    /// Says a block's configuration, but for what is said by the block around it.
    fn write_block(
        &mut self,
        instance: &Rc<Instance<'p, E::Value>>,
        said: &[&str],
        layout: &str,
        file: &mut Field,
    ) -> Done<()> {
        let program = self.program;
        let def = instance.block.def;
        let entries = program.configuration(def, layout);
        if let Some((_, weights)) = program.weights_named(def, layout)
            && let Some((path, value)) = &weights.files
            && instance.path.is_empty()
            && let Some(first) = literals(value).into_iter().next()
        {
            file.set(&dotted(path), first);
        }
        // What a block that was given says comes first: the block around it may say it otherwise.
        for param in &def.params {
            if let (Some(ParamType::Instance(_)), Some(Value::Instance(inner))) =
                (&param.ty, instance.scope.own(&param.name.node))
            {
                let own = entries.iter().filter_map(|(_, entry)| match entry {
                    ConfigEntry::Read(path, _) if path.len() == 2 && path[0].node == param.name.node => {
                        Some(path[1].as_str())
                    }
                    _ => None,
                });
                let own: Vec<&str> = own.collect();
                self.write_block(&inner, &own, layout, file)?;
            }
        }
        for (at, entry) in entries {
            match entry {
                ConfigEntry::Read(path, theirs) => {
                    let value = match path.as_slice() {
                        [own] if !said.contains(&own.as_str()) => instance.scope.own(&own.node),
                        [own, of] => match instance.scope.own(&own.node) {
                            Some(Value::Instance(inner)) => inner.scope.own(&of.node),
                            _ => None,
                        },
                        _ => None,
                    };
                    if let Some(value) = value {
                        let root = self.roots[at.0 as usize].clone();
                        self.invert(theirs, &value, &root, file)?;
                    }
                }
                ConfigEntry::Says(path, ours) => {
                    let value = self.eval(ours, &instance.scope.within_file(&self.roots[at.0 as usize]))?;
                    field_of(&value).into_iter().for_each(|field| file.set(&dotted(path), field));
                }
                ConfigEntry::Ignore(_) | ConfigEntry::Keep(_) => {}
            }
        }
        Ok(())
    }

    /// Sets fields so that an expression of them has a value, where its form says how; what is left over is found when the file is
    /// read again.
    fn invert(&mut self, theirs: &'p Expr, value: &Val<'p, E>, root: &Names<'p, E>, file: &mut Field) -> Done<()> {
        match &*theirs.node {
            ExprKind::Name(_) | ExprKind::Field(..) => {
                let mut path = Vec::new();
                super::config::mentioned(theirs, &mut path);
                if let ([path], Some(field)) = (path.as_slice(), field_of(value)) {
                    file.set(path, field);
                }
            }
            ExprKind::Binary(BinaryOp::Otherwise, first, _) => self.invert(first, value, root, file)?,
            ExprKind::Binary(BinaryOp::Eq, field, text) if matches!(value, Value::Bool(Some(true))) => {
                let text = self.eval(text, root)?;
                self.invert(field, &text, root, file)?;
            }
            ExprKind::Call(callee, args) => {
                let ([arg], ExprKind::Name(name)) = (args.as_slice(), &*callee.node) else { return Ok(()) };
                match self.top(root.file, name) {
                    Some(Value::Table(table, home)) => {
                        let home = self.roots[home.0 as usize].clone();
                        let wanted = self.description(value);
                        for (text, row) in &table.rows {
                            let row = self.eval(row, &home)?;
                            if self.description(&row) == wanted {
                                let text = Value::Text(Some(text.node.as_str().into()));
                                return self.invert(&arg.value, &text, root, file);
                            }
                        }
                    }
                    // How many there are: `size(id2label)`.
                    None if name == "size" => {
                        if let Some(Field::Int(n)) = field_of(value) {
                            let labels =
                                (0..n.clamp(0, 1 << 20)).map(|i| (i.to_string(), Field::Text(format!("LABEL_{i}"))));
                            let labels: Vec<_> = labels.collect();
                            let mut path = Vec::new();
                            super::config::mentioned(&arg.value, &mut path);
                            path.iter().for_each(|path| file.set(path, Field::Record(labels.clone())));
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A value of configuration as text that tells it from others.
    fn description(&mut self, value: &Val<'p, E>) -> String {
        let mut out = String::new();
        self.describe(value, &Among::nothing(), &mut out);
        out
    }

    /// What reading the file again says otherwise.
    fn differences(
        &mut self,
        said: &[(String, Val<'p, E>)],
        instance: &Rc<Instance<'p, E::Value>>,
        path: &str,
        wrong: &mut Vec<String>,
    ) {
        for (name, value) in said {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match (value, instance.scope.own(name)) {
                (Value::Record(said), Some(Value::Instance(inner))) => self.differences(said, &inner, &path, wrong),
                (value, Some(own)) => {
                    let (there, here) = (self.description(value), self.description(&own));
                    let same = there == here || there.parse::<f64>().is_ok_and(|x| Ok(x) == here.parse::<f64>());
                    if !same && !matches!(value, Value::Unknown) {
                        wrong.push(format!("`{path}` of this model cannot be said in the file, which would mean another"));
                    }
                }
                (_, None) => {}
            }
        }
    }
}

impl Field {
    /// Whether both, where they are lists of names, have as many.
    fn counts_as_many(&self, other: &Field) -> bool {
        match (self, other) {
            (Field::Record(own), Field::Record(others)) => own.len() == others.len(),
            _ => true,
        }
    }

    /// Sets the field of that path.
    fn set(&mut self, path: &str, value: Field) {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let Field::Record(fields) = self else { return };
        let at = match fields.iter().position(|(name, _)| name == first) {
            Some(at) => at,
            None => {
                fields.push((first.to_owned(), Field::Record(Vec::new())));
                fields.len() - 1
            }
        };
        match rest {
            None => fields[at].1 = value,
            Some(rest) => {
                if !matches!(fields[at].1, Field::Record(_)) {
                    fields[at].1 = Field::Record(Vec::new());
                }
                fields[at].1.set(rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_within_fields() {
        let mut file = Field::Record(Vec::new());
        file.set("a.b", Field::Int(1));
        file.set("a.c", Field::Int(2));
        file.set("a.b", Field::Int(3));
        assert_eq!((file.at("a.b"), file.at("a.c"), file.at("a.d")), (&Field::Int(3), &Field::Int(2), &Field::Null));
    }
}
