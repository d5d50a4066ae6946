//! Suites whose tests share one fixture and run one after the other; the fixture is made by the first test and dropped
//! after the last (libtest would leave it, and its daemon, behind).

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// A test of a suite: its name, and what it does with the fixture.
pub type Test<F> = (&'static str, fn(&F));

/// The suite's `main`.
pub fn run<F: Send + 'static>(make: fn() -> F, tests: &[Test<F>]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let fixture: Arc<Mutex<Option<F>>> = Arc::new(Mutex::new(None));
    let trial = |&(name, test): &Test<F>| {
        let fixture = Arc::clone(&fixture);
        Trial::test(name, move || {
            // a test that failed has not harmed the fixture
            let mut fixture = fixture.lock().unwrap_or_else(PoisonError::into_inner);
            test(fixture.get_or_insert_with(make));
            Ok(())
        })
    };
    let conclusion = libtest_mimic::run(&arguments, tests.iter().map(trial).collect());
    fixture.lock().unwrap_or_else(PoisonError::into_inner).take();
    conclusion.exit_code()
}

/// The list that [`run`] takes, from the names of functions.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn(&_))),*] };
}
