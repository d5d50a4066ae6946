//! Falco's rule language, complete: conditions, lists, macros, exceptions, overrides, outputs. No I/O, no `unsafe`, and no
//! input makes it panic.
//!
//! ```
//! use porthole_rules::event::{Asked, Event, Value};
//! use porthole_rules::load::{File, load};
//! use porthole_rules::program::Scratch;
//! use porthole_rules::vocabulary::Vocabulary;
//! use std::sync::Arc;
//!
//! struct Open;
//! impl Event for Open {
//!     fn value(&self, field: &Asked) -> Option<Value<'_>> {
//!         match field.name.as_str() {
//!             "evt.type" => Some("openat".into()),
//!             "fd.name" => Some("/etc/shadow".into()),
//!             _ => None, // has no value: every check of it is false
//!         }
//!     }
//! }
//!
//! let text = "
//! - list: secrets
//!   items: [/etc/shadow, /etc/gshadow]
//! - rule: Secret opened
//!   desc: somebody opens a file with secrets
//!   condition: evt.type in (open, openat) and fd.name in (secrets)
//!   output: opened %fd.name by %proc.name
//!   priority: WARNING
//! ";
//! let vocabulary = Arc::new(Vocabulary::falco().clone());
//! let files = [File { name: "mine.yaml".into(), text: text.into() }];
//! let loaded = load(&files, vocabulary.clone());
//! assert!(loaded.reports[0].errors.is_empty());
//! let rules = loaded.rules.expect("no errors");
//! rules.judge(vocabulary.event("openat"), &Open, &mut Scratch::default(), |rule| {
//!     assert_eq!(rule.output.text(&Open).as_deref(), Some("opened /etc/shadow by <NA>"));
//!     true // go on with the next rule
//! });
//! ```
//!
//! The way of a rule: [`yaml`] → [`load`] (items, then text with lists put in) → [`parse`] → [`ast`] with macros put in →
//! [`resolve`] and [`program`] (checks with types, shared by all rules) and [`types`] (for which events) → [`ruleset`], which
//! puts together for each type of event what its rules have in common (`decide`).
//! [`format`] makes lines of events. [`problem`] has Falco's error and warning codes.
//!
//! What differs from Falco: a list of networks is compared as a whole also for `fd.net` (Falco looks at the first alone);
//! names of services come from a table here and not from a host's /etc/services; a cycle of macros is an unknown macro;
//! there is no check of the files against a JSON schema, whose verdict Falco logs only.

pub mod ast;
mod decide;
pub mod event;
pub mod format;
pub mod function;
pub mod glob;
pub mod load;
pub mod matcher;
pub mod parse;
pub mod problem;
pub mod program;
pub mod resolve;
pub mod ruleset;
pub mod types;
pub mod vocabulary;
pub mod yaml;
