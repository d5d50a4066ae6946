//! A condition of a command's `--filter`: the same language, over the same fields, as rules.

use super::fields::{Fields, Memo, Subject};
use crate::event::Event;
use crate::loss::lock;
use porthole_rules::parse;
use porthole_rules::problem::caret;
use porthole_rules::program::{NodeId, Program, Scratch};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// A condition that is compiled.
pub struct Filter {
    fields: Fields,
    program: Program,
    node: NodeId,
    /// What judging needs from one event to the next.
    work: Mutex<(Memo, Scratch)>,
}

impl Filter {
    /// Compiles a condition.
    ///
    /// # Errors
    /// What is wrong with it, and the place, a caret below it.
    pub fn new(condition: &str) -> Result<Filter, String> {
        let fields = Fields::new(&BTreeMap::new());
        let wrong = |what: String, at| format!("{what}\n{}", caret(condition, at));
        let expr = parse::condition(condition).map_err(|e| wrong(e.what, e.at))?;
        let mut program = Program::default();
        let node = program.add(&expr, &fields.vocabulary, &mut vec![]).map_err(|e| wrong(e.what, e.at))?;
        let work = Mutex::new((Memo::new(&fields), Scratch::default()));
        Ok(Filter { fields, program, node, work })
    }

    /// Whether it is true for an event.
    pub fn holds(&self, event: &Event) -> bool {
        let (memo, scratch) = &mut *lock(&self.work);
        scratch.next();
        self.program.judge(self.node, &Subject::new(event, &self.fields, memo), scratch)
    }
}

/// For the command line: the condition as it was written, if it is one.
///
/// # Errors
/// See [`Filter::new`].
pub fn checked(condition: &str) -> Result<String, String> {
    Filter::new(condition).map(|_| condition.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::sample;

    #[test]
    fn a_filter_is_a_condition_of_the_same_language() {
        let holds = |condition: &str| Filter::new(condition).map(|f| f.holds(&sample()));
        assert_eq!(holds("evt.type in (open, openat) and proc.name startswith c"), Ok(true));
        assert_eq!(holds("container.name = web and not proc.pname = sh"), Ok(false));
        assert_eq!(holds("porthole.source = symbols and ns.mnt > 0 and evt.failed = true"), Ok(true));
    }

    #[test]
    fn a_mistake_is_shown_where_it_is() {
        let error = Filter::new("evt.type = openat and proc.nme = x").err().unwrap();
        let lines: Vec<&str> = error.lines().collect();
        assert!(lines[0].contains("proc.name"), "{error}");
        let caret = lines[2].find('^').unwrap();
        assert!(lines[1][caret..].starts_with("proc.nme"), "{error}");
        assert!(Filter::new("a_macro and evt.type = openat").err().unwrap().contains("macro"));
    }
}
