//! Loading rules files: several, one on top of the other.

mod collect;
mod compile;
mod exceptions;
mod items;

pub use collect::{ENGINE_VERSION, SOURCE};
pub use items::Priority;

use crate::problem::Problem;
use crate::ruleset::Ruleset;
use crate::vocabulary::Vocabulary;
use crate::yaml;
use collect::{Collector, Context};
use items::Items;
use std::sync::Arc;

/// A rules file.
#[derive(Clone, Debug)]
pub struct File {
    /// What it is called in problems.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// What loading a file has brought to light.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The file.
    pub name: String,
    /// Why it was not taken; at most one.
    pub errors: Vec<Problem>,
    /// What is odd about it.
    pub warnings: Vec<Problem>,
}

/// What loading has given.
#[derive(Debug)]
pub struct Loaded {
    /// For each file up to the first one that was not taken.
    pub reports: Vec<Report>,
    /// The rules, if every file was taken.
    pub rules: Option<Ruleset>,
}

/// Loads files in their order. After each one all rules are compiled; the first file with an error ends it.
pub fn load(files: &[File], vocabulary: Arc<Vocabulary>) -> Loaded {
    let mut items = Items::default();
    let mut reports = vec![];
    let mut compiled = None;
    for (n, file) in files.iter().enumerate() {
        let mut report = Report { name: file.name.clone(), ..Default::default() };
        match one(&mut items, n, file, &vocabulary, &mut report.warnings) {
            Ok(done) => compiled = Some(done),
            Err(problem) => {
                report.errors.push(problem);
                reports.push(report);
                return Loaded { reports, rules: None };
            }
        }
        reports.push(report);
    }
    let rules = match compiled {
        Some(compile::Compiled { rules, program }) => Ruleset::new(rules, program, vocabulary),
        None => Ruleset::new(vec![], Default::default(), vocabulary),
    };
    Loaded { reports, rules: Some(rules) }
}

fn one(
    items: &mut Items,
    n: usize,
    file: &File,
    v: &Vocabulary,
    warnings: &mut Vec<Problem>,
) -> Result<compile::Compiled, Problem> {
    let documents = yaml::documents(&file.text).map_err(|(at, what)| Context::parse_problem(at, what))?;
    let mut collector = Collector { items, file: n, warnings: vec![] };
    let collected = documents.iter().try_for_each(|d| collector.document(d));
    warnings.append(&mut collector.warnings);
    collected?;
    compile::compile(items, n, v, warnings)
}
