//! The load generator of the benchmark: one process, one thread, many sockets, one JSON line of results.
//!
//! # Layout
//!
//! - [`payload`]: the stamp that every message carries, and how it is found in a frame of any dialect
//! - [`dialect`]: the wire dialects of the peers
//! - [`socket`]: opening a connection until it is ready
//! - [`run`]: what the tasks of one run share; [`subscriber`] and [`publisher`] are those tasks
//! - [`http`]: a client of plain HTTP, for those who poll
//! - [`fanout`], [`resume`], [`storm`]: the scenarios
//! - [`process`]: CPU time and memory of the server and of the generator itself
//!
//! It ends by itself: every wait has a deadline. It fails (exit 1) when a message was lost, repeated or out of order.

mod args;
mod dialect;
mod fanout;
mod http;
mod payload;
mod process;
mod publisher;
mod resume;
mod run;
mod socket;
mod storm;
mod subscriber;

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use tokio::task::LocalSet;

use args::{Args, Scenario};

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let outcome = LocalSet::new().block_on(&runtime, async {
        match args.scenario {
            Scenario::Fanout(options) => {
                fanout::measure(options).await.map(|report| (line(&report), report.violations))
            }
            Scenario::Resume(options) => {
                resume::measure(options).await.map(|report| (line(&report), report.violations))
            }
            Scenario::Storm(options) => storm::measure(options).await.map(|report| (line(&report), report.violations)),
        }
    });
    match outcome {
        Ok((line, violations)) => {
            println!("{line}");
            if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("load: {why}");
            ExitCode::FAILURE
        }
    }
}

fn line(report: &impl Serialize) -> String {
    serde_json::to_string(report).expect("a report is plain numbers and text")
}
