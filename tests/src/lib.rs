//! Harness for whole programs and real engines.
