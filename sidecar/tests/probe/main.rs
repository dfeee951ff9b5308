//! The probes and the doctor, against servers of the tests' own: each failure is a real one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod callback;
mod clock;
mod dns;
mod doctor;
mod run;
mod support;
mod tcp;
mod tls;
