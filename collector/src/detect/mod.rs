//! Rules: each tagged event is judged, and what fits a rule becomes an alert.
//!
//! [`Detector`] stands between the pipeline and the hub: it sees every event once, after the outputs of events have it.
//! Judging does no I/O and asks nobody; alerts go to [`outputs`], each with a queue of its own.

mod alert;
pub mod config;
pub mod drops;
#[cfg(test)]
mod examples;
pub mod fields;
pub(crate) mod files;
pub mod filter;
mod flat;
mod losses;
mod matches;
pub mod outputs;
mod rules;
pub mod stories;
#[cfg(test)]
mod tests;
pub(crate) mod wants;

use crate::error::Error;
use crate::event::Event;
use crate::loss::lock;
use crate::pipeline::Publish;
use crate::status::{OutputStatus, RuleMatches};
use alert::Style;
pub use config::Plan;
use drops::Drops;
use fields::{Memo, Subject, hostname};
use files::Version;
use matches::Matches;
use outputs::Outputs;
pub use outputs::Programs;
use porthole_rules::program::Scratch;
use porthole_rules::ruleset::Ruleset;
use rules::Rules;
use std::io;
use std::sync::{Arc, Mutex};
use stories::Stories;
use stories::archive::Archive;

/// Judges events.
pub struct Detector {
    judge: Mutex<Judge>,
    style: Style,
    outputs: Outputs,
    /// The rules files as they were last loaded, or tried.
    seen: Mutex<Vec<Version>>,
    told: Mutex<losses::Told>,
    drops: Mutex<Drops>,
    matches: Mutex<Matches>,
    stories: Option<Stories>,
    next: Option<Arc<dyn Publish>>,
}

/// The rules, and what judging needs from one event to the next.
struct Judge {
    rules: Rules,
    memo: Memo,
    scratch: Scratch,
    kinds: Kinds,
}

impl Judge {
    fn new(rules: Rules) -> Judge {
        let memo = Memo::new(&rules.fields);
        Judge { rules, memo, scratch: Scratch::default(), kinds: Kinds::default() }
    }
}

/// Numbers of event types, by the place in memory of their names: those are constants of this program.
#[derive(Default)]
struct Kinds(Vec<((usize, usize), Option<usize>)>);

impl Kinds {
    fn of(&mut self, name: &'static str, rules: &Rules) -> Option<usize> {
        let place = (name.as_ptr() as usize, name.len());
        if let Some((_, kind)) = self.0.iter().find(|(known, _)| *known == place) {
            return *kind;
        }
        let kind = rules.fields.vocabulary.event(name);
        self.0.push((place, kind));
        kind
    }
}

/// Loads a plan's rules and what outputs need, and forgets them.
///
/// # Errors
/// Why they are not taken.
pub fn check(plan: &Plan) -> Result<(), Error> {
    outputs::check(&plan.outputs)?;
    Rules::load(plan).map(drop)
}

/// A plan's rules, loaded.
///
/// # Errors
/// Why they are not taken.
pub(crate) fn loaded(plan: &Plan) -> Result<Ruleset, Error> {
    Rules::load(plan).map(|rules| rules.set)
}

/// Where nobody starts any.
fn no_programs() -> Arc<Programs> {
    let none = || Err(io::Error::other("programs are started by `porthole collector` only"));
    Arc::new(Programs::new(none))
}

impl Detector {
    /// Loads the rules and opens the outputs. Events go on to `next`.
    ///
    /// # Errors
    /// When a rules file is not taken, or an output cannot be opened.
    pub fn start(plan: &Plan, next: Option<Arc<dyn Publish>>) -> Result<Detector, Error> {
        Detector::with(Rules::load(plan)?, plan, no_programs(), next)
    }

    /// The same; where the rules are not taken, without any until they are ([`Detector::refresh`]), and with the reason.
    ///
    /// # Errors
    /// When an output cannot be opened.
    pub fn start_anyway(
        plan: &Plan,
        programs: Arc<Programs>,
        next: Option<Arc<dyn Publish>>,
    ) -> Result<(Detector, Option<Error>), Error> {
        let (rules, broken) = match Rules::load(plan) {
            Ok(rules) => (rules, None),
            Err(e) => (Rules::load(&Plan { files: vec![], ..plan.clone() })?, Some(e)),
        };
        Ok((Detector::with(rules, plan, programs, next)?, broken))
    }

    fn with(
        rules: Rules,
        plan: &Plan,
        programs: Arc<Programs>,
        next: Option<Arc<dyn Publish>>,
    ) -> Result<Detector, Error> {
        let seen = Mutex::new(files::versions(&plan.files));
        wants::set(&rules.set);
        let outputs = Outputs::open(&plan.outputs, &programs)?;
        let (style, stories) = (plan.style.clone(), plan.stories.as_ref().map(Stories::start).transpose()?);
        let (judge, told, matches) = (Mutex::new(Judge::new(rules)), Mutex::default(), Mutex::default());
        let drops = Mutex::new(Drops::new(&plan.drops));
        Ok(Detector { judge, style, outputs, seen, told, drops, matches, stories, next })
    }

    /// What is to be said about the rules: problems that are no errors, fields that nobody supplies.
    pub fn notices(&self) -> Vec<String> {
        lock(&self.judge).rules.notices.clone()
    }

    /// How many rules are judged.
    pub fn enabled(&self) -> usize {
        lock(&self.judge).rules.set.rules().iter().filter(|r| r.enabled).count()
    }

    /// Loads the rules again. Those that are judged stay, if a file is not taken.
    ///
    /// # Errors
    /// When a rules file is not taken.
    pub fn reload(&self, plan: &Plan) -> Result<(), Error> {
        let judge = Judge::new(Rules::load(plan)?);
        wants::set(&judge.rules.set);
        *lock(&self.judge) = judge;
        Ok(())
    }

    /// Loads the rules again if their files have changed since the last time. What is to be said of that.
    pub fn refresh(&self, plan: &Plan) -> Option<String> {
        let now = files::versions(&plan.files);
        let mut seen = lock(&self.seen);
        if *seen == now {
            return None;
        }
        *seen = now;
        Some(match self.reload(plan) {
            Ok(()) => format!("the rules have changed: {} are judged from now on", self.enabled()),
            Err(e) => format!("{e}\nthe rules are judged as before"),
        })
    }

    /// To be called each second: tells, as events, which alerts were lost since, and as an alert, which records. What is to
    /// be said of that.
    pub fn second(&self) -> Option<String> {
        let events = lock(&self.told).since(&self.status());
        events.iter().for_each(|event| self.publish(event));
        let (line, said) = lock(&self.drops).second(&self.style, hostname());
        line.into_iter().for_each(|line| self.outputs.send(|| line));
        said
    }

    /// What the outputs have written and lost.
    pub fn status(&self) -> Vec<OutputStatus> {
        self.outputs.status().into_iter().chain(self.stories.as_ref().map(Stories::status)).collect()
    }

    /// The rules that were true, and how often.
    pub fn matches(&self) -> Vec<RuleMatches> {
        lock(&self.matches).all()
    }

    /// The alerts that are kept, if any are.
    pub fn archive(&self) -> Option<Arc<Archive>> {
        self.stories.as_ref().map(Stories::archive)
    }

    /// Lets the outputs write what they have, and ends them.
    pub fn stop(&self) {
        // of the last second nothing more is said: the summary has it
        self.second();
        self.outputs.stop();
        self.stories.iter().for_each(Stories::stop);
    }

    fn look(&self, event: &Arc<Event>) {
        let Judge { rules, memo, scratch, kinds } = &mut *lock(&self.judge);
        let kind = kinds.of(event.evt_type, rules);
        let subject = Subject::new(event, &rules.fields, memo);
        rules.set.judge(kind, &subject, scratch, |rule| {
            lock(&self.matches).count(rule);
            let alert = rules.alert(rule, event, &subject);
            self.stories.iter().for_each(|stories| stories.tell(&alert, event));
            self.outputs.send(|| self.style.line(alert));
            rules.all
        });
        self.stories.iter().for_each(|stories| stories.note(event));
        lock(&self.drops).note(event);
    }
}

impl Publish for Detector {
    fn publish(&self, event: &Arc<Event>) {
        self.look(event);
        if let Some(next) = &self.next {
            next.publish(event);
        }
    }
}
